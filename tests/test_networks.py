"""Parameter counts, blocks against plain references, and every switch."""

from __future__ import annotations

import json
import resource
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny import TINY, specs

from biggan_tf import biggan, biggan_deep, layers, networks
from biggan_tf.architecture import (
    FAMILIES,
    RESOLUTIONS,
    DiscriminatorSpec,
    GeneratorSpec,
)
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras

Z = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
X = np.random.default_rng(1).uniform(-1, 1, size=(3, 32, 32, 3)).astype("float32")
Y = np.int32([0, 2, 1])
both_families = pytest.mark.parametrize("family", FAMILIES)


def build(
    generator: GeneratorSpec, discriminator: DiscriminatorSpec
) -> tuple[keras.Model, keras.Model]:
    return (
        networks.build(generator),
        networks.build(discriminator),
    )


def tiny(**bindings: Any) -> tuple[keras.Model, keras.Model]:
    return build(*specs(**bindings))


@pytest.fixture(scope="module")
def networks_of():
    """Family -> (G, D) of TINY, whose values no test may leave changed."""
    return {family: tiny(family=family) for family in FAMILIES}


# --- parameter counts -----------------------------------------------------------------
# Counted once more from the paper's tables, without looking at any layer.

G_CHANNELS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
D_CHANNELS = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}


def conv(side: int, inputs: int, units: int) -> int:
    return (side * side * inputs + 1) * units


