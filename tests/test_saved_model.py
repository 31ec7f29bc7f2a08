"""Folding, standing statistics, and the module that `hub.load` opens."""

import dataclasses
import functools
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from biggan_tf import latents, layers, networks, saved_model
from biggan_tf.errors import BadInput
from biggan_tf.saved_model import inference

CLASSES = tuple("abcdefghij")


def specs(family="biggan"):
    return networks.specs(
        resolution=32,
        num_classes=10,
        family=family,
        generator_width=4,
        discriminator_width=4,
        latent_size=16,
        embedding_size=8,
        generator_attention=(16,),
        discriminator_attention=(16,),
    )[1:]


def shake(network):
    """Random values everywhere, attention's gamma, biases and gains included."""
    generator = np.random.default_rng(0)
    for variable in network.trainable_variables:
        noise = generator.normal(0, 0.3, variable.shape).astype(np.float32)
        variable.assign_add(noise)


def trained(family="biggan"):
    """A model as `loop.restore` gives it, but for the training; D differs from G."""
    tf.keras.utils.set_random_seed(0)
    generator_spec, discriminator_spec = specs(family)
    generator = networks.build_generator(family, generator_spec)
    discriminator = networks.build_discriminator(family, discriminator_spec)
    shake(generator)
    shake(discriminator)
    average = [tf.Variable(1.1 * value) for value in generator.trainable_variables]
    gan = SimpleNamespace(
        generator=generator,
        discriminator=discriminator,
        averaged_weights=lambda: average,
        latents=latents.Latents(),
    )
    data = SimpleNamespace(name="letters", class_names=CLASSES)
    return SimpleNamespace(
        gan=gan,
        data_spec=data,
        family=family,
        step=7,
        config_text="gan.beta1 = 0.0\n",
        statistics=None,
    )


def export(model, path, convention="resample", with_discriminator=True, **kwargs):
    settings = saved_model.Settings(
        truncation_convention=convention, passes=2, batch_size=8
    )
    build_discriminator = functools.partial(networks.build_discriminator, model.family)
    saved_model.export(
        model,
        settings,
        path,
        functools.partial(networks.build_generator, model.family),
        build_discriminator if with_discriminator else None,
        **kwargs,
    )


@pytest.fixture(scope="module")
def model():
    return trained()


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
    build = functools.partial(networks.build_generator, model.family)
    twin = saved_model.for_inference(build, model.gan.generator.spec)
    saved_model.fold(model.gan.generator, model.gan.averaged_weights(), twin)
    return twin


def batch_moments(layer, x):
    """Statistics that move nothing."""
    mean, square = layer.moments(x)
    return mean, square - tf.square(mean)


def z_and_y(count=3):
    z = latents.normal([count, 16], tf.constant([1, 2]))
    return z, tf.one_hot([0, 3, 9] * count, 10)[:count]


# Folding.


@pytest.mark.parametrize("family", networks.FAMILIES)
def test_folded_generator_is_the_source_out_of_training(family):
    model = trained(family)
    source = model.gan.generator
    before = [variable.numpy() for variable in source.variables]
    build = functools.partial(networks.build_generator, family)
    twin = saved_model.for_inference(build, source.spec)
    z, y = z_and_y()
    for weights in (None, model.gan.averaged_weights()):
        saved_model.fold(source, weights, twin)
        for variable, value in zip(source.variables, before):
            np.testing.assert_array_equal(variable, value)
        if weights is not None:
            for variable, value in zip(source.trainable_variables, weights):
                variable.assign(value)
        expected = source(z, y, statistics=batch_moments)
        found = twin(z, y, statistics=batch_moments)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not any(layer.spectral_norm for layer in layers.spectral_layers(twin))
    assert len(twin.trainable_variables) == len(source.trainable_variables)


