"""Self-attention over the image (Zhang et al. 2018)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from biggan_tf.layers.spectral import SpectralConv2D


class SelfAttention(tf.keras.layers.Layer):
    """x + gamma * attention(x), gamma from 0 (Zhang et al. 2018, arXiv 1805.08318).

    theta and phi have channels / 8, g channels / 2 (at least 1); phi and g are
    max-pooled 2x2; the dot products are not scaled.

    Args:
        kernel: arguments of the four bias-free 1x1 convolutions, see `SpectralLayer`.
    """

    def __init__(self, kernel: dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.kernel = kernel

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel": dict(self.kernel)}

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = input_shape[-1]

        def conv(name: str, units: int) -> SpectralConv2D:
            return SpectralConv2D(units, 1, use_bias=False, name=name, **self.kernel)

        self.theta = conv("theta", max(1, channels // 8))
        self.phi = conv("phi", max(1, channels // 8))
        self.g = conv("g", max(1, channels // 2))
        self.o = conv("o", channels)
        self.gamma = self.add_weight(
            name="gamma", shape=[], initializer="zeros", experimental_autocast=False
        )

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        def flat(features: tf.Tensor) -> tf.Tensor:
            _, height, width, channels = features.shape
            return tf.reshape(features, [-1, height * width, channels])

        theta = flat(self.theta(x, training=training))
        phi = flat(tf.nn.max_pool2d(self.phi(x, training=training), 2, 2, "VALID"))
        g = flat(tf.nn.max_pool2d(self.g(x, training=training), 2, 2, "VALID"))
        scores = tf.cast(tf.matmul(theta, phi, transpose_b=True), tf.float32)
        attended = tf.matmul(tf.cast(tf.nn.softmax(scores), g.dtype), g)
        attended = tf.reshape(attended, [-1, *x.shape[1:3], g.shape[-1]])
        gamma = tf.cast(self.gamma, x.dtype)
        return x + gamma * self.o(attended, training=training)
