"""Count, mean and covariance of a stream of features, and their file."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from biggan_tf import files
from biggan_tf.errors import BadInput

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


class FeatureStatistics:
    """Count, mean and covariance of a stream of features.

    `protocol` says what made the features, and is stored with them; the features of the
    first `keep` images stay.
    """

    def __init__(self, protocol: Mapping[str, Any] | None = None, keep: int = 0):
        self.protocol = json.loads(json.dumps(dict(protocol or {})))
        self.keep = keep
        self.count = 0  # images so far
        self.mean = np.zeros(0)  # float64 [d]
        self._scatter = np.zeros((0, 0))  # sum of outer products of deviations
        self._kept: list[np.ndarray] = []

    @property
    def covariance(self) -> np.ndarray:
        """float64 [d, d], with count - 1 as the divisor."""
        if self.count < 2:
            raise BadInput(f"a covariance needs 2 images or more; found {self.count}.")
        return self._scatter / (self.count - 1)

    @property
    def features(self) -> np.ndarray:
        """float32 [n, d], of the images that were kept."""
        return np.concatenate([*self._kept, np.zeros((0, len(self.mean)), np.float32)])

    def update(self, features: np.ndarray) -> None:
        """Takes in the features, [n, d], of further images."""
        room = self.keep - sum(map(len, self._kept))
        if room > 0:
            self._kept.append(np.array(features[:room], np.float32))
        features = finite_rows(features)
        count, mean = len(features), features.mean(0)
        if self.count == 0:
            self.mean, self._scatter = np.zeros_like(mean), np.zeros((len(mean),) * 2)
        if mean.shape != self.mean.shape:
            raise BadInput(
                f"features of size {len(mean)} after features of size {len(self.mean)}."
            )
        # Chan, Golub and LeVeque (1979): sums of deviations from each batch's own mean,
        # so that a mean far from zero costs no digits.
        total, shift = self.count + count, mean - self.mean
        between = shift * np.sqrt(self.count * count / total)
        rows = np.concatenate([features - mean, [between]])
        self._scatter += rows.T @ rows
        self.mean = self.mean + shift * (count / total)
        self.count = total

    def require(self, protocol: Mapping[str, Any], path: str) -> None:
        """Raises BadInput, which names `path`, unless `protocol` is found here."""
        wanted = json.loads(json.dumps(dict(protocol)))
        found = {key: self.protocol.get(key) for key in wanted}
        if wanted != found:
            raise BadInput(
                f"{path} was made with another protocol: it has "
                f"{json.dumps(found, sort_keys=True)} and this evaluation has "
                f"{json.dumps(wanted, sort_keys=True)}."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz of count, mean, covariance, features and protocol (JSON)."""
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                count=np.int64(self.count),
                mean=self.mean,
                covariance=self.covariance,
                features=self.features,
                protocol=np.array(json.dumps(self.protocol, sort_keys=True)),
            )

    @classmethod
    def load(cls, path: str | os.PathLike) -> FeatureStatistics:
        """Reads what `save` wrote; BadInput if the file is anything else."""
        try:
            with open(path, "rb") as opened, np.load(opened) as file:
                statistics = cls(json.loads(file["protocol"].item()))
                statistics.count = int(file["count"])
                statistics.mean = np.asarray(file["mean"], np.float64)
                statistics._scatter = file["covariance"] * (statistics.count - 1.0)
                statistics._kept = [file["features"]]
                statistics.keep = len(file["features"])
        except _NOT_OURS as error:
            raise BadInput(
                f"{path} is no file of reference statistics ({error})."
            ) from error
        return statistics
