"""Blocks whose activations are computed again in the backward pass instead of kept.

This needs the memory of one block instead of all, for about a third more computation
(Chen et al. 2016, arXiv 1604.06174). A block is then computed twice, but u and the
running averages of batch norm must move once. So its kernels are normalised
beforehand and passed in, and its batch norms return their moments.
"""

from __future__ import annotations

import tensorflow as tf

from biggan_tf.layers import norm
from biggan_tf.layers.base import Layer
from biggan_tf.layers.spectral import fixed, spectral_layers, value_of


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
    # Each weight comes in as a tensor: TensorFlow cannot read variables in the gradient
    # of a branch, as R1 of every other step is.
    kernels = {id(layer.kernel): layer for layer in spectral}
    weights = block.trainable_variables
    values = [
        kernels[id(w)].normalized_kernel(training) if id(w) in kernels else value_of(w)
        for w in weights
    ]
    moves = statistics is norm.batch_statistics
    count = len(inputs)

    def forward(*tensors: tf.Tensor) -> list[tf.Tensor]:
        moments = {}

        def noted(layer: norm.BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = (norm.batch_moments if moves else statistics)(layer, x)
            moments[id(layer)] = [*map(tf.stop_gradient, found), norm.value_count(x)]
            return found

        with fixed(weights, tensors[count:]):
            y = block(*tensors[:count], False, *[noted for _ in last])
        return [y, *(value for layer in norms for value in moments[id(layer)])]

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple:
        def gradient(dy: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor]:
            again = [after(dy, tensor) for tensor in tensors]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(again)
                y = forward(*again)[0]
            return tape.gradient(y, again, dy)

        return forward(*tensors), gradient

    y, *moments = run(*inputs, *values)
    if moves:
        for layer, *found in zip(norms, moments[::3], moments[1::3], moments[2::3]):
            norm.move_averages(layer, *found)
    return y
