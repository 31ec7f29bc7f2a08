"""Count, mean and covariance of a stream of features, and their file."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biggan_tf import files
from biggan_tf.errors import BadInput

ROWS_AT_ONCE = 512  # whose products are one matrix product
_ASYMMETRY = 1e-4  # of a covariance, beside its largest entry: rounding is less

# What numpy raises on a file that is missing, truncated, or of another kind.
_NOT_OURS = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError)
_NOT_OURS += (zipfile.BadZipFile,)


def finite_rows(features: np.ndarray) -> np.ndarray:
    """Returns features or logits as float64 [n, d]; BadInput if they cannot be that."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not len(features):
        raise BadInput(f"features of shape {features.shape}: [images, size] is needed.")
    if not np.isfinite(features).all():
        raise BadInput(
            "features or logits hold NaN or infinity: so do the images they were made "
            "from, or the feature network is broken."
        )
    return features


def _real(name: str, array: np.ndarray) -> np.ndarray:
    """Returns float64; ValueError, which names it, unless all are finite and real."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} is {array.dtype} and no real numbers")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return array.astype(np.float64)


class RandomRows:
    """Rows of a stream, `count` at most, chosen at random from all by `seed`."""

    def __init__(self, count: int, seed: int = 0):
        self.count = count
        self._random = np.random.default_rng(seed)
        self._rows: list[np.ndarray] = []
        self._keys: list[np.ndarray] = []  # of those; the smallest ones stay

    def update(self, rows: np.ndarray) -> None:
        """Takes in further rows, [n, d]."""
        self.add(rows, self._random.random(len(rows)))

    def add(self, rows: np.ndarray, keys: np.ndarray) -> None:
        """Takes in rows whose places are known, float [n]."""
        self._rows.append(rows.astype(np.float32))
        self._keys.append(keys)
        if sum(map(len, self._rows)) > 2 * self.count + 1000:
            self._choose()

    @property
    def rows(self) -> np.ndarray:
        """float32 [n, d], in random order; n is 0 if none came."""
        if not self._rows:
            return np.zeros((0, 0), np.float32)
        self._choose()
        return self._rows[0]

    def _choose(self) -> None:
        keys = np.concatenate(self._keys)
        first = np.argsort(keys)[: self.count]
        self._keys = [keys[first]]
        self._rows = [np.concatenate(self._rows)[first]]


def _factor(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Returns `FeatureStatistics.factor` of a covariance's eigenvalues and -vectors."""
    true = values > len(values) * np.finfo(np.float64).eps * values.max(initial=0)
    return vectors[:, true] * np.sqrt(values[true])


