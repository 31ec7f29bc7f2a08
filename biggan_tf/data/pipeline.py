"""What a source of images is to the rest of the program, and its options."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import gin
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from biggan_tf.config import option, options
from biggan_tf.data import memory, order, resizing
from biggan_tf.data.fingerprint import fingerprint
from biggan_tf.errors import BadInput

# A source is imported when it is asked for: TensorFlow Datasets takes seconds.
SOURCES = {
    "embedded": "biggan_tf.data.embedded.Embedded",
    "tfds": "biggan_tf.data.tfds_source.Tfds",
    "folder": "biggan_tf.data.folder.Folder",
}
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
    labels: str | None = option(None, "folder: a CSV", free=True, path=True)
    data_dir: str | None = option(
        None, "tfds: where it prepares sets", free=True, path=True
    )
    split: str | None = option(None, "tfds: to train on; None is 'train'")
    held_out_split: str | None = option(None, "tfds: None is 'validation' or 'test'")
    held_out_fraction: float | None = option(
        None, "of the training images; None: 0.1 if needed", low=1e-6, high=0.99
    )
    flip: bool = option(False, "mirror each training image with probability 1/2")
    memory_share: float = option(
        0.25, "of free memory, for decoded images", low=0.0, high=1.0, free=True
    )
    # These two are from the caller alone.
    before: DataSpec | None = None  # the data of the model that goes on or is scored
    held_out_for: str = "evaluation"  # folder: what reads held-out images; "": nothing

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
    rounded: bool = False  # resized to whole 8-bit levels; early runs keep fractions

    @property
    def holds_none_out(self) -> bool:
        """Whether all images of a folder are to train on."""
        return self.source == "folder" and not self.held_out_images


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
    except (tf.errors.NotFoundError, tf.errors.PermissionDeniedError) as error:
        of_file = re.search(r"\S+(://|; (No such|Permission)).*", error.message)
        if isinstance(error, tf.errors.NotFoundError) and not of_file:
            raise  # a GPU's library lacks something
        said = of_file[0] if of_file else error.message
        raise BadInput(
            f"data: a file cannot be read ({said}); make it readable, and run the same "
            "command again."
        ) from error
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
    side: int | None = None  # the shorter one of every image, pixels; None: not known

    def __init__(self, options: DataOptions, names: Sequence[str], **more: Any) -> None:
        """Takes the names of the classes, and the other fields of `DataSpec`."""
        self.spec = DataSpec(
            source=options.source,
            image_size=options.image_size,
            num_classes=len(names),
            class_names=tuple(names),
            rounded=options.before is None or options.before.rounded,
            **more,
        )
        self._flip, self._rounded = options.flip, self.spec.rounded
        self._memory_share = options.memory_share
        self._kept: dict[str, memory.Kept] = {}  # "train", once they are in memory
        self._fingerprints: dict[str, str] = {}  # of splits, once they are known

    def unflipped(self) -> Data:
        """Returns the same images to judge by: none is mirrored, all are rounded."""
        same = copy.copy(self)
        same._flip, same._rounded = False, True
        return same

    def check_ready(self) -> None:
        """Raises BadInput, which says what to do, if the images cannot be read."""

    def remarks(self) -> list[str]:
        """Returns lines that say, for people, which images there are.

        Some of them are known only after `check_ready`.
        """
        return [*self.found(), *self._memory()]

    def found(self) -> list[str]:
        """Returns lines that say what was found, left out and held out."""
        spec = self.spec
        parts = f"{spec.train_images:,} to train on, {spec.held_out_images:,} held out"
        same = ", which are the same" * (spec.train_split == spec.held_out_split != "")
        lines = [f"{spec.name}: {parts}{same}"]
        if self.side and self.side < spec.image_size:
            lines.append(f"enlarged to {spec.image_size} px: all, from {self.side} px")
        return lines

    def _memory(self) -> list[str]:
        """Returns a line that says whether training keeps its images in memory."""
        if self.READS_BATCHES or not self._memory_share:
            return []
        size, free = (f"{x / 2**30:.3f} GiB" for x in (self._bytes, self._free))
        share = f"data.memory_share = {self._memory_share:g} of {free} free memory"
        anew = "training decodes its images anew in every epoch:"
        if not self.spec.rounded:
            return [f"{anew} this run began with fractions of 8-bit levels"]
        if not self._fits:
            return [f"{anew} {size} are more than {share}"]
        once = "training of more than an epoch decodes its images once and keeps them:"
        return [f"{once} {size}, within {share}"]

    @property
    def _bytes(self) -> int:
        """How much memory the training images take as RGB."""
        return self.spec.train_images * self.spec.image_size**2 * 3

    @functools.cached_property
    def _free(self) -> int:
        return memory.available()

    @property
    def _fits(self) -> bool:
        return self._bytes <= self._memory_share * self._free

    @property
    def in_memory(self) -> bool:
        """Whether `keep_in_memory` did."""
        return bool(self._kept)

    def keep_in_memory(self, stop: Sequence[int] = ()) -> None:
        """Decodes all training images now, if they fit into `data.memory_share`.

        Pipelines that are made later, also of `unflipped` data, yield the same numbers
        from this one array. As soon as `stop` is not empty, nothing is kept.
        """
        if self.READS_BATCHES or self._kept or not (self.spec.rounded and self._fits):
            return
        count, batch = self.spec.train_images, 64
        examples = _deterministic(self._once("train", 0, 1).batch(batch))
        images = np.empty([count, *examples.element_spec[0].shape[1:]], np.uint8)
        labels = np.empty([count], np.int32)
        with tqdm(total=count, desc="decoding", unit=" images", disable=None) as bar:
            for at, (some, their_labels) in enumerate(examples.as_numpy_iterator()):
                if stop:
                    return
                found = slice(at * batch, at * batch + len(some))
                images[found], labels[found] = some, their_labels
                bar.update(len(some))
        self._kept["train"] = memory.Kept(images, labels)

    def class_counts(self, split: str) -> tuple[int, ...]:
        """Returns how many images of each class a split has; () if not known."""
        return self.spec.class_counts if split == "train" else ()

    def fingerprint(self, split: str) -> str:
        """Returns a hash of the images of one of `checks.SPLITS`, and of their labels.

        It is the same wherever they lie, and "" if they are not there. The files are
        read once.
        """
        if split not in self._fingerprints and (files := self._files(split)):
            self._fingerprints[split] = fingerprint(files)
        return self._fingerprints.get(split, "")

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
        """Returns images of one of `checks.SPLITS` once, in fixed order, none mirrored.

        The last batch may be short.
        """
        return self.shard(split, 0, 1).batch(batch_size)

    def shard(self, split: str, index: int, count: int) -> tf.data.Dataset:
        """Returns the index-th of `count` disjoint shards of one of `checks.SPLITS`.

        It decodes and yields single examples, in fixed order, not mirrored.
        """
        self.check_ready()
        examples = self._once(split, index, count)
        return _deterministic(examples.map(self._finished, AUTOTUNE))

    def spread(self, split: str, count: int) -> tf.data.Dataset:
        """Returns examples as `shard` does: `count` of a split, or all if it has fewer.

        They are spread over all of it, for they may lie class after class.
        """
        self.check_ready()
        size = getattr(self.spec, f"{split}_images")
        count = min(count, size)
        examples = self._some(split, np.arange(count) * size // count)
        return _deterministic(examples.map(self._finished, AUTOTUNE))

    def _read(self, split: str, index: tf.Tensor) -> Example:
        """Returns the decoded example of an index, or those of a batch of indices.

        A source that cannot read by index has its own `_stream`, `_once` and `_some`.
        """
        raise NotImplementedError

    def _stream(self, batches: order.PipelineSlice, seed: int) -> tf.data.Dataset:
        """Returns endless finished batches of `batches.replica_batch` images."""
        kept = self._kept.get("train")

        def example(position: tf.Tensor) -> Example:
            index = order.shuffled_index(position, self.spec.train_images, seed)
            found = kept.read(index) if kept else self._resized("train", index)
            return self._finished(*found, position, seed)

        positions = batches.positions()
        if kept or self.READS_BATCHES:
            return positions.map(example, AUTOTUNE)
        examples = positions.unbatch().map(example, AUTOTUNE)
        return examples.batch(batches.replica_batch, drop_remainder=True)

    def _once(self, split: str, index: int, count: int) -> tf.data.Dataset:
        """Returns the resized examples of a shard, one by one, in order."""
        size = getattr(self.spec, f"{split}_images")
        indices = tf.data.Dataset.range(index, size, count)
        return indices.map(lambda at: self._resized(split, at), AUTOTUNE)

    def _some(self, split: str, numbers: np.ndarray) -> tf.data.Dataset:
        """Returns the resized examples of these numbers, ascending, one by one."""
        indices = tf.data.Dataset.from_tensor_slices(np.int64(numbers))
        return indices.map(lambda at: self._resized(split, at), AUTOTUNE)

    def _resized(self, split: str, index: tf.Tensor) -> Example:
        """Returns what `_read` does, at the size of training, rounded or not."""
        image, label = self._read(split, index)
        image = resizing.resized(image, self.spec.image_size)
        if self._rounded:
            image = tf.cast(tf.round(image), tf.uint8)
        return image, tf.cast(label, tf.int32)

    def _finished(
        self,
        image: tf.Tensor,
        label: tf.Tensor,
        position: tf.Tensor | None = None,
        seed: int = 0,
    ) -> Example:
        """Scales a resized example or batch; mirrors only those with a position."""
        mirrored = None
        if self._flip and position is not None:
            mirrored = order.coin(position, seed)
        return resizing.to_network(image, mirrored), label


def _deterministic(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return dataset.prefetch(AUTOTUNE).with_options(options)
