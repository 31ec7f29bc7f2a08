"""Precision and recall of distributions, over clusters (Sajjadi et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biggan_tf.metrics.distances import FirstFeatures, squared_distances
from biggan_tf.metrics.metric import Batch, Metric, Reference, Request
from biggan_tf.metrics.statistics import finite_rows

_CLUSTERS = 20
_RUNS = 10  # of k-means, over which the scores are averaged
_RESAMPLES = 200  # for a standard error
_STEPS = 100  # of k-means at most
# Score -> beta: 8 weighs recall 8 times as much as precision.
_BETAS = {"prd_f8": 8.0, "prd_f1_8": 1 / 8}
_SCORES = (*_BETAS, *(f"{name}_se" for name in _BETAS))


def prd_f(real: np.ndarray, fake: np.ndarray, beta: float) -> np.ndarray:
    """Returns the highest F_beta on the curve of histograms, float64 [k] and [..., k].

    At a slope t precision is sum_i min(t real_i, fake_i), recall is that over t, and so
    F_beta = (1 + beta^2) precision / (1 + beta^2 t). Precision is made of straight
    lines that meet where t = fake_i / real_i, so one of these has the maximum.
    """
    real, fake = real[real > 0], fake[..., real > 0]
    slopes = fake / real
    precision = np.minimum(slopes[..., None] * real, fake[..., None, :]).sum(-1)
    return ((1 + beta**2) * precision / (1 + beta**2 * slopes)).max(-1)


def k_means(
    features: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """Returns the cluster of each row of float64 [n, d], int [n] below `count`.

    Starts from k-means++ (Arthur and Vassilvitskii 2007). A cluster may end up empty.
    """
    centres = features[random.integers(len(features), size=1)]
    nearest = np.inf
    while len(centres) < count:
        to_the_last = squared_distances(features, centres[-1:])[:, 0].clip(0)
        nearest = np.minimum(nearest, to_the_last)
        if not nearest.any():
            break  # there are no more different rows
        chosen = random.choice(len(features), p=nearest / nearest.sum())
        centres = np.concatenate([centres, features[[chosen]]])
    labels = np.full(len(features), -1)
    for _ in range(_STEPS):
        before, labels = labels, squared_distances(features, centres).argmin(1)
        if np.array_equal(before, labels):
            break
        for label in np.unique(labels):
            centres[label] = features[labels == label].mean(0)
    return labels


class Prd(Metric):
    """Highest F_8, for recall, and F_1/8, for precision, of a bounded number of images.

    As many real and generated features together fall in 20 clusters by k-means; the
    scores are means over 10 runs of it.
    """

    name = "prd"
    needs_features = True
    is_one_number = False

    @classmethod
    def fewest_images(cls, feature_size: int) -> int:
        return _CLUSTERS

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        return _SCORES

    def __init__(self, request: Request, reference: Reference):
        self._real = reference.statistics.features[: request.kept]
        self._fake = FirstFeatures(request.kept)
        self._random = np.random.default_rng(reference.seed)

    def update(self, batch: Batch) -> None:
        self._fake.update(batch)

    def result(self) -> dict[str, float]:
        real, fake = finite_rows(self._real), finite_rows(self._fake.features)
        count = min(len(real), len(fake))
        both = np.concatenate([real[:count], fake[:count]])
        scores, spreads = np.zeros((2, len(_BETAS), _RUNS))
        for run in range(_RUNS):
            labels = k_means(both, _CLUSTERS, self._random).reshape(2, count)
            real, fake = (np.bincount(x, minlength=_CLUSTERS) / count for x in labels)
            again = self._random.multinomial(count, fake, _RESAMPLES) / count
            for place, beta in enumerate(_BETAS.values()):
                scores[place, run] = prd_f(real, fake, beta)
                spreads[place, run] = prd_f(real, again, beta).std()
        # Of the images, the clusters as they are; and of the mean over the runs.
        errors = np.hypot(spreads.mean(1), scores.std(1) / (_RUNS - 1) ** 0.5)
        values = [*scores.mean(1), *errors]
        return dict(zip(_SCORES, map(float, values)))
