"""Directions in z along which a generator's pictures change most, in closed form.

SeFa (Shen and Zhou 2021, arXiv 2007.06600): where z enters G, it is multiplied by
weights. A step along an eigenvector of their Gram matrix changes what follows by the
root of its eigenvalue, so those of the largest eigenvalues change most.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from biggan_tf.errors import BadInput
from biggan_tf.keras import keras
from biggan_tf.layers import ConditionalBatchNorm


def directions(generator: keras.Model) -> np.ndarray:
    """Returns unit vectors in z, float32 [latent_size, latent_size], strongest first.

    The weights are those that z is multiplied by: of the seed, and of the gains and
    offsets of all conditional batch norms. The largest component of each vector is
    positive. BadInput if the weights are infinite or NaN.
    """
    spec = generator.spec
    # What each unit vector of z contributes to the inputs of these layers.
    unit_vectors = tf.eye(spec.latent_size)
    no_class = generator.condition(tf.zeros([spec.latent_size, spec.num_classes]))
    seed, conditions = generator.seed_and_conditions(unit_vectors, no_class)
    entrances = [(generator.seed, seed)]
    for block, condition in zip(generator.blocks, conditions):
        for norm in block.submodules:
            if isinstance(norm, ConditionalBatchNorm):
                entrances += [(norm.gain, condition), (norm.offset, condition)]
    gram = np.zeros([spec.latent_size] * 2)
    for layer, x in entrances:
        weights = np.float64(layer(x) - layer(tf.zeros_like(x)))
        gram += weights @ weights.T
    if not np.isfinite(gram).all():
        raise BadInput(
            "generator: a kernel divided by its sigma is infinite or NaN, as if its u "
            "was zero; take other weights."
        )
    vectors = np.linalg.eigh(gram)[1].T[::-1]
    largest = np.abs(vectors).argmax(axis=1, keepdims=True)
    return np.float32(vectors * np.sign(np.take_along_axis(vectors, largest, axis=1)))
