"""Published weights in memory, and how they get into a `gan.Gan`."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from biggan_tf.errors import BadInput
from biggan_tf.weights import matching
from biggan_tf.weights.matching import Part, Tensors
from biggan_tf.weights.statistics import Statistics


@dataclasses.dataclass(frozen=True)
class Adam:
    """The state of one network's optimiser.

    Attributes:
        steps: updates so far.
        first, second: its moments, as if they were the network's weights.
    """

    steps: int
    first: Part
    second: Part


@dataclasses.dataclass(frozen=True)
class Published:
    """What a source gives; at least one of G's two sets of weights.

    Attributes:
        generator, generator_ema: G's weights, and their moving averages.
        discriminator: D's weights.
        generator_adam, discriminator_adam: their optimisers' states.
        convention: of truncation, see `latents.TRUNCATIONS`.
        tables: batch-norm statistics [sets, channels] of truncations from 0 to 1, by
            the name of the tensor that would hold a single set; {} if it does.
        note: a sentence for the user, or "".
    """

    generator: Part | None = None
    generator_ema: Part | None = None
    discriminator: Part | None = None
    generator_adam: Adam | None = None
    discriminator_adam: Adam | None = None
    convention: str = "resample"
    tables: Tensors = dataclasses.field(default_factory=dict)
    note: str = ""

    def arguments(self) -> dict[str, Any]:
        """Arguments of `networks.specs` that the weights decide.

        Raises:
            BadInput: the files are of different models.
        """
        parts = [self.generator, self.generator_ema, self.discriminator]
        parts = [part for part in parts if part is not None]
        merged: dict[str, Any] = {}
        for part in parts:
            for name, value in part.arguments.items():
                if merged.setdefault(name, value) != value:
                    raise BadInput(
                        f"the files are of different models: {name} is {merged[name]} "
                        f"in {parts[0].file} ({parts[0].describe()}), but {value} in "
                        f"{part.file} ({part.describe()})."
                    )
        return merged


@dataclasses.dataclass(frozen=True)
class Values:
    """Published weights as values of our variables, by path, all of them fitting.

    Attributes:
        generator: of G's variables, running averages too.
        averages: of the moving averages of G's weights, and the u and batch-norm
            statistics that go with them.
        discriminator: of D's variables; {}: D stays as initialised.
        adam: (steps, first, second) by "generator" and "discriminator".
        statistics: that G's averages are sampled with; None: to be measured.
    """

    generator: Mapping[str, np.ndarray]
    averages: Mapping[str, np.ndarray]
    discriminator: Mapping[str, np.ndarray]
    adam: Mapping[str, tuple[int, Mapping, Mapping]]
    statistics: Statistics | None

    def load(self, gan: Any) -> None:
        """Assigns everything to a `gan.Gan` of the architecture they fit."""
        matching.assign(gan.generator.variables, self.generator)
        # One vector u serves G and its averages; it is what sampling needs exactly.
        vectors = {
            path: value
            for path, value in self.averages.items()
            if path.endswith(("/u", "/sigma"))
        }
        matching.assign(gan.generator.variables, vectors)
        for variable, average in zip(
            gan.generator.trainable_variables, gan.averaged_weights()
        ):
            average.assign(self.averages.get(matching.path_of(variable), variable))
        matching.assign(gan.discriminator.variables, self.discriminator)
        for name, (steps, first, second) in self.adam.items():
            optimizer = getattr(gan, f"{name}_optimizer")
            optimizer.iterations.assign(steps)
            adam = getattr(optimizer, "_optimizer", optimizer)  # inside the EMA's
            for variable in getattr(gan, name).trainable_variables:
                path = matching.path_of(variable)
                if path in first:
                    adam.get_slot(variable, "m").assign(first[path])
                    adam.get_slot(variable, "v").assign(second[path])


def fit(
    published: Published, generator: tf.keras.Model, discriminator: tf.keras.Model
) -> Values:
    """The weights as values of two networks' variables; assigns nothing.

    Args:
        published: the weights.
        generator, discriminator: of the architecture that their `arguments` say, but
            for the number of classes: where it differs, variables with an entry for
            each class are left out.

    Raises:
        BadInput: lists every tensor that is missing, left over or mis-shaped.
    """
    problems: list[str] = []

    def values(
        network: tf.keras.Model, part: Part | None, trained: bool = False
    ) -> dict[str, np.ndarray]:
        if part is None:
            return {}
        fresh = class_paths(network, part.arguments["num_classes"])
        variables = network.trainable_variables if trained else network.variables
        found, reasons = matching.match(variables, part, fresh)
        problems.extend(reasons)
        return found

    averaged = published.generator_ema or published.generator
    averages = values(generator, averaged)
    weights = averages
    if averaged is not published.generator and published.generator:
        weights = values(generator, published.generator)
    adam = {}
    for network, state in (
        (generator, published.generator_adam),
        (discriminator, published.discriminator_adam),
    ):
        if state is not None:
            first = values(network, state.first, trained=True)
            second = values(network, state.second, trained=True)
            adam[network.name] = state.steps, first, second
    fitted = Values(
        generator=weights,
        averages=averages,
        discriminator=values(discriminator, published.discriminator),
        adam=adam,
        statistics=None,
    )
    matching.refuse(problems)
    if class_paths(generator, averaged.arguments["num_classes"]):
        return fitted  # statistics of other classes are of no use
    statistics = _statistics(published, averaged, averages)
    return dataclasses.replace(fitted, statistics=statistics)


def class_paths(network: tf.keras.Model, num_classes: int) -> list[str]:
    """The variables with an entry for each class, if the network has other classes."""
    if network.spec.num_classes == num_classes:
        return []
    pattern = "(condition|head)/embedding/.*"
    if getattr(network.spec, "embedding_size", num_classes) is None:
        pattern = ".*/norm[0-9]/(gain|offset)/kernel"  # every layer has its own
    found = (matching.path_of(variable) for variable in network.variables)
    return [path for path in found if re.fullmatch(pattern, path)]


def _statistics(
    published: Published, part: Part, averages: Mapping[str, np.ndarray]
) -> Statistics:
    """The tables, or the single set in the weights, by the layer's path."""
    sets = {
        path: published.tables.get(part.rule(path, value.shape).name, value[None])
        for path, value in averages.items()
        if path.endswith(("/moving_mean", "/moving_variance"))
    }
    count = len(next(iter(sets.values())))
    if count > 1:
        truncations = np.arange(count) / (count - 1)
    else:
        truncations = [1.0 if published.convention == "scaled" else math.inf]
    return Statistics(
        published.convention,
        np.asarray(truncations, np.float32),
        *(
            {
                path.removesuffix(ending): table
                for path, table in sets.items()
                if path.endswith(ending)
            }
            for ending in ("/moving_mean", "/moving_variance")
        ),
    )
