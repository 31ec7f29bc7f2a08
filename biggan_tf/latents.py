"""Latents and labels: stateless draws, truncation, and each replica's slice.

A draw is a function of a seed, integers [2]. `fold` makes a new seed from a seed and a
number, such as the step. So the draws of step n are the same in every run, after every
restart, and for every number of replicas; but XLA draws other ones than TensorFlow.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from biggan_tf.config import option, options, settle
from biggan_tf.errors import BadInput

DROPOUT_KEY = 3  # of random numbers, see `Draws.uniform`
BALANCED = 2  # balanced data have at most so many times more of a class than of another


def fold(seed: tf.Tensor, *numbers: int | tf.Tensor) -> tf.Tensor:
    """Returns a seed that depends on a seed and on each of the numbers in turn.

    The same number in 32 and in 64 bits gives different seeds. So a step is always
    passed as the 64-bit variable that counts it.
    """
    for number in numbers:
        seed = tf.random.experimental.stateless_fold_in(seed, number)
    return seed


def root_seed(seed: int | tf.Tensor) -> tf.Tensor:
    """Returns the seed, int32 [2], from which all seeds of a run are folded.

    `seed`: a whole number of at most 64 bits; the result is its lower and upper half.
    """
    return tf.bitcast(tf.cast(seed, tf.int64), tf.int32)


def uniform(num_classes: int) -> tuple[float, ...]:
    """Returns equal frequencies of all classes, [num_classes]."""
    return shares([1] * num_classes)


def shares(counts: Sequence[int]) -> tuple[float, ...]:
    """Returns the frequencies of classes with these counts, of float32 precision."""
    return tuple((np.asarray(counts) / np.sum(counts)).astype(np.float32).tolist())


def is_uniform(frequencies: Sequence[float]) -> bool:
    """Returns whether all classes are equally frequent."""
    return min(frequencies) == max(frequencies)


def labels(count: int, frequencies: Sequence[float], seed: tf.Tensor) -> tf.Tensor:
    """Returns labels, int32 [count], drawn in proportion to the frequencies."""
    if is_uniform(frequencies):
        classes = len(frequencies)
        return tf.random.stateless_uniform([count], seed, 0, classes, tf.int32)
    ends = np.cumsum(frequencies)  # class i is drawn from ends[i - 1] to ends[i]
    inner = np.round(2**30 * ends[:-1] / ends[-1]).astype(np.int32)
    # Integers, because XLA would draw other floats.
    numbers = tf.random.stateless_uniform([count], seed, 0, 2**30, tf.int32)
    return tf.searchsorted(inner, numbers, side="right")


def truncated_normal(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    """N(0, 1) drawn again where |z| > truncation (the paper's truncation trick).

    Computed by inverting the cumulative distribution. So the latents of one seed at two
    thresholds belong together: each component moves monotonically with the threshold.
    Thresholds are above 0; infinity does not truncate (in float32 such a draw ends at
    5.4 standard deviations, beyond which lies one value in 2e7).
    """
    truncation = tf.convert_to_tensor(truncation, tf.float32)
    inside = tf.math.erf(truncation / math.sqrt(2.0))
    uniform = tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
    below_one = 1.0 - 2.0**-24
    z = math.sqrt(2.0) * tf.math.erfinv(uniform * inside * below_one)
    return tf.clip_by_value(z, -truncation, truncation)


def scaled_normal(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    """truncation * N(0, 1) resampled where |z| > 2, as for the released modules."""
    return truncation * truncated_normal(shape, seed, 2.0)


def truncated_uniform(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    """U[-1, 1], drawn again where |z| > truncation."""
    uniform = tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
    return tf.minimum(truncation, 1.0) * uniform


def _one_of(*values: float) -> Callable:
    """Returns a function that draws these values, equally likely, untruncated."""

    def draw(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
        untruncated = tf.math.is_inf(tf.cast(truncation, tf.float32))
        tf.debugging.Assert(
            untruncated, ["discrete latents cannot be truncated: take inf"]
        )
        index = tf.random.stateless_uniform(shape, seed, 0, len(values), tf.int32)
        return tf.gather(tf.constant(values, tf.float32), index)

    return draw


bernoulli = _one_of(0, 1)


def censored_normal(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    """max(N, 0), N drawn again where |N| > truncation."""
    return tf.nn.relu(truncated_normal(shape, seed, truncation))


def normal_bernoulli(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    """N * Bernoulli{0, 1}, N drawn again where |N| > truncation."""
    switch = bernoulli(shape, fold(seed, 1), math.inf)
    return switch * truncated_normal(shape, fold(seed, 0), truncation)


def concatenation(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    """Half the components N, drawn again where |N| > truncation, half Bernoulli."""
    count, size = shape
    numbers = truncated_normal([count, size - size // 2], fold(seed, 0), truncation)
    switches = bernoulli([count, size // 2], fold(seed, 1), math.inf)
    return tf.concat([numbers, switches], axis=1)


def per_sample_sigma(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    """sigma * N, sigma of U[0.5, 1.5], N drawn again where |N| > truncation."""
    sigma = tf.random.stateless_uniform([shape[0], 1], fold(seed, 1), 0.5, 1.5)
    return sigma * truncated_normal(shape, fold(seed, 0), truncation)


# How to draw z, by the convention of truncation that an exported module records.
# "resample" and "scaled" are for N(0, 1); every other distribution has its own.
TRUNCATIONS = {
    "resample": truncated_normal,
    "scaled": scaled_normal,
    "uniform": truncated_uniform,
    "bernoulli": bernoulli,
    "signed_bernoulli": _one_of(-1, 1),
    "categorical": _one_of(-1, 0, 1),
    "censored_normal": censored_normal,
    "normal_bernoulli": normal_bernoulli,
    "concatenation": concatenation,
    "per_sample_sigma": per_sample_sigma,
}
DISCRETE = ("bernoulli", "signed_bernoulli", "categorical")
DISTRIBUTIONS = ("normal", "annealed", *list(TRUNCATIONS)[2:])


@options("latents")
class LatentOptions:
    """The distributions of z (Appendix E) and of labels.

    "annealed" samples with sigma = 1. The labels are those of generated images, in
    training, in standing statistics and in scores.
    """

    distribution: str = option("normal", "of z", choices=DISTRIBUTIONS)
    anneal_steps: int | None = option(
        None, "steps in which sigma falls from 2 to 1; for 'annealed'", low=1
    )
    labels: str | None = option(
        None,
        "classes are equally frequent, or as in the data; None: as the data needs it",
        choices=("uniform", "data"),
    )
    # From the caller: the training images of each class; () if they are not known.
    counts: tuple[int, ...] = ()

    def check(self) -> None:
        """BadInput if steps or counts are missing, or nothing takes the steps."""
        unbalanced = self.counts and max(self.counts) > BALANCED * min(self.counts)
        settle(self, "labels", "data" if unbalanced else "uniform")
        if self.labels == "data" and not self.counts:
            raise BadInput(
                "latents.labels = 'data': take 'uniform', for this data does not say "
                "how many images each class has."
            )
        if (self.distribution == "annealed") != (self.anneal_steps is not None):
            raise BadInput(
                f"latents.anneal_steps = {self.anneal_steps} with "
                f"latents.distribution = {self.distribution!r}: 'annealed' needs a "
                "number of steps, and nothing else takes one."
            )

    def frequencies(self, num_classes: int) -> tuple[float, ...]:
        """Returns how frequent each class is among labels, [num_classes], sum 1."""
        return shares(self.counts) if self.labels == "data" else uniform(num_classes)

    def remark(self) -> str:
        """Says, for people, how frequent each class is among labels."""
        if self.labels == "uniform":
            return "labels of generated images: each class as often as any other"
        low, high = min(self.counts), max(self.counts)
        return (
            "labels of generated images: each class as often as in the data, which has "
            f"{low:,} to {high:,} images of a class"
        )

    def draw(
        self, shape: list, seed: tf.Tensor, step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns untruncated z, float32, for a training step (None: for sampling)."""
        if self.distribution in TRUNCATIONS:
            return TRUNCATIONS[self.distribution](shape, seed, math.inf)
        z = tf.random.stateless_normal(shape, seed)
        if self.anneal_steps and step is not None:
            done = tf.cast(step, tf.float32) / self.anneal_steps
            z *= 1 + tf.nn.relu(1 - done)
        return z

    def convention(self, chosen: str) -> str:
        """Returns the key of `TRUNCATIONS` that export.truncation_convention means."""
        if self.distribution not in TRUNCATIONS:  # it is normal
            return chosen
        if chosen != "resample":
            raise BadInput(
                f"export.truncation_convention = {chosen!r} with latents.distribution "
                f"= {self.distribution!r}: leave it out; it is for normal latents only."
            )
        return self.distribution


def allowed(
    convention: str, truncation: np.float32 | tf.Tensor
) -> tuple[bool | tf.Tensor, str]:
    """Returns whether a convention allows a truncation, and says what it allows."""
    if convention in DISCRETE:
        return truncation == math.inf, "inf, for discrete latents have no tails"
    if convention == "scaled":
        fits = (truncation >= 0) & (truncation <= 1)
        return fits, "0 to 1, by which the model scales z"
    smallest = np.finfo(np.float32).tiny  # TensorFlow takes smaller ones for 0
    return truncation >= smallest, "a threshold above 0; inf does not truncate"


def check_truncation(convention: str, truncation: float, flag: str) -> None:
    """Raises BadInput, which names the flag, unless the convention allows the value.

    As float32, which is what draws.
    """
    with np.errstate(over="ignore"):
        drawn = np.float32(truncation)
    fits, right = allowed(convention, drawn)
    if not fits:
        raise BadInput(f"{flag}={truncation:g}: take {right}.")
    if np.isinf(drawn) and not math.isinf(truncation):
        told = "take a smaller one, or inf; float32 has no such number"
        raise BadInput(f"{flag}={truncation:g}: {told}.")


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers of this replica's slice of one micro-batch.

    They are drawn for the whole batch, and the slice is cut out, so that they do not
    depend on the number of replicas or of micro-batches.
    """

    seed: tf.Tensor  # of the update
    batch_size: int  # images of the update, over all micro-batches and replicas
    micro_batches: int = 1  # how many the batch is cut into
    micro_batch: int | tf.Tensor = 0  # the index of this one

    def further(self) -> Draws:
        """Returns other random numbers of the same slice."""
        return dataclasses.replace(self, seed=fold(self.seed, 5))

    def latents(self, options: LatentOptions, size: int, step: tf.Tensor) -> tf.Tensor:
        """Returns z of a step of the training, float32 [slice, size]."""
        shape = [self.batch_size, size]
        return self._slice(options.draw(shape, fold(self.seed, 0), step))

    def labels(self, frequencies: Sequence[float]) -> tf.Tensor:
        """Returns labels, int32 [slice], drawn in proportion to the frequencies."""
        return self._slice(labels(self.batch_size, frequencies, fold(self.seed, 1)))

    def uniform(self, key: int, size: int, batches: int = 1) -> tf.Tensor:
        """Returns `size` numbers in [0, 1) per image, float32 [batches * slice, size].

        Every use has a key of its own: 2 or more, but not the 5 of `further`. The
        numbers are for `batches` batches of images, one after the other.
        """
        shape, seed = [self.batch_size, size], fold(self.seed, key)
        seeds = [fold(seed, index) for index in range(batches)]
        numbers = [tf.random.stateless_uniform(shape, seed) for seed in seeds]
        return tf.concat([self._slice(batch) for batch in numbers], axis=0)

    def dropout(self, rate: float, batches: int, size: int) -> tf.Tensor:
        """Returns 0 for a fraction `rate` of the numbers, else 1 / (1 - rate).

        float32 [batches * slice, size].
        """
        kept = self.uniform(DROPOUT_KEY, size, batches) >= rate
        return tf.cast(kept, tf.float32) / (1 - rate)

    def _slice(self, batch: tf.Tensor) -> tf.Tensor:
        return replica_slice(equal_slice(batch, self.micro_batch, self.micro_batches))


def equal_slice(batch: tf.Tensor, index: int | tf.Tensor, count: int) -> tf.Tensor:
    """Returns the index-th of `count` equal slices of a batch."""
    if count == 1:
        return batch
    slices = tf.reshape(batch, [count, batch.shape[0] // count, *batch.shape[1:]])
    return slices[index]


def replica_slice(batch: tf.Tensor) -> tf.Tensor:
    """Returns this replica's slice of a global batch, which all replicas drew alike."""
    here = tf.distribute.get_replica_context()
    return equal_slice(batch, here.replica_id_in_sync_group, here.num_replicas_in_sync)
