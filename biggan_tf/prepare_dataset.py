r"""Writes a data set, cropped and resized once and for all, as a TFDS data set.

    python -m biggan_tf.prepare_dataset --gin_param="data.source = 'tfds'" \
        --gin_param="data.name = 'imagenet2012'" --gin_param="data.image_size = 128" \
        --name=imagenet2012_128 --data_dir=/fast/disk

Training then reads it as any other: data.source = 'tfds', data.name =
'imagenet2012_128' and data.data_dir = '/fast/disk'. The tool takes all data.* bindings,
and every source; the images are those that training would see, rounded to uint8, as
PNG; data.flip mirrors in training alone. The split "validation" holds those held out,
of a folder a tenth unless data.held_out_fraction says otherwise. TFDS does not count
the images of a class, so latents.labels is then 'uniform'.
Decoding, resizing and encoding run on all cores; with --beam_options they run where
Apache Beam runs them:

    --beam_options="--runner=DirectRunner,--direct_num_workers=8"

Each record carries the SHA-256 of its label and pixels. When all is written it is read
back, counted and hashed; only then does it get its name, so that a preparation that was
cut off leaves nothing that looks finished.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import flags
from tqdm import tqdm

import biggan_tf.plan  # noqa: F401 (recipes bind its rooms)
from biggan_tf import config, data, files
from biggan_tf.api.arguments import as_folder
from biggan_tf.data.pipeline import DataOptions
from biggan_tf.errors import BadInput

config.define_flags()
_NAME = flags.DEFINE_string("name", None, "Of the new data set.", required=True)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where to put it; where TFDS keeps data sets by default."
)
_BEAM = flags.DEFINE_list("beam_options", None, "Pipeline options of Apache Beam.")
_SHARDS = flags.DEFINE_integer("shards", 1024, "Units of work under Beam.", 1, 10**5)

VERSION = "1.0.0"
SPLITS = {"train": "train", "validation": "held_out"}  # the new name: the source's
DIGEST = "sha256"


def digest(label: int, png: bytes) -> bytes:
    """Returns the SHA-256 of a label and of the pixels, however they are encoded."""
    pixels = tf.io.decode_png(png, 3).numpy().tobytes()
    return hashlib.sha256(label.to_bytes(4, "little") + pixels).digest()


@functools.lru_cache(maxsize=1)
def source(bindings: str) -> data.Data:
    """Returns the data set that bindings name; made once in every process."""
    config.parse([], [bindings])
    return data.load()


def examples(
    bindings: str, split: str, index: int = 0, count: int = 1
) -> Iterator[tuple[str, dict]]:
    """Yields (key, example) for each image of the source's shard."""

    def encoded(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.cast(tf.round((image + 1.0) * 127.5), tf.uint8)
        return tf.io.encode_png(pixels), label

    shard = source(bindings).shard(split, index, count)
    shard = shard.map(encoded, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    for position, (png, label) in enumerate(shard.as_numpy_iterator()):
        example = {"image": io.BytesIO(png), "label": int(label)}
        example[DIGEST] = digest(int(label), png).hex()
        yield f"{index:06d}_{position:09d}", example


class Prepared(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The data set to be; its class name is of no concern, `name` is the flag."""

    VERSION = tfds.core.Version(VERSION)

    def __init__(self, bindings: str, name: str, **kwargs: object):
        self._bindings = bindings
        type(self).name = name
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        spec = source(self._bindings).spec
        side = spec.image_size
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{spec.name}, {side} px, made with\n{self._bindings}",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(side, side, 3), encoding_format="png"
                    ),
                    "label": tfds.features.ClassLabel(names=spec.class_names),
                    DIGEST: tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: object) -> dict:
        del dl_manager
        return {name: self._generate_examples(split) for name, split in SPLITS.items()}

    def _generate_examples(self, split: str) -> object:
        if _BEAM.value is None:
            return examples(self._bindings, split)
        beam = tfds.core.lazy_imports.apache_beam
        count, bindings = _SHARDS.value, self._bindings
        return beam.Create(range(count)) | beam.FlatMap(
            lambda index: examples(bindings, split, index, count)
        )


def verify(folder: Path, spec: data.DataSpec) -> str:
    """Reads every record back; returns a hash of the set that no order changes."""
    builder, total = tfds.builder_from_directory(str(folder)), 0
    keep = {"image": tfds.decode.SkipDecoding()}
    for split, count in zip(SPLITS, (spec.train_images, spec.held_out_images)):
        found = 0
        records = builder.as_dataset(split=split, decoders=keep)
        for record in tqdm(records.as_numpy_iterator(), f"reading {split}", count):
            stored, label = record[DIGEST].decode(), int(record["label"])
            if digest(label, record["image"]).hex() != stored:
                raise BadInput(
                    f"{folder}: an image of {split} is not what was written; check the "
                    "disk and prepare again."
                )
            found, total = found + 1, total + int(stored, 16)
        if found != count:
            raise BadInput(f"{folder}: {found} images of {split} instead of {count}.")
    return f"{total % 2**256:064x}"


def check_new(folder: Path) -> None:
    """Raises BadInput if the data set to be made is there."""
    if folder.exists():
        raise BadInput(f"--name={_NAME.value}: {folder} exists; take another name.")


@data.sentences()
def main() -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", _NAME.value):
        told = "take a small letter, and then small letters, digits and underscores"
        raise BadInput(f"--name={_NAME.value}: {told}.")
    with contextlib.suppress(tfds.core.DatasetNotFoundError):
        tfds.builder_cls(_NAME.value)
        raise BadInput(
            f"--name={_NAME.value}: take another name, such as {_NAME.value}_64; under "
            "this one training would look for the data set that TFDS has."
        )
    root = as_folder(_DATA_DIR.value or tfds.core.constants.DATA_DIR, "--data_dir")
    final, working = root / _NAME.value, root / f"incomplete.{_NAME.value}"
    check_new(final)
    files.refuse_unwritable(final, f"--data_dir={root}")
    if _BEAM.value is None:
        config.leave_out(["shards"], "no --beam_options", "Apache Beam alone reads it")
    elif importlib.util.find_spec("apache_beam") is None:
        raise BadInput("--beam_options: install Apache Beam, or leave the flag out.")
    config.parse(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
    found = data.load()
    for name in found.spec.class_names:
        # TFDS keeps them in a file of lines, without the blanks at their ends.
        if name.strip().splitlines() != [name]:
            raise BadInput(
                f"{found.spec.name}: rename the class {name!r}; a TFDS data set takes "
                "names of one line, without blanks at their ends."
            )
    found.check_ready()
    print(*found.found(), sep="\n", flush=True)
    if DataOptions().flip:
        print("data.flip = True: no image is mirrored here; bind it in training")
    config.refuse_dead_bindings(("data",))
    config.refuse_dead_bindings(config.ROOMS, "--gin_param")  # recipes say more
    download = None
    if _BEAM.value is not None:
        options = tfds.core.lazy_imports.apache_beam.options.pipeline_options
        download = tfds.download.DownloadConfig(
            beam_options=options.PipelineOptions(_BEAM.value)
        )
    told = f"--name={_NAME.value}"
    with files.keep_out(working / "run.lock", told, "prepares a data set"):
        check_new(final)  # another process may have made it since
        made = working / _NAME.value
        shutil.rmtree(made, ignore_errors=True)  # of a preparation that was cut off
        builder = Prepared(config.operative(), _NAME.value, data_dir=str(working))
        builder.download_and_prepare(download_config=download)
        hashed = verify(made / VERSION, found.spec)
        os.replace(made, final)
    shutil.rmtree(working, ignore_errors=True)
    spec = found.spec
    print(
        f"{final}: {spec.train_images} training and {spec.held_out_images} held-out "
        f"images of {spec.image_size} px, verified, hash {hashed}"
    )


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
