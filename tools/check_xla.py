"""Checks, on a CPU, that XLA compiles everything that a TPU would run.

    python tools/check_xla.py
    python tools/check_xla.py --families=biggan_deep --resolutions=32,512

For each family and resolution, at a small width, it compiles the whole training step
(updates of D and G, optimisers, moving average), the pass that measures standing
statistics, and sampling with these statistics. Then it compiles the feature network of
an evaluation. XLA refuses operations that a TPU does not have, and shapes that are not
known beforehand. Prints the seconds of each compilation (with XLA's optimisations
turned off) and stops at the first failure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
    ]
)

import tensorflow as tf
from absl import flags

from biggan_tf import config, features, latents, networks
from biggan_tf.architecture import (
    CHANNELS,
    FAMILIES,
    RESOLUTIONS,
    DiscriminatorSpec,
    GeneratorSpec,
)
from biggan_tf.errors import BadInput
from biggan_tf.gan import Gan, GanOptions
from biggan_tf.regularisers import Orthogonal
from biggan_tf.standing import Accumulator, StandingStatistics

_FAMILIES = flags.DEFINE_list("families", list(FAMILIES), "Of networks.")
_RESOLUTIONS = flags.DEFINE_list("resolutions", list(map(str, RESOLUTIONS)), "Pixels.")
_PRECISION = flags.DEFINE_string("precision", "mixed_bfloat16", "Of G and D.")
_WIDTH = flags.DEFINE_integer("width", 8, "Channels of multiplier 1.", 1, 1024)
BATCH, CLASSES = 2, 10
TRUNCATIONS = (0.5, 1.0)


def compiles(function: Callable, *arguments: object) -> float:
    """Returns how many seconds XLA takes to compile a function, and to run it once."""
    return seconds(tf.function(function, autograph=False, jit_compile=True), *arguments)


def seconds(function: Callable, *arguments: object) -> float:
    """Returns how many seconds a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def check(family: str, resolution: int) -> list[float]:
    """Returns the seconds of the training step, a statistics pass and sampling."""
    both = {
        "resolution": resolution,
        "num_classes": CLASSES,
        "family": family,
        "width": _WIDTH.value,
        "attention": (16,),
        "initializer": "normal",
        "precision": _PRECISION.value,
    }
    latent_size = 4 * len(CHANNELS[resolution].generator)
    generator = networks.build(
        GeneratorSpec(**both, latent_size=latent_size, embedding_size=16)
    )
    discriminator = networks.build(DiscriminatorSpec(**both))
    gan = Gan(
        generator,
        discriminator,
        GanOptions(discriminator_steps=1),
        BATCH,
        jit_compile=True,
        regularisers=[Orthogonal(weight=1e-4)],
    )
    images = tf.zeros([1, BATCH, resolution, resolution, 3])
    batches = tf.data.Dataset.from_tensor_slices(
        (images, tf.zeros([1, BATCH], "int32"))
    )

    accumulator = Accumulator(generator, "resample", BATCH)
    standing = StandingStatistics(generator, TRUNCATIONS)

    def sample(truncation: tf.Tensor) -> tf.Tensor:
        seed = latents.root_seed(0)
        shape = [BATCH, generator.spec.latent_size]
        z = latents.truncated_normal(shape, seed, truncation)
        y = latents.labels(BATCH, latents.uniform(CLASSES), seed)
        return generator(z, y, statistics=standing.at(truncation))

    return [
        seconds(gan.train, iter(batches), tf.constant(1)),
        compiles(accumulator.one_pass, tf.constant(0.5), latents.root_seed(0)),
        compiles(sample, tf.constant(0.7)),
    ]


def main() -> None:
    for told, given, known in (
        ("families", _FAMILIES.value, FAMILIES),
        ("resolutions", _RESOLUTIONS.value, [*map(str, RESOLUTIONS)]),
    ):
        if unknown := [name for name in given if name not in known]:
            raise BadInput(f"--{told}={unknown[0]}: take some of {', '.join(known)}.")
    print("| network | training step | statistics | sampling |\n|---|---|---|---|")
    for family in _FAMILIES.value:
        for resolution in map(int, _RESOLUTIONS.value):
            seconds = check(family, resolution)
            cells = " | ".join(f"{value:.0f} s" for value in seconds)
            print(f"| {family}, {resolution} px | {cells} |", flush=True)
    extractor = features.load("lite0_128")
    pixels = tf.zeros([BATCH, 32, 32, 3], tf.uint8)
    print(f"| features, lite0_128 | | | {compiles(extractor, pixels):.0f} s |")


if __name__ == "__main__":
    config.run(main)