def test_folded_discriminator_is_the_source_out_of_training(model):
    source = model.gan.discriminator
    build = functools.partial(networks.build_discriminator, model.family)
    twin = saved_model.for_inference(build, source.spec)
    saved_model.fold(source, None, twin)
    x, y = tf.random.stateless_uniform([3, 32, 32, 3], [0, 1], -1.0), z_and_y()[1]
    expected = source(x, y)
    np.testing.assert_allclose(twin(x, y), expected, rtol=1e-4, atol=1e-3)


def test_inference_computes_in_float32(model):
    spec = dataclasses.replace(
        model.gan.generator.spec, precision="mixed_bfloat16", width=2
    )
    build = functools.partial(networks.build_generator, model.family)
    assert build(spec).blocks[0].compute_dtype == "bfloat16"
    twin = saved_model.for_inference(build, spec)
    assert twin.blocks[0].compute_dtype == "float32"


# Standing statistics.


def test_moments_are_those_of_all_passes_together(twin):
    """Against the features themselves, in float64."""
    passes, batch, truncation, seed = 3, 4, 0.7, 5
    found = inference.Accumulator(twin, "resample", batch).moments(
        truncation, passes, seed
    )
    features = {}

    def recorded(layer, x):
        features.setdefault(layer.name + str(id(layer)), []).append(x.numpy())
        return batch_moments(layer, x)

    for index in range(passes):
        pass_seed = latents.fold(latents.root_seed(seed), index)
        z = latents.truncated_normal([batch, 16], latents.fold(pass_seed, 0), 0.7)
        y = latents.labels(batch, 10, latents.fold(pass_seed, 1))
        twin(z, y, statistics=recorded)
    statistics = saved_model.StandingStatistics(twin, [truncation])
    statistics.set_row(0, found)
    norms = layers.batch_norms(twin)
    assert len(norms) == len(found) == len(features)
    for layer, mean, variance in zip(norms, statistics.means, statistics.variances):
        x = np.concatenate(features[layer.name + str(id(layer))]).astype(np.float64)
        np.testing.assert_allclose(mean[0], x.mean((0, 1, 2)), atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(variance[0], x.var((0, 1, 2)), atol=1e-4, rtol=1e-3)


def test_accumulating_leaves_running_averages_and_repeats_itself(twin):
    before = [layer.moving_mean.numpy() for layer in layers.batch_norms(twin)]
    accumulator = inference.Accumulator(twin, "resample", 4)
    first, again = (accumulator.moments(1.0, 2, 3) for _ in range(2))
    other = accumulator.moments(1.0, 2, 4)
    for a, b, c in zip(first, again, other):
        np.testing.assert_array_equal(a, b)
        assert np.all(a != c)
    for layer, value in zip(layers.batch_norms(twin), before):
        np.testing.assert_array_equal(layer.moving_mean, value)


def test_replicas_share_a_pass(model, twin):
    one = inference.Accumulator(twin, "resample", 4).moments(0.7, 1, 3)
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        build = functools.partial(networks.build_generator, model.family)
        copy = saved_model.for_inference(build, model.gan.generator.spec)
        copy.set_weights(twin.get_weights())
        two = inference.Accumulator(copy, "resample", 4).moments(0.7, 1, 3)
        with pytest.raises(BadInput, match=r"export.batch_size = 5 .* 2 replicas"):
            inference.Accumulator(copy, "resample", 5)
    for mine, theirs in zip(two, one):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def at(network, grid, truncations):
    """What a table whose rows are 0, 1, 2, ... gives at some truncations."""
    layer = layers.batch_norms(network)[0]
    statistics = saved_model.StandingStatistics(network, grid)
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
    grid = saved_model.RESAMPLE_GRID
    assert at(twin, grid, grid) == list(range(10))
    assert at(twin, grid, [0.01, 2.001, 3.0, 1e9]) == [0, 9, 9, 9]
    np.testing.assert_allclose(at(twin, grid, [0.4, 1.125]), [3.5, 6.25], rtol=1e-6)


def test_scaled_grid(twin):
    """The released modules' 51 sets, also where float arithmetic misses by one."""
    grid = saved_model.SCALED_GRID
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
        source = networks.build_generator("biggan", specs()[0])
        average = [tf.Variable(value) for value in model.gan.averaged_weights()]
        for variable, value in zip(source.variables, model.gan.generator.variables):
            variable.assign(value)
    build = functools.partial(networks.build_generator, "biggan")
    sampler = saved_model.Sampler(build, source.spec, passes=2, batch_size=8)
    sampler.update(source, average)
    z, y = z_and_y(5)
    found = sampler(z, tf.argmax(y, axis=1))

    statistics = saved_model.StandingStatistics(twin, [math.inf])
    accumulator = inference.Accumulator(twin, "resample", 8)
    statistics.set_row(0, accumulator.moments(math.inf, 2, 0))
    expected = twin(z, y, statistics=statistics.at(math.inf))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    sampler.update(source)
    assert np.abs(sampler(z, y) - found).max() > 1e-2


def test_large_batches_are_drawn_in_parts():
    """At 512 px four at once: the parts come back whole and in order."""
    calls = []

    def draw(z, y):
        calls.append(len(z))
        return z + y

    z = tf.range(10.0)[:, None]
    np.testing.assert_array_equal(inference.in_parts(draw, z, 2 * z, 512), 3 * z)
    assert calls == [4, 4, 2]


# The module.


def test_call_equals_the_generator_in_python(module, twin):
    """Any batch size, a plain float for truncation, soft labels."""
    statistics = saved_model.StandingStatistics(twin, saved_model.RESAMPLE_GRID)
    accumulator = inference.Accumulator(twin, "resample", 8)
    for row, truncation in enumerate(saved_model.RESAMPLE_GRID):
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


def test_attributes(module):
    assert module.num_classes.numpy() == 10
    assert module.latent_size.numpy() == 16
    assert module.image_size.numpy() == 32
    assert [name.decode() for name in module.class_names.numpy()] == list(CLASSES)
    assert module.truncation_convention.numpy() == b"resample"
    assert module.step.numpy() == 7
    np.testing.assert_allclose(
        module.standing_truncations, saved_model.RESAMPLE_GRID, rtol=1e-6
    )


def test_serving_signature(module):
    z, y = z_and_y()
    serve = module.signatures["serving_default"]
    served = serve(z=z, y=y, truncation=tf.constant(0.5))
    expected = module({"z": z, "y": y, "truncation": 0.5})
    np.testing.assert_allclose(served["images"], expected, atol=1e-6)


def test_discriminator_comes_along_if_asked(module, model):
    x, y = tf.random.stateless_uniform([3, 32, 32, 3], [0, 1], -1.0), z_and_y()[1]
    logits = module.discriminator({"x": x, "y": y})
    expected = model.gan.discriminator(x, y)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-3)


