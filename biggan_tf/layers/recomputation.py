"""Blocks whose activations are computed again in the backward pass instead of kept.

This needs the memory of one block instead of all, for about a third more computation
(Chen et al. 2016, arXiv 1604.06174). A block is then computed twice, but u and the
running averages of batch norm must move once. So its kernels are normalised
beforehand and passed in, and its batch norms return their moments.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from biggan_tf.layers import norm
from biggan_tf.layers.base import Layer
from biggan_tf.layers.spectral import fixed_kernels, spectral_layers


def after(before: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Returns x, made to depend on `before`.

    So what is computed from the result cannot run earlier, nor be merged with the same
    computation from x. XLA ignores control dependencies, so this adds a number to x: 0,
    or 1 if `before` begins with a NaN, when nothing else is right either.
    """
    first = tf.cast(tf.reshape(before, [-1])[0], tf.float32)
    return x + tf.cast(tf.math.is_nan(first), x.dtype)


def recomputed(
    block: Layer,
    *inputs: tf.Tensor,
    training: bool,
    statistics: norm.Statistics | None = None,
) -> tf.Tensor:
    """Returns block(*inputs, training, statistics), and keeps no activations for it.

    The gradients, and what moves (u, running averages), are those of the block itself.
    `statistics` is None for a block without batch norm.
    """
    last = () if statistics is None else (statistics,)
    if not block.built:  # this call makes its variables
        return block(*inputs, training, *last)
    spectral, norms = spectral_layers(block), norm.batch_norms(block)
    kernels = [layer.normalized_kernel(training) for layer in spectral]
    moves = statistics is norm.batch_statistics
    count = len(inputs)

    def forward(*tensors: tf.Tensor) -> list[tf.Tensor]:
        moments = {}

        def noted(layer: norm.BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = (norm.batch_moments if moves else statistics)(layer, x)
            moments[id(layer)] = [*map(tf.stop_gradient, found), norm.value_count(x)]
            return found

        with fixed_kernels(spectral, tensors[count:]):
            y = block(*tensors[:count], False, *[noted for _ in last])
        return [y, *(value for layer in norms for value in moments[id(layer)])]

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple:
        def gradient(dy: tf.Tensor, *_: tf.Tensor, variables: Sequence = ()) -> tuple:
            again = [after(dy, tensor) for tensor in tensors]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([*again, *variables])
                y = forward(*again)[0]
            found = tape.gradient(y, [*again, *variables], dy)
            return found[: len(again)], found[len(again) :]

        return forward(*tensors), gradient

    y, *moments = run(*inputs, *kernels)
    if moves:
        for layer, *found in zip(norms, moments[::3], moments[1::3], moments[2::3]):
            norm.move_averages(layer, *found)
    return y