def attention(channels: int) -> int:
    return 2 * channels * (channels // 8) + 2 * channels * (channels // 2) + 1


def count_generator(
    family: str,
    resolution: int,
    classes: int,
    width: int,
    latent: int,
    embedding: int | None = 128,
    skip_z: bool = True,
    sides: tuple[int, ...] = (64,),
    rgb: int = 3,
) -> int:
    channels = [width * factor for factor in G_CHANNELS[resolution]]
    deep = family == "biggan_deep"
    label = embedding or classes
    chunk = latent // len(channels) if skip_z and not deep else latent
    condition = label + chunk if skip_z else label
    total = (embedding or 0) * classes
    total += conv(1, latent + label if deep else chunk, 16 * channels[0])
    for index, (inputs, units) in enumerate(zip(channels, channels[1:])):
        if deep:
            inner = inputs // 4
            for out in (inputs, units):
                norms = inputs + 3 * inner
                total += 2 * condition * norms + conv(1, inputs, inner)
                total += 2 * conv(3, inner, inner) + conv(1, inner, out)
        else:
            total += 2 * condition * (inputs + units) + conv(1, inputs, units)
            total += conv(3, inputs, units) + conv(3, units, units)
        if 8 * 2**index in sides:
            total += attention(units)
    return total + 2 * channels[-1] + conv(3, channels[-1], rgb)


def count_discriminator(
    family: str,
    resolution: int,
    classes: int,
    width: int,
    sides: tuple[int, ...] = (64,),
) -> int:
    channels = [width * factor for factor in D_CHANNELS[resolution]]
    total, side = 0, resolution
    if family == "biggan_deep":
        total += conv(3, 3, channels[0])
        for inputs, units in zip(channels, channels[1:]):
            inner = units // 4
            for entry in (inputs, units):
                total += conv(1, entry, inner) + 2 * conv(3, inner, inner)
                total += conv(1, inner, units)
            if units > inputs:
                total += conv(1, inputs, units - inputs)
            if side > 8 or (resolution > 32 and side > 4):
                side //= 2
                total += attention(units) if side in sides else 0
    else:
        for inputs, units in zip([3, *channels], channels):
            down = side > 8 or (resolution > 32 and side > 4)
            total += conv(3, inputs, units) + conv(3, units, units)
            if down or inputs != units:
                total += conv(1, inputs, units)
            if down:
                side //= 2
                total += attention(units) if side in sides else 0
    return total + channels[-1] + 1 + classes * channels[-1]


# Networks for ImageNet: (latent_size, G's attention, D's attention), the defaults.
PAPER = {
    ("biggan", 32): (80, (), ()),
    ("biggan", 64): (100, (32,), (32,)),
    ("biggan", 128): (120, (64,), (64,)),
    ("biggan", 256): (140, (128,), (64,)),
    ("biggan", 512): (160, (64,), (64,)),
    ("biggan_deep", 32): (128, (), ()),
    ("biggan_deep", 64): (128, (32,), (32,)),
    ("biggan_deep", 128): (128, (64,), (64,)),
    ("biggan_deep", 256): (128, (64,), (64,)),
    ("biggan_deep", 512): (128, (64,), (64,)),
}
# Parameters of G and D with 1,000 classes and the paper's widths, 96 and 128. Those of
# 128 px and more are published.
COUNTS = {
    ("biggan", 32): (9_358_595, 9_836_929),
    ("biggan", 64): (70_222_212, 45_511_970),
    ("biggan", 128): (70_433_988, 87_982_370),
    ("biggan", 256): (82_097_604, 99_225_890),
    ("biggan", 512): (82_468_068, 99_401_282),
    ("biggan_deep", 32): (7_561_987, 3_088_129),
    ("biggan_deep", 64): (49_829_636, 20_951_554),
    ("biggan_deep", 128): (50_244_484, 34_590_210),
    ("biggan_deep", 256): (55_736_708, 38_247_426),
    ("biggan_deep", 512): (56_019_780, 38_301_122),
}


def counts(
    resolution: int, classes: int = 1000, g: dict | None = None, d: dict | None = None
) -> tuple[int, int]:
    """Parameters of G and D with the default options but these."""
    pair = (
        GeneratorSpec(resolution, classes, **(g or {})),
        DiscriminatorSpec(resolution, classes, **(d or {})),
    )
    return tuple(map(networks.parameter_count, pair))


def test_the_table_of_counts_is_complete():
    every = {(family, side) for family in FAMILIES for side in RESOLUTIONS}
    assert set(COUNTS) == set(PAPER) == every


@pytest.mark.parametrize(("family", "resolution"), COUNTS)
def test_parameter_counts(family, resolution):
    latent, g_sides, d_sides = PAPER[family, resolution]
    width = 96 if family == "biggan" else 128
    g = count_generator(family, resolution, 1000, width, latent, sides=g_sides)
    d = count_discriminator(family, resolution, 1000, width, sides=d_sides)
    assert (g, d) == COUNTS[family, resolution]
    # Spectral norm and the initial values train nothing of their own, and take time.
    both = {
        "family": family,
        "width": width,
        "initializer": "normal",
        "spectral_norm": False,
    }
    assert (g, d) == counts(resolution, g=both, d=both)


def test_the_defaults_are_the_paper_at_128():
    assert counts(128) == (70_433_988, 87_982_370)


@pytest.mark.parametrize(
    ("resolution", "classes", "g", "d", "published"),
    [
        (128, 1000, {"width": 64}, {"width": 64}, (31_978_628, 39_448_258)),
        (  # AJ's CIFAR script
            32,
            10,
            {
                "width": 64,
                "embedding_size": None,
                "skip_z": False,
            },
            {"width": 64},
            (4_304_387, 4_207_361),
        ),
        (  # StudioGAN's CIFAR config, whose D has multipliers of 2, not 4
            32,
            10,
            {"attention": (16,)},
            {"width": 48, "attention": (16,)},
            (9_416_196, 2_415_170),
        ),
        (  # StudioGAN's Tiny ImageNet D; its G has other channels
            64,
            200,
            {},
            {"width": 80},
            (None, 30_796_722),
        ),
    ],
)
def test_other_published_counts(resolution, classes, g, d, published):
    got = counts(resolution, classes, g, d)
    assert [b for b in published if b] == [a for a, b in zip(got, published) if b]


@pytest.mark.parametrize(
    ("resolution", "published"),
    [(128, 50_388_609), (256, 55_880_833), (512, 56_163_905)],
)
def test_the_released_rgb_kernel_adds_its_unused_channels(resolution, published):
    width = 128
    sizes = ("biggan_deep", resolution, 1000, width, 128)
    assert count_generator(*sizes, rgb=width) == published
    few, many = (
        tiny(family="biggan_deep", released_rgb=wide) for wide in (False, True)
    )
    assert few[0].to_image.conv.kernel.shape == [3, 3, 16, 3]
    assert many[0].to_image.conv.kernel.shape == [3, 3, 16, 4]
    assert many[0](Z, Y).shape == [3, 32, 32, 3]


SWITCHES = [
    {},
    {"skip_z": False, "latent_size": 7},
    {
        "embedding_size": None,
        "generator_attention": (),
        "discriminator_attention": (),
    },
    {"embedding_size": None, "skip_z": False},  # the SA-GAN baseline of Table 1
    {
        "num_classes": 1,
        "generator_attention": [8, 16, 32],
        "discriminator_attention": [8, 16],
    },
    {"generator_width": 5, "discriminator_width": 7},
]


@both_families
@pytest.mark.parametrize("bindings", SWITCHES)
def test_every_switch_has_its_variables_uses_each_once_and_trains_it(family, bindings):
    asked = {**TINY, **bindings}
    generator, discriminator = tiny(family=family, **bindings)
    common = family, asked["resolution"], asked["num_classes"]
    assert networks.parameter_count(generator.spec) == count_generator(
        *common,
        asked["generator_width"],
        asked["latent_size"],
        asked["embedding_size"],
        asked.get("skip_z", True),
        tuple(asked["generator_attention"]),
    )
    assert networks.parameter_count(discriminator.spec) == count_discriminator(
        *common, asked["discriminator_width"], tuple(asked["discriminator_attention"])
    )
    spectral = [
        layer
        for network in (generator, discriminator)
        for layer in layers.spectral_layers(network)
        if layer.spectral_norm
    ]
    once = [
        layers.power_iteration(layer.matrix(), layer.u, layer.sn_epsilon)[0].numpy()
        for layer in spectral
    ]
    z, y = Z[:, : asked["latent_size"]], Y % asked["num_classes"]
    with tf.GradientTape() as tape:
        image = generator(z, y, training=True)
        logit = discriminator(image, y, training=True)
    for layer, u in zip(spectral, once):
        np.testing.assert_allclose(layer.u, u, atol=1e-5, err_msg=layer.name)
    variables = [*generator.trainable_variables, *discriminator.trainable_variables]
    gradients = tape.gradient(logit, variables)
    assert not [v.name for v, g in zip(variables, gradients) if g is None]
    assert image.shape == [3, 32, 32, 3]
    assert logit.shape == [3, 1]


@both_families
def test_spectral_norm_everywhere_but_in_the_class_embeddings(family):
    def without(network: keras.Model) -> set[str]:
        bare = [
            layer
            for layer in layers.spectral_layers(network)
            if not layer.spectral_norm
        ]
        assert all("u" not in vars(layer) for layer in bare)
        return {layer.name for layer in bare}

    shared, discriminator = tiny(family=family)
    assert (without(shared), without(discriminator)) == ({"embedding"}, set())
    separate, _ = tiny(family=family, embedding_size=None)
    assert without(separate) == {"gain", "offset"}
    generator, discriminator = tiny(family=family, discriminator_spectral_norm=False)
    assert without(generator) == {"embedding"}
    assert not [v for v in discriminator.variables if "/u:" in v.name]
    generator, discriminator = tiny(family=family, generator_spectral_norm=False)
    assert not [v for v in generator.variables if "/u:" in v.name]
    assert without(discriminator) == set()


# --- blocks ---------------------------------------------------------------------------

KERNEL = {"kernel_initializer": "glorot_normal"}
NORM = {"kernel": KERNEL}


def convolve(layer: layers.SpectralConv2D, x: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, layer.normalized_kernel(), 1, "SAME") + layer.bias


def normalize(
    norm: layers.ConditionalBatchNorm, x: tf.Tensor, condition: tf.Tensor
) -> tf.Tensor:
    gain = 1 + condition @ norm.gain.normalized_kernel()
    offset = condition @ norm.offset.normalized_kernel()
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    x = (x - mean) / tf.sqrt(variance + 1e-5)
    return tf.nn.relu(gain[:, None, None] * x + offset[:, None, None])


def grow(x: tf.Tensor) -> tf.Tensor:
    return tf.repeat(tf.repeat(x, 2, 1), 2, 2)


def pool(x: tf.Tensor) -> tf.Tensor:
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def generator_block(block: biggan.GeneratorBlock, x: tf.Tensor, c: tf.Tensor):
    h = convolve(block.conv1, grow(normalize(block.norm1, x, c)))
    h = convolve(block.conv2, normalize(block.norm2, h, c))
    return h + convolve(block.shortcut, grow(x))


def discriminator_block(block: biggan.DiscriminatorBlock, x: tf.Tensor):
    h = convolve(block.conv1, x if block.first else tf.nn.relu(x))
    h = convolve(block.conv2, tf.nn.relu(h))
    if block.shortcut:
        x = convolve(block.shortcut, x)
    return pool(h + x) if block.downsample else h + x


def deep_generator_block(block: biggan_deep.GeneratorBlock, x: tf.Tensor, c: tf.Tensor):
    resize = grow if block.upsample else tf.identity
    h = convolve(block.convs[0], normalize(block.norms[0], x, c))
    h = convolve(block.convs[1], resize(normalize(block.norms[1], h, c)))
    h = convolve(block.convs[2], normalize(block.norms[2], h, c))
    h = convolve(block.convs[3], normalize(block.norms[3], h, c))
    return h + resize(x[..., : block.units])


def deep_discriminator_block(block: biggan_deep.DiscriminatorBlock, x: tf.Tensor):
    resize = pool if block.downsample else tf.identity
    h = x
    for layer in block.convs[:3]:
        h = convolve(layer, tf.nn.relu(h))
    h = convolve(block.convs[3], resize(tf.nn.relu(h)))
    x = resize(x)
    if block.shortcut:
        x = tf.concat([x, convolve(block.shortcut, x)], axis=-1)
    return h + x


@pytest.mark.parametrize(
    ("block", "reference"),
    [
        (biggan.GeneratorBlock(4, KERNEL, NORM), generator_block),
        (biggan.GeneratorBlock(8, KERNEL, NORM), generator_block),
        (biggan.DiscriminatorBlock(12, True, True, KERNEL), discriminator_block),
        (biggan.DiscriminatorBlock(12, True, False, KERNEL), discriminator_block),
        (biggan.DiscriminatorBlock(8, True, False, KERNEL), discriminator_block),
        (biggan.DiscriminatorBlock(12, False, False, KERNEL), discriminator_block),
        (biggan.DiscriminatorBlock(8, False, False, KERNEL), discriminator_block),
        (biggan_deep.GeneratorBlock(8, False, KERNEL, NORM), deep_generator_block),
        (biggan_deep.GeneratorBlock(4, True, KERNEL, NORM), deep_generator_block),
        (biggan_deep.DiscriminatorBlock(12, True, KERNEL), deep_discriminator_block),
        (biggan_deep.DiscriminatorBlock(8, True, KERNEL), deep_discriminator_block),
        (biggan_deep.DiscriminatorBlock(8, False, KERNEL), deep_discriminator_block),
    ],
)
def test_blocks_are_the_paper_s(block, reference):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(2, 6, 6, 8)), tf.float32)
    if "Generator" in type(block).__name__:
        c = tf.constant(rng.normal(size=(2, 5)), tf.float32)
        options = {"condition": c, "statistics": layers.batch_statistics}
        inputs = x, c
    else:
        inputs, options = (x,), {}
    block(x, training=False, **options)
    for variable in block.trainable_variables:
        if "bias" in variable.name:
            variable.assign(rng.normal(size=variable.shape))
    expected = reference(block, *inputs)
    rounding = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(
        block(x, training=False, **options), expected, atol=rounding
    )