def test_scaled_module_of_biggan_deep(tmp_path):
    """Latents shrink with truncation, down to 0; no discriminator unless asked."""
    path = tmp_path / "deep"
    export(trained("biggan_deep"), path, "scaled", with_discriminator=False)
    module = saved_model.load(path)
    assert module.truncation_convention == "scaled"
    assert len(module.standing_truncations) == 51
    assert not hasattr(module.module, "discriminator")
    z = {t: module.sample_latents(20, t, 0) for t in (0, 0.5, 1)}
    np.testing.assert_allclose(z[0.5], 0.5 * z[1], rtol=1e-6)
    assert np.all(z[0] == 0)
    assert 1.8 < np.abs(z[1]).max() <= 2
    x = module.generate([1, 2], 0.3, 0)
    assert np.isfinite(x).all()
    assert np.std(x) > 0
    with pytest.raises(BadInput, match=r"--t = 1.5: .* 0 to 1"):
        module.check_truncation(1.5, "--t")
    assert "`scaled`" in (path / "README.md").read_text()


def test_keras_layer_fine_tunes(path, twin):
    """Every weight moves in `fit`, and no statistic."""
    z, y = tf.keras.Input([16]), tf.keras.Input([10])
    layer = hub.KerasLayer(str(path), trainable=True)
    x = layer({"z": z, "y": y, "truncation": tf.constant(0.5)})
    keras_model = tf.keras.Model([z, y], x)
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
    for fact in ("letters", "32 px", "7 training steps", "`resample`", "gan.beta1 = 0"):
        assert fact in text
    assert "m.discriminator(" in text


