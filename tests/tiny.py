"""Specs of networks that are as small as they can be."""

from __future__ import annotations

from typing import Any

from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec

BOTH = {"resolution", "num_classes", "family", "initializer", "sn_epsilon", "recompute"}
TINY = {
    "resolution": 32,
    "num_classes": 3,
    "generator_width": 4,
    "discriminator_width": 4,
    "latent_size": 8,
    "embedding_size": 5,
    "generator_attention": (16,),
    "discriminator_attention": (16,),
}


def specs(
    family: str = "biggan", **changes: Any
) -> tuple[GeneratorSpec, DiscriminatorSpec]:
    """Specs of G and D, 32 px, with attention.

    Args:
        family: of both.
        **changes: `generator_x` and `discriminator_x` are x of one of them; the options
            in `BOTH` are of both; all others are G's.
    """
    generator, discriminator = {}, {}
    for name, value in {"family": family, **TINY, **changes}.items():
        network, _, option = name.partition("_")
        if name in BOTH:
            generator[name] = discriminator[name] = value
        elif network == "discriminator":
            discriminator[option] = value
        else:
            generator[option if network == "generator" else name] = value
    return GeneratorSpec(**generator), DiscriminatorSpec(**discriminator)
