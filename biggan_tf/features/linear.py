"""A linear classifier over fixed features, for data with classes of its own."""

import dataclasses

import numpy as np

_ITERATIONS = 100  # the loss moves by less than 1e-4 after that


@dataclasses.dataclass(frozen=True)
class LinearHead:
    """Multinomial logistic regression of standardised features."""

    weights: np.ndarray  # float64 [d + 1, k]; the last row is the bias
    mean: np.ndarray  # of the features, float64 [d]
    scale: np.ndarray  # their standard deviation, or 1 where that is 0

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Returns logits, float64 [n, k], of features [n, d]."""
        return _with_one((features - self.mean) / self.scale) @ self.weights


def fit_linear_head(
    features: np.ndarray, labels: np.ndarray, num_classes: int, decay: float = 1e-2
) -> LinearHead:
    """Returns the head of least cross-entropy + decay / 2 |weights|^2, always the same.

    It takes Newton steps with Nesterov's momentum and one matrix that is above every
    Hessian (Boehning, Annals of the Institute of Statistical Mathematics, 1992), so
    there is no learning rate to choose. Takes features [n, d] of real images and their
    labels, int [n].
    """
    mean, scale = features.mean(0, np.float64), features.std(0, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1.0)
    x = _with_one((features - mean) / scale)
    # 1/2 bounds the Hessian of the cross-entropy in the logits.
    bound = x.T @ x / (2 * len(x)) + decay * np.eye(x.shape[1])
    step = np.linalg.inv(bound)
    targets = np.eye(num_classes)[labels]
    weights = np.zeros((x.shape[1], num_classes))
    momentum = np.zeros_like(weights)
    for index in range(_ITERATIONS):
        ahead = weights + index / (index + 3) * momentum
        logits = x @ ahead
        probabilities = np.exp(logits - logits.max(1, keepdims=True))
        probabilities /= probabilities.sum(1, keepdims=True)
        gradient = x.T @ (probabilities - targets) / len(x) + decay * ahead
        momentum = ahead - step @ gradient - weights
        weights = weights + momentum
    return LinearHead(weights, mean, scale)


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], 1)
