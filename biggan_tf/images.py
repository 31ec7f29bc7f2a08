"""Images between [-1, 1] and uint8, sheets of them, and picture files."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from biggan_tf import files
from biggan_tf.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST_TILE = 64  # smaller tiles are enlarged by a whole factor, for the eye
LONGEST_LABEL = 24
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
FILM_FORMATS = (".mp4", ".webp", ".gif")
# The longest side in pixels that a format, or what writes it, allows; of .png any.
LONGEST_SIDES = {
    **{".jpg": 65_500, ".jpeg": 65_500, ".gif": 65_535},
    **{".webp": 16_383, ".mp4": 16_384},
}


def to_uint8(x: np.ndarray) -> np.ndarray:
    """Returns uint8 of [-1, 1]: (x + 1) * 128, cut off, as for the released modules."""
    return np.clip((np.asarray(x) + 1) * 128, 0, 255).astype(np.uint8)


def saturated_fraction(x: np.ndarray) -> float:
    """Returns the fraction of values of images in [-1, 1] that have |x| > 0.99."""
    return float(np.mean(np.abs(np.asarray(x)) > 0.99))


def sheet(tiles: np.ndarray, columns: int, row_labels: Sequence = ()) -> np.ndarray:
    """Returns one picture, uint8 [height, width, 3], of many with white lines between.

    Takes the tiles row by row, uint8 [rows * columns, height, width, 3], and texts to
    the left of the rows, if any.
    """
    tiles = np.asarray(tiles)
    factor = side_in_sheet(tiles.shape[1]) // tiles.shape[1]
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
    if any(row_labels):
        margin = _margin(row_labels, picture.shape[0], height, height - line)
        picture = np.concatenate([margin, picture], axis=1)
    return picture


def side_in_sheet(side: int) -> int:
    """Returns the side of a tile of `sheet`, in pixels, which enlarges small images."""
    return side * max(1, -(-SMALLEST_TILE // side))


def check_size(
    path: str | os.PathLike[str],
    side: int,
    rows: int,
    columns: int,
    row_labels: Sequence[str] = (),
) -> None:
    """Raises BadInput if a `sheet` of so many tiles is too large for a file's format.

    Args:
        path: as typed with --output.
        side: of a tile, in pixels.
    """
    tile = side_in_sheet(side)
    height, width = (n * (tile + tile // 32) - tile // 32 for n in (rows, columns))
    if any(row_labels):
        width += _texts(row_labels, tile)[1]
    check_pixels(path, height, width)


def check_pixels(path: str | os.PathLike[str], height: int, width: int) -> None:
    """Raises BadInput if a picture is too large for the format of a file."""
    ending = Path(path).suffix.lower()
    most = LONGEST_SIDES.get(ending, max(height, width))
    if max(height, width) > most:
        raise BadInput(
            f"--output={path}: it would have {width:,} x {height:,} pixels, and "
            f"{ending} allows {most:,} on a side; draw fewer, or take another format."
        )


def _texts(labels: Sequence[str], tile: int) -> tuple[list, int]:
    """Returns labels with their fonts, and the width of a margin that holds them."""
    size = max(12, tile // 6)
    texts = [_in_a_font(label, size) for label in labels]
    return texts, size + max(round(font.getlength(text)) for text, font in texts)


def _margin(
    labels: Sequence[str], total: int, row_height: int, tile: int
) -> np.ndarray:
    """Returns white, uint8 [total, width, 3], with a label beside each row."""
    size = max(12, tile // 6)
    texts, width = _texts(labels, tile)
    margin = Image.new("RGB", (width, total), "white")
    draw = ImageDraw.Draw(margin)
    for row, (text, font) in enumerate(texts):
        middle = row * row_height + tile // 2
        draw.text((width - size // 2, middle), text, "black", font, anchor="rm")
    return np.asarray(margin)


def _in_a_font(label: str, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Returns a label as it can be drawn, and the font for it.

    The font is DejaVu, which has Latin, Greek and Cyrillic letters, or else the one of
    this machine that has most of the characters. Others are drawn as their codes.
    """
    if len(label) > LONGEST_LABEL:
        label = label[: LONGEST_LABEL - 1] + "…"
    letters = {ord(letter) for letter in label if letter.isprintable()}
    path = min(_font_files(letters), key=lambda path: len(letters - _letters(path)))
    known = letters & _letters(path)
    codes = (letter.encode("unicode_escape").decode() for letter in label)
    text = "".join(
        letter if ord(letter) in known else code for letter, code in zip(label, codes)
    )
    return text, ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _font_files(letters: set[int]) -> list[str]:
    """Returns the file of DejaVu, and those of this machine if it lacks any letter."""
    from matplotlib import font_manager, get_data_path  # a slow import

    own = os.path.join(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return [
        own,
        *(sorted(font_manager.findSystemFonts()) if letters - _letters(own) else []),
    ]


@functools.cache
def _letters(path: str) -> set[int]:
    """Returns the characters of a font, by their codes; none if it cannot be used."""
    from matplotlib import ft2font

    try:
        ImageFont.truetype(path)
        return set(ft2font.FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # of a kind that only others can read
        return set()


def of_figure(figure: Figure) -> np.ndarray:
    """Returns what a figure of Matplotlib shows, uint8 [height, width, 3].

    It needs no screen.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a slow import

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def write(path: str | os.PathLike[str], picture: np.ndarray, told: str = "") -> None:
    """Writes uint8 [height, width, 3], whole or not at all; makes the folder.

    The ending of the name, one of `FORMATS`, says in which format. A PNG keeps what is
    `told` of it as its text "Description".
    """
    text = PngInfo()
    if told:
        text.add_itxt("Description", told)
    with files.replacing(path) as temporary:
        file_format = FORMATS[Path(path).suffix.lower()]
        Image.fromarray(picture).save(temporary, file_format, quality=95, pnginfo=text)


def check_output(path: str, flag: str, suffixes: Sequence[str]) -> None:
    """Raises BadInput if a file cannot be written, or its name ends wrongly."""
    if Path(path).suffix.lower() not in suffixes:
        names = " or ".join(suffixes)
        raise BadInput(f"{flag}={path}: give the name of a {names} file.")
    files.refuse_unwritable(path, f"{flag}={path}")
