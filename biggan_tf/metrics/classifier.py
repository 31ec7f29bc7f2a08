"""Scores from the logits of a classifier."""

from __future__ import annotations

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.checks import finite_rows


class InceptionScore:
    """exp of the mean KL(p(y|x) || p(y)), in splits (Salimans et al. 2016).

    Args:
        num_images: how many will come; split i holds images i n / splits up to
            (i + 1) n / splits, rounded down, of n.
        splits: number of splits.
    """

    def __init__(self, num_images: int, splits: int = 10):
        if num_images < splits:
            raise BadInput(
                f"an Inception Score over {splits} splits needs as many images; "
                f"num_images = {num_images}."
            )
        self._ends = [(i + 1) * num_images // splits for i in range(splits)]
        self._count = 0
        self._negative_entropy = np.zeros(splits)  # sums of sum_y p(y|x) log p(y|x)
        self._probabilities: np.ndarray | None = None  # sums of p(y|x), [splits, k]

    def update(self, logits: np.ndarray) -> None:
        """Takes in the classifier's logits, [n, k], of further images."""
        logits = finite_rows(logits)
        if self._count + len(logits) > self._ends[-1]:
            raise BadInput(
                f"logits of {self._count + len(logits)} images for an Inception Score "
                f"over {self._ends[-1]}."
            )
        logs = logits - logits.max(1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        probabilities = np.exp(logs)
        if self._probabilities is None:
            self._probabilities = np.zeros((len(self._ends), logits.shape[1]))
        split = np.searchsorted(
            self._ends, self._count + np.arange(len(logits)), side="right"
        )
        np.add.at(self._negative_entropy, split, (probabilities * logs).sum(1))
        np.add.at(self._probabilities, split, probabilities)
        self._count += len(logits)

    def result(self) -> tuple[float, float]:
        """Mean and standard deviation over the splits."""
        if self._count != self._ends[-1]:
            raise BadInput(
                f"logits of {self._count} images for an Inception Score over "
                f"{self._ends[-1]}."
            )
        counts = np.diff(self._ends, prepend=0)
        marginal = self._probabilities / counts[:, None]
        logs = np.log(np.where(marginal > 0, marginal, 1.0))
        scores = np.exp(self._negative_entropy / counts - (marginal * logs).sum(1))
        return float(scores.mean()), float(scores.std())


class LabelAccuracy:
    """Share of images to which a classifier gives the label that was asked for."""

    def __init__(self) -> None:
        self._right = self._count = 0

    def update(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Takes in logits [n, k] and labels int [n] of further images."""
        self._right += int((finite_rows(logits).argmax(1) == labels).sum())
        self._count += len(labels)

    def result(self) -> float:
        if not self._count:
            raise BadInput("label accuracy of no images.")
        return self._right / self._count
