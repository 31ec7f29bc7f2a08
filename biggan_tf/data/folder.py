"""A folder of images with one sub-folder per class."""

from __future__ import annotations

import atexit
import functools
import hashlib
import logging
import multiprocessing.pool
import os
import threading
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from biggan_tf.data import pipeline
from biggan_tf.errors import BadInput

ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".webp")
FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
TOO_MANY_UNREADABLE = 0.05  # of all files


class Folder(pipeline.Data):
    """The images directly inside each sub-folder; its name is the name of the class.

    Names that begin with a dot and other types of file are left out. A file that cannot
    be read is logged, once, and the next file of its split stands in for it: the stream
    depends on the names alone, so it resumes even if a file could not be read once.
    """

    NEEDS = ("path",)
    TAKES = ("held_out_fraction",)

    def __init__(self, options: pipeline.DataOptions) -> None:
        """Lists the files; raises BadInput if they are no labelled data set."""
        self._unreadable: dict[str, str] = {}  # path: what is wrong with it
        self._headers_checked = False
        # split: [(path, label)], by class and name
        self._splits: dict[str, list[tuple[str, int]]] = {"train": [], "held_out": []}
        fraction = options.held_out_fraction or pipeline.HELD_OUT_FRACTION
        classes = _classes(options.path)
        for label, (name, files) in enumerate(classes.items()):
            held_out = _held_out(files, fraction)
            for file in files:
                split = "held_out" if file in held_out else "train"
                path = os.path.join(options.path, name, file)
                self._splits[split].append((path, label))
        told = f"{fraction:.0%} of each class, by a hash of the file name"
        super().__init__(
            options,
            list(classes),
            name=options.path,
            train_images=len(self._splits["train"]),
            held_out_images=len(self._splits["held_out"]),
            train_split=f"all but {told}",
            held_out_split=told,
        )

    def check_ready(self) -> None:
        """Opens the header of every file; BadInput if too many are no images."""
        if self._headers_checked:
            return
        paths = [path for files in self._splits.values() for path, _ in files]
        with multiprocessing.pool.ThreadPool(16) as threads:
            problems = threads.imap(_header_problem, paths, chunksize=64)
            for path, problem in zip(paths, problems):
                if problem:
                    self._report_unreadable(path, problem)
        self._headers_checked = True

    def _files(self, split: str) -> list[tuple[str, str]]:
        root = self.spec.name
        return [
            (f"{label} {path.removeprefix(root).strip(os.sep)}", path)
            for path, label in self._splits[split]
        ]

    def _read(self, split: str, index: tf.Tensor) -> pipeline.Example:
        # Marked stateless, or op determinism would decode one image at a time.
        decoded = functools.partial(self._decoded, self._splits[split])
        types = [tf.uint8, tf.int32]
        image, label = tf.numpy_function(decoded, [index], types, stateful=False)
        return tf.ensure_shape(image, [None, None, 3]), tf.ensure_shape(label, [])

    def _decoded(
        self, files: list[tuple[str, int]], index: int
    ) -> tuple[np.ndarray, np.int32]:
        with _GATE:
            for at in range(index, index + len(files)):
                path, label = files[at % len(files)]
                try:
                    return decode(path, self.spec.image_size), np.int32(label)
                except Exception as error:  # whatever a decoder does to a broken file
                    self._report_unreadable(path, repr(error))
        raise BadInput(f"data.path: none of {len(files)} images can be decoded.")

    def _report_unreadable(self, path: str, problem: str) -> None:
        if path in self._unreadable:
            return
        self._unreadable[path] = problem
        count = len(self._unreadable)
        total = self.spec.train_images + self.spec.held_out_images
        logging.getLogger(__name__).warning(
            "unreadable image %d of %d, its neighbour stands in: %s: %s",
            *(count, total, path, problem),
        )
        if count > TOO_MANY_UNREADABLE * total:
            first = ", ".join(list(self._unreadable)[:5])
            raise BadInput(
                f"data.path: {count} of {total} images cannot be read, more than "
                f"{TOO_MANY_UNREADABLE:.0%}; remove or repair them (first {first})."
            )


def decode(path: str, size: int) -> np.ndarray:
    """Returns the RGB of an image file as it is meant to be seen.

    That is the first frame of an animation, upright by its EXIF tag, with transparency
    on white: uint8 [height, width, 3]. A JPEG of more than four times `size` pixels may
    come at 1/2, 1/4 or 1/8 of its size, but at least twice `size`: that is much faster.
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
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return np.asarray(image.convert("RGB"))


def _header_problem(path: str) -> str | None:
    try:
        with Image.open(path, formats=FORMATS):
            return None
    except Exception as error:  # whatever a decoder does to a broken file
        return repr(error)


def _classes(path: str) -> dict[str, list[str]]:
    """Returns sorted file names by sorted class names; BadInput if they are unfit."""

    def refusal(problem: str) -> BadInput:
        return BadInput(f"data.path = {path!r}: {problem}.")

    if not os.path.isdir(path):
        raise refusal(
            "this is no folder; give one with one sub-folder of images per class"
        )
    classes = {
        name: _names(os.path.join(path, name), os.DirEntry.is_file, ENDINGS)
        for name in _names(path, os.DirEntry.is_dir)
    }
    if len(classes) < 2:
        raise refusal(
            f"it has {len(classes)} sub-folders; give one with one per class, of two "
            "classes or more"
        )
    small = [name for name, files in classes.items() if len(files) < 2]
    if small:
        raise refusal(
            f"{len(small)} classes have fewer than two images ({', '.join(small[:5])})"
            f"; each takes one to train on and one to hold out, {' '.join(ENDINGS)}"
        )
    return classes


def _names(
    path: str, kind: Callable[[os.DirEntry], bool], endings: tuple[str, ...] = ("",)
) -> list[str]:
    """Returns the sorted names in a folder that do not begin with a dot."""
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if kind(entry)]
    except OSError as error:
        problem = f"{error.filename} cannot be read ({error.strerror})"
        raise BadInput(f"data.path: {problem}.") from error
    names = [name for name in names if name.lower().endswith(endings)]
    return sorted(name for name in names if not name.startswith("."))


def _held_out(files: list[str], fraction: float) -> set[str]:
    """Returns at least one file and not all, the same ones for the same names."""
    count = min(max(1, round(fraction * len(files))), len(files) - 1)
    by_hash = sorted(files, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    return set(by_hash[:count])


class _Gate:
    """Every Python function that tf.data calls runs inside `with _GATE:`.

    TensorFlow's threads prefetch until its buffers are full. One that asks for Python
    while the interpreter shuts down is ended on the spot, and whoever destroys its
    pipeline waits for it forever. So at exit calls fail at once, which fills the
    buffers, and the interpreter goes on when no more calls come.
    """

    def __init__(self) -> None:
        self._lock, self._open = threading.Lock(), True
        self._calls = self._running = 0
        atexit.register(self._close)

    def __enter__(self) -> None:
        """Raises RuntimeError once the program ends."""
        with self._lock:
            self._calls += 1
            if not self._open:
                raise RuntimeError("the program ends")
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1

    def _close(self) -> None:
        self._open = False
        seen = None
        while self._running or self._calls != seen:
            seen = self._calls
            time.sleep(0.05)


_GATE = _Gate()
