"""From a decoded image to what the networks see; the same for every source."""

from __future__ import annotations

import tensorflow as tf


def to_network(
    images: tf.Tensor, size: int, mirrored: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns the central square, resized: float32 [batch, size, size, 3] in [-1, 1].

    Shrinking averages areas (BigGAN paper, appendix C). Enlarging is bilinear: by area
    it would repeat pixels, in blocks of uneven width.

    Args:
      images: uint8 [batch, height, width, 1 or 3], or a single one without batch.
      size: side of the result, pixels.
      mirrored: which images swap left and right: bool [batch] or []; None for none.
    """
    height, width = tf.shape(images)[-3], tf.shape(images)[-2]
    side = tf.minimum(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    images = images[..., top : top + side, left : left + side, :]
    images = tf.cond(
        side >= size,
        lambda: tf.image.resize(images, [size, size], "area"),
        lambda: tf.image.resize(images, [size, size], "bilinear"),
    )
    if mirrored is not None:
        columns = tf.range(size)
        columns = tf.where(mirrored[..., None], size - 1 - columns, columns)
        # One pass; a reversal and a choice would be three.
        images = tf.gather(images, columns, axis=-2, batch_dims=mirrored.shape.rank)
    images = images / 127.5 - 1.0
    return tf.image.grayscale_to_rgb(images) if images.shape[-1] == 1 else images
