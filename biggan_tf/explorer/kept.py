"""What a person keeps of the images in the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from biggan_tf.tiles import Tile


class Shown(NamedTuple):
    """An image in the page."""

    tile: Tile
    pixels: np.ndarray  # uint8 [side, side, 3]
    truncation: float


@dataclasses.dataclass
class Kept:
    """The images that a person keeps, and which of them is chosen.

    A browser has one, which all calls change, for some take half a minute, and
    meanwhile a person may keep or remove others.
    """

    images: list[Shown] = dataclasses.field(default_factory=list)
    chosen: int = 0

    def add(self, shown: Shown) -> None:
        self.images.append(shown)
        self.chosen = len(self.images) - 1

    def remove(self) -> None:
        """Removes the chosen one, if there is any."""
        del self.images[self.chosen : self.chosen + 1]
        self.chosen = max(0, len(self.images) - 1)

    def update(self, drawn: Sequence[Shown]) -> None:
        """Shows tiles as they were drawn last."""
        anew = {id(one.tile): one for one in drawn}
        self.images = [anew.get(id(one.tile), one) for one in self.images]
