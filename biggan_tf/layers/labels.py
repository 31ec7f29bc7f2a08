"""From labels to the vector that conditions G's batch norms."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from biggan_tf.layers.base import Layer
from biggan_tf.layers.spectral import SpectralEmbedding


class ClassCondition(Layer):
    """Embeds labels: a float32 vector [batch, size] for the batch norms of all blocks.

    Labels are int [batch], or float [batch, num_classes], one-hot or soft. The result
    is linear in them, so soft labels interpolate between classes.

    Args:
        num_classes: number of classes.
        embedding_size: size of the embedding, which has no spectral norm. With None
            the result is the class probabilities themselves, so that every batch norm's
            projection of them is a class embedding of its own.
    """

    def __init__(
        self, num_classes: int, embedding_size: int | None, kernel: dict, **kwargs: Any
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_classes, self.embedding_size = num_classes, embedding_size
        self.kernel = kernel
        if embedding_size:
            options = {**kernel, "spectral_norm": False, "dtype": "float32"}
            self.embedding = SpectralEmbedding(
                embedding_size, name="embedding", **options
            )

    def call(self, y: tf.Tensor) -> tf.Tensor:
        y = one_hot(y, self.num_classes)
        return self.embedding(y) if self.embedding_size else y


def one_hot(y: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Returns int labels [batch] as float32 [batch, classes], and float ones as is."""
    y = tf.convert_to_tensor(y)
    return tf.one_hot(y, num_classes) if y.dtype.is_integer else tf.cast(y, tf.float32)


def join_condition(y: tf.Tensor, z: tf.Tensor, order: str) -> tf.Tensor:
    """Returns y and z, float [batch, *], side by side in the order "yz" or "zy"."""
    return tf.concat([y, z] if order == "yz" else [z, y], axis=1)
