"""Latents and labels: stateless draws, truncation, and each replica's share.

A draw is a function of a seed alone, integers [2]; `fold` makes a new seed from a seed
and a number (the step, say), so that the draws of step n are the same in every run,
after every restart, and for every number of replicas.
"""

from __future__ import annotations

import math

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


# Name -> how `truncation` is meant, recorded in the exported module.
TRUNCATIONS = {"resample": truncated_normal, "scaled": scaled_truncated_normal}


def check_truncation(convention: str, truncation: float, flag: str) -> None:
    """BadInput unless the convention knows this threshold."""
    if convention == "scaled" and not 0 <= truncation <= 1:
        raise BadInput(
            f"{flag} = {truncation}: a model with 'scaled' truncation takes 0 to 1."
        )
    if convention == "resample" and not truncation > 0:
        raise BadInput(
            f"{flag} = {truncation}: the threshold on |z| must be above 0 "
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
