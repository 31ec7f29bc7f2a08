"""Adversarial losses and regularisers: plain functions.

Logits are float32 [batch, 1], high for real; every loss is a scalar to be minimised,
the mean over the batch given.
"""

from __future__ import annotations

import tensorflow as tf


def hinge_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tuple:
    """E[relu(1 - D(x))] and E[relu(1 + D(G(z)))] (Lim and Ye 2017; the paper's)."""
    return tf.reduce_mean(tf.nn.relu(1 - real)), tf.reduce_mean(tf.nn.relu(1 + fake))


def hinge_generator(fake: tf.Tensor) -> tf.Tensor:
    """-E[D(G(z))]."""
    return -tf.reduce_mean(fake)


def non_saturating_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tuple:
    """-E[log sigmoid(D(x))] and -E[log(1 - sigmoid(D(G(z))))] (Goodfellow 2014)."""
    return tf.reduce_mean(tf.nn.softplus(-real)), tf.reduce_mean(tf.nn.softplus(fake))


def non_saturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """-E[log sigmoid(D(G(z)))]."""
    return tf.reduce_mean(tf.nn.softplus(-fake))


def least_squares_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tuple:
    """E[(D(x) - 1)^2] / 2 and E[D(G(z))^2] / 2 (Mao et al. 2017)."""
    return (
        0.5 * tf.reduce_mean(tf.square(real - 1)),
        0.5 * tf.reduce_mean(tf.square(fake)),
    )


def least_squares_generator(fake: tf.Tensor) -> tf.Tensor:
    """E[(D(G(z)) - 1)^2] / 2."""
    return 0.5 * tf.reduce_mean(tf.square(fake - 1))


def wasserstein_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tuple:
    """-E[D(x)] and E[D(G(z))] (Arjovsky et al. 2017); bounded by spectral norm only."""
    return -tf.reduce_mean(real), tf.reduce_mean(fake)


# Name -> (D's loss on real and on fake, G's loss, the logit above which D takes an
# image for real: halfway between what it is taught to say of either. Wasserstein, whose
# G loss is hinge's, teaches nothing of the kind; zero stands in).
ADVERSARIAL = {
    "hinge": (hinge_discriminator, hinge_generator, 0.0),
    "non_saturating": (non_saturating_discriminator, non_saturating_generator, 0.0),
    "least_squares": (least_squares_discriminator, least_squares_generator, 0.5),
    "wasserstein": (wasserstein_discriminator, hinge_generator, 0.0),
}


def orthogonal_penalty(matrix: tf.Tensor) -> tf.Tensor:
    """||W^T W * (1 - I)||_F^2 of W, float32 [inputs, units] (the paper's Section 3.1).

    Leaving the diagonal out asks filters to be different, of whatever norm. Where there
    are more units than inputs, the Gram matrix of the other side, which has the same
    Frobenius norm, stands in: it may be a thousand times smaller.
    """
    inputs, units = matrix.shape
    if units <= inputs:
        gram = tf.matmul(matrix, matrix, transpose_a=True)
        return tf.reduce_sum(tf.square(tf.linalg.set_diag(gram, tf.zeros([units]))))
    gram = tf.matmul(matrix, matrix, transpose_b=True)
    diagonal = tf.reduce_sum(tf.square(matrix), axis=0)
    return tf.reduce_sum(tf.square(gram)) - tf.reduce_sum(tf.square(diagonal))


def full_orthogonal_penalty(matrix: tf.Tensor) -> tf.Tensor:
    """||W^T W - I||_F^2 of W, float32 [inputs, units] (Brock et al. 2017)."""
    inputs, units = matrix.shape
    narrow = units <= inputs
    gram = tf.matmul(matrix, matrix, transpose_a=narrow, transpose_b=not narrow)
    # Both Gram matrices have the same eigenvalues but for zeros, each of which adds 1.
    return tf.reduce_sum(tf.square(gram - tf.eye(min(matrix.shape)))) + max(
        0.0, float(units - inputs)
    )
