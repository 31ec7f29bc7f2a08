"""Folding, standing statistics, and the module that `hub.load` opens."""

import dataclasses
import math
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from nobody import as_nobody
from tiny import specs as tiny_specs

from biggan_tf import (
    files,
    latents,
    layers,
    model_card,
    networks,
    sampling,
    saved_model,
)
from biggan_tf.architecture import FAMILIES
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras
from biggan_tf.layers import path_of
from biggan_tf.sampling import (
    ExportOptions,
    InferenceGenerator,
    fold,
    for_inference,
)
from biggan_tf.standing import (
    RESAMPLE_GRID,
    SCALED_GRID,
    Accumulator,
    StandingStatistics,
)

CLASSES = tuple("abcdefghij")
FREQUENCIES = latents.shares(range(1, 11))  # of the classes


def specs(family="biggan"):
    sizes = {"num_classes": 10, "latent_size": 16, "embedding_size": 8}
    return tiny_specs(family, **sizes)


def shake(network):
    """Random values everywhere, attention's gamma, biases and gains included."""
    generator = np.random.default_rng(0)
    for variable in network.trainable_variables:
        noise = generator.normal(0, 0.3, variable.shape).astype(np.float32)
        variable.assign_add(noise)


class Trained:
    """Networks as a training leaves them; averages and D differ from G."""

    def __init__(self, family="biggan"):
        keras.utils.set_random_seed(0)
        generator_spec, discriminator_spec = specs(family)
        self.generator = networks.build(generator_spec)
        self.discriminator = networks.build(discriminator_spec)
        shake(self.generator)
        shake(self.discriminator)

    def weights(self, factor=1.0):
        """By path, those that are trained multiplied by a factor."""
        trained = {id(v) for v in self.generator.trainable_variables}
        return {
            path_of(v): factor * v if id(v) in trained else v
            for v in self.generator.variables
        }

    @property
    def averages(self):
        return self.weights(1.1)


def export(model, path, convention="resample", with_discriminator=True, **kwargs):
    grid = {"resample": RESAMPLE_GRID, "scaled": SCALED_GRID}[convention]
    spec = model.generator.spec
    generator = InferenceGenerator(spec, convention, grid, 8, FREQUENCIES)
    generator.set_weights(model.averages)
    generator.measure(passes=2, seed=0)
    sampler = generator.sampler(7, CLASSES, "are moments")
    discriminator = None
    if with_discriminator:
        discriminator = folded_discriminator(model.discriminator)
    module, signatures = saved_model.make_module(generator, sampler, discriminator)
    facts = {"name": path.name, "family": "biggan", "data": "letters"}
    facts["config"] = "gan.beta1 = 0.0\n"
    text = model_card.readme(sampler, ExportOptions(), with_discriminator, **facts)
    beside = {"README.md": text.encode()}
    saved_model.write(module, signatures, path, beside, **kwargs)


def folded_discriminator(source):
    twin = networks.build(for_inference(source.spec))
    fold({path_of(v): v for v in source.variables}, twin, source.spec.sn_epsilon)
    return twin


def folded_generator(spec, weights):
    twin = networks.build(for_inference(spec))
    fold(weights, twin, spec.sn_epsilon)
    return twin


@pytest.fixture(scope="module")
def model():
    return Trained()


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exports") / "resample"
    export(model, path)
    return path


@pytest.fixture(scope="module")
def module(path):
    return hub.load(str(path))


@pytest.fixture(scope="module")
def twin(model):
    """The generator in Python that the module was made of."""
    return folded_generator(model.generator.spec, model.averages)


def batch_moments(layer, x):
    """Statistics that move nothing."""
    mean, square = layer.moments(x)
    return mean, square - tf.square(mean)


def z_and_y(count=3):
    z = tf.random.stateless_normal([count, 16], tf.constant([1, 2]))
    return z, tf.one_hot([0, 3, 9] * count, 10)[:count]


# Folding.


@pytest.mark.parametrize("family", FAMILIES)
def test_folded_generator_is_the_source_out_of_training(family):
    model = Trained(family)
    source = model.generator
    before = [variable.numpy() for variable in source.variables]
    twin = networks.build(for_inference(source.spec))
    z, y = z_and_y()
    for weights in (model.weights(), model.averages):
        fold(weights, twin, source.spec.sn_epsilon)
        for variable, value in zip(source.variables, before):
            np.testing.assert_array_equal(variable, value)
        for variable in source.trainable_variables:
            variable.assign(weights[path_of(variable)])
        expected = source(z, y, statistics=batch_moments)
        found = twin(z, y, statistics=batch_moments)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not any(layer.spectral_norm for layer in layers.spectral_layers(twin))
    assert len(twin.trainable_variables) == len(source.trainable_variables)


