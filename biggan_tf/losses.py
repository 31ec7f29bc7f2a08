"""Adversarial losses: plain functions of D's logits.

Logits are float32 [batch, 1], high for real. Every loss is a scalar to be minimised,
the mean over the batch given. D has two, for real and for fake images.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

Pair = tuple[tf.Tensor, tf.Tensor]


class Adversarial(NamedTuple):
    """An adversarial loss. D takes an image for real if its logit is above `threshold`.

    That is the midpoint between D's targets for real and for fake images, 0 if it has
    no targets. Unless it `fixes_threshold`, all logits could be higher at the same
    loss, so D's accuracies mean nothing.
    """

    discriminator: Callable[[tf.Tensor, tf.Tensor], Pair]  # of real and fake logits
    generator: Callable[[tf.Tensor], tf.Tensor]  # of fake logits
    threshold: float = 0.0
    fixes_threshold: bool = True

    def accuracies(self, real: tf.Tensor, fake: tf.Tensor) -> Pair:
        """Returns the fractions of real and of fake images that D takes for such."""
        right = real > self.threshold, fake < self.threshold
        real_right, fake_right = (tf.cast(each, tf.float32) for each in right)
        return tf.reduce_mean(real_right), tf.reduce_mean(fake_right)


def hinge_discriminator(real: tf.Tensor, fake: tf.Tensor) -> Pair:
    """E[relu(1 - D(x))] and E[relu(1 + D(G(z)))] (Lim and Ye 2017; the paper's)."""
    return tf.reduce_mean(tf.nn.relu(1 - real)), tf.reduce_mean(tf.nn.relu(1 + fake))


def raise_logits(fake: tf.Tensor) -> tf.Tensor:
    """-E[D(G(z))], of hinge and Wasserstein."""
    return -tf.reduce_mean(fake)


def non_saturating_discriminator(real: tf.Tensor, fake: tf.Tensor) -> Pair:
    """-E[log sigmoid(D(x))] and -E[log(1 - sigmoid(D(G(z))))] (Goodfellow 2014)."""
    return tf.reduce_mean(tf.nn.softplus(-real)), tf.reduce_mean(tf.nn.softplus(fake))


def non_saturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """-E[log sigmoid(D(G(z)))]."""
    return tf.reduce_mean(tf.nn.softplus(-fake))


def least_squares_discriminator(real: tf.Tensor, fake: tf.Tensor) -> Pair:
    """E[(D(x) - 1)^2] / 2 and E[D(G(z))^2] / 2 (Mao et al. 2017)."""
    return tf.reduce_mean((real - 1) ** 2) / 2, tf.reduce_mean(fake**2) / 2


def least_squares_generator(fake: tf.Tensor) -> tf.Tensor:
    """E[(D(G(z)) - 1)^2] / 2."""
    return tf.reduce_mean((fake - 1) ** 2) / 2


def wasserstein_discriminator(real: tf.Tensor, fake: tf.Tensor) -> Pair:
    """-E[D(x)] and E[D(G(z))] (Arjovsky et al. 2017); bounded by spectral norm only."""
    return -tf.reduce_mean(real), tf.reduce_mean(fake)


ADVERSARIAL = {
    "hinge": Adversarial(hinge_discriminator, raise_logits),
    "non_saturating": Adversarial(
        non_saturating_discriminator, non_saturating_generator
    ),
    "least_squares": Adversarial(
        least_squares_discriminator, least_squares_generator, 0.5
    ),
    "wasserstein": Adversarial(
        wasserstein_discriminator, raise_logits, fixes_threshold=False
    ),
}
