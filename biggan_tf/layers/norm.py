"""Batch norm: plain, conditional, and where its moments come from."""

from __future__ import annotations

from typing import Any, Callable

import tensorflow as tf

from biggan_tf.layers.spectral import REPLICATED_STATE, SpectralDense

# Where batch norm takes its (mean, variance), float32 [channels] each, for input x.
Statistics = Callable[["BatchNorm", tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class BatchNorm(tf.keras.layers.Layer):
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, as one multiply-add.

    Scale and offset are handed over at call time, which is what conditional batch norm
    is; mean and variance come from `statistics`. The running averages `moving_mean` and
    `moving_variance` (unbiased) are kept by `batch_statistics`.

    Args:
        momentum: weight of the old value in the running averages.
        epsilon: added to the variance.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = [input_shape[-1]]
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=shape, initializer="zeros", **REPLICATED_STATE
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=shape, initializer="ones", **REPLICATED_STATE
        )

    def moments(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """E[x] and E[x^2], float32 [channels], over the batch of all replicas."""
        x = tf.cast(x, tf.float32)
        mean, square = _mean(x), _mean(tf.square(x))
        replicas = tf.distribute.get_replica_context()
        if replicas.num_replicas_in_sync > 1:
            mean, square = replicas.all_reduce("MEAN", [mean, square])
        return mean, square

    def call(
        self,
        x: tf.Tensor,
        scale: tf.Tensor,
        offset: tf.Tensor,
        statistics: Statistics,
    ) -> tf.Tensor:
        """x: [batch, h, w, channels]; scale, offset: broadcastable to x, float32."""
        mean, variance = statistics(self, x)
        scale = tf.cast(scale, tf.float32) * tf.math.rsqrt(variance + self.epsilon)
        offset = tf.cast(offset, tf.float32) - mean * scale
        return x * tf.cast(scale, x.dtype) + tf.cast(offset, x.dtype)


def batch_moments(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The moments of the whole batch; nothing moves (a frozen G)."""
    mean, square = layer.moments(x)
    return mean, tf.nn.relu(square - tf.square(mean))


def batch_statistics(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The moments of the whole batch; moves the running averages (training)."""
    mean, variance = batch_moments(layer, x)
    move_averages(layer, mean, variance, value_count(x))
    return mean, variance


def value_count(x: tf.Tensor) -> tf.Tensor:
    """How many values of a channel there are in the batch of all replicas, float32."""
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    known = x.shape[:-1].num_elements()
    count = tf.reduce_prod(tf.shape(x)[:-1]) if known is None else known
    return tf.cast(count * replicas, tf.float32)


def move_averages(
    layer: BatchNorm, mean: tf.Tensor, variance: tf.Tensor, values: tf.Tensor
) -> None:
    """Moves the running averages towards a batch's moments, over so many values."""
    unbiased = variance * values / tf.maximum(values - 1.0, 1.0)
    for average, value in (
        (layer.moving_mean, mean),
        (layer.moving_variance, unbiased),
    ):
        value = tf.stop_gradient(value)
        average.assign(average + (1 - layer.momentum) * (value - average))


def _mean(x: tf.Tensor) -> tf.Tensor:
    """[batch, h, w, channels] -> [channels].

    By rows first: one float32 sum of a hundred thousand terms loses four digits.
    """
    return tf.reduce_mean(tf.reduce_mean(x, axis=2), axis=[0, 1])


def running_statistics(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The running averages of training."""
    del x
    return tf.convert_to_tensor(layer.moving_mean), tf.convert_to_tensor(
        layer.moving_variance
    )


def batch_norms(network: tf.Module) -> list[BatchNorm]:
    """Every batch norm of a network, in an order that only its structure decides."""
    return [layer for layer in network.submodules if isinstance(layer, BatchNorm)]


class ConditionalBatchNorm(tf.keras.layers.Layer):
    """Batch norm whose gain 1 + W_g c and offset W_b c depend on a condition c.

    (De Vries et al. 2017; the paper's Section 3: bias projections are zero-centred,
    gain projections centred at 1.)

    Args:
        kernel: arguments of the two bias-free projections, see `SpectralLayer`.
        epsilon: of the batch norm.
    """

    def __init__(self, kernel: dict[str, Any], epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.kernel = kernel
        self.epsilon = epsilon

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel": dict(self.kernel),
            "epsilon": self.epsilon,
        }

    def build(self, input_shape: tf.TensorShape) -> None:
        def projection(name: str) -> SpectralDense:
            return SpectralDense(
                input_shape[-1], use_bias=False, name=name, **self.kernel
            )

        self.gain = projection("gain")
        self.offset = projection("offset")
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


class AffineBatchNorm(tf.keras.layers.Layer):
    """Batch norm with a learnt gain and offset per channel (before G's last conv)."""

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}

    def build(self, input_shape: tf.TensorShape) -> None:
        self.gain = self.add_weight(
            name="gain",
            shape=[input_shape[-1]],
            initializer="ones",
            experimental_autocast=False,
        )
        self.offset = self.add_weight(
            name="offset",
            shape=[input_shape[-1]],
            initializer="zeros",
            experimental_autocast=False,
        )
        self.norm = BatchNorm(epsilon=self.epsilon, name="norm")

    def call(self, x: tf.Tensor, statistics: Statistics) -> tf.Tensor:
        return self.norm(x, self.gain, self.offset, statistics)
