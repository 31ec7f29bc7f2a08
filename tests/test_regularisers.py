"""Each regulariser's value and gradient against a float64 numerical derivative."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import layers, losses
from biggan_tf import regularisers as regular
from biggan_tf.errors import BadInput
from biggan_tf.recipe import Recipe

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


WEIGHTS = {
    "off_diagonal": (
        losses.orthogonal_penalty,
        lambda x: np.sum((gram(x) * (1 - np.eye(x.shape[1]))) ** 2),
    ),
    "full": (
        losses.full_orthogonal_penalty,
        lambda x: np.sum((gram(x) - np.eye(x.shape[1])) ** 2),
    ),
    "sigma0_target": (
        lambda x: regular.sigma0_penalty(
            x[None], Recipe(sigma0_penalty=1.0, sigma0_target=1.5)._target
        ),
        lambda x: (singular(x)[0] - 1.5) ** 2,
    ),
    "decay": (regular.weight_decay, lambda x: np.sum(x**2) / 2),
}


@pytest.mark.parametrize("shape", [(7, 4), (4, 7)])
@pytest.mark.parametrize("name", WEIGHTS)
def test_penalties_of_weights(name, shape):
    check(*WEIGHTS[name], RNG.normal(size=shape))


def test_sigma0_toward_a_ratio_takes_sigma1_for_a_constant():
    x = RNG.normal(size=(6, 5))
    sigma1 = singular(x)[1]
    recipe = Recipe(sigma0_penalty=1.0, sigma0_ratio=1.1)
    check(
        lambda x: regular.sigma0_penalty(x[None], recipe._target),
        lambda x: (singular(x)[0] - 1.1 * sigma1) ** 2,
        x,
    )


LOGITS = RNG.normal(size=(6, 1))
OTHER = RNG.normal(size=(6, 1))
ANCHORS = [0.7, -0.4]


def test_penalties_of_logits():
    other = tf.constant(OTHER, tf.float32)
    check(
        lambda x: regular.consistency(x, other),
        lambda x: np.mean((x - OTHER) ** 2),
        LOGITS,
    )
    check(lambda x: regular.lecam(x, other, tf.constant(ANCHORS)), _lecam, LOGITS)
    check(
        lambda x: regular.lecam(other, x, tf.constant(ANCHORS)),
        lambda x: np.mean((OTHER - ANCHORS[1]) ** 2) + np.mean((x - ANCHORS[0]) ** 2),
        LOGITS,
    )


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
@pytest.mark.parametrize("target", [{"sigma0_target": 2.0}, {"sigma0_ratio": 1.01}])
def test_clamp_moves_the_largest_singular_value_alone(shape, target):
    x = RNG.normal(size=(2, *shape)).astype("float32")
    recipe = Recipe(sigma0_clamp=True, **target)
    clamped = regular.clamp_sigma0(tf.constant(x), recipe._target).numpy()
    for before, after in zip(x.astype("float64"), clamped.astype("float64")):
        sigma = singular(before)
        wanted = target.get("sigma0_target", 1.01 * sigma[1])
        expected = np.sort([min(sigma[0], wanted), *sigma[1:]])[::-1]
        np.testing.assert_allclose(singular(after), expected, rtol=1e-5, atol=1e-5)


def test_clamp_leaves_what_is_below_the_target():
    x = tf.constant(RNG.normal(size=(1, 8, 5)), tf.float32)
    recipe = Recipe(sigma0_clamp=True, sigma0_target=100.0)
    np.testing.assert_array_equal(regular.clamp_sigma0(x, recipe._target), x)


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
    moved = regular.AUGMENTATIONS["translation"](
        tf.constant(IMAGES), uniform([0, 0.5, 0.99, 0.3], 0.5, 0)
    ).numpy()
    np.testing.assert_array_equal(moved[0, 2:], IMAGES[0, :-2])
    np.testing.assert_array_equal(moved[0, :2], 0)
    np.testing.assert_array_equal(moved[1], IMAGES[1])
    np.testing.assert_array_equal(moved[2, :-2], IMAGES[2, 2:])


def test_cutout_clears_a_quarter_at_most():
    cut = regular.AUGMENTATIONS["cutout"](
        tf.constant(IMAGES), uniform(0.5, [0.5] * 4, 0)
    )
    holes = (cut.numpy() == 0).all(-1).mean((1, 2))
    assert (holes > 0.15).all()
    assert (holes <= 0.25).all()


def test_color_at_the_middle_changes_nothing_and_moves_the_mean():
    color = regular.AUGMENTATIONS["color"]
    same = color(tf.constant(IMAGES), uniform(0.5, 0.5, [0.5] * 4))
    np.testing.assert_allclose(same, IMAGES, atol=1e-6)
    brighter = color(tf.constant(IMAGES), uniform(0.9, [0.5] * 4, 0.5))
    np.testing.assert_allclose(brighter, IMAGES + 0.4, atol=1e-6)
    grey = color(tf.constant(IMAGES), uniform(0.5, [0.0] * 4, 0.5)).numpy()
    np.testing.assert_allclose(np.ptp(grey, axis=3), 0, atol=1e-6)


def test_flip_and_shift_reflects():
    x = tf.constant(IMAGES)
    same = regular.flip_and_shift(x, uniform(0.5, [0.5] * 4, 0.9))
    np.testing.assert_array_equal(same[0], IMAGES[0, :, ::-1])
    down = regular.flip_and_shift(x, uniform(0.0, [0.5] * 4, 0.1)).numpy()
    np.testing.assert_array_equal(down[:, 4:], IMAGES[:, :-4])
    np.testing.assert_array_equal(down[:, :4], IMAGES[:, 4:0:-1])


def test_dropout_keeps_the_mean():
    mask = regular.dropout_mask(tf.random.stateless_uniform([400, 50], [0, 1]), 0.3)
    np.testing.assert_allclose(tf.reduce_mean(mask), 1, atol=0.02)
    np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.7], rtol=1e-6)


# --- contradictions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"freeze_generator": True, "freeze_discriminator": True}, "leave one out"),
        ({"sigma0_clamp": True}, "gan.sigma0_target = None"),
        ({"sigma0_target": 1.0}, "set one of the first two"),
        ({"sigma0_penalty": 1.0, "sigma0_target": 1.0, "sigma0_ratio": 1.0}, "none"),
        (
            {"r1_penalty": 1.0, "freeze_discriminator": True},
            "gan.r1_penalty = 1.0 acts",
        ),
        ({"orthogonal_penalty": 1.0, "freeze_generator": True}, "leave one of them"),
        ({"r1_every_steps": 4}, "gan.r1_penalty = 0"),
        ({"orthogonal_form": "diagonal"}, "off_diagonal, full"),
        ({"augment": ("colour",)}, "color, translation, cutout"),
        ({"augment": "color"}, "take a tuple"),
        ({"discriminator_dropout": 1.0}, "gan.discriminator_dropout = 1.0"),
        ({"lecam_decay": 0.9}, "gan.lecam_penalty = 0"),
    ],
)
def test_contradictions_are_refused(recipe, message):
    with pytest.raises(BadInput, match=message):
        Recipe(**recipe)