def test_folded_discriminator_is_the_source_out_of_training(model):
    source = model.discriminator
    twin = folded_discriminator(source)
    x, y = tf.random.stateless_uniform([3, 32, 32, 3], [0, 1], -1.0), z_and_y()[1]
    expected = source(x, y)
    np.testing.assert_allclose(twin(x, y), expected, rtol=1e-4, atol=1e-3)


def test_inference_computes_in_float32(model):
    spec = dataclasses.replace(
        model.generator.spec, precision="mixed_bfloat16", width=2
    )
    assert networks.build(spec).blocks[0].compute_dtype == "bfloat16"
    twin = networks.build(for_inference(spec))
    assert twin.blocks[0].compute_dtype == "float32"


# Standing statistics.


def test_moments_are_those_of_all_passes_together(twin):
    """Against the features themselves, in float64."""
    passes, batch, truncation, seed = 3, 4, 0.7, 5
    accumulator = Accumulator(twin, "resample", batch, FREQUENCIES)
    found = accumulator.moments(truncation, passes, seed)
    features = {}

    def recorded(layer, x):
        features.setdefault(layer.name + str(id(layer)), []).append(x.numpy())
        return batch_moments(layer, x)

    for index in range(passes):
        pass_seed = latents.fold(latents.root_seed(seed), index)
        z = latents.truncated_normal([batch, 16], latents.fold(pass_seed, 0), 0.7)
        y = latents.labels(batch, FREQUENCIES, latents.fold(pass_seed, 1))
        twin(z, y, statistics=recorded)
    statistics = StandingStatistics(twin, [truncation])
    statistics.set_row(0, found)
    norms = layers.batch_norms(twin)
    assert len(norms) == len(found) == len(features)
    for layer, mean, variance in zip(norms, statistics.means, statistics.variances):
        x = np.concatenate(features[layer.name + str(id(layer))]).astype(np.float64)
        np.testing.assert_allclose(mean[0], x.mean((0, 1, 2)), atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(variance[0], x.var((0, 1, 2)), atol=1e-4, rtol=1e-3)


def test_accumulating_leaves_running_averages_and_repeats_itself(twin):
    before = [layer.moving_mean.numpy() for layer in layers.batch_norms(twin)]
    accumulator = Accumulator(twin, "resample", 4)
    first, again = (accumulator.moments(1.0, 2, 3) for _ in range(2))
    other = accumulator.moments(1.0, 2, 4)
    for a, b, c in zip(first, again, other):
        np.testing.assert_array_equal(a, b)
        assert np.all(a != c)
    for layer, value in zip(layers.batch_norms(twin), before):
        np.testing.assert_array_equal(layer.moving_mean, value)


def test_replicas_share_a_pass(model, twin):
    one = Accumulator(twin, "resample", 4).moments(0.7, 1, 3)
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        copy = networks.build(for_inference(model.generator.spec))
        copy.set_weights(twin.get_weights())
        two = Accumulator(copy, "resample", 4).moments(0.7, 1, 3)
        with pytest.raises(
            BadInput, match=r"export.batch_size = 5: take a multiple of 2"
        ):
            Accumulator(copy, "resample", 5)
    for mine, theirs in zip(two, one):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def at(network, grid, truncations):
    """What a table whose rows are 0, 1, 2, ... gives at some truncations."""
    layer = layers.batch_norms(network)[0]
    statistics = StandingStatistics(network, grid)
    table = np.arange(len(grid), dtype=np.float32)[:, None]
    for tables, sign in ((statistics.means, 1), (statistics.variances, -1)):
        tables[0].assign(sign * table + np.zeros_like(tables[0]))

    def one(value):
        mean, variance = statistics.at(tf.constant(value, tf.float32))(layer, None)
        np.testing.assert_array_equal(variance, -mean)
        return float(mean[0])

    return [one(value) for value in truncations]


def test_resampling_grid(twin):
    """Each set is hit to the last bit; linear up to 2; infinity's set above it."""
    grid = RESAMPLE_GRID
    assert at(twin, grid, grid) == list(range(10))
    assert at(twin, grid, [0.01, 2.001, 3.0, 1e9]) == [0, 9, 9, 9]
    np.testing.assert_allclose(at(twin, grid, [0.4, 1.125]), [3.5, 6.25], rtol=1e-6)


def test_scaled_grid(twin):
    """The released modules' 51 sets, also where float arithmetic misses by one."""
    grid = SCALED_GRID
    assert at(twin, grid, [index / 50 for index in range(51)]) == list(range(51))
    assert at(twin, grid, [0.58, 0.14, 0.28, 0.56, 0.94]) == [29, 7, 14, 28, 47]
    assert at(twin, grid, [-1, 2]) == [0, 50]
    np.testing.assert_allclose(at(twin, grid, [0.575, 0.005]), [28.75, 0.25], rtol=1e-4)


# The sampler of a training.


@pytest.mark.parametrize("replicas", [1, 2])
def test_sampler_draws_what_an_export_would(model, twin, replicas):
    devices = [f"CPU:{index}" for index in range(replicas)]
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        source = networks.build(specs()[0])
        for variable, value in zip(source.variables, model.generator.variables):
            variable.assign(value)
        averages = {path: tf.Variable(v) for path, v in model.averages.items()}
    generator = InferenceGenerator(source.spec, "resample", [math.inf], 8, FREQUENCIES)
    sampler = generator.sampler(7, CLASSES, "")
    generator.set_weights(averages)
    generator.measure(passes=2, seed=0)
    z, y = z_and_y(5)
    found = sampler.images(z, tf.argmax(y, axis=1), math.inf)

    statistics = StandingStatistics(twin, [math.inf])
    accumulator = Accumulator(twin, "resample", 8, FREQUENCIES)
    statistics.set_row(0, accumulator.moments(math.inf, 2, 0))
    expected = twin(z, y, statistics=statistics.at(math.inf))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    generator.set_weights({path_of(v): v for v in source.variables})
    assert np.abs(sampler.images(z, y, math.inf) - found).max() > 1e-2


def test_large_batches_are_drawn_a_few_at_a_time():
    """At 512 px four at once: all come back whole and in order."""
    calls = []

    def draw(z, y, truncation):
        calls.append(len(z))
        return z + y

    sampler = sampling.Sampler(draw, 1, 1, 512, ("a",), "resample", (), 0, "", (1.0,))
    z = tf.range(10.0)[:, None]
    np.testing.assert_array_equal(sampler.images(z, 2 * z, 1.0), 3 * z)
    assert calls == [4, 4, 2]


# The module.


def test_call_equals_the_generator_in_python(module, twin):
    """Any batch size, a plain float for truncation, soft labels."""
    statistics = StandingStatistics(twin, RESAMPLE_GRID)
    accumulator = Accumulator(twin, "resample", 8, FREQUENCIES)
    for row, truncation in enumerate(RESAMPLE_GRID):
        statistics.set_row(row, accumulator.moments(truncation, 2, 0))
    for count, truncation in ((1, 0.5), (3, tf.constant(0.6)), (7, math.inf)):
        z, y = z_and_y(count)
        y = 0.5 * y + 0.05
        x = module({"z": z, "y": y, "truncation": truncation})
        assert x.dtype == tf.float32
        assert x.shape == (count, 32, 32, 3)
        expected = twin(z, y, statistics=statistics.at(tf.constant(truncation)))
        np.testing.assert_allclose(x, expected, atol=1e-4)
        assert np.abs(x).max() <= 1
        assert np.std(x) > 0.1


def test_truncation_chooses_statistics_only(module):
    """Between 2 and infinity there is one set, and z passes as it is."""
    z, y = z_and_y()
    x = {t: module({"z": 3 * z, "y": y, "truncation": t}).numpy() for t in (0.5, 3, 99)}
    np.testing.assert_array_equal(x[3], x[99])
    assert np.abs(x[3] - x[0.5]).max() > 1e-2


def test_latents_and_images_are_functions_of_the_seed(module):
    z = module.sample_latents(50, 0.5, 3)
    assert z.shape == (50, 16)
    assert 0.45 < np.abs(z).max() <= 0.5
    np.testing.assert_array_equal(z, module.sample_latents(50, 0.5, 3))
    assert np.all(z != module.sample_latents(50, 0.5, 4))
    assert np.abs(module.sample_latents(50, math.inf, 3)).max() > 2

    labels = [4, 4, 2]
    x = module.generate(labels, 0.5, 3)
    z = module.sample_latents(3, 0.5, 3)
    again = module({"z": z, "y": tf.one_hot(labels, 10), "truncation": 0.5})
    np.testing.assert_allclose(x, again, atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels are 0 to"):
        module.generate([10], 0.5, 3)
    few = {"z": z[:1], "y": tf.one_hot(labels, 10), "truncation": tf.constant(0.5)}
    with pytest.raises(tf.errors.InvalidArgumentError, match="are equally many"):
        module.signatures["serving_default"](**few)


def test_attributes(module):
    assert module.num_classes.numpy() == 10
    assert module.latent_size.numpy() == 16
    assert module.image_size.numpy() == 32
    assert [name.decode() for name in module.class_names.numpy()] == list(CLASSES)
    assert tuple(module.class_frequencies.numpy().tolist()) == FREQUENCIES
    assert module.truncation_convention.numpy() == b"resample"
    assert module.step.numpy() == 7
    np.testing.assert_allclose(module.standing_truncations, RESAMPLE_GRID, rtol=1e-6)


def test_serving_signatures(module):
    """Of exact dtypes, as servers ask for them by name; an empty batch is one too."""
    z, y = z_and_y()
    truncation, seed = tf.constant(0.5), tf.constant(2**40, tf.int64)
    served = module.signatures["serving_default"](z=z, y=y, truncation=truncation)
    expected = module({"z": z, "y": y, "truncation": 0.5})
    np.testing.assert_allclose(served["images"], expected, atol=1e-6)
    for labels in ([0, 3], []):
        labels = tf.constant(labels, tf.int64)
        served = module.signatures["generate"](
            labels=labels, truncation=truncation, seed=seed
        )["images"]
        assert served.shape == (len(labels), 32, 32, 3)
        np.testing.assert_allclose(
            served, module.generate(labels, 0.5, 2**40), atol=1e-6
        )
        served = module.signatures["sample_latents"](
            batch=tf.size(labels, tf.int64), truncation=truncation, seed=seed
        )["z"]
        expected = module.sample_latents(len(labels), 0.5, 2**40)
        np.testing.assert_array_equal(served, expected)


def test_what_can_be_meant_is_taken(module):
    """Any sensible dtype, as tensors, NumPy arrays and Python numbers."""
    z, y = z_and_y(2)
    right = module({"z": z, "y": y, "truncation": 1.0})
    for cast_z, cast_y, truncation in (
        (tf.float64, tf.int64, tf.constant(1)),
        (tf.float64, tf.float64, np.float64(1)),
        (tf.float32, tf.int32, 1),
    ):
        inputs = {"z": tf.cast(z, cast_z), "y": tf.cast(y, cast_y)}
        inputs["truncation"] = truncation
        np.testing.assert_allclose(module(inputs), right, atol=1e-6)
    half = {"z": tf.cast(z, tf.float16), "y": y, "truncation": 1.0}
    np.testing.assert_allclose(module(half), right, atol=0.02)
    right = module.generate([0, 9], 0.5, 3)
    for labels, truncation, seed in (
        (tf.constant([0, 9]), tf.constant(0.5), tf.constant(3)),
        (tf.constant([0, 9], tf.int64), 0.5, tf.constant(3, tf.int64)),
        (np.array([0, 9]), np.float64(0.5), np.int64(3)),
        (np.array([0, 9], np.int32), np.float32(0.5), np.int32(3)),
    ):
        found = module.generate(labels=labels, truncation=truncation, seed=seed)
        np.testing.assert_allclose(found, right, atol=1e-6)


def test_seeds_and_labels_past_32_bits_are_not_wrapped(module):
    seeds = (0, 1, 2**31, 2**32, 2**32 + 1, 2**33, -1, 2**63 - 1)
    drawn = {module.sample_latents(1, 0.5, seed).numpy().tobytes() for seed in seeds}
    assert len(drawn) == len(seeds)
    for label in (2**32, 2**33 + 1, -(2**32)):
        for labels in ([label], np.array([label]), tf.constant([label], tf.int64)):
            with pytest.raises(tf.errors.InvalidArgumentError, match="labels are 0 to"):
                module.generate(labels, 0.5, 3)


@pytest.mark.parametrize("truncation", [0.0, -1.0, math.nan])
def test_a_truncation_that_is_none_is_refused(module, truncation):
    z, y = z_and_y()
    truncation, seed = tf.constant(truncation), tf.constant(3, tf.int64)
    labels, served = tf.constant([4], tf.int64), module.signatures
    for call in (
        lambda: module({"z": z, "y": y, "truncation": truncation}),
        lambda: module.generate(labels, truncation, seed),
        lambda: module.sample_latents(labels[0], truncation, seed),
        lambda: served["serving_default"](z=z, y=y, truncation=truncation),
        lambda: served["generate"](labels=labels, truncation=truncation, seed=seed),
        lambda: served["sample_latents"](
            batch=labels[0], truncation=truncation, seed=seed
        ),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="truncation is a thr"):
            call()


def test_no_call_hangs_another_thread(path):
    """Right, wrong and absurd calls from eight threads; the right ones all succeed."""
    module = hub.load(str(path))
    z, y = z_and_y(2)
    right = module.generate([4, 2], 0.5, 3).numpy()

    def drawn():
        np.testing.assert_allclose(module.generate([4, 2], 0.5, 3), right, atol=1e-6)

    wrong = [
        lambda: module(),
        lambda: module(z, y, 0.5),
        lambda: module({"z": z}),
        lambda: module({"z": z, "y": y, "truncation": 0.5}, training=True),
        lambda: module({"z": z[:, :3], "y": y, "truncation": 0.5}),
        lambda: module({"z": z, "y": "Bag", "truncation": 0.5}),
        lambda: module({"z": z, "y": y[None], "truncation": [0.5]}),
        lambda: module.generate([4]),
        lambda: module.generate([4], 0.5, 3, 1),
        lambda: module.generate([4], 0.5, seeds=3),
        lambda: module.generate([[4]], 0.5, 3),
        lambda: module.generate([0.5], 0.5, 3),
        lambda: module.generate(["Bag"], 0.5, 3),
        lambda: module.generate([10], 0.5, 3),
        lambda: module.generate(tf.constant([1], tf.uint8), 0.5, 3),
        lambda: module.sample_latents("many", 0.5, 3),
        lambda: module.sample_latents(2, None, 3),
        lambda: module.signatures["generate"](labels=tf.constant([1.5])),
    ]
    calls = [drawn, *wrong] * 7  # over a thousand in all
    failures = []

    def client(own):
        for index in np.random.default_rng(own).permutation(len(calls)):
            try:
                calls[index]()
                fine = calls[index] is drawn
            except Exception as error:
                fine = calls[index] is not drawn and str(error)
            if not fine:
                failures.append(index)

    threads = [threading.Thread(target=client, args=[n], daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(1200)
    assert not any(thread.is_alive() for thread in threads)
    assert not failures


def test_discriminator_comes_along_if_asked(module, model):
    x, y = tf.random.stateless_uniform([3, 32, 32, 3], [0, 1], -1.0), z_and_y()[1]
    logits = module.discriminator({"x": x, "y": y})
    expected = model.discriminator(x, y)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-3)
    assert module.discriminator({"x": x[:0], "y": y[:0]}).shape == (0, 1)
    for unequal in ({"x": x, "y": y[:1]}, {"x": x[:1], "y": y}):
        with pytest.raises(tf.errors.InvalidArgumentError, match="x and y are equally"):
            module.discriminator(unequal)


def test_scaled_module_of_biggan_deep(tmp_path):
    """Latents shrink with truncation, down to 0; no discriminator unless asked."""
    path = tmp_path / "deep"
    export(Trained("biggan_deep"), path, "scaled", with_discriminator=False)
    assert not hasattr(hub.load(str(path)), "discriminator")
    module = saved_model.load(path)
    assert module.convention == "scaled"
    assert len(module.truncations) == 51
    z = {t: module.latents(20, t, 0) for t in (0, 0.5, 1)}
    np.testing.assert_allclose(z[0.5], 0.5 * z[1], rtol=1e-6)
    assert np.all(z[0] == 0)
    assert 1.8 < np.abs(z[1]).max() <= 2
    x = module.generate([1, 2], 0.3, 0)
    assert np.isfinite(x).all()
    assert np.std(x) > 0
    with pytest.raises(tf.errors.InvalidArgumentError, match="truncation is 0 to 1"):
        module.draw(tf.ones([1, 16]), tf.eye(1, 10), tf.constant(1.5))
    with pytest.raises(BadInput, match=r"--t=1.5: take 0 to 1"):
        latents.check_truncation(module.convention, 1.5, "--t")
    assert "`scaled`" in (path / "README.md").read_text()


def test_keras_layer_fine_tunes(path, twin):
    """Every weight moves in `fit`, and no statistic."""
    z, y = keras.Input([16]), keras.Input([10])
    layer = hub.KerasLayer(str(path), trainable=True)
    x = layer({"z": z, "y": y, "truncation": tf.constant(0.5)})
    keras_model = keras.Model([z, y], x)
    keras_model.compile("adam", "mse")
    trained = [variable.numpy() for variable in layer.trainable_variables]
    fixed = [variable.numpy() for variable in layer.non_trainable_variables]
    some_z, some_y = z_and_y(6)
    target = np.zeros([6, 32, 32, 3], np.float32)
    history = keras_model.fit([some_z, some_y], target, epochs=3, verbose=0)
    loss = history.history["loss"]
    assert loss[-1] < loss[0]
    assert len(trained) == len(twin.trainable_variables)
    for variable, value in zip(layer.trainable_variables, trained):
        assert np.any(variable != value), variable.name
    for variable, value in zip(layer.non_trainable_variables, fixed):
        np.testing.assert_array_equal(variable, value)


READER = """
import sys
import numpy as np, tensorflow as tf, tensorflow_hub as hub
m = hub.load(sys.argv[1])
z = m.sample_latents(3, 0.5, 0)
y = tf.one_hot([0, 3, 9], int(m.num_classes))
x = m(dict(z=z, y=y, truncation=0.5))
np.testing.assert_allclose(x, m.generate([0, 3, 9], 0.5, 0), atol=1e-6)
assert not any(name.startswith("biggan_tf") for name in sys.modules)
np.save(sys.argv[2], x)
"""


def test_a_process_that_knows_nothing_of_us_can_use_it(path, module, tmp_path):
    subprocess.run(
        [sys.executable, "-c", READER, str(path), str(tmp_path / "x.npy")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
    )
    expected = module.generate([0, 3, 9], 0.5, 0)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-5)


def test_readme_says_what_it_is(path):
    text = (path / "README.md").read_text()
    _, fields, text = text.split("---\n", 2)  # YAML, for model hubs
    assert 'license: "unknown"' in fields
    for fact in ("letters", "32 px", "7 training steps", "`resample`", "gan.beta1 = 0"):
        assert fact in text
    assert "m.discriminator(" in text
    # In one line TensorFlow deletes the variables before it uses them.
    assert "Keep `m`" in text
    with pytest.raises(AssertionError, match="have been deleted"):
        hub.load(str(path)).generate([0], 0.5, 3)


def test_a_module_of_two_exports_is_refused(path, tmp_path):
    mixed = Path(shutil.copytree(path, tmp_path / "mixed"))
    sums = (mixed / "SHA256SUMS").read_bytes()
    for damaged in (b"", b"\xff\xfe garbage", sums[: sums.index(b"variables")]):
        (mixed / "SHA256SUMS").write_bytes(damaged)
        with pytest.raises(
            BadInput, match="is not the file that was exported, as SHA2"
        ):
            saved_model.load(mixed)
    (mixed / "SHA256SUMS").write_bytes(sums)
    (mixed / "README.md").write_text("somebody's own")
    assert saved_model.load(mixed).step == 7
    with (mixed / "variables" / "variables.index").open("ab") as file:
        file.write(b"of another")
    with pytest.raises(BadInput, match="variables.index is not the file that was exp"):
        saved_model.load(mixed)


def test_a_card_has_the_scores_of_its_step(path):
    sampler = saved_model.load(path)
    protocol = {"step": 7, "truncation": "inf", "num_images": 500, "data": "letters"}
    protocol |= {"split": "test", "statistics": "a|b"}
    records = [{"step": 7, "fid_lite0_64": 123.456789, "protocol": protocol}]
    records[0] |= {"fid_se_lite0_64": 1.26, "kid_lite0_64": 0.5}
    others = {"reference": "/x/adm.npz", "reference_holds": "mu and sigma"}
    records.append({"step": 7, "fid": 8, "protocol": {**protocol, **others}})
    of_others = {**protocol, "weights_sha256": "of a run before"}
    records.append({"step": 7, "is": 2, "protocol": of_others})
    for generator, passes, name in (
        (sampler.weights_sha256, sampler.statistics, "kid"),
        (sampler.weights_sha256, "moments over 2 samples", "prd"),
        ("of a run before", sampler.statistics, "cas"),
    ):
        of_module = {"generator_sha256": generator, "statistics": passes}
        records.append({"step": 7, name: 3, "protocol": {**of_others, **of_module}})
    for truncation in ("inf", 0.5):  # untruncated, the convention says nothing
        scaled = {"convention": "scale", "truncation": truncation}
        scaled = {**protocol, **scaled}
        records.append({"step": 7, "ms_ssim": 4, "protocol": scaled})
    facts = dict.fromkeys(("name", "family", "data", "config"), "x")
    options = ExportOptions(license='a "b"')
    text = model_card.readme(sampler, options, False, records, **facts)
    assert "| fid_lite0_64 | 123.46 ± 1.3 | inf | 500 | letters, test | a\\|b |" in text
    assert "| kid_lite0_64 | 0.5 | inf | 500 | letters, test |" in text
    assert "| fid | 8 | inf | 500 | adm.npz: mu and sigma |" in text
    assert f"| kid | 3 | inf | 500 | letters, test | {sampler.statistics} |" in text
    assert "| prd |" not in text
    assert "| cas |" not in text
    assert "| ms_ssim | 4 | inf |" in text
    assert "| ms_ssim | 4 | 0.5 |" not in text
    assert "| is | " not in text
    assert r'license: "a \"b\""' in text
    odd = "".join(map(chr, (0x85, 0x9F, 0x2028, 0x2029, 0xFEFF, 0xE9, 0x1F600)))
    text = model_card.readme(sampler, ExportOptions(license=odd), False, **facts)
    assert 'license: "\\u0085\\u009f\\u2028\\u2029\\ufeffé😀"\n' in text  # for YAML
    text = model_card.readme(sampler, options, False, **facts)
    assert "Nothing was scored" in text
    assert "m.generate([0, 0, 1], 0.5, 7)" in text
    one = dataclasses.replace(sampler, num_classes=1, convention="bernoulli")
    text = model_card.readme(one, options, False, **facts)
    assert 'm.generate([0, 0, 0], float("inf"), 7)' in text
    assert 'truncation=tf.constant(float("inf")),' in text


# Writing and opening.


def test_a_failed_save_leaves_no_trace(tmp_path, path):
    """What a function needs but the module does not hold cannot be saved."""
    stray = tf.Variable(1.0)
    broken = (
        tf.train.Checkpoint(),
        {
            "serving_default": tf.function(
                lambda: {"value": stray + 1}, input_signature=[]
            )
        },
    )
    target = tmp_path / "export"
    shutil.copytree(path, target)
    with pytest.raises(AssertionError, match="untracked"):
        saved_model.write(*broken, target, {}, replace=True)
    assert os.listdir(tmp_path) == ["export"]
    assert files.sha256(target) == files.sha256(path)
    # One that was killed before it gave the new module its name.
    working = tmp_path / ".export.incomplete"
    (working / "module" / "variables").mkdir(parents=True)
    target.rename(working / "earlier")
    with files.lock(working / "run.lock"):
        with pytest.raises(
            BadInput, match="process [0-9]+ on .* writes a module there"
        ):
            saved_model.write(*broken, target, {}, replace=True)
    with pytest.raises(AssertionError, match="untracked"):
        saved_model.write(*broken, target, {}, replace=True)
    assert os.listdir(tmp_path) == ["export"]
    assert files.sha256(target) == files.sha256(path)


def test_a_module_that_may_not_be_moved_is_named_before_any_work(path, open_path):
    target = Path(shutil.copytree(path, open_path / "export"))
    for each in (open_path, target, *filter(Path.is_dir, target.rglob("*"))):
        os.chmod(each, 0o777)
    saved_model.check_free(target, True)
    os.chmod(target / "variables", 0o555)
    refusal = pytest.raises(BadInput, match="make .*/export/variables writable, or")
    with as_nobody(), refusal:
        saved_model.check_free(target, True)
    os.chmod(target / "variables", 0o777)


def test_only_an_export_gives_way_and_only_if_asked(tmp_path):
    whole = (
        tf.train.Checkpoint(),
        {"serving_default": tf.function(lambda: {"value": 1.0}, input_signature=[])},
    )
    target = tmp_path / "some" / "export"
    saved_model.write(*whole, target, {"README.md": b"first"})
    with pytest.raises(BadInput, match="name a new folder"):
        saved_model.write(*whole, target, {"README.md": b"second"})
    assert (target / "README.md").read_text() == "first"
    saved_model.write(*whole, target, {"README.md": b"second"}, replace=True)
    assert (target / "README.md").read_text() == "second"
    for wrong in ("typo/../some", "typo/..", "some/export/README.md/.."):
        with pytest.raises(BadInput, match="there is no folder .*(typo|README.md)"):
            saved_model.write(*whole, tmp_path / wrong, {"README.md": b"third"})
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    checked = subprocess.run(check, cwd=target, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "README.md: OK" in checked.stdout
    assert "saved_model.pb: OK" in checked.stdout
    assert os.listdir(target.parent) == ["export"]
    link, longest = tmp_path / "link", tmp_path / ("n" * 255)
    link.symlink_to(target)
    saved_model.write(*whole, link, {"README.md": b"linked"}, replace=True)
    assert link.is_symlink()
    assert (target / "README.md").read_text() == "linked"
    saved_model.write(*whole, longest, {"README.md": b"long"})
    assert len(list(tmp_path.iterdir())) == 3

    sums = target / "SHA256SUMS"
    with sums.open("a") as file:  # as somebody would who publishes it
        file.write(f"{'0' * 64}  LICENSE\n")
    (target / "LICENSE").touch()
    with pytest.raises(BadInput, match="move LICENSE out of it, for all in it"):
        saved_model.write(*whole, target, {"README.md": b"third"}, replace=True)
    (target / "LICENSE").unlink()
    index = target / "variables" / "variables.index"
    before = index.read_bytes()
    index.write_bytes(before + b"edited")
    with pytest.raises(BadInput, match="move variables/variables.index out of it"):
        saved_model.write(*whole, target, {"README.md": b"third"}, replace=True)
    index.write_bytes(before)
    (target / "variables" / "mine").touch()
    with pytest.raises(BadInput, match="move variables/mine out of it, for all in it"):
        saved_model.write(*whole, target, {"README.md": b"third"}, replace=True)
    (target / "variables" / "mine").unlink()
    (target / "linked").symlink_to(tmp_path)
    (target / "empty").mkdir()
    for name, remove in (("empty", Path.rmdir), ("linked", Path.unlink)):
        with pytest.raises(BadInput, match=f"move {name} out of it, for all in it"):
            saved_model.write(*whole, target, {"README.md": b"third"}, replace=True)
        remove(target / name)
    (target / "README.md").write_text("edited")
    with pytest.raises(BadInput, match="move README.md out of it, for all in it"):
        saved_model.write(*whole, target, {"README.md": b"third"}, replace=True)
    assert (target / "README.md").read_text() == "edited"
    for spoil in (lambda file: file.write_text(""), Path.unlink):
        spoil(target / "SHA256SUMS")
        with pytest.raises(BadInput, match="move it, for without its SHA256SUMS"):
            saved_model.write(*whole, target, {"README.md": b"third"}, replace=True)
        assert (target / "README.md").read_text() == "edited"
    (target / "saved_model.pb").unlink()
    with pytest.raises(BadInput, match="is no exported module"):
        saved_model.write(*whole, target, {"README.md": b"third"}, replace=True)
    with pytest.raises(BadInput, match="cannot be written to"):
        saved_model.check_free(target / "README.md" / "export", False)
    with pytest.raises(BadInput, match="/proc/export: it cannot be written to"):
        saved_model.check_free(Path("/proc/export"), False)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"truncation_convention": "clip"}, "'clip': take one of 'resample', 'scaled'"),
        ({"passes": 0}, "export.passes = 0"),
        ({"batch_size": 1}, "export.batch_size = 1"),
        ({"seed": 0.5}, "export.seed = 0.5"),
    ],
)
def test_bad_settings_are_named(values, complaint):
    with pytest.raises(BadInput, match=complaint):
        ExportOptions(**values)


