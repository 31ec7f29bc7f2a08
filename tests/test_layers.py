"""Each layer against a plain reference; then every layer through every promise."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import biggan, biggan_deep, layers
from biggan_tf.keras import keras

CLASSES = 3
CONDITION = 5
# Unlike the defaults, so that a lost argument shows.
KERNEL = {"kernel_initializer": layers.INITIALIZERS["glorot"], "sn_epsilon": 1e-4}
PLAIN = {**KERNEL, "spectral_norm": False}


def draw(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def plain_conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def plain_upsample(x: tf.Tensor) -> tf.Tensor:
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


def plain_downsample(x: tf.Tensor) -> tf.Tensor:
    corners = [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    return tf.add_n(corners) / 4


# --- spectral norm --------------------------------------------------------------------

SPECTRAL = {
    "dense": (lambda **kw: layers.SpectralDense(4, **kw), (2, 7)),
    "wide": (lambda **kw: layers.SpectralDense(7, **kw), (2, 4)),
    "embedding": (lambda **kw: layers.SpectralEmbedding(4, **kw), (2, 7)),
    "conv": (lambda **kw: layers.SpectralConv2D(4, 3, **kw), (2, 5, 5, 3)),
    "up": (lambda **kw: layers.UpsampleConv2D(4, **kw), (2, 5, 5, 3)),
    "down": (lambda **kw: layers.ConvDownsample2D(4, **kw), (2, 6, 6, 3)),
}


def spectral(name: str, **kwargs: Any) -> tuple[layers.SpectralLayer, np.ndarray]:
    """A layer with singular values 2, 1, 1/2, ..., which settle quickly, and its x."""
    make, shape = SPECTRAL[name]
    x = draw(*shape, dtype="float64")
    layer = make(dtype="float64", **kwargs)
    layer(x)
    matrix = draw(*layer.matrix().shape, dtype="float64").reshape(
        -1, layer.kernel.shape[-1]
    )
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    matrix = left * 2.0 ** (1 - np.arange(len(values))) @ right
    layer.kernel.assign(matrix.reshape(layer.kernel.shape))
    return layer, x


def settle(layer: layers.SpectralLayer) -> None:
    for _ in range(30):
        layer.normalized_kernel(training=True)


def largest_singular_value(kernel: np.ndarray) -> float:
    return np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


@pytest.mark.parametrize("name", SPECTRAL)
def test_sigma_converges_to_the_largest_singular_value(name):
    layer, x = spectral(name)
    kernel = layer.kernel.numpy()
    settle(layer)
    sigma = largest_singular_value(kernel)
    np.testing.assert_allclose(layer.sigma, sigma, rtol=1e-10)
    np.testing.assert_allclose(layer.normalized_kernel(), kernel / sigma, rtol=1e-10)
    layer(x, training=True)
    np.testing.assert_array_equal(layer.kernel, kernel)


@pytest.mark.parametrize("name", SPECTRAL)
def test_the_gradient_goes_through_sigma(name):
    layer, _ = spectral(name)
    settle(layer)
    kernel = layer.kernel.numpy()
    direction = draw(*kernel.shape, dtype="float64")
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(direction * layer.normalized_kernel(training=True))
    gradient = tape.gradient(value, layer.kernel).numpy().ravel()

    def along(flat: np.ndarray) -> float:
        return np.sum(direction.ravel() * flat) / largest_singular_value(
            flat.reshape(kernel.shape)
        )

    for index in range(kernel.size):
        step = np.zeros(kernel.size)
        step[index] = 1e-5
        ahead, behind = along(kernel.ravel() + step), along(kernel.ravel() - step)
        np.testing.assert_allclose(
            gradient[index], (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-7
        )


@pytest.mark.parametrize("name", SPECTRAL)
def test_u_moves_by_one_iteration_and_only_when_training(name):
    layer, x = spectral(name)
    u, sigma = layer.u.numpy(), layer.sigma.numpy()
    layer(x)
    layer(x, training=False)
    np.testing.assert_array_equal(layer.u, u)
    np.testing.assert_array_equal(layer.sigma, sigma)
    matrix = layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1])
    if name == "embedding":
        matrix = matrix.T
    v = matrix @ u / np.linalg.norm(matrix @ u)
    expected = matrix.T @ v / np.linalg.norm(matrix.T @ v)
    layer(x, training=True)
    np.testing.assert_allclose(layer.u, expected, rtol=1e-10)
    np.testing.assert_allclose(layer.sigma, v @ matrix @ expected, rtol=1e-10)


def test_u_lives_on_the_side_of_the_units_and_of_the_classes():
    shapes = {name: spectral(name)[0].u.shape.as_list() for name in SPECTRAL}
    assert shapes.pop("wide") == shapes.pop("embedding") == [7]
    assert set(map(tuple, shapes.values())) == {(4,)}


@pytest.mark.parametrize("name", SPECTRAL)
def test_without_spectral_norm_the_kernel_is_used_as_it_is(name):
    layer, _ = spectral(name, spectral_norm=False)
    np.testing.assert_array_equal(layer.normalized_kernel(True), layer.kernel)
    assert not layer.non_trainable_variables


def test_the_power_iteration_bounds_its_norms_from_below():
    matrix, u = 1e-3 * np.eye(2, 3, dtype="float32"), np.float32([1, 0, 0])
    new_u, sigma = layers.power_iteration(tf.constant(matrix), u, epsilon=1e-2)
    np.testing.assert_allclose(new_u, [1e-2, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(sigma, 1e-6, rtol=1e-5)


@pytest.mark.parametrize("make", [layers.SpectralConv2D, layers.SpectralDense])
def test_initializers(make):
    def kernel(name: str, inputs: int, units: int) -> np.ndarray:
        options = {"kernel_size": 3} if make is layers.SpectralConv2D else {}
        layer = make(units, kernel_initializer=layers.INITIALIZERS[name], **options)
        layer.build(tf.TensorShape([None, 8, 8, inputs]))
        return layer.matrix().numpy()

    tall, wide = kernel("orthogonal", 20, 12), kernel("orthogonal", 3, 40)
    np.testing.assert_allclose(tall.T @ tall, np.eye(12), atol=1e-5)
    np.testing.assert_allclose(wide @ wide.T, np.eye(len(wide)), atol=1e-5)

    normal = kernel("normal", 100, 100)
    assert abs(normal.mean()) < 1e-3
    assert abs(normal.std() - 0.02) < 1e-3
    assert np.abs(normal).max() > 0.05  # not cut off at two standard deviations

    glorot = kernel("glorot", 100, 80)
    area = 9 if make is layers.SpectralConv2D else 1
    limit = np.float32(np.sqrt(6 / (area * (100 + 80))))
    assert 0.99 * limit < np.abs(glorot).max() <= limit
    assert abs(glorot.std() - limit / np.sqrt(3)) < 0.02 * limit


def test_used_units_are_the_first_of_the_whole_kernel():
    x = draw(2, 5, 5, 4)
    some = layers.SpectralConv2D(7, 3, used_units=3, **KERNEL)
    every = layers.SpectralConv2D(7, 3, **KERNEL)
    some(x), every(x)
    some.bias.assign(draw(7))
    every.set_weights(some.get_weights())
    assert some.kernel.shape == [3, 3, 4, 7]
    np.testing.assert_allclose(some(x), every(x)[..., :3], atol=1e-6)


# --- resampling -----------------------------------------------------------------------


def plain_up(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return plain_conv(plain_upsample(x), kernel)


def plain_down(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return plain_downsample(plain_conv(x, kernel))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "reference", "size"),
    [
        (layers.UpsampleConv2D, plain_up, (5, 7)),
        (layers.UpsampleConv2D, plain_up, (6, 4)),
        (layers.UpsampleConv2D, plain_up, (1, 2)),
        (layers.ConvDownsample2D, plain_down, (6, 4)),
        (layers.ConvDownsample2D, plain_down, (2, 10)),
    ],
)
def test_fused_resampling_equals_the_plain_form(make, reference, size, dtype):
    layer = make(4, spectral_norm=False, dtype=dtype)
    x = tf.constant(draw(2, *size, 3, dtype=dtype))
    layer(x)
    layer.bias.assign(draw(4, dtype=dtype))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        fused = layer(x)
        plain = reference(x, layer.kernel) + layer.bias
        weights = draw(*plain.shape, dtype=dtype)
        fused_value = tf.reduce_sum(weights * fused)
        plain_value = tf.reduce_sum(weights * plain)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(fused, plain, atol=tolerance)
    sources = [x, layer.kernel, layer.bias]
    for ours, right in zip(
        tape.gradient(fused_value, sources), tape.gradient(plain_value, sources)
    ):
        scale = max(1.0, np.abs(right).max())
        np.testing.assert_allclose(ours, right, atol=10 * tolerance * scale)


@pytest.mark.parametrize("size", [(5, 4), (4, 5)])
def test_pooling_refuses_odd_sides(size):
    with pytest.raises(ValueError, match="even sides"):
        layers.ConvDownsample2D(4)(draw(2, *size, 3))


def test_resampling_alone():
    x = draw(2, 4, 6, 3)
    np.testing.assert_array_equal(layers.upsample(x), plain_upsample(x))
    np.testing.assert_allclose(layers.downsample(x), plain_downsample(x), atol=1e-6)


# --- batch norm -----------------------------------------------------------------------


def test_batch_norm_is_keras_batch_norm():
    ours = layers.BatchNorm()
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    one, zero = tf.ones([4]), tf.zeros([4])
    for step in range(3):
        x = tf.constant(3 + (step + 1) * draw(2, 3, 5, 4, seed=step))
        weights = draw(*x.shape, seed=9)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = ours(x, one, zero, layers.batch_statistics)
            right = theirs(x, training=True)
            value, right_value = (tf.reduce_sum(weights * out) for out in (y, right))
        np.testing.assert_allclose(y, right, atol=5e-5)
        np.testing.assert_allclose(
            tape.gradient(value, x), tape.gradient(right_value, x), atol=5e-5
        )
        # Keras's fused kernel, too, averages the unbiased variance.
        np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
        np.testing.assert_allclose(
            ours.moving_variance, theirs.moving_variance, rtol=1e-5
        )
    before = ours.get_weights()
    np.testing.assert_allclose(
        ours(x, one, zero, layers.running_statistics), theirs(x), atol=1e-5
    )
    np.testing.assert_array_equal(before, ours.get_weights())


def test_batch_norm_takes_any_statistics():
    x, mean, variance = draw(2, 3, 3, 4), draw(4, seed=1), draw(4, seed=2) ** 2
    scale, offset = draw(2, 1, 1, 4, seed=3), draw(2, 1, 1, 4, seed=4)
    layer = layers.BatchNorm(epsilon=1e-3)
    seen = []

    def standing(which: layers.BatchNorm, features: tf.Tensor) -> tuple:
        seen.append((which, features.shape))
        return tf.constant(mean), tf.constant(variance)

    y = layer(x, scale, offset, standing)
    expected = (x - mean) / np.sqrt(variance + 1e-3) * scale + offset
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert seen == [(layer, x.shape)]
    first, second = layer.moments(tf.constant(x))
    np.testing.assert_allclose(first, x.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(second, (x**2).mean((0, 1, 2)), atol=1e-6)


def normalized(x: np.ndarray, epsilon: float) -> np.ndarray:
    return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + epsilon)


def test_conditional_batch_norm_centres_its_gain_at_one():
    x, condition = draw(4, 3, 3, 6), draw(4, CONDITION)
    layer = layers.ConditionalBatchNorm(KERNEL, epsilon=1e-3)
    y = layer(x, condition, False, layers.batch_statistics)
    gain = 1 + condition @ layer.gain.normalized_kernel().numpy()
    offset = condition @ layer.offset.normalized_kernel().numpy()
    expected = gain[:, None, None] * normalized(x, 1e-3) + offset[:, None, None]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert not layer.gain.use_bias
    assert not layer.offset.use_bias

    zeros = {"kernel_initializer": "zeros", "spectral_norm": False}
    layer = layers.ConditionalBatchNorm(zeros)
    y = layer(x, condition, True, layers.batch_statistics)
    np.testing.assert_allclose(y, normalized(x, 1e-5), atol=1e-5)


def test_affine_batch_norm_starts_as_the_identity_and_learns_both():
    x = draw(4, 3, 3, 6)
    layer = layers.AffineBatchNorm(epsilon=1e-3)
    y = layer(x, layers.batch_statistics)
    np.testing.assert_allclose(y, normalized(x, 1e-3), atol=1e-5)
    layer.gain.assign(draw(6, seed=1)), layer.offset.assign(draw(6, seed=2))
    y = layer(x, layers.batch_statistics)
    expected = normalized(x, 1e-3) * layer.gain.numpy() + layer.offset.numpy()
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert len(layer.trainable_variables) == 2


# --- attention, labels and outputs ----------------------------------------------------


def test_self_attention_is_its_formula():
    x = draw(2, 6, 4, 16)
    layer = layers.SelfAttention(KERNEL)
    np.testing.assert_array_equal(layer(x), x)  # gamma starts at 0
    layer.gamma.assign(0.7)

    def project(conv: layers.SpectralConv2D, pool: bool) -> np.ndarray:
        features = x @ conv.normalized_kernel().numpy()[0, 0]
        if pool:
            features = features.reshape(2, 3, 2, 2, 2, -1).max((2, 4))
        return features.reshape(2, -1, features.shape[-1])

    theta, phi = project(layer.theta, pool=False), project(layer.phi, pool=True)
    g = project(layer.g, pool=True)
    assert (theta.shape, phi.shape, g.shape) == ((2, 24, 2), (2, 6, 2), (2, 6, 8))
    scores = np.exp(theta @ phi.transpose(0, 2, 1))
    attended = scores / scores.sum(-1, keepdims=True) @ g
    o = attended.reshape(2, 6, 4, 8) @ layer.o.normalized_kernel().numpy()[0, 0]
    np.testing.assert_allclose(layer(x), x + 0.7 * o, atol=1e-5)
    assert not any("bias" in variable.name for variable in layer.variables)


@pytest.mark.parametrize("channels", [1, 4, 12])
def test_self_attention_takes_any_number_of_channels(channels):
    layer = layers.SelfAttention(KERNEL)
    layer(draw(1, 4, 4, channels))
    layer.gamma.assign(1)
    x = draw(1, 4, 4, channels)
    assert np.abs(layer(x) - x).max() > 1e-3


def test_class_condition_is_linear_in_the_labels():
    shared = layers.ClassCondition(CLASSES, 4, KERNEL)
    rows = shared(tf.range(CLASSES)).numpy()
    np.testing.assert_array_equal(rows, shared.embedding.kernel)  # no spectral norm
    soft = np.float32([[0.25, 0.75, 0], [0, 0, 1]])
    np.testing.assert_allclose(shared(soft), soft @ rows, atol=1e-6)
    separate = layers.ClassCondition(CLASSES, None, KERNEL)
    np.testing.assert_array_equal(separate(tf.range(CLASSES)), np.eye(CLASSES))
    np.testing.assert_array_equal(separate(soft), soft)
    assert not separate.variables


def test_join_condition_keeps_the_order():
    y, z = tf.ones([2, 1]), tf.zeros([2, 2])
    assert layers.join_condition(y, z, "yz").numpy().tolist() == [[1, 0, 0]] * 2
    assert layers.join_condition(y, z, "zy").numpy().tolist() == [[0, 0, 1]] * 2


def test_to_image_is_its_formula():
    x = 10 * draw(2, 4, 4, 6)
    layer = layers.ToImage(KERNEL, bn_epsilon=1e-3, units=8)
    image = layer(x, False, layers.batch_statistics)
    features = np.maximum(normalized(x, 1e-3), 0)
    kernel = layer.conv.normalized_kernel()[..., :3]
    np.testing.assert_allclose(image, np.tanh(plain_conv(features, kernel)), atol=1e-5)
    layer.conv.bias.assign([100.0] * 4 + [-100.0] * 4)
    assert np.all(layer(x, False, layers.batch_statistics) == 1)


def test_projection_head_is_its_formula():
    x, y = draw(2, 4, 4, 6), np.float32([[0, 1, 0], [0.5, 0, 0.5]])
    layer = layers.ProjectionHead(CLASSES, KERNEL)
    logit = layer(x, y, False)
    layer.linear.bias.assign([0.3])
    h = np.maximum(x, 0).sum((1, 2))
    rows = y @ layer.embedding.normalized_kernel().numpy()
    expected = h @ layer.linear.normalized_kernel().numpy()[:, 0] + 0.3
    expected += np.sum(rows * h, axis=1)
    np.testing.assert_allclose(layer(x, y, False)[:, 0], expected, rtol=1e-5)
    assert logit.shape == (2, 1)
    assert layer.embedding.spectral_norm


# --- every layer through every promise ------------------------------------------------

NORM = {"kernel": KERNEL, "epsilon": 1e-3}
IMAGE, VECTOR, LABELS = "image", "vector", "labels"
GAIN = "gain"
# Name -> (what makes it, what it is called with).
CASES: dict[str, tuple[Callable[[], keras.layers.Layer], list[str]]] = {
    "dense": (lambda: layers.SpectralDense(5, use_bias=False, **KERNEL), [VECTOR]),
    "embedding": (lambda: layers.SpectralEmbedding(5, **KERNEL), [VECTOR]),
    "conv": (lambda: layers.SpectralConv2D(5, 1, used_units=4, **KERNEL), [IMAGE]),
    "plain conv": (lambda: layers.SpectralConv2D(5, 3, **PLAIN), [IMAGE]),
    "up": (lambda: layers.UpsampleConv2D(5, **KERNEL), [IMAGE]),
    "down": (lambda: layers.ConvDownsample2D(5, **KERNEL), [IMAGE]),
    "norm": (lambda: layers.BatchNorm(0.8, 1e-3), [IMAGE, GAIN, GAIN]),
    "affine norm": (lambda: layers.AffineBatchNorm(1e-3), [IMAGE]),
    "conditional norm": (
        lambda: layers.ConditionalBatchNorm(**NORM),
        [IMAGE, VECTOR],
    ),
    "attention": (lambda: layers.SelfAttention(KERNEL), [IMAGE]),
    "condition": (lambda: layers.ClassCondition(CLASSES, 4, KERNEL), [LABELS]),
    "to image": (lambda: layers.ToImage(KERNEL, 1e-3, 5), [IMAGE]),
    "head": (lambda: layers.ProjectionHead(CLASSES, KERNEL), [IMAGE, LABELS]),
    "G block": (lambda: biggan.GeneratorBlock(4, KERNEL, NORM), [IMAGE, VECTOR]),
    "D block": (lambda: biggan.DiscriminatorBlock(8, True, True, KERNEL), [IMAGE]),
    "same D block": (
        lambda: biggan.DiscriminatorBlock(8, False, False, KERNEL),
        [IMAGE],
    ),
    "deep G block": (
        lambda: biggan_deep.GeneratorBlock(4, True, KERNEL, NORM),
        [IMAGE, VECTOR],
    ),
    "deep D block": (
        lambda: biggan_deep.DiscriminatorBlock(12, True, KERNEL),
        [IMAGE],
    ),
}


def arguments(name: str, batch: int = 4) -> list[tf.Tensor]:
    values = {
        IMAGE: draw(batch, 6, 6, 8),
        VECTOR: draw(batch, CONDITION),
        LABELS: np.arange(batch, dtype="int32") % CLASSES,
        GAIN: draw(batch, 1, 1, 8),
    }
    return [tf.constant(values[kind]) for kind in CASES[name][1]]


def run(layer: keras.layers.Layer, inputs: list, training: bool) -> tf.Tensor:
    known = inspect.signature(type(layer).call).parameters
    options: dict[str, Any] = {"training": training} if "training" in known else {}
    if "statistics" in known:
        options["statistics"] = (
            layers.batch_statistics if training else layers.running_statistics
        )
    return layer(*inputs, **options)


def made(name: str) -> keras.layers.Layer:
    """A layer with its variables, none of which has a value of its first moment."""
    layer = CASES[name][0]()
    run(layer, arguments(name), training=False)
    for index, variable in enumerate(layer.variables):
        variable.assign(1 + 0.5 * draw(*variable.shape, seed=index))
    return layer


def test_every_layer_is_put_to_the_test():
    written = {
        value
        for module in (layers, biggan, biggan_deep)
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, keras.layers.Layer)
        and not issubclass(value, keras.Model)
    }
    bases = {layers.Layer, layers.SpectralLayer}
    assert {type(make()) for make, _ in CASES.values()} == written - bases


@pytest.mark.parametrize("name", CASES)
def test_config_round_trip(name):
    layer = made(name)
    config = layer.get_config()
    for kind in type(layer).__mro__[: type(layer).__mro__.index(keras.layers.Layer)]:
        named = set(inspect.signature(kind.__init__).parameters)
        assert named - {"self", "kwargs"} <= set(config)
    twin = type(layer).from_config(config)
    assert twin.get_config() == layer.get_config()
    inputs = arguments(name)
    run(twin, inputs, training=False)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(run(twin, inputs, False), run(layer, inputs, False))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One module with the calls of all layers by name: as made, and as loaded."""

    def call(layer: keras.layers.Layer, *inputs: tf.Tensor) -> tf.Tensor:
        return run(layer, inputs, training=False)

    module = tf.Module()
    module.layers, module.calls = {}, {}
    for name in CASES:
        layer = made(name)
        signature = [
            tf.TensorSpec([None, *value.shape[1:]], value.dtype)
            for value in arguments(name)
        ]
        module.layers[name] = layer
        module.calls[name] = tf.function(
            functools.partial(call, layer), input_signature=signature
        )
    path = str(tmp_path_factory.mktemp("saved"))
    tf.saved_model.save(module, path)
    return module, tf.saved_model.load(path)


