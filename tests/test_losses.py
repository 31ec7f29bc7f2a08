"""Adversarial losses against their formulas."""

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
    discriminator, generator, *_ = losses.ADVERSARIAL[name]
    real_loss, fake_loss = discriminator(tf.constant(REAL), tf.constant(FAKE))
    got = real_loss, fake_loss, generator(tf.constant(FAKE))
    assert all(loss.shape == () for loss in got)
    np.testing.assert_allclose(got, FORMULAS[name], rtol=1e-6)


def test_non_saturating_stays_finite_at_extreme_logits():
    discriminator, generator, *_ = losses.ADVERSARIAL["non_saturating"]
    far = tf.constant([[1e4], [-1e4]])
    np.testing.assert_allclose(discriminator(far, far), [5e3, 5e3])
    np.testing.assert_allclose(generator(far), 5e3)
