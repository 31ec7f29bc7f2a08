"""What the names and shapes of published weights say about a network."""

from __future__ import annotations

import re
from collections.abc import Iterable

from biggan_tf.architecture import RESOLUTIONS
from biggan_tf.errors import BadInput


def indices(names: Iterable[str], pattern: str) -> list[int]:
    """The different numbers, ascending, that a pattern's group has in the names."""
    matches = (re.fullmatch(pattern, name) for name in names)
    return sorted({int(match[1]) for match in matches if match})


def check_resolution(file: str, resolution: int) -> int:
    """The resolution that the number of blocks tells, if there are such networks."""
    if resolution not in RESOLUTIONS:
        raise BadInput(
            f"{file} has as many blocks as a network for {resolution} px would have; "
            f"there are networks for {', '.join(map(str, RESOLUTIONS))} px."
        )
    return resolution


def seed_width(units: int, resolution: int) -> int:
    """G's width, from the size of its 4x4 seed of 16 (at 32 px, 4) widths."""
    return units // 16 // (4 if resolution == 32 else 16)
