"""The two ends that both families share: class condition, image, logit."""

from __future__ import annotations

from typing import Any, Callable

import tensorflow as tf

from biggan_tf.layers.norm import AffineBatchNorm, Statistics
from biggan_tf.layers.spectral import SpectralConv2D, SpectralDense, SpectralEmbedding

# The size of D's last features -> what they are multiplied by, float32 [batch, size].
DropoutMask = Callable[[int], tf.Tensor]


class ClassCondition(tf.keras.layers.Layer):
    """Labels -> the float32 vector [batch, size] that conditions batch norm.

    Labels are int [batch], or float [batch, classes], one-hot or soft: the result is
    linear in them, so mixing two classes interpolates between them.

    Args:
        num_classes: number of classes.
        embedding_size: size of the embedding that all layers share (no spectral norm);
            None gives the class probabilities themselves, so that every projection
            of them is a separate embedding.
        kernel: arguments of the embedding, see `SpectralLayer`.
    """

    def __init__(
        self, num_classes: int, embedding_size: int | None, kernel: dict, **kwargs: Any
    ):
        super().__init__(dtype="float32", **kwargs)
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.kernel = kernel
        if embedding_size:
            self.embedding = SpectralEmbedding(
                embedding_size,
                name="embedding",
                dtype="float32",
                **{**kernel, "spectral_norm": False},
            )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("dtype")
        return {
            **config,
            "num_classes": self.num_classes,
            "embedding_size": self.embedding_size,
            "kernel": dict(self.kernel),
        }

    def call(self, y: tf.Tensor) -> tf.Tensor:
        y = one_hot(y, self.num_classes)
        return self.embedding(y) if self.embedding_size else y


def one_hot(y: tf.Tensor, num_classes: int) -> tf.Tensor:
    """int [batch] -> float32 [batch, classes]; float labels pass as they are."""
    y = tf.convert_to_tensor(y)
    if y.dtype.is_integer:
        return tf.one_hot(y, num_classes)
    return tf.cast(y, tf.float32)


def join_condition(y: tf.Tensor, z: tf.Tensor, order: str) -> tf.Tensor:
    """[batch, a] and [batch, b] -> [batch, a + b], class first if `order` is "yz"."""
    return tf.concat([y, z] if order == "yz" else [z, y], axis=1)


class ToImage(tf.keras.layers.Layer):
    """BN-ReLU-conv3-tanh: features -> float32 [batch, h, w, 3] in [-1, 1].

    Args:
        kernel: arguments of the convolution, see `SpectralLayer`.
        bn_epsilon: of the batch norm.
        units: output channels of the kernel, of which the first three are used (the
            released BigGAN-deep has as many as `width`).
    """

    def __init__(self, kernel: dict, bn_epsilon: float, units: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        self.kernel = kernel
        self.bn_epsilon = bn_epsilon
        self.units = units
        self.norm = AffineBatchNorm(epsilon=bn_epsilon, name="norm")
        self.conv = SpectralConv2D(units, 3, used_units=3, name="conv", **kernel)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel": dict(self.kernel),
            "bn_epsilon": self.bn_epsilon,
            "units": self.units,
        }

    def call(self, x: tf.Tensor, training: bool, statistics: Statistics) -> tf.Tensor:
        x = self.conv(tf.nn.relu(self.norm(x, statistics)), training=training)
        return tf.tanh(tf.cast(x, tf.float32))


class ProjectionHead(tf.keras.layers.Layer):
    """Logit = linear(h) + <embedding(y), h>, h the spatial sum of ReLU(x).

    The projection discriminator (Miyato and Koyama 2018, arXiv 1802.05637), float32.

    Args:
        num_classes: number of classes.
        kernel: arguments of both projections, see `SpectralLayer`.
    """

    def __init__(self, num_classes: int, kernel: dict, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self.num_classes = num_classes
        self.kernel = kernel

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("dtype")
        return {
            **config,
            "num_classes": self.num_classes,
            "kernel": dict(self.kernel),
        }

    def build(self, input_shape: tf.TensorShape) -> None:
        self.linear = SpectralDense(1, name="linear", dtype="float32", **self.kernel)
        self.embedding = SpectralEmbedding(
            input_shape[-1], name="embedding", dtype="float32", **self.kernel
        )

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
