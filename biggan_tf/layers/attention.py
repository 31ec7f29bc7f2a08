"""Self-attention over the image (Zhang et al. 2018, arXiv 1805.08318)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from biggan_tf.layers import wide
from biggan_tf.layers.base import Layer
from biggan_tf.layers.recomputation import after
from biggan_tf.layers.spectral import SpectralConv2D, value_of

# Most scores (images * queries * keys) that are computed at once: 128 MiB in float32.
LARGEST_SCORES = 2**25
UNKNOWN_BATCH = 64  # the number of images to assume where it is not known


class SelfAttention(Layer):
    """x + gamma * o(softmax(theta(x) phi(x)^T) g(x)), float [batch, h, w, channels].

    theta, phi, g and o are 1x1 convolutions without bias. theta and phi have channels
    / 8, g has channels / 2 (at least 1). phi and g are max-pooled 2x2, so each of the
    h * w positions attends to h * w / 4. The dot products are not scaled. gamma is a
    trained scalar that starts at 0, so the layer starts as the identity.

    More than `LARGEST_SCORES` scores are computed in chunks of queries, and computed
    again for the gradient, so that memory holds one chunk at a time.
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
        phi = flat(max_pool(self.phi(x, training=training)))
        g = flat(max_pool(self.g(x, training=training)))
        attended = attend_in_chunks(theta, phi, g)
        attended = tf.reshape(attended, [-1, *x.shape[1:3], g.shape[-1]])
        o = self.o(attended, training=training)
        gamma = value_of(self.gamma)
        return x + wide.multiply_add(o, gamma, tf.zeros_like(gamma))


def max_pool(x: tf.Tensor) -> tf.Tensor:
    """Returns the maxima of 2x2 positions, [batch, h / 2, w / 2, channels]; h, w even.

    They are those of `tf.nn.max_pool2d`; but of that XLA computes a wrong second
    derivative, which R1 needs, and has no deterministic first one.
    """
    _, height, width, channels = x.shape
    pairs = tf.reshape(x, [-1, height, width // 2, 2 * channels])
    rows = tf.maximum(*tf.split(pairs, 2, axis=-1))
    pairs = tf.reshape(rows, [-1, height // 2, width * channels])
    pooled = tf.maximum(*tf.split(pairs, 2, axis=-1))
    return tf.reshape(pooled, [-1, height // 2, width // 2, channels])


def attend(theta: tf.Tensor, phi: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    """Returns softmax(theta phi^T) g.

    theta: queries [batch, queries, size]; phi: keys [batch, keys, size]; g: values
    [batch, keys, channels]. The result is [batch, queries, channels], in their type.
    """
    return tf.matmul(wide.softmax(tf.matmul(theta, phi, transpose_b=True)), g)


def chunk_count(batch: int | None, queries: int, keys: int) -> int:
    """Returns the least number of equal chunks that fit in `LARGEST_SCORES` each."""
    most = LARGEST_SCORES // ((batch or UNKNOWN_BATCH) * keys)  # queries at once
    counts = range(1, queries + 1)
    return next(n for n in counts if queries % n == 0 and queries // n <= max(1, most))


def attend_in_chunks(theta: tf.Tensor, phi: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    """Returns `attend(theta, phi, g)`, computed one chunk of queries at a time."""
    count = chunk_count(*theta.shape[:2], phi.shape[1])

    @tf.custom_gradient
    def run(theta: tf.Tensor, phi: tf.Tensor, g: tf.Tensor) -> tuple:
        def gradient(dy: tf.Tensor) -> tuple:
            d_thetas, d_phi, d_g, last = [], 0.0, 0.0, dy
            for part, d_part in zip(tf.split(theta, count, 1), tf.split(dy, count, 1)):
                inputs = [after(last, part), tf.identity(phi), tf.identity(g)]
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(inputs)
                    y = attend(*inputs)
                found = tape.gradient(y, inputs, d_part)
                d_thetas.append(found[0])
                d_phi, d_g = d_phi + wide.widen(found[1]), d_g + wide.widen(found[2])
                last = d_phi
            return (
                tf.concat(d_thetas, 1),
                tf.cast(d_phi, phi.dtype),
                tf.cast(d_g, g.dtype),
            )

        parts = []
        for part in tf.split(theta, count, 1):
            parts.append(attend(after(parts[-1], part) if parts else part, phi, g))
        return tf.concat(parts, 1), gradient

    return attend(theta, phi, g) if count == 1 else run(theta, phi, g)
