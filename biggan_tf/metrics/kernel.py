"""Kernel distance of features."""

from __future__ import annotations

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.checks import finite_rows


class KernelDistance:
    """KID (Binkowski et al. 2018): unbiased squared MMD, in blocks.

    Each full block of generated features meets one block of the reference, in turn;
    what is left over at the end is not used.

    Args:
        reference: features of real images, [n, d], in any order.
        block_size: images in a block.
        seed: of the random order in which the reference is cut into blocks.
    """

    def __init__(self, reference: np.ndarray, block_size: int = 1000, seed: int = 0):
        self._reference = reference
        self._order = np.random.default_rng(seed).permutation(len(reference))
        self._block_size = block_size
        self._waiting = np.zeros((0, reference.shape[1]))
        self._values: list[float] = []
        if not 2 <= block_size <= len(reference):
            raise BadInput(
                f"KID in blocks of {block_size} images: take 2 to {len(reference)}, "
                "the number of reference images whose features are kept."
            )

    def update(self, features: np.ndarray) -> None:
        """Takes in the features, [n, d], of further generated images."""
        self._waiting = np.concatenate([self._waiting, finite_rows(features)])
        size = self._block_size
        while len(self._waiting) >= size:
            block, self._waiting = self._waiting[:size], self._waiting[size:]
            start = len(self._values) % (len(self._order) // size) * size
            real = self._reference[self._order[start : start + size]]
            self._values.append(squared_mmd(finite_rows(real), block))

    def result(self) -> tuple[float, float]:
        """Mean and standard deviation over the blocks."""
        if not self._values:
            raise BadInput(
                f"KID in blocks of {self._block_size} images needs as many generated "
                f"ones; found {len(self._waiting)}."
            )
        return float(np.mean(self._values)), float(np.std(self._values))


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased estimate of the squared MMD, kernel (x . y / d + 1)^3.

    Args:
        x, y: float64 [n, d] and [m, d], two images or more each.
    """

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def mean_off_diagonal(k: np.ndarray) -> float:
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    within = mean_off_diagonal(kernel(x, x)) + mean_off_diagonal(kernel(y, y))
    return float(within - 2 * kernel(x, y).mean())
