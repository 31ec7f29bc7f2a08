"""Any image classification data set of TensorFlow Datasets, once it is prepared."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import itertools
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import naming
from tensorflow_datasets.core.utils import gcs_utils

from biggan_tf.data import order, pipeline
from biggan_tf.data.fingerprint import size_of
from biggan_tf.errors import BadInput

# Encoded examples that wait in the shuffle buffer. Data sets below it (CIFAR: 0.15 GB)
# are fully shuffled; of ImageNet it holds some 9,000, from files in random order.
SHUFFLE_BUFFER_BYTES = 2**30
FILES_AT_ONCE = 16

# Looking up a name must not ask Google's bucket for it; there is no public switch.
gcs_utils._is_gcs_disabled = True


class Tfds(pipeline.Data):
    """A TFDS builder, by name, read from disk; nothing is ever downloaded."""

    NEEDS = ("name",)
    TAKES = ("data_dir", "split", "held_out_split", "held_out_fraction")

    def __init__(self, options: pipeline.DataOptions) -> None:
        """Looks up the builder, prepared or not; BadInput if it will not do."""
        self._builder = _builder(options.name, options.data_dir)
        info = self._builder.info
        self._keys = (info.supervised_keys or ("image", "label"))[:2]
        image, label = (dict(info.features).get(str(key)) for key in self._keys)
        _check_features(options.name, image, label)
        # Only these two features of an example are decoded.
        features = dict(zip(self._keys, [image, label]))
        self._features = tfds.features.FeaturesDict(features)
        _check_names(options.name, label, self._builder.data_path, str(self._keys[1]))
        self._splits = {}  # split: SplitInfo; empty while the data set is not prepared
        self.side = min((side for side in image.shape[:2] if side), default=None)
        train, held_out = options.split or "train", options.held_out_split
        if info.splits:
            if held_out is None:
                train, held_out = _choose(info, train, options.held_out_fraction)
            self._splits["train"] = _split(info.splits, "split", train)
            self._splits["held_out"] = _split(info.splits, "held_out_split", held_out)
            named = options.held_out_split not in (None, train)
            if named and _overlap(*self._splits.values()):
                raise BadInput(
                    f"data.held_out_split = {held_out!r}: take a split that shares no "
                    f"image with data.split = {train!r}."
                )
        counts = {split: found.num_examples for split, found in self._splits.items()}
        super().__init__(
            options,
            label.names,
            name=options.name,
            train_images=counts.get("train", 0),
            held_out_images=counts.get("held_out", 0),
            train_split=train,
            held_out_split=held_out or "",
        )

    def found(self) -> list[str]:
        if not self._splits:
            return [f"{self.spec.name} is not prepared here"]
        names, lines = self.spec.class_names, super().found()
        if names == tuple(map(str, range(len(names)))):
            lines.append(f"{self.spec.name} has no names of its classes but numbers")
        return lines

    def check_ready(self) -> None:
        """Raises BadInput, with the command to run, if the set is not prepared."""
        builder, name = self._builder, self.spec.name
        # The path ends in name/config/version.
        root = builder.data_path.parents[builder.info.full_name.count("/")]
        if not self._splits:
            by_hand = " ".join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
            if by_hand:
                by_hand = f", with manual_dir being {root}/downloads/manual: {by_hand}"
            # Not `tfds build`: that needs Apache Beam, whatever it builds.
            made = f"tfds.builder({json.dumps(name)}, data_dir={json.dumps(str(root))})"
            code = f"import tensorflow_datasets as tfds; {made}.download_and_prepare()"
            raise _refusal(
                name,
                f"it is not prepared in data.data_dir = {str(root)!r}; run "
                f"`{shlex.quote(sys.executable)} -c {shlex.quote(code)}`"
                f"{by_hand.rstrip('.')}",
            )
        made_as = builder.info.file_format.value
        if made_as != "tfrecord":
            problem = f"it is prepared as {made_as} in {root}; take tfrecord"
            raise _refusal(name, problem)
        splits = builder.info.splits.values()
        damaged = [path for split in splits for path in _damaged(split)]
        if damaged:
            lost = f"{len(damaged)} files are missing or cut off (first {damaged[0]})"
            raise _refusal(name, f"{lost}; prepare the data set again")

    def _stream(self, batches: order.PipelineSlice, seed: int) -> tf.data.Dataset:
        kept = self._kept.get("train")
        count = self.spec.train_images
        first = batches.first_batch * batches.batch_size
        # Records stay encoded until it is known which this pipeline needs.
        source = _numbers if kept else _records
        epochs = tf.data.Dataset.counter(first // count)
        records = epochs.flat_map(lambda epoch: self._epoch(epoch, seed, source))
        records = records.skip(first % count).enumerate(first)
        records = records.filter(lambda position, _: batches.owns(position))

        def example(position: tf.Tensor, record: tf.Tensor) -> pipeline.Example:
            found = kept.read(record) if kept else self._resized("train", record)
            return self._finished(*found, position, seed)

        if kept:
            records = records.batch(batches.replica_batch, drop_remainder=True)
            return records.map(example, tf.data.AUTOTUNE)
        examples = records.map(example, tf.data.AUTOTUNE)
        return examples.batch(batches.replica_batch, drop_remainder=True)

    def _once(self, split: str, index: int, count: int) -> tf.data.Dataset:
        return self._examples(split, self._spans(split).shard(count, index))

    def _some(self, split: str, numbers: np.ndarray) -> tf.data.Dataset:
        """Returns as many of each file as it has of these numbers: its first ones.

        TFDS shuffled them when it wrote them, and a file is read from its start. If it
        did not, these very ones.
        """
        if self._builder.info.disable_shuffling:
            records = self._spans(split).flat_map(_records).enumerate()
            wanted = tf.constant(numbers, tf.int64)
            records = records.filter(lambda n, _: tf.reduce_any(n == wanted))
            return records.map(lambda _, record: self._resized(split, record))
        takes = [file.take for file in self._splits[split].file_instructions]
        bounds = np.searchsorted(numbers, np.cumsum([0, *takes]))
        return self._examples(split, self._spans(split, np.diff(bounds)))

    def _examples(self, split: str, spans: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the resized examples of some files, one by one."""
        return spans.flat_map(_records).map(
            lambda record: self._resized(split, record), tf.data.AUTOTUNE
        )

    def _epoch(self, epoch: tf.Tensor, seed: int, source: Callable) -> tf.data.Dataset:
        """Returns all training records in the order of one epoch, or their numbers.

        `source`, which is `_records` or `_numbers`, makes them from each file.
        """
        # shuffle() mixes in the global seed; here, in the graph of flat_map, that is a
        # seed of this graph alone. (With 0 it cannot take a tensor.)
        tf.random.set_seed(1)
        pair = tf.stack([epoch, seed])
        draws = tf.random.stateless_uniform([2], pair, None, None, tf.int64)
        files = self._spans("train")
        files = files.shuffle(len(files), draws[0], reshuffle_each_iteration=False)
        records = files.interleave(
            source, FILES_AT_ONCE, num_parallel_calls=tf.data.AUTOTUNE
        )
        info = self._builder.info
        size = info.dataset_size or sum(  # it may not have been counted
            size_of(path) for split in info.splits.values() for path in split.filepaths
        )
        record_bytes = size / info.splits.total_num_examples
        buffer = min(self.spec.train_images, 1 + SHUFFLE_BUFFER_BYTES // record_bytes)
        return records.shuffle(int(buffer), draws[1], reshuffle_each_iteration=False)

    def _files(self, split: str) -> list[tuple[str, str]]:
        if split not in self._splits:
            return []
        return [
            (f"{os.path.basename(f.filename)} {f.skip} {f.take}", f.filename)
            for f in self._splits[split].file_instructions
        ]

    def _spans(self, split: str, most: Sequence[int] | None = None) -> tf.data.Dataset:
        """Returns (path, [first record, records, the first one's number]) of files.

        `most` are the records to take of each, if not all.
        """
        files = self._splits[split].file_instructions
        paths = [file.filename for file in files]
        takes = [file.take for file in files]
        numbers = np.cumsum([0, *takes[:-1]])
        skips = [file.skip for file in files]
        spans = np.array([skips, takes if most is None else most, numbers], np.int64).T
        some = spans[:, 1] > 0
        return tf.data.Dataset.from_tensor_slices((np.array(paths)[some], spans[some]))

    def _read(self, split: str, record: tf.Tensor) -> pipeline.Example:
        example = self._features.deserialize_example(record)
        image, label = (example[key] for key in self._keys)
        # Splits without labels say -1.
        known = (label >= 0) & (label < self.spec.num_classes)
        told = f"data.name = {self.spec.name!r}, {self.spec.num_classes} classes: label"
        with tf.control_dependencies([tf.debugging.Assert(known, [told, label])]):
            return image, tf.identity(label)


def _records(path: tf.Tensor, span: tf.Tensor) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(path, buffer_size=2**20).skip(span[0]).take(span[1])


def _numbers(path: tf.Tensor, span: tf.Tensor) -> tf.data.Dataset:
    """Returns the numbers of a file's records, in the order of `_once`."""
    return tf.data.Dataset.range(span[2], span[2] + span[1])


def _damaged(split: tfds.core.SplitInfo) -> Iterator[str]:
    """Yields the files without their records, if the split's bytes are too few."""
    framing = 16 * split.num_examples  # length and checksums of each record
    files = [str(path) for path in split.filepaths]
    there = sum(map(size_of, files))
    if there >= split.num_bytes + framing:
        return
    for path, count in zip(files, split.shard_lengths):
        try:
            whole = sum(1 for _ in tf.data.TFRecordDataset(path)) == count
        except tf.errors.OpError:
            whole = False
        if not whole:
            yield path


def _builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    try:
        if naming.parse_builder_name_kwargs(name)[0].namespace:
            raise ValueError("community data sets are fetched over the network")
        return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(name, known) or ["imagenet2012", "cifar10"]
        problem = f"TFDS has no such data set here; take {' or '.join(close)}"
        raise _refusal(name, problem) from None
    except (ValueError, AssertionError, TypeError, RuntimeError) as error:
        # No such version or config; the library says which there are.
        raise _refusal(name, " ".join(str(error).split()).rstrip(".")) from None
    except Exception as error:  # whatever a damaged file of it raises
        why = " ".join(f"{type(error).__name__}: {error}".split())
        problem = f"it cannot be opened ({why}); prepare it again"
        raise _refusal(name, problem) from error


def _check_features(name: str, image: object, label: object) -> None:
    if not isinstance(label, tfds.features.ClassLabel):
        raise _refusal(name, "take a data set that gives each example a class")
    is_image = isinstance(image, tfds.features.Image)
    if not is_image or image.np_dtype != np.uint8 or image.shape[-1] not in (1, 3):
        raise _refusal(name, "take a data set of 8-bit grey or RGB images")


def _check_names(
    name: str, label: tfds.features.ClassLabel, folder: os.PathLike[str], key: str
) -> None:
    """Raises BadInput unless each class has a name, and a whole one."""
    file, names = Path(folder) / f"{key}.labels.txt", label.names
    if label.num_classes != len(names):
        told = f"it has {label.num_classes} classes and {len(names)} class names"
        raise _refusal(name, f"prepare it again; {told}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _refusal(name, f"prepare it again; two classes are named {twice!r}")
    listed = file.read_bytes() if file.exists() else b"\n"
    if listed.startswith(codecs.BOM_UTF8) or not listed.endswith(b"\n"):
        told = "a whole one begins with a name and ends with a line break"
        raise _refusal(name, f"{file} is damaged; {told}")


def _refusal(name: str, problem: str) -> BadInput:
    return BadInput(f"data.name = {name!r}: {problem}.")


def _split(splits: dict, binding: str, split: str) -> tfds.core.SplitInfo:
    unknown = KeyError, ValueError, AssertionError, NotImplementedError
    with contextlib.suppress(*unknown):
        found = splits[split]
        parts = tfds.core.splits.AbstractSplit.from_spec(split).to_absolute(splits)
        # Of a part that ends before it begins TFDS may read the rest.
        forward = all(p.to is None or (p.from_ or 0) <= p.to for p in parts)
        if forward and found.num_examples > 0:
            return found
    there = " or ".join(f"{name} ({splits[name].num_examples})" for name in splits)
    raise BadInput(f"data.{binding} = {split!r}: it holds nothing; take {there}.")


def _overlap(a: tfds.core.SplitInfo, b: tfds.core.SplitInfo) -> bool:
    """Returns whether two splits share a record."""
    return any(
        x.filename == y.filename
        and max(x.skip, y.skip) < min(x.skip + x.take, y.skip + y.take)
        for x, y in itertools.product(a.file_instructions, b.file_instructions)
    )


def _choose(
    info: tfds.core.DatasetInfo, split: str, fraction: float | None
) -> tuple[str, str]:
    """Returns training and held-out split where the second was not named."""
    splits = info.splits
    found = _split(splits, "split", split)
    if fraction is None:
        for other in ("validation", "test"):
            if other in splits and not _overlap(found, splits[other]):
                return split, other
    if split not in splits:
        told = "with a slice or a sum, give data.held_out_split too"
        raise BadInput(f"data.split = {split!r}: {told}.")
    if info.disable_shuffling:
        told = "its images lie in the order in which they were made, maybe class after "
        told += "class; give data.held_out_split, for their end may be one class"
        raise _refusal(info.name, told)
    count = found.num_examples
    held_out = max(1, round(count * (fraction or pipeline.HELD_OUT_FRACTION)))
    return f"{split}[:{count - held_out}]", f"{split}[{count - held_out}:]"