def test_only_a_block_that_changes_its_input_s_shape_has_a_shortcut_kernel():
    _, discriminator = tiny()
    assert [block.shortcut is None for block in discriminator.blocks] == [
        False,
        False,
        True,
        True,
    ]
    _, deep = tiny(family="biggan_deep")
    assert all(block.shortcut is None for block in deep.blocks)  # 4 channels all along


# --- whole networks -------------------------------------------------------------------


@both_families
def test_labels_are_indices_or_probabilities(family, networks_of):
    generator, discriminator = networks_of[family]
    one_hot = np.eye(3, dtype="float32")[Y]
    image, logit = generator(Z, Y), discriminator(X, Y)
    np.testing.assert_allclose(generator(Z, one_hot), image, atol=1e-6)
    np.testing.assert_allclose(discriminator(X, one_hot), logit, rtol=1e-5)
    np.testing.assert_allclose(generator(Z, Y.astype("int64")), image, atol=1e-6)
    # D is linear in the labels; G moves from the one class's image to the other's.
    other = np.eye(3, dtype="float32")[(Y + 1) % 3]
    np.testing.assert_allclose(
        discriminator(X, (one_hot + other) / 2),
        (logit + discriminator(X, other)) / 2,
        rtol=1e-4,
        atol=1e-4,
    )
    near = generator(Z, 0.999 * one_hot + 0.001 * other)
    assert 0 < np.abs(near - image).max() < 0.05
    assert np.abs(generator(Z, other) - image).max() > 1e-3
    assert np.abs(discriminator(X, other) - logit).max() > 1e-3


