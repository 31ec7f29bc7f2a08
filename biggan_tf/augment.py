"""Augmentations of the images that D sees, differentiable in the images.

Each is a function of images, float32 [batch, side, side, 3], and of numbers in [0, 1),
float32 [batch, 3], that say what happens to each image.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

Augmentation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

AUGMENTATIONS: dict[str, Augmentation] = {}


def augmentation(function: Augmentation) -> Augmentation:
    """Lets `gan.augment` name the function."""
    AUGMENTATIONS[function.__name__] = function
    return function


# The first three are DiffAugment (Zhao et al. 2020, arXiv 2006.10738).


@augmentation
def color(x: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Changes brightness, saturation and contrast."""
    brightness, saturation, contrast = (u[:, None, None] for u in _columns(uniform))
    x += brightness - 0.5
    grey = tf.reduce_mean(x, axis=3, keepdims=True)
    x = grey + (x - grey) * 2 * saturation
    mean = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
    return mean + (x - mean) * (contrast + 0.5)


@augmentation
def translation(x: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Shifts by up to an eighth of the side, both ways, and fills with zeros."""
    side, most = x.shape[1], x.shape[1] // 8
    rows, columns, _ = _columns(uniform)
    shifts = (_integer(u, -most, most) for u in (rows, columns))
    return _select(x, *(tf.range(side) + shift for shift in shifts))


@augmentation
def cutout(x: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Sets a square of half the side to zero; it may reach beyond the image."""
    side = x.shape[1]
    rows, columns, _ = _columns(uniform)
    middles = (_integer(u, 0, side) for u in (rows, columns))
    inside = [tf.abs(tf.range(side) - middle) * 4 < side for middle in middles]
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return tf.where(hole[..., None], tf.zeros_like(x), x)


def augment(x: tf.Tensor, names: Sequence[str], uniform: tf.Tensor) -> tf.Tensor:
    """Applies the augmentations named, in the order of `AUGMENTATIONS`.

    `uniform` are numbers in [0, 1), float32 [batch, numbers()].
    """
    columns = tf.split(uniform, len(AUGMENTATIONS), axis=1)
    for (name, function), own in zip(AUGMENTATIONS.items(), columns):
        if name in names:
            x = function(x, own)
    return x


def numbers() -> int:
    """Returns how many numbers `augment` takes for an image."""
    return 3 * len(AUGMENTATIONS)


def flip_and_shift(x: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Mirrors half of the images, and shifts all by up to 4 pixels, edges reflected.

    The transformation of consistency regularisation (Zhang et al. 2020).
    """
    side = x.shape[1]
    rows, columns, mirror = _columns(uniform)
    x = tf.where(mirror[..., None, None] < 0.5, x, tf.reverse(x, [2]))
    moved = (tf.abs(tf.range(side) + _integer(u, -4, 4)) for u in (rows, columns))
    return _select(x, *(side - 1 - tf.abs(side - 1 - index) for index in moved))


def _columns(uniform: tf.Tensor) -> list[tf.Tensor]:
    """[batch, n] -> n tensors [batch, 1]."""
    return tf.split(uniform, uniform.shape[1], axis=1)


def _integer(uniform: tf.Tensor, low: int, high: int) -> tf.Tensor:
    """Turns numbers in [0, 1) into integers from low to high, equally likely."""
    return low + tf.cast(tf.floor(uniform * (high - low + 1)), tf.int32)


def _select(x: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns rows and columns of each image, int32 [batch, side]; zeros outside."""
    rows, columns = (tf.one_hot(i, x.shape[1], dtype=x.dtype) for i in (rows, columns))
    return tf.einsum("bij,bjkc,blk->bilc", rows, x, columns)
