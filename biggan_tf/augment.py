"""Augmentations of the images that D sees, differentiable in the images.

Each is a function of images, float32 [batch, side, side, 3], and of numbers in [0, 1),
float32 [batch, 3], that say what happens to each image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from biggan_tf.latents import Draws

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
    offsets = [4 * (tf.range(side) - middle) for middle in middles]
    inside = [(-side <= offset) & (offset < side) for offset in offsets]
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return tf.where(hole[..., None], tf.zeros_like(x), x)


NUMBERS_KEY, CHANCE_KEY = 2, 6  # of random numbers, see `latents.Draws.uniform`


class Augmenter:
    """Applies augmentations to all images, or to a share that follows from D.

    With a `target`, each augmentation changes an image with the probability `share`,
    which rises while D's accuracy on real images is above the target, for then D learns
    them by heart, and falls while it is below (Karras et al. 2020, arXiv 2006.06676).

    Args:
        names: of `AUGMENTATIONS`; they are applied in its order.
        target: accuracy, 0.5 to 0.999. None: all images are augmented. An update's
            accuracy is a multiple of 1 / batch, so all targets between two multiples
            act alike.
        stride: by which the share moves after each update of D.

    Attributes:
        share: float32 variable, 0 to 1; None without a target.
    """

    def __init__(self, names: Sequence[str], target: float | None, stride: float):
        self._names, self._target, self._stride = names, target, stride
        self.share = None
        if names and target is not None:
            self.share = tf.Variable(0.0, trainable=False, name="augmented_share")

    def __call__(self, x: tf.Tensor, draws: Draws, batches: int) -> tf.Tensor:
        """Augments `batches` batches of images, one after the other in x."""
        if not self._names:
            return x
        count, chances = len(AUGMENTATIONS), None
        numbers = tf.split(draws.uniform(NUMBERS_KEY, 3 * count, batches), count, 1)
        if self.share is not None:
            chances = draws.uniform(CHANCE_KEY, count, batches)
        for index, (name, function) in enumerate(AUGMENTATIONS.items()):
            if name not in self._names:
                continue
            changed = function(x, numbers[index])
            if chances is not None:
                chosen = chances[:, index, None, None, None] < self.share
                changed = tf.where(chosen, changed, x)
            x = changed
        return x

    def adapt(self, accuracy: tf.Tensor) -> None:
        """Moves the share; takes D's accuracy on the real images of an update."""
        if self.share is not None:
            above = accuracy - self._target
            # A mean over replicas is not exact to the last bit.
            sign = tf.where(tf.abs(above) < 1e-6, 0.0, tf.sign(above))
            self.share.assign(
                tf.clip_by_value(self.share + self._stride * sign, 0.0, 1.0)
            )


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