@both_families
def test_images_are_float32_within_one(family, networks_of):
    generator, _ = networks_of[family]
    for statistics in (layers.running_statistics, layers.batch_statistics):
        image = generator(10 * Z, Y, statistics=statistics)
        assert image.dtype == tf.float32
        assert np.abs(image).max() <= 1
        assert np.abs(image).max() > 0.1


@both_families
def test_each_image_depends_on_its_own_latent_alone(family, networks_of):
    generator, discriminator = networks_of[family]
    image, logit = generator(Z, Y).numpy(), discriminator(X, Y).numpy()
    for index in range(3):
        one = slice(index, index + 1)
        np.testing.assert_allclose(generator(Z[one], Y[one]), image[one], atol=1e-5)
        np.testing.assert_allclose(
            discriminator(X[one], Y[one]), logit[one], rtol=1e-4, atol=1e-4
        )
    assert np.abs(image[0] - image[1]).max() > 1e-3


@both_families
@pytest.mark.parametrize("skip_z", [True, False])
def test_skip_z_takes_z_past_the_seed(family, skip_z):
    generator, _ = tiny(family=family, skip_z=skip_z, generator_spectral_norm=False)
    generator.seed.kernel.assign(tf.zeros_like(generator.seed.kernel))
    generator.seed.bias.assign(tf.linspace(-1.0, 1.0, generator.seed.units))
    label = tf.zeros([3], tf.int32)
    image = generator(Z, label)
    assert (np.abs(image[0] - image[1]).max() > 1e-3) == skip_z


