"""What a source of images is to the rest of the program, and its options."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import gin
import tensorflow as tf

from biggan_tf.config import option, options
from biggan_tf.data import order
from biggan_tf.data.fingerprint import fingerprint
from biggan_tf.errors import BadInput

# A source is imported when it is asked for: TensorFlow Datasets takes seconds.
SOURCES = {
    "embedded": "biggan_tf.data.embedded.Embedded",
    "tfds": "biggan_tf.data.tfds_source.Tfds",
    "folder": "biggan_tf.data.folder.Folder",
}
SPLITS = ("train", "held_out")
HELD_OUT_FRACTION = 0.1  # of the training images, where no split is meant for it
AUTOTUNE = tf.data.AUTOTUNE
Example = tuple[tf.Tensor, tf.Tensor]  # image, label


@options("data")
class DataOptions:
    """Which images to use. Options that are None by default belong to some sources."""

    image_size: int = option(gin.REQUIRED, "side in pixels", low=8, high=4096)
    source: str = option("embedded", "where images come from", choices=tuple(SOURCES))
    name: str | None = option(None, "tfds: a builder, such as 'imagenet2012'")
    path: str | None = option(None, "folder: of images", free=True, path=True)
    data_dir: str | None = option(
        None, "tfds: where it prepares sets", free=True, path=True
    )
    split: str | None = option(None, "tfds: to train on; None is 'train'")
    held_out_split: str | None = option(None, "tfds: None is 'validation' or 'test'")
    held_out_fraction: float | None = option(
        None, "of the training images; None: 0.1 if needed", low=1e-6, high=0.99
    )
    flip: bool = option(False, "mirror each training image with probability 1/2")
    # A folder of images takes these two, from the caller alone.
    before: DataSpec | None = None  # the data of the model that goes on or is scored
    held_out_for: str = "evaluation"  # what reads held-out images; "": nothing

    def check(self) -> None:
        """Raises BadInput unless these are options that the source takes."""
        source = source_class(self.source)
        takes = (*source.NEEDS, *source.TAKES)
        for field in dataclasses.fields(self):
            if field.default is not None or not field.metadata:
                continue
            name = field.name
            value, problem = getattr(self, name), ""
            if value is None and name in source.NEEDS:
                problem = f"data.source = {self.source!r} needs it"
            if value is not None and name not in takes:
                right = " or ".join(takes) or "nothing like it"
                problem = f"leave it out; data.source = {self.source!r} takes {right}"
            if problem:
                raise BadInput(f"data.{name} = {value!r}: {problem}.")
        if None not in (self.held_out_fraction, self.held_out_split):
            raise BadInput(
                f"data.held_out_fraction = {self.held_out_fraction}: leave it out, or "
                f"data.held_out_split = {self.held_out_split!r}."
            )


def source_class(source: str) -> type[Data]:
    """Returns the class of one of `SOURCES`."""
    module, _, name = SOURCES[source].rpartition(".")
    return getattr(importlib.import_module(module), name)


def load(**options: Any) -> Data:
    """Finds the data set of some `DataOptions`; gin gives those that are left out.

    It decodes no image, and TFDS data need not be prepared. BadInput: a wrong option.
    """
    made = DataOptions(**options)
    return source_class(made.source)(made)


def named(text: str, image_size: int, flag: str, **more: Any) -> Data:
    """Returns unflipped data that a flag names, such as "tfds:cifar10"."""
    source, _, which = text.partition(":")
    needs = source_class(source).NEEDS if source in SOURCES else None
    if needs is None or bool(needs) != bool(which):
        raise BadInput(
            f"{flag}={text}: take one of {', '.join(SOURCES)}, with the name or path "
            "after a colon if it has one, such as folder:/my/images."
        )
    given = {**more, **dict.fromkeys(needs, which)}
    return load(image_size=image_size, source=source, flip=False, **given)


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """What is known of a data set without decoding an image.

    A TFDS data set that is not prepared yet has counts of 0 and, unless it was asked
    for, the held-out split "".
    """

    source: str
    name: str  # for people: "imagenet2012", a path, ...
    image_size: int  # side, pixels
    num_classes: int
    class_names: tuple[str, ...]
    train_images: int
    held_out_images: int
    train_split: str  # as TFDS takes it; a description for the other sources
    held_out_split: str
    # Inception's classes mean nothing here, so scores of logits use a linear head.
    own_classes: bool = False
    class_counts: tuple[int, ...] = ()  # training images of each; (): not known
    listing: int = 1  # which version of the rules found the images of a folder


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turns damage that is found while images are read into one BadInput."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        text = str(error)
        if complaint := re.search(r"(?:BadInput|assertion failed): (.*)", text):
            raise BadInput(complaint[1]) from error
        if broken := re.search(r".*\b(?:JPEG|PNG|image file)\b.*", text):
            raise BadInput(f"data: an image is damaged ({broken[0]}).") from error
        raise
    except tf.errors.DataLossError as error:
        record = re.search(r"\w+ record at \d+", str(error))
        raise BadInput(
            f"data.name: a file is damaged ({record[0] if record else error.message}); "
            "prepare the data set again, and run the same command again."
        ) from error


class Data:
    """Labelled images in two disjoint splits: for training, and held out.

    Every data set below yields (image, label): float32 [batch, size, size, 3] in
    [-1, 1], and int32 [batch] in 0 to num_classes - 1.
    """

    NEEDS: tuple[str, ...] = ()  # options that the source cannot do without
    TAKES: tuple[str, ...] = ()  # others that it takes
    READS_BATCHES = False  # whether `_read` takes a batch of indices

    def __init__(self, options: DataOptions, names: Sequence[str], **more: Any) -> None:
        """Takes the names of the classes, and the other fields of `DataSpec`."""
        self.spec = DataSpec(
            source=options.source,
            image_size=options.image_size,
            num_classes=len(names),
            class_names=tuple(names),
            **more,
        )
        self._flip = options.flip

    def unflipped(self) -> Data:
        """Returns the same images, none of them mirrored."""
        same = copy.copy(self)
        same._flip = False
        return same

    def check_ready(self) -> None:
        """Raises BadInput, which says what to do, if the images cannot be read."""

    def remarks(self) -> list[str]:
        """Returns lines that say, for people, which images there are.

        Some of them are known only after `check_ready`.
        """
        spec = self.spec
        parts = f"{spec.train_images:,} to train on, {spec.held_out_images:,} held out"
        return [f"{spec.name}: {parts}"]

    def fingerprint(self, split: str) -> str:
        """Returns a hash of the images of one of `SPLITS`, and of their labels.

        It is the same wherever they lie, and "" if they are not there.
        """
        files = self._files(split)
        return fingerprint(files) if files else ""

    def _files(self, split: str) -> list[tuple[str, str]]:
        """Returns the files of a split: what is told of each, and its path."""
        raise NotImplementedError

    def train_batches(
        self,
        batch_size: int,
        seed: int,
        first_batch: int = 0,
        context: tf.distribute.InputContext | None = None,
    ) -> tf.data.Dataset:
        """Returns endless shuffled batches, a function of (seed, position) alone.

        Args:
          batch_size: global, over all replicas; BadInput if it does not divide.
          seed: of order and flips.
          first_batch: global batches to skip; none of their images is decoded.
          context: from `Strategy.distribute_datasets_from_function`, of one input
            pipeline. The elements are then the slices of each global batch that its
            replicas get, in turn: batch_size / replicas images each.
        """
        self.check_ready()
        batches = order.PipelineSlice(batch_size, first_batch, context)
        return _deterministic(self._stream(batches, seed))

    def batches(self, split: str, batch_size: int) -> tf.data.Dataset:
        """Returns images of one of `SPLITS` once, in fixed order, none mirrored.

        The last batch may be short.
        """
        return self.shard(split, 0, 1).batch(batch_size)

    def shard(self, split: str, index: int, count: int) -> tf.data.Dataset:
        """Returns the index-th of `count` disjoint shards of one of `SPLITS`.

        It decodes and yields single examples, in fixed order, not mirrored.
        """
        self.check_ready()
        return _deterministic(self._once(split, index, count))

    def _read(self, split: str, index: tf.Tensor) -> Example:
        """Returns the decoded example of an index, or those of a batch of indices.

        A source that cannot read by index has a `_stream` and a `_once` of its own.
        """
        raise NotImplementedError

    def _stream(self, batches: order.PipelineSlice, seed: int) -> tf.data.Dataset:
        """Returns endless finished batches of `batches.replica_batch` images."""

        def example(position: tf.Tensor) -> Example:
            index = order.shuffled_index(position, self.spec.train_images, seed)
            return self._finished(self._read("train", index), position, seed)

        positions = batches.positions()
        if self.READS_BATCHES:
            return positions.map(example, AUTOTUNE)
        examples = positions.unbatch().map(example, AUTOTUNE)
        return examples.batch(batches.replica_batch, drop_remainder=True)

    def _once(self, split: str, index: int, count: int) -> tf.data.Dataset:
        """Returns the finished examples of a shard, one by one, in order."""
        size = getattr(self.spec, f"{split}_images")
        indices = tf.data.Dataset.range(index, size, count)
        return indices.map(lambda at: self._finished(self._read(split, at)), AUTOTUNE)

    def _finished(
        self, example: Example, position: tf.Tensor | None = None, seed: int = 0
    ) -> Example:
        """Preprocesses an example or a batch; mirrors only those with a position."""
        image, label = example
        flips = self._flip and position is not None
        mirrored = order.coin(position, seed) if flips else None
        image = to_network(image, self.spec.image_size, mirrored)
        return image, tf.cast(label, tf.int32)


def to_network(
    images: tf.Tensor, size: int, mirrored: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns the central square, resized: float32 [batch, size, size, 3] in [-1, 1].

    Shrinking averages areas (BigGAN paper, appendix C). Enlarging is bilinear: by area
    it would repeat pixels, in blocks of uneven width.

    Takes uint8 [batch, height, width, 1 or 3], or a single image without batch, and
    which images swap left and right: bool [batch] or [], None for none.
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


def _deterministic(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return dataset.prefetch(AUTOTUNE).with_options(options)
