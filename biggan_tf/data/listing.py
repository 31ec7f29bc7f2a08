"""What lies in a folder of images: its classes, their files, and what is left out."""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Collection
from typing import NamedTuple

from PIL import Image, features

from biggan_tf.data import labelled
from biggan_tf.data.pipeline import DataSpec
from biggan_tf.errors import BadInput

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
if "avif" not in features.get_supported():
    FORMATS = FORMATS[:-1]
ENDINGS = frozenset(
    ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS
)
RULES = 2  # the `DataSpec.listing` of today
# Rules 1 took files with these endings that lie directly in the folder of a class.
FIRST_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".webp")
FLAT = "images"  # the name of the only class of a folder without classes
# What systems write into every folder.
_SILENT = frozenset({".ds_store", "desktop.ini", "thumbs.db"})
_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")
_WITHOUT_IMAGES = "folder{s} without images"
_MOST_SHOWN = 5  # names in a sentence


class Listing(NamedTuple):
    """The images of a folder: in each class, those at any depth below its folder."""

    flat: bool  # the paths are below the folder itself, not that of their class
    classes: dict[str, list[str]]  # paths of each class, sorted
    left_out: str  # such as "40 .txt, 2 broken links", or ""
    rules: int = RULES
    labels: str = ""  # the file that says the classes, if one does

    @property
    def structure(self) -> str:
        """Says what was found, for people."""
        if self.flat and not self.labels:
            return "images and no sub-folders of images: one class, unconditional"
        (name, files), *others = self.classes.items()
        by = f" by {self.labels}" if self.labels else ""
        if others:
            counts = [len(files) for files in self.classes.values()]
            sizes = " to ".join(f"{n:,}" for n in sorted({min(counts), max(counts)}))
            names = shown(self.classes)
            return f"{len(counts):,} classes{by} ({names}), {sizes} images each"
        told = f"one class{by} ({shown([name])}), unconditional"
        if not by and len(inside := _folders_in(files)) > 1:
            told += f"; if the folders in it ({shown(inside)}) are the classes, add "
            told += "its name to data.path"
        return told


def every_image(path: str) -> tuple[list[str], str]:
    """Returns the images below a folder, links followed, as paths relative to it.

    And what is left out, counted by kind, "" for nothing.
    """
    left_out: dict[str, list[str]] = collections.defaultdict(list)
    found = sorted(_images(path, (), left_out))
    return found, _counted(left_out)


def look(
    path: str, before: DataSpec | None = None, labels: str | None = None
) -> Listing:
    """Finds the images below a folder, links followed; the classes in natural order.

    The classes are sub-folders, or what a file of labels says. If a model `before` had
    the same ones, they keep its order, so that labels mean what they did; a run goes on
    by the rules that found its images.

    Raises BadInput if a folder cannot be read, or the name of a class is no Unicode. By
    sub-folders: if there are no images, they lie beside folders of images, or the
    folders are splits. By labels: if they are of files that are not there.
    """
    names = collections.defaultdict(list)  # of what is left out, by what it is
    images = sorted(_images(path, (), names))
    if labels is not None:
        classes = _by_labels(path, images, labels, names)
        order = _order(classes, before)
        name = os.path.basename(os.path.normpath(labels))
        return Listing(True, order, _counted(names), labels=name)
    beside = [image for image in images if os.sep not in image]
    classes = collections.defaultdict(list)
    for image in images:
        name, within, file = image.partition(os.sep)
        if within:
            classes[name].append(file)
    known = before.class_names if before else ()
    if before and before.source == "folder" and before.listing == 1:
        first = _by_first_rules(classes)
        if first.keys() == set(known):
            taken = sum(map(len, first.values()))
            names["image{s} that this run began without"] = images[taken:]
            return Listing(False, {n: first[n] for n in known}, _counted(names), 1)
    problem = _problem(path, beside, classes, _counted(names))
    if problem:
        raise BadInput(f"data.path = {path!r}: {problem}.")
    if beside:
        return Listing(True, {FLAT: beside}, _counted(names))
    return Listing(False, _order(classes, before), _counted(names))


def _order(
    classes: dict[str, list[str]], before: DataSpec | None
) -> dict[str, list[str]]:
    """Returns the classes in the order of the model before, or else of people."""
    known = before.class_names if before else ()
    order = known if classes.keys() == set(known) else sorted(classes, key=natural)
    return {name: classes[name] for name in order}