@pytest.mark.parametrize("name", CASES)
def test_saved_model_round_trip(name, saved):
    before, after = saved
    for batch in (1, 5):
        inputs = arguments(name, batch)
        np.testing.assert_allclose(
            after.calls[name](*inputs), before.calls[name](*inputs), rtol=1e-5
        )


@pytest.fixture(scope="module")
def strategy():
    # Keys of its own: two strategies of one process would mix up their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.mark.parametrize("name", CASES)
def test_two_replicas_are_one_on_the_joined_batch(name, strategy):
    one = made(name)
    with strategy.scope():
        two = CASES[name][0]()
        run(two, arguments(name), training=False)
        two.set_weights(one.get_weights())
    inputs = arguments(name)

    def step(layer: keras.layers.Layer, *inputs: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            out = run(layer, inputs, training=True)
            loss = tf.reduce_mean((out - 0.3) ** 2)
        gradients = tape.gradient(loss, layer.trainable_variables)
        replicas = tf.distribute.get_replica_context()
        if gradients:
            gradients = replicas.all_reduce("MEAN", gradients)
        return out, gradients

    out, gradients = step(one, *inputs)
    halves = [
        strategy.experimental_distribute_values_from_function(
            lambda context, value=value: tf.split(value, 2)[
                context.replica_id_in_sync_group
            ]
        )
        for value in inputs
    ]
    outs, both_gradients = tf.function(strategy.run)(
        lambda *inputs: step(two, *inputs), args=halves
    )
    joined = tf.concat(strategy.experimental_local_results(outs), axis=0)
    pairs = [
        *zip(both_gradients, gradients),
        *zip(two.variables, one.variables),
    ]
    for values, right in [(joined, out), *pairs]:
        # A bias before a batch norm has no gradient but rounding, of about 1e-5.
        scale = max(1.0, np.abs(right).max())
        for value in strategy.experimental_local_results(values):
            np.testing.assert_allclose(value, right, atol=5e-5 * scale)


@pytest.fixture
def bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_computes_and_float32_stores(name, bfloat16):
    layer = made(name)
    inputs = arguments(name)
    with tf.GradientTape() as tape:
        out = run(layer, inputs, training=True)
        loss = tf.reduce_mean(tf.cast(out, tf.float32) ** 2)
    in_float32 = (layers.ClassCondition, layers.ToImage, layers.ProjectionHead)
    assert out.dtype == (tf.float32 if isinstance(layer, in_float32) else tf.bfloat16)
    gradients = tape.gradient(loss, layer.trainable_variables)
    for value in [out, *gradients, *layer.variables]:
        assert np.all(np.isfinite(tf.cast(value, tf.float32)))
    assert {value.dtype for value in [*gradients, *layer.variables]} <= {tf.float32}
