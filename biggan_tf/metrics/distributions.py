"""Distances of two distributions of features: FID, intra-class FID and KID."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.metric import Batch, Metric, Reference, Request
from biggan_tf.metrics.statistics import FeatureStatistics, finite_rows

_MOST_CLASS_BYTES = 2**33  # of the covariances of all classes


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Returns FID (Heusel et al. 2017): the squared Frechet distance of two Gaussians.

    |m_a - m_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)). The last trace is the sum of the
    singular values of A^(1/2) B^(1/2), which is accurate even if eigenvalues are zero.
    """
    if a.mean.shape != b.mean.shape:
        raise BadInput(
            f"features of size {len(a.mean)} cannot be compared with features of size "
            f"{len(b.mean)}."
        )
    shift = a.mean - b.mean
    overlap = np.linalg.norm(_factor(a.covariance).T @ _factor(b.covariance), "nuc")
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return max(0.0, float(shift @ shift + traces - 2 * overlap))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """Returns F, F F^T = covariance: a column for each eigenvalue above rounding."""
    values, vectors = np.linalg.eigh(covariance)
    true = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors[:, true] * np.sqrt(values[true])


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
        self._real, self._fake = reference.statistics, FeatureStatistics()

    def update(self, batch: Batch) -> None:
        self._fake.update(batch.features)

    def result(self) -> dict[str, float]:
        return {"fid": frechet_distance(self._real, self._fake)}


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
        self._real, self._fake = reference.statistics, FeatureStatistics()
        self._ends = np.linspace(request.num_images / 4, request.num_images, 7)
        self._ends = self._ends.astype(int)
        self._distances: list[float] = []

    def update(self, batch: Batch) -> None:
        features = batch.features
        while len(features):
            end = self._ends[len(self._distances)]
            some, features = np.split(features, [end - self._fake.count])
            self._fake.update(some)
            if self._fake.count == end:
                self._distances.append(frechet_distance(self._real, self._fake))

    def result(self) -> dict[str, float]:
        line = np.polynomial.Polynomial.fit(1 / self._ends, self._distances, 1)
        return {"fid_infinity": float(line(0.0))}


class Sfid(Metric):
    """FID of 7 channels of a layer of 17 x 17 (Nash et al. 2021), as ADM has it."""

    name = "sfid"
    lower_is_better = True
    needs_spatial = True

    @classmethod
    def check(cls, request: Request) -> None:
        size, count = request.spatial_size, request.num_images
        if not size:
            raise BadInput(
                "sfid: leave it out of the metrics, or take an Inception, for the "
                "feature network has no spatial features."
            )
        if count <= size:
            raise BadInput(
                f"num_images = {count}: take {size + 1} or more, which sfid needs."
            )

    def __init__(self, request: Request, reference: Reference):
        self._real, self._fake = reference.statistics.spatial, FeatureStatistics()

    def update(self, batch: Batch) -> None:
        self._fake.update(batch.spatial)

    def result(self) -> dict[str, float]:
        return {"sfid": frechet_distance(self._real, self._fake)}


class IntraFid(Metric):
    """Mean over classes of the FID within the class (Miyato and Koyama 2018)."""

    name = "intra_fid"
    lower_is_better = True
    needs_classes = True

    @classmethod
    def check(cls, request: Request) -> None:
        classes, size = len(request.class_names), request.feature_size
        if 16 * classes * size**2 > _MOST_CLASS_BYTES:
            raise BadInput(
                f"intra_fid of {classes} classes and {size} features: leave it out of "
                "the metrics, for its covariances do not fit in memory."
            )
        _check_class_sizes("generated", request.drawn(), request)

    def __init__(self, request: Request, reference: Reference):
        self._real = reference.classes
        _check_class_sizes("real", [one.count for one in self._real], request)
        self._fake = [FeatureStatistics() for _ in self._real]

    def update(self, batch: Batch) -> None:
        update_classes(self._fake, batch)

    def result(self) -> dict[str, float]:
        distances = map(frechet_distance, self._real, self._fake)
        return {"intra_fid": float(np.mean(list(distances)))}


def update_classes(classes: Sequence[FeatureStatistics], batch: Batch) -> None:
    """Updates the statistics of each class."""
    for label in np.unique(batch.labels):
        classes[label].update(batch.features[batch.labels == label])


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
        return 2

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        return ("kid", "kid_std")

    def __init__(
        self, request: Request, reference: Reference, block_size: int | None = None
    ):
        self._real = reference.statistics.features
        self._size = block_size or min(1000, request.num_images, len(self._real))
        self._order = np.random.default_rng(reference.seed).permutation(len(self._real))
        self._waiting = np.zeros((0, self._real.shape[1]))
        self._values: list[float] = []
        if not 2 <= self._size <= len(self._real):
            raise BadInput(
                f"KID in blocks of {self._size} images: take 2 to {len(self._real)}, "
                "the number of reference images whose features are kept."
            )

    def update(self, batch: Batch) -> None:
        size = self._size
        self._waiting = np.concatenate([self._waiting, finite_rows(batch.features)])
        while len(self._waiting) >= size:
            block, self._waiting = self._waiting[:size], self._waiting[size:]
            start = len(self._values) % (len(self._order) // size) * size
            real = self._real[self._order[start : start + size]]
            self._values.append(squared_mmd(finite_rows(real), block))

    def result(self) -> dict[str, float]:
        """Returns mean and standard deviation over the blocks."""
        if not self._values:
            raise BadInput(
                f"KID in blocks of {self._size} images needs as many generated ones; "
                f"found {len(self._waiting)}."
            )
        values = self._values
        return {"kid": float(np.mean(values)), "kid_std": float(np.std(values))}


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Returns an unbiased estimate of the squared MMD, kernel (x . y / d + 1)^3.

    Takes float64 [n, d] and [m, d]; n and m are 2 or more.
    """

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def mean_off_diagonal(k: np.ndarray) -> float:
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    within = mean_off_diagonal(kernel(x, x)) + mean_off_diagonal(kernel(y, y))
    return float(within - 2 * kernel(x, y).mean())
