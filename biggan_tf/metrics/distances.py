"""Scores from pairwise distances, of features or of pixels, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.checks import finite_rows

_BLOCK_VALUES = 2**23  # largest temporary matrix: 64 MiB of float64


def prdc(real: np.ndarray, fake: np.ndarray, neighbours: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage.

    Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al.
    2020, whose reading of "inside a ball" (strictly) and default number of neighbours
    these are. A comparison that rounding could decide is made on exact differences, so
    that duplicates count as duplicates.

    Args:
        real, fake: features, [n, d] and [m, d], more than `neighbours` each.
        neighbours: k; a ball around an image reaches to its k-th nearest neighbour.

    Returns:
        "precision", "recall", "density" and "coverage".
    """
    real, fake = finite_rows(real), finite_rows(fake)
    for kind, features in (("real", real), ("generated", fake)):
        if not 1 <= neighbours < len(features):
            raise BadInput(
                f"{neighbours} nearest neighbours among {len(features)} {kind} images: "
                f"take 1 to {len(features) - 1}."
            )
    real_radii = _squared_radii(real, neighbours)
    fake_radii = _squared_radii(fake, neighbours)
    balls = 0  # pairs of a generated image and a real image's ball that holds it
    precise = np.zeros(len(fake), bool)
    covered = np.zeros(len(real), bool)
    recalled = np.zeros(len(real), bool)
    for rows in _row_blocks(len(real), len(fake)):
        radii = real_radii[rows, None]
        distances = _squared_distances(real[rows], fake)
        _settle(distances, real[rows], fake, radii)
        _settle(distances, real[rows], fake, fake_radii)
        inside = distances < radii
        balls += np.count_nonzero(inside)
        precise |= inside.any(0)
        covered[rows] = inside.any(1)
        recalled[rows] = (distances < fake_radii).any(1)
    return {
        "precision": float(precise.mean()),
        "recall": float(recalled.mean()),
        "density": (1 / neighbours) * (balls / len(fake)),
        "coverage": float(covered.mean()),
    }


class NearestNeighbours:
    """The nearest of a stream to each of some queries: the check for memorising.

    Args:
        queries: features or flat pixels, [n, d].
        count: how many neighbours to find.
    """

    def __init__(self, queries: np.ndarray, count: int):
        self._queries = finite_rows(queries)
        self._count = count
        self._seen = 0
        self._indices = np.zeros((len(queries), 0), np.int64)
        self._distances = np.zeros((len(queries), 0))

    def update(self, features: np.ndarray) -> None:
        """Takes in further rows, [n, d], of what is searched."""
        features = finite_rows(features)
        indices = np.arange(self._seen, self._seen + len(features))
        indices = np.broadcast_to(indices, (len(self._queries), len(features)))
        indices = np.concatenate([self._indices, indices], 1)
        distances = _squared_distances(self._queries, features)
        distances = np.concatenate([self._distances, distances], 1)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        self._indices = np.take_along_axis(indices, nearest, 1)
        self._distances = np.take_along_axis(distances, nearest, 1)
        self._seen += len(features)

    def result(self) -> np.ndarray:
        """int64 [n, count]: positions in the stream, the nearest first."""
        return self._indices


def class_diversity(images: np.ndarray, labels: np.ndarray) -> float:
    """Mean over classes of the mean pairwise distance between the class's images.

    The distance is Euclidean, over all pixels, in units of 1/255 of the range. Only its
    ratio to that of real images, as many a class, means anything.

    Args:
        images: uint8 [n, h, w, c].
        labels: int [n], each class twice or more.
    """
    means = []
    for label in np.unique(labels):
        # Sums of products of bytes are whole numbers below 2^53, so that no digit of
        # the distances is lost.
        pixels = images[labels == label].reshape((np.sum(labels == label), -1))
        pixels = pixels.astype(np.float64)
        if len(pixels) < 2:
            raise BadInput(f"diversity needs two images of class {label} or more.")
        total = sum(
            np.sqrt(_squared_distances(pixels[rows], pixels)).sum()
            for rows in _row_blocks(len(pixels), len(pixels))
        )
        means.append(total / (len(pixels) * (len(pixels) - 1)))
    return float(np.mean(means))


def _squared_radii(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance of each row to its k-th nearest other row, [n]."""
    radii = np.empty(len(features))
    for rows in _row_blocks(len(features), len(features)):
        distances = _squared_distances(features[rows], features)
        # The row itself is among its own neighbours, at distance 0.
        near = np.partition(distances, neighbours, axis=1)[:, neighbours, None]
        _settle(distances, features[rows], features, near)
        radii[rows] = np.partition(distances, neighbours, axis=1)[:, neighbours]
    return radii


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x|^2 + |y|^2 - 2 x . y of all pairs, [n, m]: fast, but rounded."""
    return _squared_norms(x)[:, None] + _squared_norms(y) - 2 * (x @ y.T)


def _squared_norms(x: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", x, x)


def _settle(
    distances: np.ndarray, x: np.ndarray, y: np.ndarray, border: np.ndarray
) -> None:
    """Makes those of the rounded distances exact that rounding could put across border.

    Args:
        distances: `_squared_distances(x, y)`, changed in place.
        x, y: float64 [n, d] and [m, d].
        border: broadcasts to distances; exact, or itself one of the rounded distances.
    """
    size = x.shape[1]
    norms = _squared_norms(x).max() + _squared_norms(y).max()
    rounding = (size + 4) * np.finfo(np.float64).eps * norms
    rows, columns = np.nonzero(np.abs(distances - border) <= 4 * rounding)
    step = max(1, _BLOCK_VALUES // size)
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        distances[row, column] = ((x[row] - y[column]) ** 2).sum(1)


def _row_blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _BLOCK_VALUES // columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
