"""Losses against their formulas, the penalty against its analytic gradient."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import losses

REAL = np.float32([[-2.0], [-0.5], [0.3], [0.9], [1.5], [4.0]])
FAKE = np.float32([[3.0], [1.2], [0.4], [-0.2], [-1.0], [-2.5]])


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.log1p(np.exp(-x))


# Name -> D's loss on real, D's on fake, G's.
FORMULAS = {
    "hinge": (
        np.mean(relu(1 - REAL)),
        np.mean(relu(1 + FAKE)),
        -np.mean(FAKE),
    ),
    "non_saturating": (
        -np.mean(log_sigmoid(REAL)),
        -np.mean(log_sigmoid(-FAKE)),
        -np.mean(log_sigmoid(FAKE)),
    ),
    "least_squares": (
        np.mean((REAL - 1) ** 2) / 2,
        np.mean(FAKE**2) / 2,
        np.mean((FAKE - 1) ** 2) / 2,
    ),
    "wasserstein": (-np.mean(REAL), np.mean(FAKE), -np.mean(FAKE)),
}


def test_every_loss_has_its_formula():
    assert set(FORMULAS) == set(losses.ADVERSARIAL)


@pytest.mark.parametrize("name", FORMULAS)
def test_adversarial_losses(name):
    discriminator, generator, _ = losses.ADVERSARIAL[name]
    real_loss, fake_loss = discriminator(tf.constant(REAL), tf.constant(FAKE))
    got = real_loss, fake_loss, generator(tf.constant(FAKE))
    assert all(loss.shape == () for loss in got)
    np.testing.assert_allclose(got, FORMULAS[name], rtol=1e-6)


def test_non_saturating_stays_finite_at_extreme_logits():
    discriminator, generator, _ = losses.ADVERSARIAL["non_saturating"]
    far = tf.constant([[1e4], [-1e4]])
    np.testing.assert_allclose(discriminator(far, far), [5e3, 5e3])
    np.testing.assert_allclose(generator(far), 5e3)


@pytest.mark.parametrize(
    ("inputs", "units"), [(7, 3), (5, 5), (3, 7), (1, 4), (4, 1), (30, 80)]
)
def test_orthogonal_penalty(inputs, units):
    matrix = np.random.default_rng(inputs).normal(size=(inputs, units))
    gram = matrix.T @ matrix
    off_diagonal = gram * (1 - np.eye(units))
    variable = tf.Variable(matrix.astype("float32"))
    with tf.GradientTape() as tape:
        penalty = losses.orthogonal_penalty(variable)
    size = np.sum(gram**2)
    np.testing.assert_allclose(penalty, np.sum(off_diagonal**2), atol=1e-6 * size)
    # d/dW ||W^T W * (1 - I)||^2 = 4 W (W^T W * (1 - I)); AJ's code has a 2 here.
    expected = 4 * matrix @ off_diagonal
    np.testing.assert_allclose(
        tape.gradient(penalty, variable),
        expected,
        atol=1e-5 * max(1.0, np.abs(expected).max()),
    )


def test_orthogonal_penalty_leaves_norms_alone():
    matrix = np.diag([3.0, 0.1, 7.0]).astype("float32")
    for columns in (3, 2):
        assert losses.orthogonal_penalty(tf.constant(matrix[:, :columns])) == 0
