"""One sampler, (z, y, truncation) -> images, for sheets, scores and exports.

Sampling differs from training in three ways: weights are moving averages, W / sigma is
computed once, and batch norm uses standing statistics (Appendix C.1 of the paper).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from biggan_tf import latents, networks, process
from biggan_tf.architecture import GeneratorSpec, Network, NetworkSpec
from biggan_tf.checks import LARGEST_SEED, as_array, as_number, as_whole, listed
from biggan_tf.config import option, options
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras
from biggan_tf.labels import is_index
from biggan_tf.layers import one_hot, path_of, power_iteration, spectral_layers
from biggan_tf.standing import Accumulator, StandingStatistics

STREAM_BATCH = 128  # images of `Sampler.batch`
Draw = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
Values = Mapping[str, "tf.Variable | np.ndarray"]  # of a network's variables, by path


@options("export", free=True)
class ExportOptions:
    """How a trained generator is made ready for sampling."""

    truncation_convention: str = option(
        "resample",
        "what truncation does to z: the paper's or the released modules'",
        choices=("resample", "scaled"),
    )
    passes: int | None = option(
        None,
        "batches to measure statistics on; None: 50, or more for many classes",
        low=1,
    )
    batch_size: int = option(
        64, "images per pass, over all replicas", low=2, high=10**5
    )
    seed: int = option(0, "of the latents and labels of the passes")
    accumulate: bool = option(False, "measure statistics even if the weights have them")
    license: str = option("unknown", "of the module, in its README.md, as 'apache-2.0'")


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A trained generator, in memory or in an exported module."""

    # (z, y, truncation) -> images: float32 [n, latent_size], float32 [n, num_classes]
    # and a float32 scalar -> float32 [n, image_size, image_size, 3] in [-1, 1]. Works
    # eagerly, in a `tf.function` and on replicas. Truncation selects the batch-norm
    # statistics; z passes as it is.
    draw: Draw
    num_classes: int
    latent_size: int
    image_size: int
    class_names: tuple[str, ...]
    convention: str  # what truncation does to z, see `latents.TRUNCATIONS`
    truncations: tuple[float, ...]  # at which batch-norm statistics were measured
    step: int  # of the training
    statistics: str  # in words, where the batch-norm statistics come from
    class_frequencies: tuple[float, ...]  # of labels in training; they sum up to 1
    weights_sha256: str = ""  # of what draws; "": not known, as of a module elsewhere
    directions: np.ndarray | None = None  # of a module; see `directions`
    generator_sha256: str = ""  # of a module: of the run's weights that it was made of

    def latents(self, count: int, truncation: float, seed: int) -> np.ndarray:
        """Returns z, float32 [count, latent_size], a function of the arguments.

        BadInput unless `count` is 1 or more, truncation one of the convention, and
        `seed` 0 to 2^63 - 1.
        """
        shape = [as_whole("count", count, 1, 10**9), self.latent_size]
        truncation, seed = self._checked(truncation, seed)
        draw = latents.TRUNCATIONS[self.convention]
        return draw(shape, latents.root_seed(seed), truncation).numpy()

    def batch(
        self, index: int | tf.Tensor, truncation: float, seed: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns z and labels of the index-th batch of an endless stream.

        Scores and folders of samples are of its first images: float32 [128,
        latent_size] and int32 [128]. BadInput as of `latents`, and unless `index` is 0
        or more.
        """
        if not tf.is_tensor(index):
            index = as_whole("index", index, 0, LARGEST_SEED // STREAM_BATCH)
        truncation, seed = self._checked(truncation, seed)
        root, draw = latents.root_seed(seed), latents.TRUNCATIONS[self.convention]
        shape = [STREAM_BATCH, self.latent_size]
        key = latents.fold(root, tf.cast(index, tf.int64), 0)
        labels = stream_labels(index, self.class_frequencies, seed)
        return draw(shape, key, truncation), labels

    def _checked(self, truncation: float, seed: int) -> tuple[float, int]:
        """Returns both as numbers of Python; BadInput as of `latents`."""
        truncation = as_number("truncation", truncation)
        latents.check_truncation(self.convention, truncation, "truncation")
        return truncation, as_whole("seed", seed, 0, LARGEST_SEED)

    @property
    def drawn_by(self) -> str:
        """A hash of the weights, the same wherever they are exported; "" if unknown."""
        return self.generator_sha256 or self.weights_sha256

    def images(self, z: np.ndarray, y: np.ndarray, truncation: float) -> np.ndarray:
        """Draws images, a few at a time to save memory.

        Labels are int [n], or float [n, num_classes], one-hot or soft. BadInput on
        others, see `inputs`; on a truncation without statistics that the convention
        does not allow; and if images are NaN.
        """
        z, y = map(tf.constant, self.inputs(z, y))
        truncation = as_number("truncation", truncation)
        if truncation not in self.truncations:
            latents.check_truncation(self.convention, truncation, "truncation")
        truncation = tf.constant(truncation, tf.float32)
        size = max(1, 64 * 128**2 // self.image_size**2)
        parts = [slice(start, start + size) for start in range(0, len(z), size)]
        with process.without_tf32():  # as scores see them
            drawn = [self.draw(z[part], y[part], truncation) for part in parts]
        drawn = np.concatenate(drawn)
        if np.isnan(drawn).any():
            raise BadInput(
                "images are NaN: take smaller latents or labels, or other weights."
            )
        return drawn

    def inputs(
        self, z: np.ndarray, y: np.ndarray, told: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns z and labels as float32 [n, latent_size] and [n, num_classes].

        Raises BadInput, which begins with what is `told`, unless n is 1 or more, z
        finite and labels whole [n], 0 to num_classes - 1, or finite [n, num_classes].
        """
        z, y = as_array(f"{told}z", z), as_array(f"{told}labels", y)
        size, classes, count = self.latent_size, self.num_classes, len(np.atleast_1d(z))
        soft = _is_finite(y) and y.shape == (count, classes)
        hard = y.dtype.kind in "iu" and y.shape == (count,)
        fits = {
            "z": _is_finite(z) and z.shape == (count, size) and count > 0,
            "labels": soft or (hard and set(y.tolist()) <= set(range(classes))),
        }
        if wrong := [name for name in fits if not fits[name]]:
            raise BadInput(
                f"{told}{wrong[0]} does not fit; take z, finite [n, {size}]; and "
                f"labels, [n] of 0 to {classes - 1} or [n, {classes}]."
            )
        y = y if soft else one_hot(y.astype(np.int64), classes)
        return np.float32(z), np.float32(y)

    def generate(
        self, labels: Sequence[int], truncation: float, seed: int
    ) -> np.ndarray:
        """Returns images of the classes `labels`, float32 [len(labels), h, w, 3].

        Labels are indices, whole numbers from 0 to num_classes - 1; BadInput on others,
        and as of `latents`.
        """
        labels = listed(labels)
        for label in labels or [labels]:
            if not is_index(label, self.num_classes):
                last = self.num_classes - 1
                raise BadInput(
                    f"labels = {label!r}: take whole numbers from 0 to {last}."
                )
        z = self.latents(len(labels), truncation, seed)
        return self.images(z, np.asarray(labels), truncation)


def _is_finite(x: np.ndarray) -> bool:
    """Returns whether all are numbers, and finite in float32."""
    largest = np.finfo(np.float32).max
    return x.dtype.kind in "fiu" and bool((np.abs(x) <= largest).all())


def stream_labels(
    index: int | tf.Tensor, frequencies: Sequence[float], seed: int
) -> tf.Tensor:
    """Returns the labels of `Sampler.batch`, int32 [128]; see `latents.labels`."""
    key = latents.fold(latents.root_seed(seed), tf.cast(index, tf.int64), 1)
    return latents.labels(STREAM_BATCH, frequencies, key)


class InferenceGenerator:
    """A generator that only samples: no spectral norm, float32, standing statistics.

    Args:
        spec: of the generator in training.
        convention: of truncation, see `latents.TRUNCATIONS`.
        truncations: to measure statistics at, ascending.
        batch_size: images of a pass that measures statistics, over all replicas.
        frequencies: of the classes in training, and so in these passes.
    """

    def __init__(
        self,
        spec: GeneratorSpec,
        convention: str,
        truncations: Sequence[float],
        batch_size: int,
        frequencies: Sequence[float],
    ):
        self.network = unfilled(spec)
        self.statistics = StandingStatistics(self.network, truncations)
        self._sn_epsilon, self._convention = spec.sn_epsilon, convention
        self._truncations = tuple(map(float, truncations))
        self._frequencies = tuple(frequencies)
        self._accumulator = Accumulator(
            self.network, convention, batch_size, self._frequencies
        )
        self._draw = tf.function(self.images, autograph=False)

    def set_weights(self, weights: Values, sigmas: Values | None = None) -> None:
        """Takes over weights; see `fold`."""
        fold(weights, self.network, self._sn_epsilon, sigmas)

    def measure(self, passes: int, seed: int) -> None:
        """Measures the standing statistics of all truncations."""
        hidden = None if len(self._truncations) > 1 else True  # None: terminal only
        rows = tqdm(self._truncations, "standing statistics", disable=hidden)
        for row, truncation in enumerate(rows):
            moments = self._accumulator.moments(truncation, passes, seed)
            self.statistics.set_row(row, moments)

    def images(self, z: tf.Tensor, y: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
        """Returns images; see `Sampler.draw`."""
        return self.network(z, y, statistics=self.statistics.at(truncation))

    def sampler(
        self,
        step: int,
        class_names: Sequence[str],
        statistics: str,
        weights_sha256: str = "",
    ) -> Sampler:
        """Returns the sampler; it changes with the weights and statistics."""
        spec = self.network.spec
        return Sampler(
            draw=self._draw,
            num_classes=spec.num_classes,
            latent_size=spec.latent_size,
            image_size=spec.resolution,
            class_names=tuple(class_names),
            convention=self._convention,
            truncations=self._truncations,
            step=step,
            statistics=statistics,
            class_frequencies=self._frequencies,
            weights_sha256=weights_sha256,
        )


def for_inference(spec: NetworkSpec) -> NetworkSpec:
    """Returns the spec of the network that `fold` writes into.

    It has no spectral norm and computes in float32. `fold` overwrites its initial
    values, so they come from the fastest initializer.
    """
    return dataclasses.replace(
        spec, spectral_norm=False, precision="float32", initializer="normal"
    )


def unfilled(spec: NetworkSpec) -> Network:
    """Makes a network of `for_inference`, for `fold` to write into."""
    with process.seeded(0):  # its initial values take none of the caller's numbers
        return networks.build(for_inference(spec))


def fold(
    weights: Values,
    target: keras.Model,
    sn_epsilon: float,
    sigmas: Values | None = None,
) -> None:
    """Writes weights into a network, kernels divided by their sigma.

    Sigma comes from one power iteration that starts at the stored u, as in the network
    in training. So the target, made from `for_inference` of that network's spec,
    computes exactly what that network does with `training=False`. `sigmas`, by the path
    of the layer, such as "block0/conv1", are taken instead if given.
    """
    for variable in target.trainable_variables:
        variable.assign(weights[path_of(variable)])
    for layer in spectral_layers(target):
        path = path_of(layer.kernel).removesuffix("/kernel")
        u = weights.get(f"{path}/u")
        if u is None:  # a layer without spectral norm
            continue
        if sigmas:
            sigma = sigmas[path]
        else:
            u = tf.convert_to_tensor(u)
            _, sigma = power_iteration(layer.matrix(), u, sn_epsilon)
        layer.kernel.assign(layer.kernel / sigma)
