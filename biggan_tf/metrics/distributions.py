"""Distances of two distributions of features: FID and its variants, and KID."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.metric import Batch, Metric, Reference, Request
from biggan_tf.metrics.statistics import ROWS_AT_ONCE, FeatureStatistics, finite_rows

_MOST_CLASS_BYTES = 3 * 2**32  # of the covariances of all classes
_ROUNDING = 1e-6  # of FID, in parts of the two traces
_KEPT = 2000  # generated images whose influence on FID makes its standard error


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Returns FID (Heusel et al. 2017): the squared Frechet distance of two Gaussians.

    |m_a - m_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)). The last trace is the sum of the
    singular values of A^(1/2) B^(1/2), which is accurate even if eigenvalues are zero.

    BadInput if the sum is not finite, or below 0 by more than rounding.
    """
    return _frechet(a, b)[0]


def _frechet(a: FeatureStatistics, b: FeatureStatistics) -> tuple[float, float]:
    """Returns FID, and the standard deviation of the influence of b's images on it.

    The influence (infinitesimal jackknife, Jaeckel 1972) is the slope of FID in an
    image's weight. The overlap's slope at y = F_b V c is (c^T S c - tr S) / 2, with
    U S V^T = F_a^T F_b. It needs images whose features b keeps; without them it is NaN.
    """
    if a.mean.shape != b.mean.shape:
        raise BadInput(
            f"features of size {len(a.mean)} cannot be compared with features of size "
            f"{len(b.mean)}."
        )
    shift = a.mean - b.mean
    factor = b.factor
    product = a.factor.T @ factor
    _, overlaps, rows = np.linalg.svd(product, full_matrices=False)
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    distance = float(shift @ shift + traces - 2 * overlaps.sum())
    if not -_ROUNDING * traces <= distance < np.inf:
        raise BadInput(
            f"FID would be {distance:.3g}: take other statistics or images, for some "
            "of these are no mean and covariance."
        )
    y = b.features - b.mean
    c = y @ (factor / (factor**2).sum(0) @ rows.T)
    # Up to a constant, which the standard deviation does not see.
    influence = (y**2).sum(1) - 2 * y @ shift - c**2 @ overlaps
    return max(0.0, distance), float(influence.std()) if len(y) else float("nan")


class Fid(Metric):
    """FID of all images.

    With no more images than features a covariance is singular, and FID depends on the
    number of images more than on what is in them.
    """

    name = "fid"
    lower_is_better = True

    @classmethod
    def fewest_images(cls, feature_size: int) -> int:
        return feature_size + 1

    def __init__(self, request: Request, reference: Reference):
        self._real, self._fake = reference.statistics, FeatureStatistics(keep=_KEPT)
        self._real.keep_factor()

    def update(self, batch: Batch) -> None:
        self._fake.update(batch.features)

    def result(self) -> dict[str, float]:
        distance, deviation = _frechet(self._real, self._fake)
        return {"fid": distance, "fid_se": deviation / self._fake.count**0.5}


class FidInfinity(Metric):
    """FID of infinitely many images (Chong and Forsyth 2020).

    FID falls with the number n of generated images, by nearly as much as 1 / n does: a
    straight line through FIDs of the first images, from a quarter on, meets 1 / n = 0.
    The bias of the number of real images stays.
    """

    name = "fid_infinity"
    lower_is_better = True

    @classmethod
    def fewest_images(cls, feature_size: int) -> int:
        return 4 * (feature_size + 1)

    def __init__(self, request: Request, reference: Reference):
        self._real, self._fake = reference.statistics, FeatureStatistics(keep=_KEPT)
        self._real.keep_factor()
        self._ends = np.linspace(request.num_images / 4, request.num_images, 7)
        self._ends = self._ends.astype(int)
        self._found: list[tuple[float, float]] = []  # distance and deviation

    def update(self, batch: Batch) -> None:
        features = batch.features
        while len(features):
            end = self._ends[len(self._found)]
            some, features = np.split(features, [end - self._fake.count])
            self._fake.update(some)
            if self._fake.count == end:
                self._found.append(_frechet(self._real, self._fake))

    def result(self) -> dict[str, float]:
        distances, deviations = np.transpose(self._found)
        # The line at 0 weighs the distances, and so each image's influence on them.
        weights = np.linalg.pinv(np.vander(1 / self._ends, 2))[1]
        shares = np.cumsum((weights / self._ends)[::-1])[::-1]
        images = np.diff(self._ends, prepend=0)  # that have these shares
        error = deviations[-1] * np.sqrt(images @ shares**2)
        return {"fid_infinity": weights @ distances, "fid_infinity_se": error}


class Sfid(Metric):
    """FID of 7 channels of a layer of 17 x 17 (Nash et al. 2021), as ADM has it."""

    name = "sfid"
    lower_is_better = True
    needs_spatial = True

    @classmethod
    def fewest_images(cls, feature_size: int) -> int:
        return feature_size + 1

    @classmethod
    def check(cls, request: Request) -> None:
        if not request.spatial_size:
            raise BadInput(
                "sfid: leave it out of the metrics, or take an Inception, for the "
                "feature network has no spatial features."
            )

    def __init__(self, request: Request, reference: Reference):
        self._real = reference.statistics.spatial
        self._fake = FeatureStatistics(keep=_KEPT)
        self._real.keep_factor()

    def update(self, batch: Batch) -> None:
        self._fake.update(batch.spatial)

    def result(self) -> dict[str, float]:
        distance, deviation = _frechet(self._real, self._fake)
        return {"sfid": distance, "sfid_se": deviation / self._fake.count**0.5}


