"""Single images of a sheet, kept as the numbers that make them at any truncation.

One seed gives corresponding latents at two truncations, so a tile can be looked at
through any of them, varied a little, and walked from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from biggan_tf.layers import one_hot
from biggan_tf.sampling import Sampler
from biggan_tf.sheets import Row, great_circle, titled
from biggan_tf.standing import GRIDS

LONGEST_STRIP = 11  # truncations


class Draw(NamedTuple):
    """The latents of the index-th of `count` images of a seed."""

    count: int
    seed: int
    index: int

    def latents(self, sampler: Sampler, truncation: float) -> np.ndarray:
        """Returns z, float32 [latent_size]."""
        return sampler.latents(self.count, truncation, self.seed)[self.index]


class Found(NamedTuple):
    """Latents that no seed gave, the same at every truncation."""

    z: np.ndarray  # float32 [latent_size]

    def latents(self, sampler: Sampler, truncation: float) -> np.ndarray:
        """Returns z."""
        del sampler, truncation
        return self.z


class Tile(NamedTuple):
    """One image: latents, turned towards others by each of the turns, then moved."""

    y: np.ndarray  # float32 [num_classes], one-hot or soft
    draw: Draw | Found
    turns: tuple[tuple[Draw, float], ...] = ()  # and how much of the way, 0 to 1
    moves: tuple[float, ...] = ()  # along the strongest directions of a module

    def latents(self, sampler: Sampler, truncation: float) -> np.ndarray:
        """Returns z, float32 [latent_size]; turns are on great circles."""
        z = self.draw.latents(sampler, truncation)
        for draw, way in self.turns:
            z = great_circle(z, draw.latents(sampler, truncation), [way])[0]
        if not self.moves:
            return z
        return z + np.float32(self.moves) @ sampler.directions[: len(self.moves)]

    def moved(self, moves: Sequence[float]) -> Tile:
        """Returns a tile that is moved by so much more along the first directions."""
        before = self.moves or [0] * len(moves)
        return self._replace(moves=tuple(np.add(before, moves).tolist()))

    def varied(self, count: int, way: float, seed: int) -> list[Tile]:
        """Returns tiles around this one, in `count` directions that a seed gives.

        Args:
            way: to the latents in that direction, from 0 (this tile) to 1 (those).
        """
        draws = [Draw(count, seed, index) for index in range(count)]
        return [self._replace(turns=(*self.turns, (draw, way))) for draw in draws]


def of_rows(sampler: Sampler, rows: Sequence[Row], seed: int) -> list[Tile]:
    """Returns the tiles of rows of samples that a seed gave, row after row."""
    y = np.concatenate([one_hot(row.y, sampler.num_classes) for row in rows])
    return [Tile(label, Draw(len(y), seed, index)) for index, label in enumerate(y)]


def rows(
    sampler: Sampler, tiles: Sequence[Tile], truncations: Sequence[float]
) -> list[Row]:
    """Returns a row for each truncation, of the same tiles."""
    y = np.stack([tile.y for tile in tiles])

    def z(truncation: float) -> np.ndarray:
        return np.stack([tile.latents(sampler, truncation) for tile in tiles])

    found = [Row("", z(truncation), y, truncation) for truncation in truncations]
    return titled(found, sampler.class_names)


def strip(sampler: Sampler, tile: Tile) -> list[Row]:
    """Returns a row for each of the convention's truncations, or for 11 of them."""
    grid = GRIDS[sampler.convention]
    places = np.linspace(0, len(grid) - 1, min(len(grid), LONGEST_STRIP)).round()
    return rows(sampler, [tile], [grid[int(place)] for place in places])