# Writing and opening.


def test_a_failed_save_leaves_no_trace(tmp_path, path):
    """What a function needs but the module does not hold cannot be saved."""
    stray = tf.Variable(1.0)
    broken = tf.train.Checkpoint(
        serve=tf.function(lambda: {"value": stray + 1}, input_signature=[])
    )
    target = tmp_path / "export"
    export_of_before = path / "saved_model.pb"
    target.mkdir()
    (target / "saved_model.pb").write_bytes(export_of_before.read_bytes())
    with pytest.raises(AssertionError, match="untracked"):
        saved_model.write(broken, target, "", replace=True)
    assert os.listdir(tmp_path) == ["export"]
    assert os.listdir(target) == ["saved_model.pb"]


def test_only_an_export_gives_way_and_only_if_asked(tmp_path):
    whole = tf.train.Checkpoint(
        serve=tf.function(lambda: {"value": 1.0}, input_signature=[])
    )
    target = tmp_path / "some" / "export"
    saved_model.write(whole, target, "first")
    with pytest.raises(BadInput, match="is there already"):
        saved_model.write(whole, target, "second")
    assert (target / "README.md").read_text() == "first"
    saved_model.write(whole, target, "second", replace=True)
    assert (target / "README.md").read_text() == "second"
    assert os.listdir(target.parent) == ["export"]

    (target / "saved_model.pb").unlink()
    with pytest.raises(BadInput, match="is no exported module"):
        saved_model.write(whole, target, "third", replace=True)
    with pytest.raises(BadInput, match="cannot be written to"):
        saved_model.check_free(target / "README.md" / "export", False)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"truncation_convention": "clip"}, "'clip': take one of resample, scaled"),
        ({"passes": 0}, "export.passes = 0"),
        ({"batch_size": 1}, "export.batch_size = 1"),
        ({"seed": 0.5}, "export.seed = 0.5"),
    ],
)
def test_bad_settings_are_named(values, complaint):
    with pytest.raises(BadInput, match=complaint):
        saved_model.Settings(**values)


def test_loading_what_is_no_export(tmp_path):
    with pytest.raises(BadInput, match=r"^--module=.*nothing: there is no saved_model"):
        saved_model.load(tmp_path / "nothing")
    (tmp_path / "saved_model.pb").write_text("no protocol buffer")
    with pytest.raises(BadInput, match="cannot be loaded"):
        saved_model.load(tmp_path)
    with pytest.raises(BadInput, match=r"http://127.0.0.1:9/m cannot be loaded"):
        saved_model.load("http://127.0.0.1:9/m")
    other = tf.train.Checkpoint(value=tf.Variable(1.0))
    tf.saved_model.save(other, str(tmp_path / "other"))
    with pytest.raises(BadInput, match="no module of biggan_tf.export: .*num_classes"):
        saved_model.load(tmp_path / "other")


def test_python_view_of_a_module(path, module):
    view = saved_model.load(path)
    assert (view.num_classes, view.latent_size, view.image_size) == (10, 16, 32)
    assert view.class_names == CLASSES
    assert view.standing_truncations[-1] == math.inf
    found = view.generate(np.array([0, 3, 9]), 0.5, 0)
    expected = module.generate([0, 3, 9], 0.5, 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(BadInput, match="above 0"):
        view.check_truncation(math.nan, "--t")