class _Classes:
    """The statistics of each class."""

    def __init__(self, request: Request, keep: int = 0):
        self.each = [FeatureStatistics(keep=keep) for _ in request.class_names]

    def update(self, batch: Batch) -> None:
        for label in np.unique(batch.labels):
            self.each[label].update(batch.features[batch.labels == label])


class IntraFid(Metric):
    """Mean over classes of the FID within the class (Miyato and Koyama 2018)."""

    name = "intra_fid"
    needs_statistics = False
    compares_classes = True
    lower_is_better = True

    @classmethod
    def observer(cls, request: Request, seed: int) -> _Classes:
        return _Classes(request)

    @classmethod
    def check(cls, request: Request) -> None:
        classes, size = len(request.class_names), request.feature_size
        real_and_generated = 2 * 8 * classes * size * (size + ROWS_AT_ONCE)
        if real_and_generated > _MOST_CLASS_BYTES:
            raise BadInput(
                f"intra_fid of {classes} classes and {size} features: leave it out of "
                "the metrics, for its covariances do not fit in memory."
            )
        _check_class_sizes("generated", request.drawn(), request)
        if request.real:
            _check_class_sizes("real", request.real, request)

    def __init__(self, request: Request, reference: Reference):
        self._real = reference.seen[self.name].each
        _check_class_sizes("real", [one.count for one in self._real], request)
        self._fake = _Classes(request, _KEPT)

    def update(self, batch: Batch) -> None:
        self._fake.update(batch)

    def result(self) -> dict[str, float]:
        found = list(map(_frechet, self._real, self._fake.each))
        distances, deviations = np.transpose(found)
        counts = np.array([one.count for one in self._fake.each])
        error = np.sqrt((deviations**2 / counts).sum()) / len(counts)
        return {"intra_fid": float(distances.mean()), "intra_fid_se": float(error)}


def _check_class_sizes(kind: str, counts: Sequence[int], request: Request) -> None:
    """Raises BadInput unless each class has 2 images, for a covariance."""
    fewest = int(np.argmin(counts))
    if counts[fewest] < 2:
        raise BadInput(
            f"intra_fid with {counts[fewest]} {kind} images of "
            f"{request.class_names[fewest]}: take more images, for each class needs 2, "
            "or leave it out of the metrics."
        )


class Kid(Metric):
    """KID (Binkowski et al. 2018): unbiased squared MMD, in blocks.

    Each full block of generated features is compared with the next reference block.
    Images that fill no block at the end are not used. A block has 1,000 images by
    default, or all if there are fewer.
    """

    name = "kid"
    lower_is_better = True
    needs_features = True

    @classmethod
    def fewest_images(cls, feature_size: int) -> int:
        return 3

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        return ("kid", "kid_std", "kid_se")

    def __init__(
        self, request: Request, reference: Reference, block_size: int | None = None
    ):
        self._real = reference.statistics.features
        self._size = block_size or min(1000, request.num_images, len(self._real))
        self._order = np.random.default_rng(reference.seed).permutation(len(self._real))
        self._waiting = np.zeros((0, self._real.shape[1]))
        self._values: list[float] = []
        self._variances: list[float] = []
        if not 3 <= self._size <= len(self._real):
            raise BadInput(
                f"KID in blocks of {self._size} images: take 3 to {len(self._real)}, "
                "the number of reference images whose features are kept."
            )

    def update(self, batch: Batch) -> None:
        size = self._size
        self._waiting = np.concatenate([self._waiting, finite_rows(batch.features)])
        while len(self._waiting) >= size:
            block, self._waiting = self._waiting[:size], self._waiting[size:]
            start = len(self._values) % (len(self._order) // size) * size
            real = self._real[self._order[start : start + size]]
            value, variance = _squared_mmd(finite_rows(real), block)
            self._values.append(value)
            self._variances.append(variance)

    def result(self) -> dict[str, float]:
        """Returns mean, standard deviation over the blocks, and standard error."""
        if not self._values:
            raise BadInput(
                f"KID in blocks of {self._size} images needs as many generated ones; "
                f"found {len(self._waiting)}."
            )
        mean, deviation = np.mean(self._values), np.std(self._values)
        error = np.sqrt(np.sum(self._variances)) / len(self._values)
        return {"kid": float(mean), "kid_std": float(deviation), "kid_se": float(error)}


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Returns an unbiased estimate of the squared MMD, kernel (x . y / d + 1)^3.

    Takes float64 [n, d] and [m, d]; n is 2 or more, m is 3 or more.
    """
    return _squared_mmd(x, y)[0]


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Returns it and its variance: the jackknife that leaves out each of y in turn."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def sums_off_diagonal(k: np.ndarray) -> np.ndarray:
        return k.sum(1) - np.diag(k)

    n, m = len(x), len(y)
    of_x = sums_off_diagonal(kernel(x, x)).sum() / (n * (n - 1))
    within, between = sums_off_diagonal(kernel(y, y)), kernel(x, y).mean(0)
    value = of_x + within.sum() / (m * (m - 1)) - 2 * between.mean()
    left = (within.sum() - 2 * within) / ((m - 1) * (m - 2))  # without each of y
    left -= 2 * (between.sum() - between) / (m - 1)
    return float(value), float((m - 1) * left.var())