def test_loading_what_is_no_export(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    with pytest.raises(BadInput, match=r"^--module=.*nothing: .* no saved_model.pb"):
        saved_model.load(tmp_path / "nothing")
    (tmp_path / "saved_model.pb").write_text("no protocol buffer")
    with pytest.raises(BadInput, match="cannot be loaded"):
        saved_model.load(tmp_path)
    with pytest.raises(BadInput, match=r"http://127.0.0.1:9/m: cannot be loaded"):
        saved_model.load("http://127.0.0.1:9/m")
    other = tf.train.Checkpoint(value=tf.Variable(1.0))
    tf.saved_model.save(other, str(tmp_path / "other"))
    with pytest.raises(
        BadInput, match="give a module of biggan_tf.export; .*num_classes"
    ):
        saved_model.load(tmp_path / "other")


def test_modules_of_earlier_versions_drew_all_classes_alike(tmp_path):
    numbers = {"num_classes": 3, "latent_size": 1, "image_size": 8, "step": 5}
    others = {"class_names": ["a", "b", "c"], "truncation_convention": "resample"}
    values = {**numbers, **others, "standing_truncations": [1.0]}
    module = tf.train.Checkpoint(**{k: tf.Variable(v) for k, v in values.items()})
    tf.saved_model.save(module, str(tmp_path))
    assert saved_model.load(tmp_path).class_frequencies == latents.uniform(3)


def test_python_view_of_a_module(path, module):
    view = saved_model.load(path)
    assert (view.num_classes, view.latent_size, view.image_size) == (10, 16, 32)
    assert view.class_names == CLASSES
    assert view.class_frequencies == FREQUENCIES
    assert "each class was drawn as often as in its data" in (
        (path / "README.md").read_text()
    )
    assert view.truncations[-1] == math.inf
    found = view.generate(np.array([0, 3, 9]), 0.5, 0)
    expected = module.generate([0, 3, 9], 0.5, 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(BadInput, match="above 0"):
        latents.check_truncation(view.convention, math.nan, "--t")
