"""A folder of images, with a sub-folder per class, with labels, or with neither."""

from __future__ import annotations

import functools
import hashlib
import logging
import multiprocessing.pool
import os

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from biggan_tf.data import pipeline, resizing
from biggan_tf.data.gate import GATE
from biggan_tf.data.listing import FORMATS, look, shown
from biggan_tf.errors import BadInput

TOO_MANY_UNREADABLE = 0.05  # of all files


class Folder(pipeline.Data):
    """The images below each sub-folder, whose name is the name of the class.

    A folder without sub-folders of images is one class, and a file of labels makes any
    classes. A file that cannot be read is logged, once, and the next file of its split
    stands in for it: the stream depends on the names alone, so it resumes even if a
    file could not be read once. A class of which none can be read is refused.
    """

    NEEDS = ("path",)
    TAKES = ("held_out_fraction", "labels")

    def __init__(self, options: pipeline.DataOptions) -> None:
        """Lists the files; raises BadInput if `look` does, or none can be held out."""
        self._unreadable: dict[str, str] = {}  # path: what is wrong with it
        self._sides: list[int] = []  # the shorter one of each image, once it is known
        self._listing = listing = look(options.path, options.before, options.labels)
        classes = listing.classes
        self._alone = [name for name, files in classes.items() if len(files) == 1]
        fraction = options.held_out_fraction or pipeline.HELD_OUT_FRACTION
        held_out_for = self._held_out_for = _held_out_for(options, classes)
        # split: [(path, label)], by class and name
        self._splits: dict[str, list[tuple[str, int]]] = {"train": [], "held_out": []}
        for label, (name, files) in enumerate(classes.items()):
            within = "" if listing.flat else name
            held_out = _held_out(files, fraction) if held_out_for else ()
            for file in files:
                split = "held_out" if file in held_out else "train"
                path = os.path.join(options.path, within, file)
                self._splits[split].append((path, label))
        if held_out_for and not self._splits["held_out"]:
            raise BadInput(
                f"data.path = {options.path!r}: none can be held out for "
                f"{held_out_for}; give two images or more of a class, or do without."
            )
        told = f"{100 * fraction:g}% of each class, by a hash of the file name"
        super().__init__(
            options,
            list(classes),
            name=options.path,
            train_images=len(self._splits["train"]),
            held_out_images=len(self._splits["held_out"]),
            train_split=f"all but {told}" if held_out_for else "all images",
            held_out_split=told if held_out_for else "",
            class_counts=self._counts("train", len(classes)),
            listing=listing.rules,
        )
        # How many training images of each class are not known to be unreadable.
        self._readable = [*self.spec.class_counts]

    def class_counts(self, split: str) -> tuple[int, ...]:
        return self._counts(split, self.spec.num_classes)

    def _counts(self, split: str, classes: int) -> tuple[int, ...]:
        labels = [label for _, label in self._splits[split]]
        return tuple(np.bincount(labels, minlength=classes).tolist())

    def found(self) -> list[str]:
        spec, size = self.spec, self.spec.image_size
        count, parts = spec.train_images + spec.held_out_images, "all to train on"
        if spec.held_out_images:
            parts = f"{spec.train_images:,} to train on, {spec.held_out_images:,}"
            parts += f" held out for {self._held_out_for}"
        lines = [f"{spec.name}: {self._listing.structure}"]
        lines.append(f"{count:,} images: {parts}")
        if left_out := self._listing.left_out:
            lines.append(f"left out: {left_out}")
        if self._alone:
            lines.append(f"classes of one image, to train on: {shown(self._alone)}")
        if small := [side for side in self._sides if side < size]:
            told = f"{len(small):,} of {count:,} images, down to {min(small)} px"
            lines.append(f"enlarged to {size} px: {told}")
        return lines

    def check_ready(self) -> None:
        """Opens the header of every file.

        BadInput if too many are no images, or none of a class is left to train on.
        """
        if self._sides:
            return
        files = [
            (split, *file) for split in self._splits for file in self._splits[split]
        ]
        paths = [path for _, path, _ in files]
        with multiprocessing.pool.ThreadPool(16) as threads:
            headers = threads.imap(_header, paths, chunksize=64)
            for file, (side, problem) in zip(files, headers):
                if problem:
                    self._report_unreadable(*file, problem)
                else:
                    self._sides.append(side)

    def _files(self, split: str) -> list[tuple[str, str]]:
        root = self.spec.name
        return [
            (f"{label} {path.removeprefix(root).strip(os.sep)}", path)
            for path, label in self._splits[split]
        ]

    def _read(self, split: str, index: tf.Tensor) -> pipeline.Example:
        # Marked stateless, or op determinism would decode one image at a time.
        decoded = functools.partial(self._decoded, split)
        types = [tf.uint8, tf.int32]
        image, label = tf.numpy_function(decoded, [index], types, stateful=False)
        return tf.ensure_shape(image, [None, None, 3]), tf.ensure_shape(label, [])

    def _decoded(self, split: str, index: int) -> tuple[np.ndarray, np.int32]:
        files = self._splits[split]
        with GATE:
            for at in range(index, index + len(files)):
                path, label = files[at % len(files)]
                try:
                    return decode(path, self.spec.image_size), np.int32(label)
                except Exception as error:  # whatever a decoder does to a broken file
                    self._report_unreadable(split, path, label, _problem(error))
        raise BadInput(f"data.path: none of {len(files)} images can be decoded.")

    def _report_unreadable(
        self, split: str, path: str, label: int, problem: str
    ) -> None:
        if path in self._unreadable:
            return
        self._unreadable[path] = problem
        count = len(self._unreadable)
        total = self.spec.train_images + self.spec.held_out_images
        logging.getLogger(__name__).warning(
            "unreadable image %d of %d, its neighbour stands in: %s: %s",
            *(count, total, shown([path]), problem),
        )
        if count > TOO_MANY_UNREADABLE * total:
            first = [*self._unreadable.items()][:3]
            first = "; ".join(f"{shown([path])}: {why}" for path, why in first)
            raise BadInput(
                f"data.path: {count} of {total} images cannot be read, more than "
                f"{TOO_MANY_UNREADABLE:.0%}; remove or repair them (first {first})."
            )
        if split == "train":
            self._readable[label] -= 1
        if not self._readable[label]:
            name = shown([self.spec.class_names[label]])
            raise BadInput(
                f"data.path: none of the training images of class {name} can be read; "
                f"repair them, or remove the class (last {shown([path])}: {problem})."
            )


