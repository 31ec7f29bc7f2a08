"""Drawing images with an exported module."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from biggan_tf import files, given, images, latents, saved_model, sheets
from biggan_tf import labels as class_labels
from biggan_tf.api.arguments import PATHS, PathLike, as_folder, as_path, check_apart
from biggan_tf.checks import (
    LARGEST_SEED,
    as_number,
    as_numbers,
    as_whole,
    is_several,
    listed,
)
from biggan_tf.data import memory
from biggan_tf.errors import BadInput
from biggan_tf.sample_folder import SampleFolder
from biggan_tf.sampling import Sampler
from biggan_tf.standing import GRIDS


def load(module: PathLike) -> Sampler:
    """Opens an exported module, by its folder or another handle that `hub.load` takes.

    `Sampler.generate(labels, truncation, seed)` returns images, float32 in [-1, 1].
    """
    return saved_model.load(
        module if files.is_address(module) else as_folder(module, "--module")
    )


def opened(module: PathLike | Sampler) -> Sampler:
    """Returns a sampler as it is; opens anything else, as `load` does."""
    return module if isinstance(module, Sampler) else load(module)


def sample(
    module: PathLike | Sampler,
    labels: str | Sequence[int] | None = None,
    columns: int = 8,
    truncation: float | Sequence[float] = 0.5,
    seed: int = 0,
    layout: str = "samples",
    output: PathLike | None = None,
    mix: Sequence[float] = (),
) -> np.ndarray:
    """Draws images of classes, in rows.

    Args:
        module: an exported module, or what `load` returned.
        labels: indices of classes, or a text as `labels.parse` takes it; None: all.
        columns: images a row; with several truncations, of each class in it.
        truncation: of the latents; a list gives a row for each (the paper's Figure 2),
            and the fraction of values that are black or white (|x| > 0.99) is printed.
        seed: of the latents, 0 to 2^63 - 1.
        layout: "samples", a row for each class; "z" and "great_circle", each class from
            one latent to another, on a straight line or with the norm kept; "class",
            one latent, from each class to the next; "direction", one latent for each
            class, in a row for each of six directions that change pictures most.
        output: a file to write them to: a sheet, or arrays (.npz); see `sheets.save`.
        mix: a share for each class, such as (0.7, 0.3). Instead of the classes, the one
            that is mixed of them in these proportions is drawn.

    Returns uint8 [rows, columns, side, side, 3].
    """
    if output is not None:
        output = _sheet_path(output)
    asked = _drawing(columns, truncation, seed, layout, mix)  # before it is opened
    sampler = opened(module)
    rows = _rows(sampler, labels, asked)
    _check_size(output, sampler, rows)
    drawn = sheets.draw(sampler, rows)
    if asked.compares:
        for row, x in zip(rows, drawn):
            fraction = images.saturated_fraction(x)
            print(
                f"truncation {row.truncation:g}: {fraction:.2%} of values are black or "
                "white"
            )
    if output is not None:
        sheets.save(output, sampler, rows, drawn)
        path = f", {PATHS[layout]}" if layout in PATHS else ""
        print(f"{output}: {sum(map(len, drawn))} images{path}")
    return np.stack([images.to_uint8(x) for x in drawn])


def _check_memory(sampler: Sampler, count: int) -> None:
    """Raises BadInput if so many images have no room in memory."""
    # Of each value 4 bytes as drawn, 4 joined, 12 on the way to bytes, 4 for a sheet.
    needed = count * sampler.image_size**2 * 3 * 24
    memory.check_room(
        needed, f"columns: {count:,} images", "draw fewer, or write a folder"
    )


def _check_size(
    output: Path | None, sampler: Sampler, rows: Sequence[sheets.Row]
) -> None:
    """Raises BadInput if rows are more than a sheet's format holds."""
    if output is not None:
        tiles = len(rows), max(len(row.z) for row in rows)
        titles = [row.title for row in rows]
        images.check_size(output, sampler.image_size, *tiles, titles)


def sheet_rows(
    sampler: Sampler,
    labels: str | Sequence[int] | None = None,
    columns: int = 8,
    truncation: float | Sequence[float] = 0.5,
    seed: int = 0,
    layout: str = "samples",
    mix: Sequence[float] = (),
) -> list[sheets.Row]:
    """Returns what `sample` draws, with latents and labels; `sheets.draw` draws it."""
    return _rows(sampler, labels, _drawing(columns, truncation, seed, layout, mix))


def _rows(
    sampler: Sampler, labels: str | Sequence[int] | None, asked: _Drawing
) -> list[sheets.Row]:
    columns, truncations, compares, seed, layout, mix = asked
    classes = as_classes(labels, sampler)
    flag = "--truncations" if compares else "--truncation"
    for value in truncations:
        latents.check_truncation(sampler.convention, value, flag)
    if layout == "class" and len(classes) < 2:
        raise BadInput(f"labels = {labels!r}: to interpolate between classes name two.")
    each = sheets.DIRECTIONS if layout == "direction" else len(truncations)
    _check_memory(sampler, (1 if mix else len(classes)) * columns * each)
    if mix:
        y = np.tile(_mixed_label(classes, mix, sampler.num_classes), [columns, 1])
        rows = [
            sheets.Row("", sampler.latents(columns, t, seed), y, t) for t in truncations
        ]
        return sheets.titled(rows, sampler.class_names)
    if compares:
        return sheets.truncation_rows(sampler, classes, columns, truncations, seed)
    return sheets.LAYOUTS[layout](sampler, classes, columns, truncations[0], seed)


class _Drawing(NamedTuple):
    """The arguments of `sample` that no module changes, in plain Python."""

    columns: int
    truncations: list[float]
    compares: bool  # whether they are to be compared, with a row for each
    seed: int
    layout: str
    mix: list[float]


def _drawing(
    columns: int,
    truncation: float | Sequence[float],
    seed: int,
    layout: str,
    mix: Sequence[float],
) -> _Drawing:
    """Returns what is asked; BadInput on what no module could draw."""
    truncations, compares = as_numbers("truncation", truncation), is_several(truncation)
    mix = [as_number("mix", share) for share in listed(mix)]
    columns = as_whole("columns", columns, 1, 10**6)
    seed = as_whole("seed", seed, 0, LARGEST_SEED)
    _check_layout(layout, "several truncations" * compares)
    _check_layout(layout, "mixed classes" * bool(mix))
    if layout in PATHS and columns < 2:
        raise BadInput(f"columns = {columns}: take 2 or more with layout = {layout!r}.")
    return _Drawing(columns, truncations, compares, seed, layout, mix)


def _check_layout(layout: str, together_with: str) -> None:
    """Raises BadInput unless a layout is known, and goes with what else is asked."""
    if layout not in [*sheets.LAYOUTS]:
        raise BadInput(f"layout = {layout!r}: take one of {', '.join(sheets.LAYOUTS)}.")
    if together_with and layout != "samples":
        raise BadInput(f"layout = {layout!r}: take 'samples' with {together_with}.")


def _mixed_label(
    classes: Sequence[int], shares: Sequence[float], num_classes: int
) -> np.ndarray:
    """Returns a soft label, float32 [num_classes], whose sum is 1."""
    told = f"--mix={','.join(f'{share:g}' for share in shares)}"
    if len(shares) != len(classes):
        raise BadInput(
            f"{told}: give as many shares as there are classes, {len(classes)}."
        )
    if not (np.all(np.isfinite(shares)) and min(shares) >= 0 and max(shares) > 0):
        raise BadInput(f"{told}: give shares of 0 or more, one of them above 0.")
    y, parts = np.zeros([num_classes]), np.asarray(shares) / max(shares)
    np.add.at(y, classes, parts / sum(parts))
    return np.float32(y)


def redraw(
    module: PathLike | Sampler,
    latents: given.Latents,
    columns: int = 8,
    output: PathLike | None = None,
) -> np.ndarray:
    """Draws images of given latents, such as those that `sample` wrote to a .npz.

    Args:
        module: an exported module, or what `load` returned.
        latents: a .npz file, or a dict of arrays: z, float [n, latent_size]; labels,
            whole [n], or float [n, num_classes], soft; truncation, [n] or a number.
        columns: images a row of a sheet.
        output: as in `sample`.

    Returns uint8 [n, side, side, 3].
    """
    if output is not None:
        output = _sheet_path(output)
        check_apart(output, latents, "--latents")
    columns = as_whole("columns", columns, 1, 10**6)
    sampler = opened(module)
    rows = given.read(latents, sampler, "--latents").rows(sampler, columns)
    _check_memory(sampler, sum(len(row.z) for row in rows))
    _check_size(output, sampler, rows)
    drawn = sheets.draw(sampler, rows)
    if output is not None:
        sheets.save(output, sampler, rows, drawn)
        print(f"{output}: {sum(map(len, drawn))} images")
    return images.to_uint8(np.concatenate(drawn))


def _sheet_path(output: PathLike) -> Path:
    path = as_path(output, "--output")
    images.check_output(str(path), "--output", (*images.FORMATS, ".npz"))
    return path


def sample_files(
    module: PathLike,
    folder: PathLike,
    count: int | None = None,
    per_class: int | None = None,
    labels: str | Sequence[int] | None = None,
    truncation: float | None = None,
    seed: int = 0,
) -> int:
    """Writes single images as PNG files, for other people's evaluators.

    Called again after it was cut short, it goes on. `evaluate` with the same seed,
    truncation and number of images scores the same ones.

    Args:
        module: an exported module.
        folder: for the files, whose names hold the class.
        count: of all images, their classes drawn at random; or else
        per_class: of the images of each class, class after class.
        labels, seed: as in `sample`.
        truncation: of the latents; None: the largest, which is inf unless the module
            scales.

    Returns how many images were not there yet.
    """
    if (count is None) == (per_class is None):
        raise BadInput(f"--output={folder}: give --count or --per_class, one of them.")
    if count is not None:
        count = as_whole("count", count, 1, 10**8)
    else:
        per_class = as_whole("per_class", per_class, 1, 10**6)
    if truncation is not None:
        truncation = as_number("truncation", truncation)
    seed = as_whole("seed", seed, 0, LARGEST_SEED)
    folder = as_path(folder, "--output")
    if isinstance(module, Sampler):
        raise BadInput("module = Sampler(...): give its path, which the folder keeps.")
    sampler = load(module)
    classes = as_classes(labels, sampler)
    truncation = as_truncation(truncation, sampler)
    count = count or per_class * len(classes)
    made = SampleFolder(os.fspath(module), classes, per_class, truncation, seed)
    written = made.write(folder, sampler, count)
    told = f"{count} images at truncation {truncation:g}"
    print(f"{folder}: {told}, {count - written} of them were there")
    return written


def as_truncation(truncation: float | None, sampler: Sampler) -> float:
    """Returns a truncation that a module can have; None is its largest."""
    if truncation is None:
        truncation = float(GRIDS[sampler.convention][-1])
    latents.check_truncation(sampler.convention, truncation, "--truncation")
    return truncation


def as_classes(labels: str | Sequence[int | str] | None, sampler: Sampler) -> list[int]:
    """Returns indices of classes; a text, also in a list, is parsed as a flag is."""
    if labels is None:
        return [*range(sampler.num_classes)]
    classes = []
    for label in listed(labels):
        if isinstance(label, str):
            classes += class_labels.parse(label, sampler.class_names, "--labels")
        elif class_labels.is_index(label, sampler.num_classes):
            classes.append(int(label))
        else:
            raise BadInput(
                f"labels={label!r}: take indices from 0 to {sampler.num_classes - 1}."
            )
    if not classes:
        raise BadInput("labels = []: name one class or more.")
    return classes