def test_biggan_gives_each_block_its_own_chunk():
    generator, _ = tiny(generator_spectral_norm=False)
    z = tf.constant(Z)
    for index, block in enumerate(generator.blocks):
        for norm in (block.norm1, block.norm2):
            for projection in (norm.gain, norm.offset):
                of_class = projection.kernel[:5]
                deaf = tf.concat([of_class, tf.zeros_like(projection.kernel[5:])], 0)
                projection.kernel.assign(deaf)
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = tf.reduce_sum(generator(z, Y) ** 2)
        per_chunk = np.abs(tape.gradient(value, z)).reshape(3, 4, 2).max((0, 2))
        heard = [True, *(later > index for later in range(3))]
        assert (per_chunk > 0).tolist() == heard


@both_families
def test_condition_order_permutes_kernels_and_nothing_else(family, networks_of):
    class_first, _ = networks_of[family]
    z_first, _ = tiny(family=family, condition_order="zy")
    latent = 2 if family == "biggan" else 8
    for ours, theirs in zip(z_first.variables, class_first.variables):
        value = theirs.numpy()
        if theirs.shape.rank == 2 and len(value) == 5 + latent:
            value = np.concatenate([value[5:], value[:5]])
        ours.assign(value)
    np.testing.assert_allclose(z_first(Z, Y), class_first(Z, Y), atol=1e-5)
    z_first.set_weights(class_first.get_weights())
    assert np.abs(z_first(Z, Y) - class_first(Z, Y)).max() > 1e-3


@both_families
def test_config_round_trip(family, networks_of):
    for network, inputs in zip(networks_of[family], [(Z, Y), (X, Y)]):
        config = json.loads(json.dumps(network.get_config()))
        twin = type(network).from_config(config)
        assert twin.spec == network.spec
        twin(*inputs)
        twin.set_weights(network.get_weights())
        np.testing.assert_array_equal(twin(*inputs), network(*inputs))


