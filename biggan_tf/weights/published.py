"""Published weights in memory, and how a GAN takes them over."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from biggan_tf.gan import Gan
from biggan_tf.layers import by_path
from biggan_tf.standing import PublishedStatistics
from biggan_tf.weights.matching import MOMENTS, Values


@dataclasses.dataclass(frozen=True)
class Published:
    """What a source publishes; values are float32 arrays by the paths of our variables.

    What the source lacks is {}.
    """

    generator_arguments: Mapping[str, Any]  # of `GeneratorSpec`; the weights tell them
    # Values of G's variables, to sample with. Batch norm's moments are [sets,
    # channels]: one set, or several of truncations from 0 to 1.
    average: Values
    # Values of G's variables to train on, if they are others.
    generator: Values = dataclasses.field(default_factory=dict)
    discriminator_arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    discriminator: Values = dataclasses.field(default_factory=dict)
    # By network: Adam's number of updates so far, its first and its second moments.
    adam: Mapping[str, tuple] = dataclasses.field(default_factory=dict)
    convention: str = "resample"  # of truncation, see `latents.TRUNCATIONS`
    sigmas_are_final: bool = False  # or a power iteration from u finds them
    note: str = ""  # sentences for the user

    @property
    def num_classes(self) -> int:
        """The number of classes that the weights know."""
        return self.generator_arguments["num_classes"]

    def statistics(self) -> PublishedStatistics:
        """Returns batch norm's statistics that `average` is sampled with."""
        values = self.average.items()
        means, variances, sigmas = (
            {p.removesuffix(leaf): v for p, v in values if p.endswith(leaf)}
            for leaf in (*MOMENTS, "/sigma")
        )
        sets = len(next(iter(means.values())))
        grid = np.linspace(0, 1, sets, dtype=np.float32)
        if sets == 1:
            grid[0] = 1 if self.convention == "scaled" else np.inf
        sigmas = sigmas if self.sigmas_are_final else {}
        return PublishedStatistics(self.convention, grid, means, variances, sigmas)

    def assign_to(self, gan: Gan) -> None:
        """Assigns everything to a new GAN of the architecture that the arguments say.

        If it has another number of classes, layers with an entry for each class keep
        their initial values, and Adam starts afresh.
        """
        generator = dict(self.generator or self.average)
        for path, value in self.average.items():
            if path.endswith(("/u", "/sigma")):
                # One vector u serves G and its average, which sampling needs exactly.
                generator[path] = value
            elif path.endswith(MOMENTS):
                generator[path] = generator[path][-1]  # of the largest truncation
        _assign(by_path(gan.generator.variables), generator)
        _assign(by_path(gan.discriminator.variables), self.discriminator)
        weights = by_path(gan.generator.trainable_variables)
        _assign(dict(zip(weights, gan.averaged_weights())), self.average)
        # Adam's counter would be wrong for layers that start afresh.
        same = gan.generator.spec.num_classes == self.num_classes
        adam = self.adam if same else {}
        for name, (updates, *moments) in adam.items():
            optimizer = getattr(gan, f"{name}_optimizer")
            optimizer.iterations.assign(updates)
            inner = getattr(optimizer, "_optimizer", optimizer)  # in G's moving average
            weights = by_path(getattr(gan, name).trainable_variables)
            for slot, values in zip("mv", moments):
                slots = {path: inner.get_slot(v, slot) for path, v in weights.items()}
                _assign(slots, values)


def _assign(variables: Mapping[str, tf.Variable], values: Values) -> None:
    """Assigns values by path, but none to a layer in which any shape differs."""
    layers = {p: p.rpartition("/")[0] for p in values.keys() & variables.keys()}
    fits = {p: values[p].shape == tuple(variables[p].shape) for p in layers}
    differ = {layer for path, layer in layers.items() if not fits[path]}
    for path, layer in layers.items():
        if layer not in differ:
            variables[path].assign(values[path])


def describe(arguments: Mapping[str, Any]) -> str:
    """Returns a network's family and sizes, and if it has no spectral norm."""
    family = {"biggan": "BigGAN", "biggan_deep": "BigGAN-deep"}[arguments["family"]]
    sizes = "{resolution} px, width {width}, {num_classes} classes"
    norm = "" if arguments["spectral_norm"] else ", without spectral norm"
    return f"{family}, {sizes.format(**arguments)}{norm}"
