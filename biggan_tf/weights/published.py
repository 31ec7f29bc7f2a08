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
from biggan_tf.layers import path_of
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
        sigmas_are_final: the sigmas among G's tensors divide its kernels as they are;
            else a power iteration from u finds them.
        note: a sentence for the user, after a space, or "".
    """

    generator: Part | None = None
    generator_ema: Part | None = None
    discriminator: Part | None = None
    generator_adam: Adam | None = None
    discriminator_adam: Adam | None = None
    convention: str = "resample"
    tables: Tensors = dataclasses.field(default_factory=dict)
    sigmas_are_final: bool = False
    note: str = ""

    @property
    def parts(self) -> list[Part]:
        """The sets of weights, the one that G is sampled with first."""
        parts = (self.generator_ema, self.generator, self.discriminator)
        return [part for part in parts if part is not None]

    @property
    def num_classes(self) -> int:
        return self.parts[0].arguments["num_classes"]

    def describe(self) -> str:
        """Family, resolution, width and classes of G, for messages."""
        return self.parts[0].describe()

    def arguments(self) -> dict[str, Any]:
        """Arguments of `networks.specs` that the weights decide.

        Raises:
            BadInput: the files are of different models.
        """
        merged: dict[str, Any] = {}
        for part in self.parts:
            for name, value in part.arguments.items():
                if merged.setdefault(name, value) != value:
                    first = self.parts[0]
                    raise BadInput(
                        f"the files are of different models: {name} is {merged[name]} "
                        f"in {first.file} ({first.describe()}), but {value} in "
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
        # One vector u serves G and its averages; it is what sampling needs exactly.
        vectors = {
            p: v for p, v in self.averages.items() if p.endswith(("/u", "/sigma"))
        }
        matching.assign(gan.generator.variables, {**self.generator, **vectors})
        matching.assign(gan.discriminator.variables, self.discriminator)
        for variable, average in zip(
            gan.generator.trainable_variables, gan.averaged_weights()
        ):
            average.assign(self.averages.get(path_of(variable), variable))
        for name, (steps, *moments) in self.adam.items():
            optimizer = getattr(gan, f"{name}_optimizer")
            optimizer.iterations.assign(steps)
            adam = getattr(optimizer, "_optimizer", optimizer)  # inside the EMA's
            for variable in getattr(gan, name).trainable_variables:
                for slot, values in zip("mv", moments):
                    if path_of(variable) in values:
                        adam.get_slot(variable, slot).assign(values[path_of(variable)])


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
    ) -> dict:
        if part is None:
            return {}
        fresh = class_paths(network, part.arguments["num_classes"])
        variables = network.trainable_variables if trained else network.variables
        found, reasons = matching.match(variables, part, fresh)
        problems.extend(reasons)
        return found

    adam = {
        network.name: (
            state.steps,
            values(network, state.first, trained=True),
            values(network, state.second, trained=True),
        )
        for network, state in (
            (generator, published.generator_adam),
            (discriminator, published.discriminator_adam),
        )
        if state is not None
    }
    averages = values(generator, published.parts[0])
    both = published.generator and published.generator_ema
    fitted = Values(
        generator=values(generator, published.generator) if both else averages,
        averages=averages,
        discriminator=values(discriminator, published.discriminator),
        adam=adam,
        statistics=None,
    )
    matching.refuse(problems)
    if class_paths(generator, published.num_classes):
        return fitted  # statistics of other classes are of no use
    return dataclasses.replace(fitted, statistics=_statistics(published, averages))


def class_paths(network: tf.keras.Model, num_classes: int) -> list[str]:
    """The variables with an entry for each class, if the network has other classes."""
    if network.spec.num_classes == num_classes:
        return []
    pattern = "(condition|head)/embedding/.*"
    if getattr(network.spec, "embedding_size", num_classes) is None:
        pattern = ".*/norm[0-9]/(gain|offset)/kernel"  # every layer has its own
    paths = map(path_of, network.variables)
    return [path for path in paths if re.fullmatch(pattern, path)]


def _statistics(published: Published, averages: Mapping[str, np.ndarray]) -> Statistics:
    """The tables, or the single set in the weights, by the layer's path."""

    def by_layer(leaf: str) -> dict[str, np.ndarray]:
        return {
            path.removesuffix(leaf): value
            for path, value in averages.items()
            if path.endswith(leaf)
        }

    def tables(leaf: str) -> dict[str, np.ndarray]:
        rule = published.parts[0].rule
        return {
            layer: published.tables.get(
                rule(layer + leaf, value.shape).name, value[None]
            )
            for layer, value in by_layer(leaf).items()
        }

    means = tables("/moving_mean")
    truncations = np.linspace(0, 1, len(next(iter(means.values()))))
    if len(truncations) == 1:
        truncations = [1.0 if published.convention == "scaled" else math.inf]
    return Statistics(
        published.convention,
        np.asarray(truncations, np.float32),
        means,
        tables("/moving_variance"),
        by_layer("/sigma") if published.sigmas_are_final else {},
    )