@both_families
def test_bfloat16_is_near_float32(family, networks_of):
    half = tiny(
        family=family,
        generator_precision="mixed_bfloat16",
        discriminator_precision="mixed_bfloat16",
    )
    for network, reference, inputs in zip(half, networks_of[family], [(Z, Y), (X, Y)]):
        assert {variable.dtype for variable in network.variables} == {tf.float32}
        network.set_weights(reference.get_weights())
        value, right = network(*inputs), reference(*inputs)
        assert value.dtype == tf.float32
        assert network.blocks[0].compute_dtype == "bfloat16"
        assert reference.blocks[0].compute_dtype == "float32"
        scale = np.abs(right).max()
        assert 0 < np.abs(value - right).max() < 0.1 * scale


@both_families
def test_each_network_has_a_precision_of_its_own(family):
    generator, discriminator = tiny(
        family=family, discriminator_precision="mixed_bfloat16"
    )
    assert generator.blocks[0].compute_dtype == "float32"
    assert discriminator.blocks[0].compute_dtype == "bfloat16"


def test_recomputed_blocks_change_no_number():
    """Not one gradient, power-iteration vector or running average."""
    found = []
    for recompute in (False, True):
        keras.utils.set_random_seed(3)
        generator, discriminator = tiny(recompute=recompute)

        @tf.function(autograph=False)
        def step(generator, discriminator):
            with tf.GradientTape() as tape:
                x = generator(Z, Y, training=True, statistics=layers.batch_statistics)
                loss = tf.reduce_mean(discriminator(x, Y, training=True))
            weights = [
                *generator.trainable_variables,
                *discriminator.trainable_variables,
            ]
            return loss, tape.gradient(loss, weights)

        loss, gradients = step(generator, discriminator)
        found.append([loss, *gradients, *generator.variables, *discriminator.variables])
    for kept, recomputed in zip(*found):
        scale = max(1e-3, np.abs(kept).max())
        np.testing.assert_allclose(recomputed, kept, atol=1e-5 * scale)


def test_counting_takes_no_memory_and_disturbs_no_network():
    generator, _ = tiny()
    z, y = tf.zeros([1, generator.spec.latent_size]), tf.zeros([1], tf.int32)
    before = generator(z, y, training=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    huge = GeneratorSpec(32, 10, width=512, attention=())
    assert networks.parameter_count(huge) > 2e8  # 0.8 GB
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown < 2**19  # KiB
    call = tf.function(generator, autograph=False)
    np.testing.assert_allclose(call(z, y, training=False), before, atol=1e-5)


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        ({"family": "stylegan"}, "generator.family = 'stylegan'.*biggan_deep"),
        ({"resolution": 100}, "image_size = 100.*32, 64, 128, 256, 512"),
        ({"num_classes": 0}, "num_classes = 0"),
        ({"num_classes": 2.5}, "num_classes = 2.5"),
        ({"generator_width": 0}, "generator.width = 0"),
        (
            {"generator_precision": "float16"},
            "generator.precision = 'float16'.*mixed_bfloat16",
        ),
        ({"discriminator_width": "96"}, "discriminator.width = '96'"),
        ({"latent_size": 0}, "generator.latent_size = 0"),
        ({"latent_size": 10}, "generator.latent_size = 10.*multiple of 4"),
        ({"embedding_size": 0}, "generator.embedding_size = 0"),
        ({"embedding_size": -1}, "generator.embedding_size = -1"),
        ({"condition_order": "zz"}, "generator.condition_order = 'zz'.*'yz'.*'zy'"),
        ({"initializer": "xavier"}, "generator.initializer = 'xavier'.*glorot"),
        ({"generator_attention": (24,)}, r"attention = \(24,\).*some of 8, 16, 32\."),
        ({"generator_attention": (64,)}, r"attention = \(64,\).*32 px"),
        ({"generator_attention": (4,)}, r"attention = \(4,\)"),
        ({"generator_attention": 16}, "generator.attention = 16"),
        # D's blocks see no features of the image's own side.
        (
            {"discriminator_attention": (32,)},
            r"discriminator.attention = \(32,\).*some of 16, 8\.",
        ),
    ],
)
def test_bad_values_end_in_one_sentence(bindings, message):
    with pytest.raises(BadInput, match=message) as caught:
        specs(**bindings)
    sentence = str(caught.value).splitlines()[0]  # gin adds where the call was
    assert sentence.endswith(".")


def test_biggan_deep_takes_any_latent_size():
    specs(family="biggan_deep", latent_size=10)
    specs(skip_z=False, latent_size=10)
