"""Scores from pairwise distances, of features or of pixels, in bounded memory."""

from collections.abc import Iterator, Sequence

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.metric import Batch, Metric, Reference, Request
from biggan_tf.metrics.statistics import finite_rows

_NEIGHBOURS = 5
_BLOCK_VALUES = 2**23  # largest temporary matrix: 64 MiB of float64


def prdc(
    real: np.ndarray, fake: np.ndarray, neighbours: int = _NEIGHBOURS
) -> dict[str, float]:
    """Returns "precision", "recall", "density" and "coverage"; "precision_se" etc.

    Kynkaanniemi et al. 2019 and Naeem et al. 2020; "inside a ball" (strictly) and the
    default of `neighbours` are as in the latter. A comparison that rounding could
    decide is made on exact differences, so that duplicates count as duplicates. The
    features are [n, d] and [m, d]. With `neighbours` = k, a ball around an image
    reaches to its k-th nearest neighbour.

    The standard errors of precision and density are those of means over generated
    images. Recall and coverage have a jackknife's, which leaves out each generated
    image in turn, the balls of others as they are.
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
    balls = np.zeros(len(fake), int)  # of real images, that hold a generated one
    covered, covers = np.zeros(len(real), bool), np.zeros(len(fake), int)
    recalled, recalls = np.zeros(len(real), bool), np.zeros(len(fake), int)
    for rows in _row_blocks(len(real), len(fake)):
        radii = real_radii[rows, None]
        distances = squared_distances(real[rows], fake)
        _settle(distances, real[rows], fake, radii)
        _settle(distances, real[rows], fake, fake_radii)
        inside = distances < radii
        balls += inside.sum(0)
        covered[rows] = inside.any(1)
        covers += _alone(inside)
        inside = distances < fake_radii
        recalled[rows] = inside.any(1)
        recalls += _alone(inside)
    count, precise = len(fake), balls > 0
    return {
        "precision": float(precise.mean()),
        "recall": float(recalled.mean()),
        "density": (1 / neighbours) * (int(balls.sum()) / count),
        "coverage": float(covered.mean()),
        "precision_se": float(precise.std()) / count**0.5,
        "recall_se": float(recalls.std()) * (count - 1) ** 0.5 / len(real),
        "density_se": float(balls.std()) / count**0.5 / neighbours,
        "coverage_se": float(covers.std()) * (count - 1) ** 0.5 / len(real),
    }


def _alone(inside: np.ndarray) -> np.ndarray:
    """Returns how many rows of a matrix of booleans each column alone is true of."""
    rows = inside[inside.sum(1) == 1]
    return rows.sum(0)


class NearestNeighbours:
    """Finds the things in a stream that are nearest to each query.

    `queries` are features or flat pixels, [n, d]; `found` holds, for each, copies of
    the `count` nearest things so far, the nearest first.
    """

    def __init__(self, queries: np.ndarray, count: int):
        self._queries, self._count = finite_rows(queries), count
        self._distances = np.zeros((len(queries), 0))
        self.found: list[list] = [[] for _ in queries]

    def update(self, features: np.ndarray, things: np.ndarray) -> None:
        """Takes in further things and their features or pixels, [n, d]."""
        distances = squared_distances(self._queries, finite_rows(features))
        distances = np.concatenate([self._distances, distances], 1)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        self._distances = np.take_along_axis(distances, nearest, 1)
        for query, places in enumerate(nearest):
            old = self.found[query]
            self.found[query] = [
                old[i] if i < len(old) else things[i - len(old)].copy() for i in places
            ]


def _squared_radii(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Returns each row's squared distance to its k-th nearest other row, [n]."""
    radii = np.empty(len(features))
    for rows in _row_blocks(len(features), len(features)):
        distances = squared_distances(features[rows], features)
        # The row itself is among its own neighbours, at distance 0.
        near = np.partition(distances, neighbours, axis=1)[:, neighbours, None]
        _settle(distances, features[rows], features, near)
        radii[rows] = np.partition(distances, neighbours, axis=1)[:, neighbours]
    return radii


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns |x|^2 + |y|^2 - 2 x . y of all pairs, [n, m]: fast, but rounded."""
    return _squared_norms(x)[:, None] + _squared_norms(y) - 2 * (x @ y.T)


def _squared_norms(x: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", x, x)


def _settle(
    distances: np.ndarray, x: np.ndarray, y: np.ndarray, border: np.ndarray
) -> None:
    """Makes exact, in place, the distances so near to a border that rounding decides.

    Args:
        distances: `squared_distances(x, y)`.
        border: broadcasts to distances; exact, or itself one of the rounded distances.
    """
    size = x.shape[1]
    norms = _squared_norms(x).max() + _squared_norms(y).max()
    rounding = (size + 4) * np.finfo(np.float64).eps * norms
    rows, columns = np.nonzero(np.abs(distances - border) <= 4 * rounding)
    for block in _row_blocks(len(rows), size):
        row, column = rows[block], columns[block]
        distances[row, column] = ((x[row] - y[column]) ** 2).sum(1)


def _row_blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _BLOCK_VALUES // columns)
    for start in range(0, rows, step):
        yield slice(start, start + step)


class FirstFeatures:
    """The features of the first images of a stream, `count` at most."""

    def __init__(self, count: int):
        self._some: list[np.ndarray] = []
        self._missing = count

    def update(self, batch: Batch) -> None:
        self._some.append(batch.features[: self._missing])
        self._missing -= len(self._some[-1])

    @property
    def features(self) -> np.ndarray:
        """float32 [n, d]."""
        return np.concatenate(self._some)


class Prdc(Metric):
    """Precision, recall, density and coverage of a bounded number of images."""

    name = "prdc"
    needs_features = True
    is_one_number = False

    @classmethod
    def fewest_images(cls, feature_size: int) -> int:
        return _NEIGHBOURS + 1

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        names = ("precision", "recall", "density", "coverage")
        return (*names, *(f"{name}_se" for name in names))

    def __init__(self, request: Request, reference: Reference):
        self._real = reference.statistics.features[: request.kept]
        self._fake = FirstFeatures(request.kept)

    def update(self, batch: Batch) -> None:
        self._fake.update(batch)

    def result(self) -> dict[str, float]:
        return prdc(self._real, self._fake.features)
