"""The last layers: G's, which makes the image, and D's, which makes the logit."""

from __future__ import annotations

from typing import Any, Callable

import tensorflow as tf

from biggan_tf.layers.base import Layer
from biggan_tf.layers.labels import one_hot
from biggan_tf.layers.norm import AffineBatchNorm, Statistics
from biggan_tf.layers.spectral import SpectralConv2D, SpectralDense, SpectralEmbedding

# Takes the number of D's last features and returns what they are multiplied by, float32
# [batch, number]: 0 where dropout drops one.
DropoutMask = Callable[[int], tf.Tensor]


class ToImage(Layer):
    """BN-ReLU-conv3-tanh: features -> float32 [batch, h, w, 3] in [-1, 1].

    Args:
        bn_epsilon: of the batch norm.
        units: output channels of the kernel. The first three make the image; the
            released BigGAN-deep has more, which it does not use.
    """

    def __init__(self, kernel: dict, bn_epsilon: float, units: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        self.kernel, self.bn_epsilon, self.units = kernel, bn_epsilon, units
        self.norm = AffineBatchNorm(epsilon=bn_epsilon, name="norm")
        self.conv = SpectralConv2D(units, used_units=3, name="conv", **kernel)

    def call(self, x: tf.Tensor, training: bool, statistics: Statistics) -> tf.Tensor:
        x = self.conv(tf.nn.relu(self.norm(x, statistics)), training=training)
        return tf.tanh(tf.cast(x, tf.float32))


class ProjectionHead(Layer):
    """Logit = linear(h) + <embedding(y), h>, h the spatial sum of ReLU(x), in float32.

    The projection discriminator (Miyato and Koyama 2018, arXiv 1802.05637).
    """

    def __init__(self, num_classes: int, kernel: dict, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_classes, self.kernel = num_classes, kernel

    def build(self, input_shape: tf.TensorShape) -> None:
        options = {**self.kernel, "dtype": "float32"}
        self.linear = SpectralDense(1, name="linear", **options)
        self.embedding = SpectralEmbedding(input_shape[-1], name="embedding", **options)

    def call(
        self,
        x: tf.Tensor,
        y: tf.Tensor,
        training: bool,
        dropout: DropoutMask | None = None,
    ) -> tf.Tensor:
        """x: [batch, h, w, channels]; y as in `ClassCondition` -> [batch, 1]."""
        h = tf.reduce_sum(tf.nn.relu(x), axis=[1, 2])
        if dropout is not None:
            h *= dropout(h.shape[1])
        embedding = self.embedding(one_hot(y, self.num_classes), training=training)
        projection = tf.reduce_sum(embedding * h, axis=1, keepdims=True)
        return self.linear(h, training=training) + projection
