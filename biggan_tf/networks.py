"""Architecture and resolution -> generator and discriminator."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import gin
import tensorflow as tf

from biggan_tf import biggan, biggan_deep
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec
from biggan_tf.errors import BadInput

FAMILIES = {"biggan": biggan, "biggan_deep": biggan_deep}


@gin.configurable("networks")
def specs(
    resolution: int,
    num_classes: int,
    family: str = "biggan",
    generator_width: int = 96,
    discriminator_width: int = 96,
    latent_size: int = 120,
    embedding_size: int | None = 128,
    skip_z: bool = True,
    generator_attention: tuple[int, ...] = (64,),
    discriminator_attention: tuple[int, ...] = (64,),
    condition_order: str = "yz",
    released_rgb: bool = False,
    initializer: str = "orthogonal",
    generator_spectral_norm: bool = True,
    discriminator_spectral_norm: bool = True,
    sn_epsilon: float = 1e-6,
    bn_epsilon: float = 1e-5,
    generator_precision: str = "float32",
    discriminator_precision: str = "float32",
    recompute: bool = False,
) -> tuple[str, GeneratorSpec, DiscriminatorSpec]:
    """The family and the specs of G and D; builds nothing.

    Args:
        resolution, num_classes: those of the data.
        family: "biggan" or "biggan_deep".
        generator_width, discriminator_width: channels of multiplier 1.
        latent_size, embedding_size, skip_z, condition_order, bn_epsilon: see
            `architecture.GeneratorSpec`.
        generator_attention, discriminator_attention, initializer, sn_epsilon: see
            `architecture.NetworkSpec`.
        released_rgb: BigGAN-deep's last kernel has `generator_width` output channels,
            of which three are used, as in the released weights.
        generator_spectral_norm, discriminator_spectral_norm: whether kernels are
            divided by their largest singular value.
        generator_precision, discriminator_precision: "float32" or "mixed_bfloat16", see
            `architecture.NetworkSpec`.
        recompute: of both networks, see `architecture.NetworkSpec`.

    Raises:
        BadInput: on a value that no network can have.
    """
    if family not in FAMILIES:
        raise BadInput(
            f"networks.family = {family!r}: take one of {', '.join(FAMILIES)}."
        )
    common = {
        "resolution": resolution,
        "num_classes": num_classes,
        "initializer": initializer,
        "sn_epsilon": sn_epsilon,
        "recompute": recompute,
    }
    generator = GeneratorSpec(
        width=generator_width,
        attention=generator_attention,
        spectral_norm=generator_spectral_norm,
        latent_size=latent_size,
        embedding_size=embedding_size,
        skip_z=skip_z,
        condition_order=condition_order,
        rgb_units=generator_width if released_rgb else 3,
        bn_epsilon=bn_epsilon,
        precision=generator_precision,
        **common,
    )
    if family == "biggan":
        biggan.check_latent_size(generator)
    discriminator = DiscriminatorSpec(
        width=discriminator_width,
        attention=discriminator_attention,
        spectral_norm=discriminator_spectral_norm,
        precision=discriminator_precision,
        **common,
    )
    return family, generator, discriminator


def build_generator(family: str, spec: GeneratorSpec) -> tf.keras.Model:
    """A generator with its variables made and initialised."""
    with _computing_in(spec.precision):
        generator = FAMILIES[family].Generator(spec, name="generator")
        generator(tf.zeros([1, spec.latent_size]), tf.zeros([1], tf.int32))
    return generator


def build_discriminator(family: str, spec: DiscriminatorSpec) -> tf.keras.Model:
    """A discriminator with its variables made and initialised."""
    with _computing_in(spec.precision):
        discriminator = FAMILIES[family].Discriminator(spec, name="discriminator")
        image = tf.zeros([1, spec.resolution, spec.resolution, 3])
        discriminator(image, tf.zeros([1], tf.int32))
    return discriminator


@contextlib.contextmanager
def _computing_in(policy: str) -> Iterator[None]:
    """Keras layers made inside, in calls too, compute in this precision."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Networks built inside have variables with shapes, but no memory and no values."""
    with tf.Graph().as_default():
        yield


def parameter_count(network: tf.keras.Model) -> int:
    """How many numbers are trained."""
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)
