"""Frechet distance of features."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.statistics import FeatureStatistics


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """FID (Heusel et al. 2017): the Frechet distance of two Gaussians, squared.

    |m_a - m_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)), where the last trace is the sum
    of the singular values of A^(1/2) B^(1/2): finite and accurate however many
    eigenvalues are zero, where a square root of A B itself is neither.
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
    """F with F F^T = covariance, a column for each eigenvalue that is not rounding."""
    values, vectors = np.linalg.eigh(covariance)
    true = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors[:, true] * np.sqrt(values[true])


def intra_class_frechet_distance(
    classes: Iterable[tuple[FeatureStatistics, FeatureStatistics]],
) -> float:
    """Mean over classes of the FID of (real, generated) (Miyato and Koyama 2018)."""
    return float(np.mean([frechet_distance(*pair) for pair in classes]))
