"""What a source of images is to the rest of the program."""

from __future__ import annotations

import abc
import contextlib
import copy
import dataclasses
import re
from collections.abc import Iterator

import tensorflow as tf

from biggan_tf.data import order, preprocessing
from biggan_tf.errors import BadInput

HELD_OUT_FRACTION = 0.1  # of the training images, where no split is meant for it


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """What is known of a data set without decoding an image.

    A TFDS data set that is not prepared yet has no counts (0) and, unless it was
    asked for, no held-out split ("").
    """

    source: str  # "embedded", "tfds" or "folder"
    name: str  # for people: "imagenet2012", a path, ...
    image_size: int  # pixels
    num_classes: int
    class_names: tuple[str, ...]
    train_images: int
    held_out_images: int
    train_split: str  # as TFDS takes it; a description for the other sources
    held_out_split: str


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turns damage that shows when images are read into the sentence for it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        complaint = re.search(r"(?:BadInput|assertion failed): (.*)", str(error))
        broken = re.search(r".*\b(?:JPEG|PNG|image file)\b.*", str(error))
        if complaint:
            raise BadInput(complaint[1]) from error
        if broken:
            raise BadInput(f"data: an image is damaged: {broken[0]}") from error
        raise
    except tf.errors.DataLossError as error:
        problem = re.search(r"\w+ record at \d+", str(error))
        raise BadInput(
            f"data.name: a file is damaged ({problem[0] if problem else error.message})"
            ": prepare the data set again, and run the same command again."
        ) from error


class Data(abc.ABC):
    """Labelled images in two disjoint parts: for training, and held out.

    Every data set below yields (image, label): float32 [batch, size, size, 3] in
    [-1, 1], and int32 [batch] in 0 to num_classes - 1.
    """

    def __init__(self, spec: DataSpec, flip: bool) -> None:
        """With flip, each training image is mirrored with probability 1/2."""
        self.spec = spec
        self._flip = flip

    def unflipped(self) -> Data:
        """The same images, none of them mirrored."""
        same = copy.copy(self)
        same._flip = False
        return same

    @abc.abstractmethod
    def check_ready(self) -> None:
        """Raise BadInput, saying what to do, if the images cannot be read."""

    def train_batches(
        self,
        batch_size: int,
        seed: int,
        first_batch: int = 0,
        context: tf.distribute.InputContext | None = None,
    ) -> tf.data.Dataset:
        """Endless shuffled training batches, a function of (seed, position) alone.

        Args:
          batch_size: global, over all replicas.
          seed: of order and flips.
          first_batch: global batches to skip; none of their images is decoded.
          context: of one input pipeline, as
            `tf.distribute.Strategy.distribute_datasets_from_function` gives it. The
            elements are then the batches of its replicas in turn, of batch_size /
            replicas each: the slices of the global batch that one device would get.

        Raises:
          BadInput: the data is not ready, or batch_size does not divide.
        """
        self.check_ready()
        share = order.Share(batch_size, first_batch, context)
        return _deterministic(self._stream(share, seed))

    def held_out_batches(self, batch_size: int) -> tf.data.Dataset:
        """Held-out images once, in fixed order, unflipped; the last may be short."""
        return self._ordered("held out", batch_size)

    def ordered_train_batches(self, batch_size: int) -> tf.data.Dataset:
        """Training images once, in fixed order, unflipped; the last may be short."""
        return self._ordered("train", batch_size)

    def portion(self, part: str, index: int, count: int) -> tf.data.Dataset:
        """The index-th of `count` disjoint portions of "train" or "held out".

        Yields single examples, in fixed order, unflipped, and decodes no others.
        """
        self.check_ready()
        return _deterministic(self._once(part, index, count))

    def _ordered(self, part: str, batch_size: int) -> tf.data.Dataset:
        self.check_ready()
        return _deterministic(self._once(part).batch(batch_size))

    @abc.abstractmethod
    def _stream(self, share: order.Share, seed: int) -> tf.data.Dataset:
        """Endless finished batches of share.replica_batch."""

    @abc.abstractmethod
    def _once(self, part: str, index: int = 0, count: int = 1) -> tf.data.Dataset:
        """The finished examples of a portion of a part, one by one, in order."""

    def _finished(
        self,
        image: tf.Tensor,
        label: tf.Tensor,
        position: tf.Tensor | None = None,
        seed: int = 0,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """From decoded (a batch or one) to what the class promises.

        Only training examples have a position in the stream, and so may be flipped.
        """
        flips = self._flip and position is not None
        mirrored = order.coin(position, seed) if flips else None
        image = preprocessing.to_network(image, self.spec.image_size, mirrored)
        return image, tf.cast(label, tf.int32)


def _deterministic(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
