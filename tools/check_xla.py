"""Does everything that a TPU would run compile with XLA? Asks XLA for a CPU.

    python tools/check_xla.py
    python tools/check_xla.py --families=biggan_deep --resolutions=32,512

For each family and resolution, at a small width: the whole training step (updates of D
and G, optimisers, moving average), the pass that measures standing statistics, and
sampling with them; and the feature network of an evaluation. XLA refuses operations
that a TPU does not have, and shapes that are not known beforehand. Prints the seconds
of each compilation, without optimisations for speed, and stops at the first failure.
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

from biggan_tf import biggan, config, features, latents, networks
from biggan_tf.gan import Gan
from biggan_tf.recipe import Recipe
from biggan_tf.saved_model.inference import Accumulator, StandingStatistics

_FAMILIES = flags.DEFINE_list("families", list(networks.FAMILIES), "Of networks.")
_RESOLUTIONS = flags.DEFINE_list(
    "resolutions", [str(side) for side in biggan.GENERATOR_CHANNELS], "Pixels."
)
_PRECISION = flags.DEFINE_string("precision", "mixed_bfloat16", "Of G and D.")
_WIDTH = flags.DEFINE_integer("width", 8, "Channels of multiplier 1.")
BATCH, CLASSES = 2, 10
TRUNCATIONS = (0.5, 1.0)


def compiles(function: Callable, *arguments: object) -> float:
    """The seconds that XLA takes for a function of these arguments, and to run it."""
    return seconds(tf.function(function, autograph=False, jit_compile=True), *arguments)


def seconds(function: Callable, *arguments: object) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def check(family: str, resolution: int) -> list[float]:
    """Seconds of the training step, of a statistics pass and of sampling."""
    _, *specs = networks.specs(
        resolution,
        CLASSES,
        family=family,
        generator_width=_WIDTH.value,
        discriminator_width=_WIDTH.value,
        latent_size=4 * len(biggan.GENERATOR_CHANNELS[resolution]),
        embedding_size=16,
        generator_attention=(16,),
        discriminator_attention=(16,),
        initializer="normal",
        generator_precision=_PRECISION.value,
        discriminator_precision=_PRECISION.value,
    )
    generator = networks.build_generator(family, specs[0])
    discriminator = networks.build_discriminator(family, specs[1])
    recipe = Recipe(discriminator_steps=1, orthogonal_penalty=1e-4)
    gan = Gan(generator, discriminator, recipe, BATCH, jit_compile=True)
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
        y = latents.labels(BATCH, CLASSES, seed)
        return generator(z, y, statistics=standing.at(truncation))

    return [
        seconds(gan.train, iter(batches), tf.constant(1)),
        compiles(accumulator.one_pass, tf.constant(0.5), latents.root_seed(0)),
        compiles(sample, tf.constant(0.7)),
    ]


def main() -> None:
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
