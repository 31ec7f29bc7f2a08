"""Each regulariser's value and gradient against a float64 numerical derivative."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import augment, config, layers
from biggan_tf import regularisers as regular
from biggan_tf.errors import BadInput
from biggan_tf.latents import Draws
from biggan_tf.regularisers import R1, Consistency, LeCam, Orthogonal, Seen, Sigma0

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _anew():
    """A test draws the same numbers whatever ran before it."""
    global RNG
    RNG = np.random.default_rng(0)


def numerical_gradient(function: Callable, x: np.ndarray) -> np.ndarray:
    """By central differences, float64."""
    gradient, step = np.zeros_like(x), 1e-5
    for index in np.ndindex(*x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        gradient[index] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradient


def check(ours: Callable, right: Callable, x: np.ndarray) -> None:
    """Value and gradient of a penalty, float32, at x, float64, and its formula."""
    variable = tf.Variable(x.astype("float32"))
    with tf.GradientTape() as tape:
        value = ours(tf.convert_to_tensor(variable))
    gradient = tape.gradient(value, variable)
    np.testing.assert_allclose(value, right(x), rtol=1e-4)
    expected = numerical_gradient(right, x)
    assert np.abs(expected).max() > 1e-3
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(gradient, expected, atol=2e-4 * scale)


def singular(x: np.ndarray) -> np.ndarray:
    return np.linalg.svd(x, compute_uv=False)


def gram(x: np.ndarray) -> np.ndarray:
    return x.T @ x


class Embedding(layers.SpectralEmbedding):
    """One whose kernel is a given matrix."""

    def __init__(self, kernel: tf.Tensor):
        super().__init__(kernel.shape[1])
        self.kernel = kernel


def embedding_decay(x: tf.Tensor) -> tf.Tensor:
    network = tf.Module()
    network.embedding = Embedding(x)
    return regular.EmbeddingDecay(weight=1.0).generator_penalty(network)


WEIGHTS = {
    "off_diagonal": (
        regular.off_diagonal_penalty,
        lambda x: np.sum((gram(x) * (1 - np.eye(x.shape[1]))) ** 2),
    ),
    "full": (
        regular.full_penalty,
        lambda x: np.sum((gram(x) - np.eye(x.shape[1])) ** 2),
    ),
    "sigma0_target": (
        lambda x: Sigma0(weight=1.0, target=1.5).penalty(x[None]),
        lambda x: (singular(x)[0] - 1.5) ** 2,
    ),
    "decay": (embedding_decay, lambda x: np.sum(x**2) / 2),
}


@pytest.mark.parametrize("shape", [(7, 4), (4, 7)])
@pytest.mark.parametrize("name", WEIGHTS)
def test_penalties_of_weights(name, shape):
    check(*WEIGHTS[name], RNG.normal(size=shape))


def test_sigma0_toward_a_ratio_takes_sigma1_for_a_constant():
    x = RNG.normal(size=(6, 5))
    sigma1 = singular(x)[1]
    check(
        lambda x: Sigma0(weight=1.0, ratio=1.1).penalty(x[None]),
        lambda x: (singular(x)[0] - 1.1 * sigma1) ** 2,
        x,
    )


@pytest.mark.parametrize(
    ("inputs", "units"), [(7, 3), (5, 5), (3, 7), (1, 4), (4, 1), (30, 80)]
)
def test_orthogonal_penalty(inputs, units):
    matrix = np.random.default_rng(inputs).normal(size=(inputs, units))
    gram = matrix.T @ matrix
    off_diagonal = gram * (1 - np.eye(units))
    variable = tf.Variable(matrix.astype("float32"))
    with tf.GradientTape() as tape:
        penalty = regular.off_diagonal_penalty(variable)
    size = np.sum(gram**2)
    np.testing.assert_allclose(penalty, np.sum(off_diagonal**2), atol=1e-6 * size)
    # d/dW ||W^T W * (1 - I)||^2 = 4 W (W^T W * (1 - I)); AJ's code has a 2 here.
    expected = 4 * matrix @ off_diagonal
    np.testing.assert_allclose(
        tape.gradient(penalty, variable),
        expected,
        atol=1e-5 * max(1.0, np.abs(expected).max()),
    )


def test_orthogonal_penalty_leaves_norms_alone():
    matrix = np.diag([3.0, 0.1, 7.0]).astype("float32")
    for columns in (3, 2):
        assert regular.off_diagonal_penalty(tf.constant(matrix[:, :columns])) == 0


LOGITS = RNG.normal(size=(6, 1))
OTHER = RNG.normal(size=(6, 1))
ANCHORS = [0.7, -0.4]


def seen(real: tf.Tensor, fake: tf.Tensor, judge: Callable | None = None) -> Seen:
    images, draws = tf.zeros([6, 16, 16, 3]), Draws([1, 2], 6)
    return Seen(None, images, None, real, fake, judge, draws, tf.constant(0))


def test_penalties_of_logits():
    other = tf.constant(OTHER, tf.float32)
    check(
        lambda x: Consistency(weight=1.0).discriminator_penalty(
            seen(x, None, lambda images, labels: other)
        ),
        lambda x: np.mean((x - OTHER) ** 2),
        LOGITS,
    )
    lecam = LeCam(weight=1.0)
    for average, value in zip(lecam.averages, ANCHORS):
        average.assign(value)
    check(lambda x: lecam.discriminator_penalty(seen(x, other)), _lecam, LOGITS)
    check(
        lambda x: lecam.discriminator_penalty(seen(other, x)),
        lambda x: np.mean((OTHER - ANCHORS[1]) ** 2) + np.mean((x - ANCHORS[0]) ** 2),
        LOGITS,
    )


def test_lecam_s_averages_move_by_their_decay():
    lecam = LeCam(weight=1.0, decay=0.75)
    logits = seen(tf.constant([[1.0], [3.0]]), tf.constant([[-4.0]]))
    for _ in range(2):
        lecam.after_discriminator(logits)
    np.testing.assert_allclose(lecam.averages, [0.4375 * 2, 0.4375 * -4])


def _lecam(real: np.ndarray) -> float:
    return np.mean((real - ANCHORS[1]) ** 2) + np.mean((OTHER - ANCHORS[0]) ** 2)


def test_gradient_penalty():
    """Of D(x) = sum(w x^3), whose gradient is 3 w x^2; in w and with x given."""
    x = RNG.normal(size=(3, 2, 2, 1))

    def right(w: np.ndarray) -> float:
        return 0.5 * np.mean(np.sum((3 * w * x**2) ** 2, axis=(1, 2, 3)))

    images = tf.constant(x, tf.float32)
    check(
        lambda w: regular.gradient_penalty(lambda x: tf.reduce_sum(w * x**3), images),
        right,
        RNG.normal(size=(1, 2, 2, 1)),
    )


@pytest.mark.parametrize("shape", [(40, 9), (9, 40), (30, 30)])
@pytest.mark.parametrize("target", [{"target": 2.0}, {"ratio": 1.01}])
def test_clamp_moves_the_largest_singular_value_alone(shape, target):
    x = RNG.normal(size=(2, *shape)).astype("float32")
    clamped = Sigma0(clamp=True, **target).clamped(tf.constant(x)).numpy()
    for before, after in zip(x.astype("float64"), clamped.astype("float64")):
        sigma = singular(before)
        wanted = target.get("target", 1.01 * sigma[1])
        expected = np.sort([min(sigma[0], wanted), *sigma[1:]])[::-1]
        np.testing.assert_allclose(singular(after), expected, rtol=3e-5, atol=3e-5)


def test_clamp_leaves_what_is_below_the_target():
    x = tf.constant(RNG.normal(size=(1, 8, 5)), tf.float32)
    np.testing.assert_array_equal(Sigma0(clamp=True, target=100.0).clamped(x), x)


# --- singular values ------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(288, 32), (10, 64), (1, 8), (9, 1), (500, 300)])
@pytest.mark.parametrize("kind", ["normal", "orthogonal", "spiked"])
def test_largest_singular_values(shape, kind):
    x = RNG.normal(size=shape)
    if kind == "orthogonal":  # all singular values are equal
        u, _, v = np.linalg.svd(x, full_matrices=False)
        x = u @ v
    if kind == "spiked":
        x += 50 * np.outer(RNG.normal(size=shape[0]), RNG.normal(size=shape[1]))
    sigma, v, u = layers.largest_singular(tf.constant(x, tf.float32))
    right = singular(x)[:3]
    np.testing.assert_allclose(sigma, right, rtol=1e-4)
    np.testing.assert_allclose(x @ u.numpy(), v * right, atol=1e-3 * right[0])


# --- augmentations --------------------------------------------------------------------

IMAGES = RNG.uniform(-1, 1, size=(4, 16, 16, 3)).astype("float32")


def uniform(*columns: list) -> tf.Tensor:
    return tf.constant(np.stack(np.broadcast_arrays(*columns), 1), tf.float32)


def test_translation_shifts_and_fills_with_zeros():
    # Rows by -2 .. 2; columns by 0.
    moved = augment.AUGMENTATIONS["translation"](
        tf.constant(IMAGES), uniform([0, 0.5, 0.99, 0.3], 0.5, 0)
    ).numpy()
    np.testing.assert_array_equal(moved[0, 2:], IMAGES[0, :-2])
    np.testing.assert_array_equal(moved[0, :2], 0)
    np.testing.assert_array_equal(moved[1], IMAGES[1])
    np.testing.assert_array_equal(moved[2, :-2], IMAGES[2, 2:])


def test_cutout_clears_a_quarter_at_most():
    cut = augment.AUGMENTATIONS["cutout"](
        tf.constant(IMAGES), uniform(0.5, [0.5] * 4, 0)
    )
    holes = (cut.numpy() == 0).all(-1).mean((1, 2))
    assert (holes > 0.15).all()
    assert (holes <= 0.25).all()


def test_color_at_the_middle_changes_nothing_and_moves_the_mean():
    color = augment.AUGMENTATIONS["color"]
    same = color(tf.constant(IMAGES), uniform(0.5, 0.5, [0.5] * 4))
    np.testing.assert_allclose(same, IMAGES, atol=1e-6)
    brighter = color(tf.constant(IMAGES), uniform(0.9, [0.5] * 4, 0.5))
    np.testing.assert_allclose(brighter, IMAGES + 0.4, atol=1e-6)
    grey = color(tf.constant(IMAGES), uniform(0.5, [0.0] * 4, 0.5)).numpy()
    np.testing.assert_allclose(np.ptp(grey, axis=3), 0, atol=1e-6)


def test_flip_and_shift_reflects():
    x = tf.constant(IMAGES)
    same = augment.flip_and_shift(x, uniform(0.5, [0.5] * 4, 0.9))
    np.testing.assert_array_equal(same[0], IMAGES[0, :, ::-1])
    down = augment.flip_and_shift(x, uniform(0.0, [0.5] * 4, 0.1)).numpy()
    np.testing.assert_array_equal(down[:, 4:], IMAGES[:, :-4])
    np.testing.assert_array_equal(down[:, :4], IMAGES[:, 4:0:-1])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0, None])
def test_a_share_of_the_images_is_augmented(share):
    augmenter = augment.Augmenter(("color",), None if share is None else 0.8, 0.1)
    if share is not None:
        augmenter.share.assign(share)
    x = tf.constant(np.tile(IMAGES, [100, 1, 1, 1]))
    y = augmenter(x, Draws(tf.constant([0, 1]), 200), 2)
    changed = (y.numpy() != x.numpy()).any((1, 2, 3)).mean()
    right = 1.0 if share is None else share
    assert changed == pytest.approx(right, abs=0.08 * (0 < right < 1))


def test_the_share_rises_while_d_knows_the_images_and_falls_while_it_does_not():
    augmenter = augment.Augmenter(("color",), 0.8, 0.25)
    seen = []
    for accuracy in (0.7, 0.9, 0.9, 0.75, 1.0, 1.0, 1.0, 1.0, 0.8, 0.79999995):
        augmenter.adapt(tf.constant(accuracy))
        seen.append(float(augmenter.share))
    assert seen == [0, 0.25, 0.5, 0.25, 0.5, 0.75, 1, 1, 1, 1]


def test_dropout_keeps_the_mean():
    mask = Draws(tf.constant([0, 1]), 200).dropout(0.3, 2, 50)
    assert mask.shape == [400, 50]
    np.testing.assert_allclose(tf.reduce_mean(mask), 1, atol=0.02)
    np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.7], rtol=1e-6)


# --- contradictions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Sigma0, {"clamp": True}, "sigma0.target = None"),
        (Sigma0, {"target": 1.0}, "set one of the first two"),
        (Sigma0, {"weight": 1.0, "target": 1.0, "ratio": 1.0}, "none"),
        (R1, {"every_steps": 4}, "r1.weight = 0"),
        (R1, {"weight": -1.0}, "r1.weight = -1.0"),
        (Orthogonal, {"form": "diagonal"}, "'off_diagonal', 'full'"),
        (Orthogonal, {"form": "full"}, "orthogonal.weight = 0"),
        (LeCam, {"decay": 0.9}, "lecam.weight = 0"),
    ],
)
def test_contradictions_are_refused(kind, options, message):
    with pytest.raises(BadInput, match=message):
        kind(**options)


@pytest.mark.parametrize(
    ("bindings", "frozen"),
    [
        (["r1.weight = 1.0"], "discriminator"),
        (["lecam.weight = 1.0"], "discriminator"),
        (["consistency.weight = 1.0"], "discriminator"),
        (["orthogonal.weight = 1.0"], "generator"),
        (["sigma0.clamp = True", "sigma0.ratio = 1.0"], "generator"),
    ],
)
def test_a_regulariser_of_a_frozen_network_is_refused(bindings, frozen):
    config.parse([], bindings)
    assert len(regular.turned_on()) == 1
    with pytest.raises(BadInput, match=f"gan.freeze_{frozen} = True: leave one"):
        regular.turned_on(frozen)


def test_all_are_off_by_default():
    assert regular.turned_on() == []
    config.parse([], ["embedding_decay.weight = 1e-6"])
    assert [one.room for one in regular.turned_on("generator")] == ["embedding_decay"]
