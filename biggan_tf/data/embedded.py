"""The data set inside the package: a balanced sample of Fashion-MNIST.

tools/make_embedded_dataset.py made it; its authors' notice is fashion_mnist.LICENSE.
"""

import functools
import lzma
import pathlib

import numpy as np
import tensorflow as tf

from biggan_tf.checks import SPLITS
from biggan_tf.data import pipeline

# uint8 [class, 1000, 28, 28]: in each class, TRAIN_PER_CLASS images of the original
# training split, then some of its test split.
FILE = pathlib.Path(__file__).with_name("fashion_mnist.npy.xz")
TRAIN_PER_CLASS = 800
CLASS_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
CLASS_NAMES += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


class Embedded(pipeline.Data):
    """Fashion-MNIST, 28 px padded to 32 with the black of its background."""

    READS_BATCHES = True
    side = 32

    def __init__(self, options: pipeline.DataOptions) -> None:
        """Unpacks the file: 8 MB of pixels, in a quarter of a second."""
        by_class = np.split(_images(), [TRAIN_PER_CLASS], axis=1)
        train, held_out = (images.shape[1] for images in by_class)
        self._splits = dict(zip(SPLITS, map(_labelled, by_class)))
        super().__init__(
            options,
            CLASS_NAMES,
            name="embedded Fashion-MNIST",
            train_images=train * len(CLASS_NAMES),
            held_out_images=held_out * len(CLASS_NAMES),
            train_split=f"{train} images a class of the training split",
            held_out_split=f"{held_out} images a class of the test split",
            own_classes=True,
            class_counts=(train,) * len(CLASS_NAMES),
        )

    def _files(self, split: str) -> list[tuple[str, str]]:
        return [(getattr(self.spec, f"{split}_split"), str(FILE))]

    def _read(self, split: str, index: tf.Tensor) -> pipeline.Example:
        images, labels = self._splits[split]
        return tf.gather(images, index), tf.gather(labels, index)


@functools.cache
def _images() -> np.ndarray:
    """Returns uint8 [class, 1000, 32, 32]."""
    with lzma.open(FILE) as file:
        return np.pad(np.load(file), [(0, 0), (0, 0), (2, 2), (2, 2)])


def _labelled(by_class: np.ndarray) -> pipeline.Example:
    """Returns uint8 [classes * n, 32, 32, 1] and labels of [classes, n, 32, 32]."""
    labels = np.repeat(np.arange(len(by_class)), by_class.shape[1])
    # The pipeline runs on the host; an accelerator may be the default device.
    with tf.device("CPU:0"):
        return tf.constant(by_class.reshape(-1, 32, 32, 1)), tf.constant(labels)
