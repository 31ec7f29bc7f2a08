"""Self-attention over the image (Zhang et al. 2018, arXiv 1805.08318)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from biggan_tf.layers import wide
from biggan_tf.layers.base import Layer
from biggan_tf.layers.spectral import SpectralConv2D


class SelfAttention(Layer):
    """x + gamma * o(softmax(theta(x) phi(x)^T) g(x)), float [batch, h, w, channels].

    theta, phi, g and o are 1x1 convolutions without bias. theta and phi have channels
    / 8, g has channels / 2 (at least 1). phi and g are max-pooled 2x2, so each of the
    h * w positions attends to h * w / 4. The dot products are not scaled. gamma is a
    trained scalar that starts at 0, so the layer starts as the identity.
    """

    def __init__(self, kernel: dict, **kwargs: Any):
        super().__init__(**kwargs)
        self.kernel = kernel

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = input_shape[-1]

        def conv(name: str, units: int) -> SpectralConv2D:
            return SpectralConv2D(units, 1, use_bias=False, name=name, **self.kernel)

        self.theta = conv("theta", max(1, channels // 8))
        self.phi = conv("phi", max(1, channels // 8))
        self.g = conv("g", max(1, channels // 2))
        self.o = conv("o", channels)
        self.gamma = self.add_weight("gamma", [], initializer="zeros")

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        def flat(features: tf.Tensor) -> tf.Tensor:
            _, height, width, channels = features.shape
            return tf.reshape(features, [-1, height * width, channels])

        theta = flat(self.theta(x, training=training))
        phi = flat(tf.nn.max_pool2d(self.phi(x, training=training), 2, 2, "VALID"))
        g = flat(tf.nn.max_pool2d(self.g(x, training=training), 2, 2, "VALID"))
        scores = tf.matmul(theta, phi, transpose_b=True)
        attended = tf.matmul(wide.softmax(scores), g)
        attended = tf.reshape(attended, [-1, *x.shape[1:3], g.shape[-1]])
        o = self.o(attended, training=training)
        gamma = tf.convert_to_tensor(self.gamma)
        return x + wide.multiply_add(o, gamma, tf.zeros_like(gamma))