def _by_labels(
    path: str, images: list[str], labels: str, left_out: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Returns the images of each class of a file of labels; leaves out all others."""
    classes, known = collections.defaultdict(list), labelled.read(labels)
    if missing := sorted(known.keys() - set(images)):
        raise BadInput(
            f"data.labels = {labels!r}: {len(missing):,} of its {len(known):,} files "
            f"({shown(missing)}) are no images in data.path = {path!r}; name files by "
            "their paths below it, or take these lines out."
        )
    for image in images:
        if image in known:
            classes[known[image]].append(image)
        else:
            left_out["image{s} without a label"].append(image)
    if problem := _no_unicode(path, *classes):
        raise BadInput(f"data.labels = {labels!r}: {problem}.")
    return classes


def _problem(
    path: str, beside: list[str], classes: dict[str, list[str]], left_out: str
) -> str | None:
    """Returns why images, in the folder itself and in sub-folders, are no data set."""
    if not beside and not classes:
        return (
            f"it holds no images (left out: {left_out or 'nothing'}); give a folder of "
            f"images or of a sub-folder per class, {' '.join(sorted(ENDINGS))}"
        )
    if beside and classes:
        return (
            f"{len(beside):,} images ({shown(beside)}) lie beside sub-folders of "
            f"images ({shown(classes)}); move them into the sub-folders of their "
            "classes, or away"
        )
    if splits := _splits(classes):
        best = min(splits, key=lambda name: not name.casefold().startswith("train"))
        return (
            f"its sub-folders are splits ({shown(splits)}), not classes; give one of "
            f"them, data.path = {os.path.join(path, best)!r}, of which "
            "data.held_out_fraction can hold images out"
        )
    return _no_unicode(path, *classes)


def _no_unicode(*names: str) -> str | None:
    """Returns what is wrong with the first name that has bytes which are no UTF-8."""
    for name in names:
        if re.search("[\ud800-\udfff]", name):
            return f"the name {shown([name])} is no Unicode (UTF-8); rename it"
    return None


def _by_first_rules(classes: dict[str, list[str]]) -> dict[str, list[str]]:
    """Returns what rules 1 took of each class."""
    taken = collections.defaultdict(list)
    for name, files in classes.items():
        for file in files:
            if os.sep not in file and file.lower().endswith(FIRST_ENDINGS):
                taken[name].append(file)
    return taken


def natural(name: str) -> tuple:
    """Returns the key by which people sort names: "2" is before "10"."""
    parts = re.split(r"(\d+)", name)  # text and numbers in turn
    parts[1::2] = map(int, parts[1::2])
    return parts, name


def shown(names: Collection[str]) -> str:
    """Returns the first few names, with escapes for what cannot be printed."""
    first = [n if n.isprintable() else ascii(n)[1:-1] for n in [*names][:_MOST_SHOWN]]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more:,} more" if more else "")


def _splits(classes: dict[str, list[str]]) -> list[str]:
    """Returns the folders that are splits; none if they may well be classes."""
    splits = [name for name in classes if name.casefold() in _SPLITS]
    nested = [name for name in splits if _folders_in(classes[name])]
    nothing_else = len(splits) == len(classes)
    sure = len(nested) > 1 or (nothing_else and (nested or len(splits) > 1))
    return splits if sure else []


def _folders_in(files: Collection[str]) -> list[str]:
    """Returns the folders, one level down, that hold some of the files."""
    return sorted({file.partition(os.sep)[0] for file in files if os.sep in file})


def _images(
    folder: str,
    above: tuple[str, ...],
    left_out: dict[str, list[str]],
    followed: set[str] | None = None,
    linked: bool = False,
) -> list[str]:
    """Returns the images below a folder, as paths relative to it, in no order.

    Adds to `left_out` all else. `above` are the true paths of the folders around it,
    `followed` those of the folders that links of the same class have led to so far. In
    a linked folder (`linked`), a link to one of these is left out: links that lead to
    each other would make ever more paths.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (OSError, ValueError) as error:  # ValueError: it holds a null byte
        why = getattr(error, "strerror", None) or error
        told = f"{shown([folder])} is no folder that can be read ({why})"
        raise BadInput(f"data.path: {told}; give one that is.") from error
    true, images = os.path.realpath(folder), []
    for entry in entries:
        name = entry.name
        is_folder = os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
        if name.casefold() in _SILENT:
            continue
        if kind := _kind_left_out(entry, is_folder):
            left_out[kind].append(name)
        elif not is_folder:
            images.append(name)
        elif (target := os.path.realpath(entry.path)) in (*above, true):
            left_out["link{s} to a folder around it"].append(name)
        elif entry.is_symlink() and linked and target in followed:
            left_out["further link{s} to a folder"].append(name)
        else:
            around, is_link = (*above, true), entry.is_symlink()
            reached = set() if followed is None else followed
            if is_link:
                reached.add(target)
            inside = _images(entry.path, around, left_out, reached, linked or is_link)
            if not inside:
                left_out[_WITHOUT_IMAGES].append(name)
            images += [os.path.join(name, image) for image in inside]
    return images


def _kind_left_out(entry: os.DirEntry, is_folder: bool) -> str | None:
    """Returns what an entry is that is left out; None for an image or a folder."""
    if entry.name == "__MACOSX":
        return entry.name
    if entry.name.startswith("."):
        return "hidden folder{s}" if is_folder else "hidden file{s}"
    if is_folder:
        ours = os.path.isfile(os.path.join(entry.path, "config.gin"))
        return "model director{ies}" if ours else None
    if entry.is_symlink() and not os.path.exists(entry.path):
        return "broken link{s}"
    if not entry.is_file():
        return "special file{s}"
    ending = os.path.splitext(entry.name)[1].lower()
    return None if ending in ENDINGS else ending or "file{s} without an ending"


def _counted(left_out: dict[str, list[str]]) -> str:
    """Returns "40 .txt, 2 broken links"; folders without images are named."""
    parts = []
    found = [item for item in left_out.items() if item[1]]
    for kind, names in sorted(found, key=lambda item: (-len(item[1]), item[0])):
        several = len(names) > 1
        what = kind.replace("{s}", "s" * several)
        what = what.replace("{ies}", "ies" if several else "y")
        named = f" ({shown(sorted(names))})" if kind == _WITHOUT_IMAGES else ""
        parts.append(f"{len(names):,} {what}{named}")
    return ", ".join(parts)
