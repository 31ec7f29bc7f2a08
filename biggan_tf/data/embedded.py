"""The data set inside the package: a balanced sample of Fashion-MNIST.

Made by tools/make_embedded_dataset.py; the notice of its authors is beside it, in
fashion_mnist.LICENSE.
"""

from __future__ import annotations

import functools
import lzma
import pathlib

import numpy as np
import tensorflow as tf

from biggan_tf.data import order, pipeline

# uint8 [class, 1000, 28, 28]: in each class, TRAIN_PER_CLASS images of the original
# training split, then some of its test split.
FILE = pathlib.Path(__file__).with_name("fashion_mnist.npy.xz")
TRAIN_PER_CLASS = 800
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


class Embedded(pipeline.Data):
    """Fashion-MNIST, 28 px padded to 32 with the black of its background."""

    def __init__(self, image_size: int, flip: bool) -> None:
        """Read the file: 8 MB, a quarter of a second."""
        train, held_out = np.split(_images(), [TRAIN_PER_CLASS], axis=1)
        # The pipeline runs on the host; an accelerator may be the default device.
        with tf.device("CPU:0"):
            self._parts = {"train": _labelled(train), "held out": _labelled(held_out)}
        spec = pipeline.DataSpec(
            source="embedded",
            name="embedded Fashion-MNIST",
            image_size=image_size,
            num_classes=len(CLASS_NAMES),
            class_names=CLASS_NAMES,
            train_images=train[..., 0, 0].size,
            held_out_images=held_out[..., 0, 0].size,
            train_split=f"{train.shape[1]} images a class of the training split",
            held_out_split=f"{held_out.shape[1]} images a class of the test split",
        )
        super().__init__(spec, flip)

    def check_ready(self) -> None:
        """Nothing to check: the images are in memory."""

    def _stream(self, share: order.Share, seed: int) -> tf.data.Dataset:
        images, labels = self._parts["train"]

        def batch_at(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            index = order.shuffled_index(position, self.spec.train_images, seed)
            image, label = tf.gather(images, index), tf.gather(labels, index)
            return self._finished(image, label, position, seed)

        return share.positions().map(batch_at, tf.data.AUTOTUNE)

    def _once(self, part: str, index: int = 0, count: int = 1) -> tf.data.Dataset:
        examples = tf.data.Dataset.from_tensor_slices(self._parts[part])
        return examples.shard(count, index).map(self._finished)


@functools.cache
def _images() -> np.ndarray:
    """uint8 [class, 1000, 32, 32]."""
    with lzma.open(FILE) as file:
        return np.pad(np.load(file), [(0, 0), (0, 0), (2, 2), (2, 2)])


def _labelled(by_class: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    """uint8 [classes, n, 32, 32] to images [classes * n, 32, 32, 1] and labels."""
    classes, per_class, height, width = by_class.shape
    images = by_class.reshape(classes * per_class, height, width, 1)
    labels = np.repeat(np.arange(classes), per_class)
    return tf.constant(images), tf.constant(labels)