class FeatureStatistics:
    """Count, mean and covariance of a stream of features.

    `protocol` says what made the features, and is stored with them. The features of
    `keep` images stay, chosen at random by `seed`, whatever order the images come in.
    """

    def __init__(
        self,
        protocol: Mapping[str, Any] | None = None,
        keep: int = 0,
        seed: int = 0,
    ):
        self.protocol = json.loads(json.dumps(dict(protocol or {})))
        self._kept = RandomRows(keep, seed)
        self.count: int | None = 0  # images so far; None: of a file that does not say
        self.spatial: FeatureStatistics | None = None  # of what sFID is made of
        self._waiting: list[np.ndarray] = []  # features not yet in what follows
        self._mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))  # sum of outer products of deviations
        self._factor: np.ndarray | None = None  # if it is kept

    def keep_features_of(self, others: FeatureStatistics) -> None:
        """Keeps single features of other statistics, and says so in the protocol."""
        self._kept = others._kept
        both = self.protocol["images"], others.protocol["images"]
        self.protocol["images"] = "; ".join(both)

    @property
    def mean(self) -> np.ndarray:
        """float64 [d]."""
        self._take_in()
        return self._mean

    @property
    def covariance(self) -> np.ndarray:
        """float64 [d, d], with count - 1 as the divisor."""
        self._take_in()
        if self.count is None:
            return self._scatter
        if self.count < 2:
            raise BadInput(f"a covariance needs 2 images or more; found {self.count}.")
        return self._scatter / (self.count - 1)

    @property
    def factor(self) -> np.ndarray:
        """float64 [d, rank], F: F F^T is the covariance, its columns are orthogonal.

        It has a column for each eigenvalue above rounding.
        """
        if self._factor is not None:
            return self._factor
        covariance = self.covariance
        if not np.isfinite(covariance).all():
            raise BadInput(
                "features whose covariance holds NaN or infinity have no FID."
            )
        return _factor(*np.linalg.eigh(covariance))

    def keep_factor(self) -> None:
        """Computes `factor` once for many scores, until further images come."""
        self._factor = self.factor

    @property
    def features(self) -> np.ndarray:
        """float32 [n, d], of the images that were kept, in random order."""
        rows = self._kept.rows
        return rows.reshape(len(rows), len(self._mean))

    def update(self, features: np.ndarray) -> None:
        """Takes in the features, [n, d], of further images."""
        features = finite_rows(features)
        if self._kept.count:
            self._kept.update(features)
        size = features.shape[1]
        if self.count == 0:
            self._mean, self._scatter = np.zeros(size), np.zeros((size, size))
        if size != len(self._mean):
            raise BadInput(
                f"features of size {size} after features of size {len(self._mean)}."
            )
        self.count += len(features)
        self._factor = None
        self._waiting.append(features)
        if sum(map(len, self._waiting)) >= ROWS_AT_ONCE:
            self._take_in()

    def _take_in(self) -> None:
        """Lets the features that wait count in mean and covariance.

        Chan, Golub and LeVeque (1979): sums of deviations from the mean of these alone,
        so that a mean far from zero costs no digits.
        """
        if not self._waiting:
            return
        features, self._waiting = np.concatenate(self._waiting), []
        count, mean = len(features), features.mean(0)
        share, shift = count / self.count, mean - self._mean
        between = shift * np.sqrt((1 - share) * count)
        rows = np.concatenate([features - mean, [between]])
        self._scatter += rows.T @ rows
        self._mean += shift * share

    def differences(self, protocol: Mapping[str, Any]) -> str:
        """Says where the stored protocol differs from `protocol`; "" if nowhere."""
        wanted = json.loads(json.dumps(dict(protocol)))
        return ", ".join(
            f"{key} = {json.dumps(self.protocol.get(key))} instead of {json.dumps(one)}"
            for key, one in wanted.items()
            if self.protocol.get(key) != one
        )

    @classmethod
    def of_moments(
        cls,
        mean: np.ndarray,
        covariance: np.ndarray,
        protocol: Mapping[str, Any],
        names: Sequence[str] = ("mean", "covariance"),
    ) -> FeatureStatistics:
        """Takes what is known of an unknown number of images.

        Raises ValueError, which calls them by the `names`, unless they are a mean, [d],
        and its covariance, [d, d].
        """
        made = cls(protocol)
        made.count = None
        made._mean, spread = map(_real, names, (mean, covariance))
        if made._mean.ndim != 1 or spread.shape != (len(made._mean),) * 2:
            raise ValueError(
                f"{names[0]} has shape {mean.shape} and {names[1]} {spread.shape}"
            )
        if (least := np.diag(spread).min(initial=0)) < 0:
            raise ValueError(
                f"{names[1]} has the variance {least:.3g}, which is below 0"
            )
        asymmetry = np.abs(spread - spread.T).max(initial=0)
        if asymmetry > _ASYMMETRY * np.abs(spread).max(initial=0):
            raise ValueError(f"{names[1]} is not symmetric")
        values, vectors = np.linalg.eigh(spread)
        if spread.size and values[0] < -_ASYMMETRY * values[-1]:
            raise ValueError(
                f"{names[1]} has the eigenvalue {values[0]:.3g}, so it is no covariance"
            )
        made._scatter, made._factor = spread, _factor(values, vectors)
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz of count, mean, covariance, features and protocol (JSON)."""
        spatial = {}
        if self.spatial:
            spatial["spatial_mean"] = self.spatial.mean
            spatial["spatial_covariance"] = self.spatial.covariance
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                count=np.int64(self.count),
                mean=self.mean,
                covariance=self.covariance,
                features=self.features,
                protocol=np.array(json.dumps(self.protocol, sort_keys=True)),
                **spatial,
            )

    @classmethod
    def load(cls, path: str | os.PathLike) -> FeatureStatistics:
        """Reads what `save` wrote; BadInput if the file is anything else."""
        try:
            with open(path, "rb") as opened, np.load(opened) as file:
                arrays = dict(file)
                protocol = json.loads(arrays["protocol"].item())
                moments = arrays["mean"], arrays["covariance"]
                statistics = cls.of_moments(*moments, protocol)
                statistics.count = int(arrays["count"])
                statistics._scatter *= statistics.count - 1.0
                features = arrays["features"]
                _real("features", features)
                if features.size and features.shape[1:] != arrays["mean"].shape:
                    raise ValueError(f"features have shape {list(features.shape)}")
                statistics._kept = RandomRows(len(features))
                statistics._kept.add(features, np.arange(len(features)))
                names = ("spatial_mean", "spatial_covariance")
                if names[0] in arrays:
                    moments = (arrays[name] for name in names)
                    statistics.spatial = cls.of_moments(*moments, {}, names)
        except _NOT_OURS as error:
            raise BadInput(
                f"{path} is no file of reference statistics ({error})."
            ) from error
        return statistics
