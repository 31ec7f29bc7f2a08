"""Any image classification data set of TensorFlow Datasets, once it is prepared."""

from __future__ import annotations

import difflib
import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import naming
from tensorflow_datasets.core.utils import gcs_utils

from biggan_tf.data import order, pipeline
from biggan_tf.errors import BadInput

# Encoded examples that wait in the shuffle buffer. Data sets below it (CIFAR: 0.15 GB)
# are fully shuffled; of ImageNet it holds some 9,000, from files in random order.
SHUFFLE_BUFFER_BYTES = 2**30
FILES_AT_ONCE = 16

# Looking up a name must not ask Google's bucket for it; there is no public switch.
gcs_utils._is_gcs_disabled = True


class Tfds(pipeline.Data):
    """A TFDS builder, by name, read from disk; nothing is ever downloaded."""

    def __init__(
        self,
        name: str,
        image_size: int,
        flip: bool,
        data_dir: str | None = None,
        split: str = "train",
        held_out_split: str | None = None,
        held_out_fraction: float | None = None,
    ) -> None:
        """Look up the builder, prepared or not; BadInput if it will not do."""
        self._builder = _builder(name, data_dir)
        info = self._builder.info
        self._keys = (info.supervised_keys or ("image", "label"))[:2]
        image, label = (dict(info.features).get(str(key)) for key in self._keys)
        _check_features(name, image, label)
        # Of these two alone: whatever else an example has is not decoded.
        features = dict(zip(self._keys, [image, label]))
        self._features = tfds.features.FeaturesDict(features)
        # part: SplitInfo; empty while the data set is not prepared
        self._parts = {}
        if info.splits:
            if held_out_split is None:
                split, held_out_split = _choose(info.splits, split, held_out_fraction)
            self._parts = {
                "train": _split(info.splits, "split", split),
                "held out": _split(info.splits, "held_out_split", held_out_split),
            }
        counts = {part: found.num_examples for part, found in self._parts.items()}
        spec = pipeline.DataSpec(
            source="tfds",
            name=name,
            image_size=image_size,
            num_classes=label.num_classes,
            class_names=tuple(label.names),
            train_images=counts.get("train", 0),
            held_out_images=counts.get("held out", 0),
            train_split=split,
            held_out_split=held_out_split or "",
        )
        super().__init__(spec, flip)

    def check_ready(self) -> None:
        """BadInput, with the command to run, if the data set is not prepared."""
        builder, name = self._builder, self.spec.name
        # The path ends in name/config/version.
        root = builder.data_path.parents[builder.info.full_name.count("/")]
        if not self._parts:
            by_hand = " ".join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
            if by_hand:
                by_hand = f", with manual_dir being {root}/downloads/manual: {by_hand}"
            # Not `tfds build`: that needs Apache Beam, whatever it builds.
            raise BadInput(
                f"data.name = {name!r} is not prepared in data.data_dir = {str(root)!r}"
                f'; run `{sys.executable} -c "import tensorflow_datasets as tfds; '
                f"tfds.builder('{name}', data_dir='{root}').download_and_prepare()\"`"
                + by_hand
            )
        if builder.info.file_format.value != "tfrecord":
            raise BadInput(
                f"data.name = {name!r} is prepared in data.data_dir = {str(root)!r} as "
                f"{builder.info.file_format.value}; it has to be tfrecord"
            )
        damaged = [
            path
            for split in builder.info.splits.values()
            if not _is_whole(split)
            for path, count in zip(split.filepaths, split.shard_lengths)
            if not _has_records(str(path), count)
        ]
        if damaged:
            raise BadInput(
                f"data.name = {name!r}: {len(damaged)} files are missing or cut off, "
                f"beginning with {damaged[0]}: prepare the data set again"
            )

    def _stream(self, share: order.Share, seed: int) -> tf.data.Dataset:
        count = self.spec.train_images
        first = share.first_batch * share.batch_size
        # Encoded records only, so that those of no concern here cost little.
        epochs = tf.data.Dataset.counter(first // count)
        records = epochs.flat_map(lambda epoch: self._epoch(epoch, seed))
        records = records.skip(first % count).enumerate(first)
        records = records.filter(lambda position, _: share.owns(position))
        examples = records.map(
            lambda position, record: self._example(record, position, seed),
            tf.data.AUTOTUNE,
        )
        return examples.batch(share.replica_batch, drop_remainder=True)

    def _once(self, part: str, index: int = 0, count: int = 1) -> tf.data.Dataset:
        records = self._files(part).shard(count, index).flat_map(_records)
        return records.map(self._example, tf.data.AUTOTUNE)

    def _epoch(self, epoch: tf.Tensor, seed: int) -> tf.data.Dataset:
        """All training records in the order of one epoch."""
        # shuffle() mixes in the global seed; here, in the graph of flat_map, that is a
        # seed of this graph alone. (With 0 it cannot take a tensor.)
        tf.random.set_seed(1)
        draws = tf.random.stateless_uniform(
            [2], tf.stack([epoch, seed]), minval=None, maxval=None, dtype=tf.int64
        )
        files = self._files("train")
        files = files.shuffle(len(files), draws[0], reshuffle_each_iteration=False)
        records = files.interleave(
            _records, FILES_AT_ONCE, num_parallel_calls=tf.data.AUTOTUNE
        )
        info = self._builder.info
        record_bytes = info.dataset_size / info.splits.total_num_examples
        buffer = min(self.spec.train_images, 1 + SHUFFLE_BUFFER_BYTES // record_bytes)
        return records.shuffle(int(buffer), draws[1], reshuffle_each_iteration=False)

    def _files(self, part: str) -> tf.data.Dataset:
        """(path, first record, records) of the pieces of files that make up a part."""
        pieces = self._parts[part].file_instructions
        return tf.data.Dataset.from_tensor_slices(
            (
                [piece.filename for piece in pieces],
                np.array([piece.skip for piece in pieces], np.int64),
                np.array([piece.take for piece in pieces], np.int64),
            )
        )

    def _example(
        self, record: tf.Tensor, position: tf.Tensor | None = None, seed: int = 0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        example = self._features.deserialize_example(record)
        image, label = (example[key] for key in self._keys)
        # Splits without labels say -1.
        known = (label >= 0) & (label < self.spec.num_classes)
        told = f"data.name = {self.spec.name!r}, {self.spec.num_classes} classes: label"
        with tf.control_dependencies([tf.debugging.Assert(known, [told, label])]):
            return self._finished(image, tf.identity(label), position, seed)


def _records(path: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(path, buffer_size=2**20).skip(skip).take(take)


def _is_whole(split: tfds.core.SplitInfo) -> bool:
    """Whether the files have the bytes that they were prepared with."""
    framing = 16 * split.num_examples  # length and checksums of each record
    files = [str(path) for path in split.filepaths]
    there = sum(os.path.getsize(path) for path in files if os.path.exists(path))
    return there >= split.num_bytes + framing


def _has_records(path: str, count: int) -> bool:
    try:
        return sum(1 for _ in tf.data.TFRecordDataset(path)) == count
    except tf.errors.OpError:
        return False


def _builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    try:
        if naming.parse_builder_name_kwargs(name)[0].namespace:
            raise ValueError("community data sets are fetched over the network")
        return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(name, known) or ["imagenet2012", "cifar10"]
        raise BadInput(
            f"data.name = {name!r} is no TFDS data set known here, as are "
            + ", ".join(close)
        ) from None
    except (ValueError, AssertionError) as error:
        # No such version or config; the library says which there are.
        problem = " ".join(str(error).split())
        raise BadInput(f"data.name = {name!r}: {problem}") from None


def _check_features(name: str, image: object, label: object) -> None:
    if not isinstance(label, tfds.features.ClassLabel):
        raise BadInput(f"data.name = {name!r} does not give each example a class")
    is_image = isinstance(image, tfds.features.Image)
    if not is_image or image.np_dtype != np.uint8 or image.shape[-1] not in (1, 3):
        raise BadInput(f"data.name = {name!r} does not hold 8-bit grey or RGB images")


def _split(splits: dict, binding: str, split: str) -> tfds.core.SplitInfo:
    try:
        found = splits[split]
    except (KeyError, ValueError, AssertionError):
        found = None
    if not found or not found.num_examples:
        there = ", ".join(f"{name} ({splits[name].num_examples})" for name in splits)
        raise BadInput(f"data.{binding} = {split!r} holds nothing; there is {there}")
    return found


def _choose(splits: dict, split: str, fraction: float | None) -> tuple[str, str]:
    """Training and held-out split where the second was not named."""
    if fraction is None:
        for other in ("validation", "test"):
            if other in splits and other != split:
                return split, other
    if split not in splits:
        _split(splits, "split", split)
        raise BadInput(
            f"data.split = {split!r} is a part already: name data.held_out_split too"
        )
    count = splits[split].num_examples
    held_out = max(1, round(count * (fraction or pipeline.HELD_OUT_FRACTION)))
    return f"{split}[:{count - held_out}]", f"{split}[{count - held_out}:]"
