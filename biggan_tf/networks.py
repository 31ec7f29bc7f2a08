"""Makes the generator or discriminator that a spec describes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import tensorflow as tf

from biggan_tf import biggan, biggan_deep
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec, Network

_FAMILIES = {"biggan": biggan, "biggan_deep": biggan_deep}


def build_generator(spec: GeneratorSpec) -> Network:
    """Returns a generator whose variables have their initial values."""
    with _computing_in(spec.precision):
        generator = _FAMILIES[spec.family].Generator(spec, name="generator")
        generator(tf.zeros([1, spec.latent_size]), tf.zeros([1], tf.int32))
    return generator


def build_discriminator(spec: DiscriminatorSpec) -> Network:
    """Returns a discriminator whose variables have their initial values."""
    with _computing_in(spec.precision):
        discriminator = _FAMILIES[spec.family].Discriminator(spec, name="discriminator")
        image = tf.zeros([1, spec.resolution, spec.resolution, 3])
        discriminator(image, tf.zeros([1], tf.int32))
    return discriminator


@contextlib.contextmanager
def _computing_in(policy: str) -> Iterator[None]:
    """Sets the precision of Keras layers that are made inside."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Gives networks built inside variables with shapes, but no memory and values."""
    with tf.Graph().as_default():
        yield


def parameter_count(network: tf.keras.Model) -> int:
    """Returns how many trained numbers a network has."""
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)
