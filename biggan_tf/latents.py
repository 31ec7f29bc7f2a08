"""Latents and labels: stateless draws, truncation, and each replica's share.

A draw is a function of a seed alone, integers [2]; `fold` makes a new seed from a seed
and a number (the step, say), so that the draws of step n are the same in every run,
after every restart, and for every number of replicas.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import gin
import tensorflow as tf

from biggan_tf.errors import BadInput


def fold(seed: tf.Tensor, *numbers: int | tf.Tensor) -> tf.Tensor:
    """A seed that depends on a seed and on each of the numbers in turn.

    Numbers of 32 and of 64 bits give different seeds, of their own kind: a step is
    always the 64-bit one of the variable.
    """
    for number in numbers:
        seed = tf.random.experimental.stateless_fold_in(seed, number)
    return seed


def root_seed(seed: int) -> tf.Tensor:
    """The seed, int32 [2], that every other of a run is folded from."""
    return tf.constant([seed, 0], tf.int32)


def normal(shape: list, seed: tf.Tensor) -> tf.Tensor:
    """N(0, 1), float32: what the networks are trained with."""
    return tf.random.stateless_normal(shape, seed)


def labels(count: int, num_classes: int, seed: tf.Tensor) -> tf.Tensor:
    """int32 [count], uniform over the classes."""
    return tf.random.stateless_uniform(
        [count], seed, minval=0, maxval=num_classes, dtype=tf.int32
    )


def truncated_normal(
    shape: list, seed: tf.Tensor, truncation: float | tf.Tensor
) -> tf.Tensor:
    """N(0, 1) resampled where |z| > truncation (the paper's truncation trick).

    By inversion of the cumulative distribution, so that a seed's latents at two
    thresholds correspond: each component moves monotonically with the threshold.

    Args:
        shape: of the result.
        seed: integers [2].
        truncation: the threshold, > 0; infinity does not truncate (float32 ends such
            a draw at 5.4 standard deviations, which one in 2e7 components passes).

    Returns:
        float32, every component in [-truncation, truncation].
    """
    truncation = tf.convert_to_tensor(truncation, tf.float32)
    inside = tf.math.erf(truncation / math.sqrt(2.0))
    uniform = tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
    below_one = 1.0 - 2.0**-24
    z = math.sqrt(2.0) * tf.math.erfinv(uniform * inside * below_one)
    return tf.clip_by_value(z, -truncation, truncation)


def scaled_truncated_normal(
    shape: list, seed: tf.Tensor, truncation: float | tf.Tensor
) -> tf.Tensor:
    """truncation * N(0, 1) resampled where |z| > 2, as for the released modules."""
    return truncation * truncated_normal(shape, seed, 2.0)


def truncated_uniform(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    """U[-1, 1], drawn again where |z| > truncation."""
    return tf.minimum(truncation, 1.0) * tf.random.stateless_uniform(
        shape, seed, -1.0, 1.0
    )


def _one_of(*values: float) -> Callable:
    """Draws of one of these values, as likely, which no threshold truncates."""

    def draw(shape: list, seed: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
        untruncated = tf.math.is_inf(tf.cast(truncation, tf.float32))
        tf.debugging.Assert(
            untruncated, ["discrete latents know no truncation but inf"]
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
    """sigma * N, sigma from U[0.5, 1.5] for each sample, N truncated as above."""
    sigma = tf.random.stateless_uniform([shape[0], 1], fold(seed, 1), 0.5, 1.5)
    return sigma * truncated_normal(shape, fold(seed, 0), truncation)


# How `truncation` is meant, recorded in the exported module, -> draws of it. The first
# two are of N(0, 1); each other distribution of Appendix E has a meaning of its own.
TRUNCATIONS = {
    "resample": truncated_normal,
    "scaled": scaled_truncated_normal,
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


@gin.configurable("latents")
@dataclasses.dataclass(frozen=True)
class Latents:
    """What z is drawn from (Appendix E).

    Attributes:
        distribution: one of `DISTRIBUTIONS`. "annealed" trains with sigma * N(0, 1),
            sigma falling from 2 to 1, and samples with N(0, 1).
        anneal_steps: over which it falls; of "annealed" alone.
    """

    distribution: str = "normal"
    anneal_steps: int | None = None

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise BadInput(
                f"latents.distribution = {self.distribution!r}: take one of "
                f"{', '.join(DISTRIBUTIONS)}."
            )
        steps, annealed = self.anneal_steps, self.distribution == "annealed"
        if annealed != (type(steps) is int and steps > 0) or bool(steps) != annealed:
            raise BadInput(
                f"latents.anneal_steps = {steps!r} with latents.distribution = "
                f"{self.distribution!r}: 'annealed' needs a number of steps, and "
                "nothing else takes one."
            )

    def draw(
        self, shape: list, seed: tf.Tensor, step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Untruncated z, float32; at a step of the training, or (None) after it."""
        if self.distribution not in ("normal", "annealed"):
            return TRUNCATIONS[self.distribution](shape, seed, math.inf)
        z = normal(shape, seed)
        if self.anneal_steps and step is not None:
            done = tf.cast(step, tf.float32) / self.anneal_steps
            z *= 1 + tf.nn.relu(1 - done)
        return z

    def convention(self, chosen: str) -> str:
        """The key of `TRUNCATIONS`; `chosen` is export.truncation_convention."""
        if self.distribution in ("normal", "annealed"):
            return chosen
        if chosen != "resample":
            raise BadInput(
                f"export.truncation_convention = {chosen!r} is for normal latents, and "
                f"latents.distribution = {self.distribution!r}: leave it out."
            )
        return self.distribution


def check_truncation(convention: str, truncation: float, flag: str) -> None:
    """BadInput unless the convention knows this threshold."""
    if convention in DISCRETE and not math.isinf(truncation):
        raise BadInput(
            f"{flag} = {truncation}: {convention} latents have no tails to cut off; "
            "take inf."
        )
    if convention == "scaled" and not 0 <= truncation <= 1:
        raise BadInput(
            f"{flag} = {truncation}: a model with 'scaled' truncation takes 0 to 1."
        )
    if convention != "scaled" and not truncation > 0:
        raise BadInput(
            f"{flag} = {truncation}: the threshold must be above 0 "
            "(inf does not truncate)."
        )


def share(batch: tf.Tensor, index: int | tf.Tensor, count: int) -> tf.Tensor:
    """The index-th of `count` equal slices of a batch, one after the other."""
    if count == 1:
        return batch
    shares = tf.reshape(batch, [count, batch.shape[0] // count, *batch.shape[1:]])
    return shares[index]


def replica_share(batch: tf.Tensor) -> tf.Tensor:
    """This replica's slice of a global batch drawn alike by all."""
    replica = tf.distribute.get_replica_context()
    return share(batch, replica.replica_id_in_sync_group, replica.num_replicas_in_sync)
