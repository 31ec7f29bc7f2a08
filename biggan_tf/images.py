"""Images between [-1, 1] and uint8, sheets of them, and PNG files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from biggan_tf.errors import BadInput

SATURATED = 0.99
# Tiles with a shorter side are enlarged by a whole factor, for the eye.
SMALLEST_TILE = 64
LONGEST_LABEL = 24


def to_uint8(x: np.ndarray) -> np.ndarray:
    """[-1, 1] -> uint8, cut off to (x + 1) * 128, as for the released modules."""
    return np.clip((np.asarray(x) + 1) * 128, 0, 255).astype(np.uint8)


def from_uint8(pixels: np.ndarray) -> np.ndarray:
    """uint8 -> float32 in [-1, 1]; -1 and 1 are reached."""
    return np.asarray(pixels, np.float32) / 127.5 - 1


def saturated_share(x: np.ndarray) -> float:
    """The share of values, of images in [-1, 1], with |x| > 0.99."""
    return float(np.mean(np.abs(np.asarray(x)) > SATURATED))


def sheet(
    tiles: np.ndarray, columns: int, row_labels: Sequence[str] = ()
) -> np.ndarray:
    """One picture of many, row by row, with white lines between.

    Args:
        tiles: uint8 [rows * columns, height, width, 3].
        columns: tiles a row.
        row_labels: one a row, written to the left of it; empty for none.

    Returns:
        uint8 [sheet height, sheet width, 3].
    """
    tiles = np.asarray(tiles)
    factor = max(1, -(-SMALLEST_TILE // tiles.shape[1]))
    tiles = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width, channels = tiles.shape
    rows, left_over = divmod(count, columns)
    if left_over:
        raise ValueError(f"{count} tiles do not fill rows of {columns}")
    line = height // 32
    padding = [[0, 0], [0, line], [0, line], [0, 0]]
    tiles = np.pad(tiles, padding, constant_values=255)
    height, width = height + line, width + line
    picture = tiles.reshape(rows, columns, height, width, channels)
    picture = picture.transpose(0, 2, 1, 3, 4)
    picture = picture.reshape(rows * height, columns * width, channels)
    picture = picture[: rows * height - line, : columns * width - line]
    if row_labels:
        margin = _margin(row_labels, picture.shape[0], height, height - line)
        picture = np.concatenate([margin, picture], axis=1)
    return picture


def _margin(
    labels: Sequence[str], total: int, row_height: int, tile: int
) -> np.ndarray:
    """White, uint8 [total, width, 3], with a label in the middle of every row."""
    size = max(12, tile // 6)
    font = ImageFont.load_default(size)
    labels = [
        label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
        for label in labels
    ]
    width = size + max(round(font.getlength(label)) for label in labels)
    margin = Image.new("RGB", (width, total), "white")
    draw = ImageDraw.Draw(margin)
    for row, label in enumerate(labels):
        middle = row * row_height + tile // 2
        draw.text((width - size // 2, middle), label, "black", font, anchor="rm")
    return np.asarray(margin)


def write_png(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Writes uint8 [height, width, 3], at once or not at all; makes the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    Image.fromarray(picture).save(temporary, "PNG")
    os.replace(temporary, path)


def check_output(path: str, flag: str, suffixes: Sequence[str]) -> None:
    """Makes the folder of a file that will be written.

    Raises:
        BadInput: it has none of the suffixes, or cannot be written; names the flag.
    """
    target = Path(path)
    if target.suffix not in suffixes:
        raise BadInput(
            f"{flag}={path}: give the name of a {' or '.join(suffixes)} file."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{flag}={path}: cannot be written: {error.strerror}") from error
    if target.is_dir() or not os.access(target.parent, os.W_OK):
        raise BadInput(f"{flag}={path}: cannot be written.")
