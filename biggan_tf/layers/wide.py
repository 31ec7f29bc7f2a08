"""Operations that compute in float32 inside a network whose tensors have 16 bits.

A plain cast to float32 keeps a copy for the gradient beside the tensor of 16 bits, and
sums in 16 bits lose their small terms. The functions here keep only their inputs for
the gradient, and widen them again in the backward pass.
"""

from __future__ import annotations

import tensorflow as tf


def widen(x: tf.Tensor) -> tf.Tensor:
    """Returns a 16-bit tensor as float32; others as they are."""
    return x if x.dtype.size >= 4 else tf.cast(x, tf.float32)


def _widen_after(before: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Returns `widen(x)`, made after `before`.

    Otherwise TensorFlow's graph optimiser would reuse the cast of the forward pass,
    and keep its result in memory until then.
    """
    with tf.control_dependencies([before]):
        return widen(tf.identity(x))


@tf.custom_gradient
def moments(x: tf.Tensor) -> tuple:
    """Returns E[x] and E[x^2] of each channel, [batch, h, w, channels] -> [channels].

    Rows are averaged first: one float32 sum of 100,000 terms loses four digits.
    """

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.reduce_mean(values, axis=2), axis=[0, 1])

    def gradient(d_mean: tf.Tensor, d_square: tf.Tensor) -> tf.Tensor:
        again = _widen_after(d_mean, x)
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), again.dtype)
        return tf.cast(again * (2 * d_square / count) + d_mean / count, x.dtype)

    wide = widen(x)
    return (mean(wide), mean(tf.square(wide))), gradient


@tf.custom_gradient
def multiply_add(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tuple:
    """Returns x * scale + offset, rounded once, for x [batch, h, w, channels].

    scale, offset: broadcastable to x, of the type of `widen(x)`.
    """

    def gradient(dy: tf.Tensor) -> tuple:
        wide = widen(dy)
        d_scale = _summed(wide * _widen_after(dy, x), scale)
        return tf.cast(wide * scale, x.dtype), d_scale, _summed(wide, offset)

    return tf.cast(widen(x) * scale + offset, x.dtype), gradient


def _summed(x: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Sums x over the axes that broadcasting gave `like`, rows first."""
    missing = x.shape.rank - like.shape.rank
    sides = [1] * missing + like.shape.as_list()
    axes = [axis for axis, side in enumerate(sides) if side == 1 != x.shape[axis]]
    if 2 in axes:
        axes.remove(2)
        x = tf.reduce_sum(x, axis=2, keepdims=True)
    return tf.reshape(tf.reduce_sum(x, axes, keepdims=True), tf.shape(like))


@tf.custom_gradient
def softmax(scores: tf.Tensor) -> tuple:
    """Returns softmax over the last axis, in the type of the scores."""

    def gradient(dy: tf.Tensor) -> tf.Tensor:
        wide, again = widen(dy), _widen_after(dy, weights)
        mean = tf.reduce_sum(wide * again, axis=-1, keepdims=True)
        return tf.cast((wide - mean) * again, scores.dtype)

    weights = tf.cast(tf.nn.softmax(widen(scores)), scores.dtype)
    return weights, gradient


def add_bias(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Returns x + bias, in the type of x; the gradient of the bias is a float32 sum.

    bias: float32 (or as x) [channels]. In bfloat16 a sum of ones stops at 256.
    """

    @tf.custom_gradient
    def run(x: tf.Tensor, bias: tf.Tensor) -> tuple:
        def gradient(dy: tf.Tensor) -> tuple:
            # A product sums each row in float32, and needs no float32 copy of dy.
            rows = tf.matmul(tf.ones_like(dy[..., :1]), dy, transpose_a=True)
            return dy, tf.reduce_sum(widen(rows), range(dy.shape.rank - 1))

        return tf.nn.bias_add(x, tf.cast(bias, x.dtype)), gradient

    # TensorFlow's own gradient is the same for 32 bits, and known to its optimiser.
    return tf.nn.bias_add(x, bias) if x.dtype.size >= 4 else run(x, bias)