def read(path: str, size: int, flag: str) -> np.ndarray:
    """Returns an image file as training sees it, uint8 [size, size, 3].

    Raises BadInput, which names the flag, if it cannot be read.
    """
    try:
        image = decode(path, size)
    except Exception as error:  # whatever a decoder does to a broken file
        raise BadInput(
            f"{flag}={path}: take a file that can be read; {_problem(error)}."
        ) from error
    return np.uint8(np.rint(resizing.resized(image, size)))


def decode(path: str, size: int) -> np.ndarray:
    """Returns the RGB of an image file as it is meant to be seen.

    That is the first frame of an animation, upright by its EXIF tag, with transparency
    on white: uint8 [height, width, 3]. A JPEG of more than four times `size` pixels may
    come at 1/2, 1/4 or 1/8 of its size, but at least twice `size`: that is much faster.
    """
    with _opened(path) as image:
        if image.format == "PNG":
            with _opened(path) as same:
                same.verify()  # the checksums, over which decoding passes
        image.draft(None, (2 * size, 2 * size))
        if image.format == "PNG" and "transparency" in image.info:
            _fit_transparency(image)
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I"):
            # 16 bits of grey; Pillow's own conversion would clip at 255.
            grey = np.clip(np.round(np.asarray(image) / 257), 0, 255).astype(np.uint8)
            grey[np.asarray(image) == image.info.get("transparency")] = 255
            return np.repeat(grey[..., None], 3, axis=-1)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return np.asarray(image.convert("RGB"))


def _fit_transparency(image: Image.Image) -> None:
    """Changes a PNG's transparent colour as Pillow will change its pixels, to 8 bits.

    Of an image that is not loaded yet.
    """
    layout, colour = image.tile[0][3], image.info["transparency"]
    if layout == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)
    elif layout in ("L;2", "L;4"):
        image.info["transparency"] = colour * {"L;2": 85, "L;4": 17}[layout]


def _opened(path: str) -> Image.Image:
    """Opens an image; ValueError if its pixels have no known range."""
    image = Image.open(path, formats=FORMATS)
    known = image.mode != "F"
    if image.format == "TIFF":
        known &= set(image.tag_v2.get(339, (1,))) == {1}  # without a sign
        # Pillow would map the file of a turned image with rows of a wrong length.
        image.filename = ""
    if image.mode.startswith("I") and image.format == "TIFF":
        # Pillow opens 12 bits as 16, and a white 0 as a black one, as they are.
        bits, black = (image.tag_v2.get(tag) for tag in (258, 262))
        known = image.mode != "I" and (bits, black) == ((16,), 1)
    if not known:
        image.close()
        raise ValueError(
            "its pixels have no known range; take 8 bits, or 16 without a sign, in "
            "which black is 0"
        )
    return image


def _header(path: str) -> tuple[int, str | None]:
    """Returns an image's shorter side in pixels, and what is wrong with the file."""
    try:
        with _opened(path) as image:
            return min(image.size), None
    except Exception as error:  # whatever a decoder does to a broken file
        return 0, _problem(error)


def _problem(error: Exception) -> str:
    """Returns what is wrong with a file, in words where there are better ones."""
    if isinstance(error, Image.DecompressionBombError):
        limit = f"Pillow's limit of {2 * Image.MAX_IMAGE_PIXELS:,} pixels"
        return f"it is above {limit}, as a decompression bomb would be"
    if isinstance(error, UnidentifiedImageError):
        return f"it is no image of {', '.join(FORMATS)}"
    return getattr(error, "strerror", None) or repr(error)


def _held_out_for(options: pipeline.DataOptions, classes: dict) -> str:
    """Returns what the held-out images are for; "" holds none out."""
    before = options.before
    goes_on = before and (before.source, before.class_names) == ("folder", (*classes,))
    if goes_on and before.held_out_images and not options.held_out_for:
        return "this run"
    by_option = "data.held_out_fraction" if options.held_out_fraction else ""
    return options.held_out_for or by_option


def _held_out(files: list[str], fraction: float) -> set[str]:
    """Returns at least one file and not all, the same ones for the same names."""
    count = min(max(1, round(fraction * len(files))), len(files) - 1)
    by_hash = sorted(files, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    return set(by_hash[:count])
