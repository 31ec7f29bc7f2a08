"""What to draw with a sampler: rows of images, then a sheet or a file of arrays.

One seed gives corresponding latents at two truncations, so the pictures correspond too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from biggan_tf import files, images
from biggan_tf.errors import BadInput
from biggan_tf.sampling import Sampler

DRAWN_WITH = ("generator_sha256", "convention", "statistics")
DIRECTIONS = 6  # how many `direction_rows` shows


class Row(NamedTuple):
    """Images of one row, before they are drawn."""

    title: str
    z: np.ndarray  # float32 [columns, latent_size]
    y: np.ndarray  # int32 [columns], or float32 [columns, num_classes], soft
    truncation: float  # of z and of the batch-norm statistics


def class_rows(
    sampler: Sampler, labels: Sequence[int], columns: int, truncation: float, seed: int
) -> list[Row]:
    """Returns a row of samples for each label."""
    z = sampler.latents(len(labels) * columns, truncation, seed)
    return _row_per_label(sampler, labels, np.split(z, len(labels)), truncation)


def title(y: np.ndarray, class_names: Sequence[str]) -> str:
    """Returns the name of a class, or such as "0.7 Bag + 0.3 Sandal" of a mixed one.

    Takes a label, float [num_classes].
    """
    parts = [label for label in np.argsort(-y, kind="stable") if y[label] > 0]
    if len(parts) == 1:
        return class_names[parts[0]]
    return " + ".join(f"{y[label]:.2g} {class_names[label]}" for label in parts)


def titled(rows: Sequence[Row], class_names: Sequence[str]) -> list[Row]:
    """Returns rows, of soft labels, titled by their truncation if it differs.

    Otherwise a row is titled by its class, if it has one.
    """
    several = len({row.truncation for row in rows}) > 1

    def text(row: Row) -> str:
        if several:
            return f"{row.truncation:g}"
        return title(row.y[0], class_names) if np.all(row.y == row.y[0]) else ""

    return [row._replace(title=text(row)) for row in rows]


def latent_interpolation_rows(
    sampler: Sampler, labels: Sequence[int], columns: int, truncation: float, seed: int
) -> list[Row]:
    """Returns a row for each label: in equal steps from one z straight to another.

    At infinite truncation the norm of z falls by 30 % in the middle.
    """
    z = sampler.latents(2 * len(labels), truncation, seed)
    steps = np.linspace(z[::2], z[1::2], columns, axis=1, dtype=np.float32)
    return _row_per_label(sampler, labels, steps, truncation)


def great_circle_rows(
    sampler: Sampler, labels: Sequence[int], columns: int, truncation: float, seed: int
) -> list[Row]:
    """Returns a row for each label: from one z to another, see `great_circle`."""
    z = sampler.latents(2 * len(labels), truncation, seed)
    steps = great_circle(z[::2], z[1::2], np.linspace(0, 1, columns))
    return _row_per_label(sampler, labels, np.swapaxes(steps, 0, 1), truncation)


def great_circle(start: np.ndarray, end: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Returns latents between two: the angle and the norm change in equal steps.

    On a straight line the norm would fall by 30 % in the middle, and the pictures fade.

    Args:
        start, end: float [..., latent_size].
        shares: of the way, float [n], from 0 to 1.

    Returns float32 [n, ..., latent_size].
    """
    start, end = np.float64(start), np.float64(end)
    norms = [np.linalg.norm(z, axis=-1, keepdims=True) for z in (start, end)]
    first, last = (z / np.maximum(n, 1e-12) for z, n in zip((start, end), norms))
    angle = np.arccos(np.clip((first * last).sum(-1, keepdims=True), -1, 1))
    # Opposite latents have every great circle in common: any direction will do.
    axis = np.eye(first.shape[-1])[np.abs(first).argmin(-1)]
    opposite = np.linalg.norm(first + last, axis=-1, keepdims=True) < 1e-6
    last = np.where(opposite, axis, last)
    across = last - first * (first * last).sum(-1, keepdims=True)
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-12)
    shares = np.reshape(shares, [-1, *[1] * start.ndim])
    norm = norms[0] + shares * (norms[1] - norms[0])
    turned = np.cos(shares * angle) * first + np.sin(shares * angle) * across
    return np.float32(norm * turned)


def _row_per_label(
    sampler: Sampler, labels: Sequence[int], z: Sequence[np.ndarray], truncation: float
) -> list[Row]:
    """Returns a row for each label, of its latents, float32 [columns, latent_size]."""
    return [
        Row(sampler.class_names[k], own, np.full(len(own), k, np.int32), truncation)
        for k, own in zip(labels, z)
    ]


