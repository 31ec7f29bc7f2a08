"""From a decoded image to what the networks take."""

from __future__ import annotations

import tensorflow as tf


def resized(images: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the central square: float32 [batch, size, size, channels] in [0, 255].

    Shrinking averages areas (BigGAN paper, appendix C). Enlarging is bilinear: by area
    it would repeat pixels, in blocks of uneven width.

    Takes uint8 [batch, height, width, channels], or a single image without batch.
    """
    height, width = tf.shape(images)[-3], tf.shape(images)[-2]
    side = tf.minimum(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    images = images[..., top : top + side, left : left + side, :]
    return tf.cond(
        side >= size,
        lambda: tf.image.resize(images, [size, size], "area"),
        lambda: tf.image.resize(images, [size, size], "bilinear"),
    )


def to_network(images: tf.Tensor, mirrored: tf.Tensor | None = None) -> tf.Tensor:
    """Returns what networks take: float32 [batch, size, size, 3] in [-1, 1].

    Takes uint8 or float32 [batch, size, size, 1 or 3] in [0, 255], or a single image
    without batch; and which images swap left and right, bool [batch] or [], or None.
    """
    if mirrored is not None:
        size = images.shape[-2]
        columns = tf.range(size)
        columns = tf.where(mirrored[..., None], size - 1 - columns, columns)
        # One pass; a reversal and a choice would be three.
        images = tf.gather(images, columns, axis=-2, batch_dims=mirrored.shape.rank)
    images = tf.cast(images, tf.float32) / 127.5 - 1.0
    return tf.image.grayscale_to_rgb(images) if images.shape[-1] == 1 else images
