"""A folder of images with one sub-folder per class."""

from __future__ import annotations

import functools
import hashlib
import logging
import multiprocessing.pool
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from biggan_tf.data import order, pipeline, python_calls
from biggan_tf.errors import BadInput

ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".webp")
FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
TOO_MANY_UNREADABLE = 0.05  # of all files
_GATE = python_calls.Gate()


class Folder(pipeline.Data):
    """The images directly inside each sub-folder; its name is the name of the class.

    Names that begin with a dot and other types of file are left out. A file that cannot
    be read is logged, once, and the next file of its part stands in for it: the stream
    depends on nothing but the names, and resumes even if a disk had a bad moment.
    """

    def __init__(
        self,
        path: str,
        image_size: int,
        flip: bool,
        held_out_fraction: float = pipeline.HELD_OUT_FRACTION,
    ) -> None:
        """List the files; BadInput if they are no labelled data set."""
        self._unreadable: dict[str, str] = {}  # path: what is wrong with it
        self._headers_checked = False
        # part: [(path, label)], by class and name
        self._parts: dict[str, list[tuple[str, int]]] = {"train": [], "held out": []}
        classes = _classes(path)
        for label, (name, files) in enumerate(classes.items()):
            held_out = _held_out(files, held_out_fraction)
            for file in files:
                part = "held out" if file in held_out else "train"
                self._parts[part].append((os.path.join(path, name, file), label))
        share = f"{held_out_fraction:.0%} of each class, by a hash of the file name"
        spec = pipeline.DataSpec(
            source="folder",
            name=path,
            image_size=image_size,
            num_classes=len(classes),
            class_names=tuple(classes),
            train_images=len(self._parts["train"]),
            held_out_images=len(self._parts["held out"]),
            train_split=f"all but {share}",
            held_out_split=share,
        )
        super().__init__(spec, flip)

    def check_ready(self) -> None:
        """Open the header of every file; BadInput if too many are no images."""
        if self._headers_checked:
            return
        paths = [path for part in self._parts.values() for path, _ in part]
        with multiprocessing.pool.ThreadPool(16) as threads:
            problems = threads.imap(_header_problem, paths, chunksize=64)
            for path, problem in zip(paths, problems):
                if problem:
                    self._report_unreadable(path, problem)
        self._headers_checked = True

    def _stream(self, share: order.Share, seed: int) -> tf.data.Dataset:
        def example(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            index = order.shuffled_index(position, self.spec.train_images, seed)
            return self._finished(*self._read("train", index), position, seed)

        examples = share.positions().unbatch().map(example, tf.data.AUTOTUNE)
        return examples.batch(share.replica_batch, drop_remainder=True)

    def _once(self, part: str, index: int = 0, count: int = 1) -> tf.data.Dataset:
        indices = tf.data.Dataset.range(index, len(self._parts[part]), count)
        return indices.map(
            lambda index: self._finished(*self._read(part, index)), tf.data.AUTOTUNE
        )

    def _read(self, part: str, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Marked stateless, or op determinism would decode one image at a time.
        image, label = tf.numpy_function(
            functools.partial(self._decoded, self._parts[part]),
            [index],
            [tf.uint8, tf.int32],
            stateful=False,
        )
        return tf.ensure_shape(image, [None, None, 3]), tf.ensure_shape(label, [])

    def _decoded(
        self, files: list[tuple[str, int]], index: int
    ) -> tuple[np.ndarray, np.int32]:
        with _GATE.call():
            for distance in range(len(files)):
                path, label = files[(index + distance) % len(files)]
                try:
                    return decode(path, self.spec.image_size), np.int32(label)
                except Exception as error:  # whatever a decoder does to a broken file
                    self._report_unreadable(path, repr(error))
        raise BadInput(f"data.path: none of {len(files)} images can be decoded")

    def _report_unreadable(self, path: str, problem: str) -> None:
        if path in self._unreadable:
            return
        self._unreadable[path] = problem
        count = len(self._unreadable)
        total = self.spec.train_images + self.spec.held_out_images
        logging.getLogger(__name__).warning(
            "unreadable image %d of %d, its neighbour stands in: %s: %s",
            count,
            total,
            path,
            problem,
        )
        if count > TOO_MANY_UNREADABLE * total:
            raise BadInput(
                f"data.path: {count} of {total} images cannot be read, more than "
                f"{TOO_MANY_UNREADABLE:.0%}: remove or repair them, beginning with "
                + ", ".join(list(self._unreadable)[:5])
            )


def decode(path: str, size: int) -> np.ndarray:
    """RGB of an image file as it is meant to be seen: uint8 [height, width, 3].

    The first frame of an animation, upright by its EXIF tag; transparency on white. A
    JPEG of more than four times `size` pixels may come at a half, a quarter or an
    eighth of its size, but at least twice `size`: that is many times faster.
    """
    with Image.open(path, formats=FORMATS) as image:
        image.draft(None, (2 * size, 2 * size))
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I"):
            # 16 bits of grey; Pillow's own conversion would clip at 255.
            grey = np.round(np.asarray(image) / 257).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=-1)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            return np.asarray(
                Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
            )
        return np.asarray(image.convert("RGB"))


def _header_problem(path: str) -> str | None:
    try:
        with Image.open(path, formats=FORMATS):
            return None
    except Exception as error:  # whatever a decoder does with a broken file
        return repr(error)


def _classes(path: str) -> dict[str, list[str]]:
    """Sorted class names, each with its sorted file names; BadInput if unfit."""
    if not os.path.isdir(path):
        raise BadInput(
            f"data.path = {path!r} is not a folder; give one with one sub-folder of "
            "images per class"
        )
    classes = {name: [] for name in _names(path, os.DirEntry.is_dir)}
    if len(classes) < 2:
        raise BadInput(
            f"data.path = {path!r} has {len(classes)} sub-folders, so that all labels "
            "would be the same: it takes one per class, of two classes or more"
        )
    for name, files in classes.items():
        for file in _names(os.path.join(path, name), os.DirEntry.is_file):
            if file.lower().endswith(ENDINGS):
                files.append(file)
    small = [name for name, files in classes.items() if len(files) < 2]
    if small:
        raise BadInput(
            f"data.path = {path!r}: a class takes two images ({' '.join(ENDINGS)}) or "
            "more directly in its sub-folder, one of them to hold out; "
            f"{len(small)} have fewer or are empty: {', '.join(small[:5])}"
        )
    return classes


def _names(path: str, kind: Callable[[os.DirEntry], bool]) -> list[str]:
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if kind(entry)]
    except OSError as error:
        raise BadInput(
            f"data.path: {error.filename} cannot be read: {error.strerror}."
        ) from error
    return sorted(name for name in names if not name.startswith("."))


def _held_out(files: list[str], fraction: float) -> set[str]:
    """At least one file and not all, the same for the same names."""
    count = min(max(1, round(fraction * len(files))), len(files) - 1)
    by_hash = sorted(files, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    return set(by_hash[:count])