def class_interpolation_rows(
    sampler: Sampler, labels: Sequence[int], columns: int, truncation: float, seed: int
) -> list[Row]:
    """Returns a row for each label but the last: one z, from a class to the next."""
    z = sampler.latents(1, truncation, seed).repeat(columns, axis=0)
    y = np.eye(sampler.num_classes, dtype=np.float32)[labels]
    steps = np.linspace(y[:-1], y[1:], columns, axis=1, dtype=np.float32)
    names = [sampler.class_names[label] for label in labels]
    return [
        Row(_between(first, last), z, some, truncation)
        for first, last, some in zip(names[:-1], names[1:], steps)
    ]


def _between(first: str, last: str) -> str:
    """Returns a title; long names are cut, so that a sheet shows both."""
    if len(whole := f"{first} to {last}") <= images.LONGEST_LABEL:
        return whole
    names = (name if len(name) <= 10 else f"{name[:9]}…" for name in (first, last))
    return " to ".join(names)


def truncation_rows(
    sampler: Sampler,
    labels: Sequence[int],
    columns: int,
    truncations: Sequence[float],
    seed: int,
) -> list[Row]:
    """Returns a row for each truncation: `columns` of each label (Figure 2)."""
    y = np.repeat(np.int32(labels), columns)
    return [
        Row(f"{value:g}", sampler.latents(len(y), value, seed), y, value)
        for value in truncations
    ]


def direction_rows(
    sampler: Sampler, labels: Sequence[int], columns: int, truncation: float, seed: int
) -> list[Row]:
    """Returns `DIRECTIONS` rows for each label: one z, moved along each direction.

    It moves by 3 either way, and is itself in the middle of an odd number of columns.
    """
    if sampler.directions is None:
        raise BadInput(
            "--interpolate=direction: export the module again, for it has no "
            "directions; samplers in memory have none either."
        )
    moves = np.linspace(-3, 3, columns)[:, None]
    chosen = sampler.directions[:DIRECTIONS]
    return [
        Row(
            f"{number}: {sampler.class_names[label]}",
            np.float32(z + moves * direction),
            np.full(columns, label, np.int32),
            truncation,
        )
        for label, z in zip(labels, sampler.latents(len(labels), truncation, seed))
        for number, direction in enumerate(chosen, 1)
    ]


LAYOUTS = {
    "samples": class_rows,
    "z": latent_interpolation_rows,
    "great_circle": great_circle_rows,
    "class": class_interpolation_rows,
    "direction": direction_rows,
}


def draw(sampler: Sampler, rows: Sequence[Row]) -> list[np.ndarray]:
    """Returns each row's images, float32 [columns, side, side, 3] in [-1, 1]."""
    return [sampler.images(row.z, row.y, row.truncation) for row in rows]


def mark(rows: Sequence[Row]) -> str:
    """Returns six letters that tell files of these rows from those of others."""
    numbers = [(*row.z.ravel(), *row.y.ravel(), row.truncation) for row in rows]
    return hashlib.sha256(repr(numbers).encode()).hexdigest()[:6]


def drawn_with(sampler: Sampler) -> dict[str, str]:
    """Returns what tells a module from others, by `DRAWN_WITH`; "" if unknown."""
    told = sampler.drawn_by, sampler.convention, sampler.statistics
    return dict(zip(DRAWN_WITH, told))


def save(
    path: str | os.PathLike[str],
    sampler: Sampler,
    rows: Sequence[Row],
    drawn: Sequence[np.ndarray],
) -> None:
    """Writes arrays (`.npz`), or a sheet, by the ending of the name.

    The arrays, of all rows one after the other: `images` uint8 [n, side, side, 3], `z`
    float32 [n, latent_size], `labels` int32 [n] (soft ones float32 [n, num_classes])
    and `truncation` float32 [n]; and the texts of `drawn_with`. In a sheet, a row with
    fewer images ends in white.
    """
    pixels = [images.to_uint8(x) for x in drawn]
    if Path(path).suffix.lower() != ".npz":
        columns, titles = max(map(len, pixels)), [row.title for row in rows]
        missing = [[[0, columns - len(x)], [0, 0], [0, 0], [0, 0]] for x in pixels]
        full = [np.pad(*pair, constant_values=255) for pair in zip(pixels, missing)]
        images.write(path, images.sheet(np.concatenate(full), columns, titles))
        return
    truncation = np.array([row.truncation for row in rows for _ in row.z], np.float32)
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            images=np.concatenate(pixels),
            z=np.concatenate([row.z for row in rows]),
            labels=np.concatenate([row.y for row in rows]),
            truncation=truncation,
            **drawn_with(sampler),
        )
