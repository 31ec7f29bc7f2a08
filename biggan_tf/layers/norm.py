"""Batch norm, plain and conditional, and where its mean and variance come from.

Whoever calls G hands over a function `statistics`, and every batch norm in G asks it
for the mean and the variance of each channel. So training, sampling and the exported
module share one forward pass:

- `batch_statistics` takes those of the batch and moves the running averages (training);
- `batch_moments` takes those of the batch and moves nothing (G is frozen);
- `running_statistics` takes the running averages;
- `standing.StandingStatistics.at(truncation)` takes those that were measured for that
  truncation, with the weights that sample (sampling, exported module).
"""

from __future__ import annotations

from typing import Any, Callable

import tensorflow as tf

from biggan_tf.layers import wide
from biggan_tf.layers.base import EQUAL_ON_REPLICAS, Layer
from biggan_tf.layers.spectral import SpectralDense, value_of

# Takes a batch norm and its input x [batch, h, w, channels], and returns the mean and
# the variance to use, float32 [channels] each.
Statistics = Callable[["BatchNorm", tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class BatchNorm(Layer):
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, as one multiply-add.

    Its variables are the running averages `moving_mean` and `moving_variance` (of the
    unbiased variance), float32 [channels], which only `move_averages` moves.

    Args:
        momentum: weight of the old value in the running averages.
        epsilon: added to the variance.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape: tf.TensorShape) -> None:
        state = {"shape": [input_shape[-1]], **EQUAL_ON_REPLICAS}
        self.moving_mean = self.add_weight("moving_mean", initializer="zeros", **state)
        self.moving_variance = self.add_weight(
            "moving_variance", initializer="ones", **state
        )

    def moments(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns E[x] and E[x^2] over all replicas' batch, float32 [channels] each."""
        mean, square = wide.moments(x)
        replicas = tf.distribute.get_replica_context()
        if replicas.num_replicas_in_sync > 1:
            mean, square = replicas.all_reduce("MEAN", [mean, square])
        return mean, square

    def call(
        self, x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, statistics: Statistics
    ) -> tf.Tensor:
        """x: [batch, h, w, channels]; scale, offset: broadcastable to x."""
        mean, variance = statistics(self, x)
        scale = tf.cast(scale, mean.dtype) * tf.math.rsqrt(variance + self.epsilon)
        offset = tf.cast(offset, mean.dtype) - mean * scale
        return wide.multiply_add(x, scale, offset)


def batch_moments(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the mean and variance of the batch of all replicas."""
    mean, square = layer.moments(x)
    return mean, tf.nn.relu(square - tf.square(mean))


def batch_statistics(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the same as `batch_moments`, and moves the running averages."""
    mean, variance = batch_moments(layer, x)
    move_averages(layer, mean, variance, value_count(x))
    return mean, variance


def running_statistics(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the running averages of training."""
    del x
    averages = layer.moving_mean, layer.moving_variance
    return tuple(map(tf.convert_to_tensor, averages))


def value_count(x: tf.Tensor) -> tf.Tensor:
    """Returns how many values a channel has in the batch of all replicas, float32."""
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    known = x.shape[:-1].num_elements()
    count = tf.reduce_prod(tf.shape(x)[:-1]) if known is None else known
    return tf.cast(count * replicas, tf.float32)


def move_averages(
    layer: BatchNorm, mean: tf.Tensor, variance: tf.Tensor, values: tf.Tensor
) -> None:
    """Moves the running averages towards the moments of a batch of `values` values."""
    unbiased = variance * values / tf.maximum(values - 1.0, 1.0)
    averages = (layer.moving_mean, mean), (layer.moving_variance, unbiased)
    for average, value in averages:
        value = tf.stop_gradient(value)
        average.assign(average + (1 - layer.momentum) * (value - average))


def batch_norms(network: tf.Module) -> list[BatchNorm]:
    """Returns a network's batch norms, in an order that only its structure decides."""
    return [layer for layer in network.submodules if isinstance(layer, BatchNorm)]


class ConditionalBatchNorm(Layer):
    """Batch norm with gain 1 + W_gain c and offset W_offset c of a condition vector c.

    (De Vries et al. 2017, and the paper's Section 3.) The projections have no bias.
    """

    def __init__(self, kernel: dict, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.kernel, self.epsilon = kernel, epsilon

    def build(self, input_shape: tf.TensorShape) -> None:
        options = {"use_bias": False, **self.kernel}
        self.gain = SpectralDense(input_shape[-1], name="gain", **options)
        self.offset = SpectralDense(input_shape[-1], name="offset", **options)
        self.norm = BatchNorm(epsilon=self.epsilon, name="norm")

    def call(
        self, x: tf.Tensor, condition: tf.Tensor, training: bool, statistics: Statistics
    ) -> tf.Tensor:
        """x: [batch, h, w, channels]; condition: [batch, size]."""
        gain = 1.0 + tf.cast(self.gain(condition, training=training), tf.float32)
        offset = self.offset(condition, training=training)
        shape = [-1, 1, 1, x.shape[-1]]
        gain, offset = tf.reshape(gain, shape), tf.reshape(offset, shape)
        return self.norm(x, gain, offset, statistics)


class AffineBatchNorm(Layer):
    """Batch norm with a trained gain and offset per channel (before G's last conv)."""

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = [input_shape[-1]]
        self.gain = self.add_weight("gain", shape, initializer="ones")
        self.offset = self.add_weight("offset", shape, initializer="zeros")
        self.norm = BatchNorm(epsilon=self.epsilon, name="norm")

    def call(self, x: tf.Tensor, statistics: Statistics) -> tf.Tensor:
        return self.norm(x, value_of(self.gain), value_of(self.offset), statistics)
