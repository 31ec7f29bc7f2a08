"""What is computed in float32 and kept in 16 bits: the numbers, and the memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import layers, process
from biggan_tf.keras import keras
from biggan_tf.layers import attention, wide

RNG = np.random.default_rng(0)
X = 2 + RNG.normal(size=(4, 6, 6, 8))
GAIN, OFFSET = 1 + RNG.normal(size=(4, 1, 1, 8)), RNG.normal(size=(4, 1, 1, 8))
WEIGHTS = RNG.normal(size=X.shape)
SCORES = 3 * RNG.normal(size=(2, 5, 7))
# Relative to the largest value. bfloat16 rounds by up to 2^-9; a gradient is the sum of
# two rounded ones, of rounded inputs.
TOLERANCE = {"float32": 1e-5, "float16": 4 * 2**-11, "bfloat16": 4 * 2**-8}


def normalised(x: tf.Tensor, gain: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    layer = layers.BatchNorm(dtype=x.dtype)
    return layer.call(x, gain, offset, layers.batch_moments)


def plainly_normalised(x: tf.Tensor, gain: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    return (x - mean) * tf.math.rsqrt(variance + 1e-5) * gain + offset


FUNCTIONS = {
    "batch norm": (normalised, plainly_normalised, (X, GAIN, OFFSET)),
    "softmax": (wide.softmax, tf.nn.softmax, (SCORES,)),
    "scalar": (wide.multiply_add, lambda x, a, b: x * a + b, (X, 0.7, 0.1)),
}


def rounded(arrays: Sequence, dtype: str) -> list[tf.Tensor]:
    """The images or scores in `dtype`; gains and offsets in float32 or more."""
    first, *others = (tf.constant(array, dtype) for array in arrays)
    return [first, *map(wide.widen, others)]


def derivatives(function: Callable, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
    """The value, its gradients, and those of the first gradient's square."""

    @tf.function(autograph=False)
    def run(*inputs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                y = function(*inputs)
                weights = tf.cast(WEIGHTS.ravel()[: y.shape.num_elements()], y.dtype)
                value = tf.reduce_sum(wide.widen(y * tf.reshape(weights, y.shape)))
            first = tape.gradient(value, inputs)
            square = tf.reduce_sum(tf.square(wide.widen(first[0])))
        return [y, *first, *outer.gradient(square, inputs)]

    return run(*inputs)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_derivatives_are_those_of_float64(name, dtype):
    ours, plain, arrays = FUNCTIONS[name]
    inputs = rounded(arrays, dtype)
    found = derivatives(ours, inputs)
    right = derivatives(plain, [tf.cast(x, tf.float64) for x in inputs])
    half = len(inputs) + 1
    for index, (value, expected) in enumerate(zip(found, right)):
        if expected is None or (dtype != "float32" and index >= half):
            continue  # none; and rounded first gradients have no such second ones
        scale = np.abs(expected).max()
        error = np.abs(tf.cast(value, tf.float64) - expected).max() / scale
        assert error < TOLERANCE[dtype], f"{name}, {index}: {error}"


@pytest.mark.parametrize("name", ["batch norm", "softmax"])
def test_the_gradient_keeps_16_bits_alone(name):
    """Optimised too: no op of the forward pass hands on a large float32 tensor."""
    ours, _, arrays = FUNCTIONS[name]
    first, *others = rounded(arrays, "bfloat16")

    @tf.function(autograph=False)
    def run(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = ours(x, *others)
        ends.append(len(tf.compat.v1.get_default_graph().get_operations()))
        return tape.gradient(y, x, y)

    ends: list[int] = []
    every = run.get_concrete_function(first).graph.get_operations()
    forward = set(every[: ends[0]])
    kept = {
        tensor.dtype.name
        for op in every[ends[0] :]
        for tensor in op.inputs
        if tensor.op in forward
        and tensor.shape.num_elements() == first.shape.num_elements()
    }
    assert kept == {"bfloat16"}


def test_rounding_does_not_shift_channels():
    """A mean of ten deviations: a rounded scale and offset shift by 0.06 of one."""
    x = tf.cast(10 + RNG.normal(size=(64, 8, 8, 16)), tf.bfloat16)
    one, zero = tf.ones([16]), tf.zeros([16])
    ours = tf.cast(normalised(x, one, zero), tf.float64)
    right = plainly_normalised(
        *(tf.cast(value, tf.float64) for value in (x, one, zero))
    )
    shift = tf.reduce_mean(ours - right, axis=[0, 1, 2])
    assert np.abs(shift).max() < 1e-3


# --- bias -----------------------------------------------------------------------------

GRADIENTS = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np, tensorflow as tf
from tiny import specs
from biggan_tf import layers, networks
from biggan_tf.keras import keras

def gradients(precision):
    keras.utils.set_random_seed(4)
    of = "generator", "discriminator"
    precisions = {{f"{{name}}_precision": precision for name in of}}
    g, d = specs(**precisions, **{{f"{{name}}_width": 16 for name in of}})
    g, d = networks.build(g), networks.build(d)
    for variable in [*g.variables, *d.variables]:
        if "gamma" in variable.name:
            variable.assign(0.5)
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=[8, 8]).astype("float32"), rng.integers(0, 3, 8)
    x = rng.uniform(-1, 1, [8, 32, 32, 3]).astype("float32")

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape(persistent=True) as tape:
            image = g(z, y, statistics=layers.batch_statistics)
            losses = tf.reduce_mean((1 - image) ** 2), tf.reduce_mean(d(x, y))
        found = [
            tape.gradient(loss, network.trainable_variables)
            for loss, network in zip(losses, (g, d))
        ]
        return [[*map(tf.norm, each)] for each in found]

    names = [[v.name for v in network.trainable_variables] for network in (g, d)]
    return zip(names, run())

for (names, half), (_, full) in zip(gradients("mixed_bfloat16"), gradients("float32")):
    for name, ours, right in zip(names, np.array(half), np.array(full)):
        # Biases before a batch norm have no gradient but rounding.
        if abs(ours - right) > 0.02 * right + 2e-4 * np.linalg.norm(full):
            print(name, ours / right, right / np.linalg.norm(full))
"""


def test_bfloat16_has_float32_s_gradients_without_onednn():
    """Eigen sums a bias's gradient in bfloat16: 262,144 ones make 256.

    Its convolutions do so too within a thread's share, so the batch is small.
    """
    set_here = {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_NUM_INTRAOP_THREADS": "4"}
    done = subprocess.run(
        [sys.executable, "-c", GRADIENTS.format(tests=str(Path(__file__).parent))],
        env={**os.environ, **set_here},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_the_gradient_of_a_bias_counts_to_the_end():
    x, bias = tf.zeros([64, 64, 64, 2], tf.bfloat16), tf.zeros([2])
    with tf.GradientTape() as tape:
        tape.watch(bias)
        y = wide.add_bias(x, bias)
    assert y.dtype == tf.bfloat16
    assert tape.gradient(y, bias).numpy().tolist() == [262_144.0] * 2


# --- attention in chunks --------------------------------------------------------------

QUERIES = RNG.normal(size=(3, 12, 4))
KEYS, VALUES = RNG.normal(size=(3, 6, 4)), RNG.normal(size=(3, 6, 5))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_attention_in_chunks_is_attention(dtype, monkeypatch):
    inputs = [tf.constant(x, dtype) for x in (QUERIES, KEYS, VALUES)]
    whole = derivatives(attention.attend_in_chunks, inputs)
    monkeypatch.setattr(attention, "LARGEST_SCORES", 3 * 6 * 5)
    assert attention.chunk_count(3, 12, 6) == 3
    chunked = derivatives(attention.attend_in_chunks, inputs)
    for ours, right in zip(chunked, whole):
        ours, right = (tf.cast(value, tf.float64) for value in (ours, right))
        rounding = 2 * TOLERANCE[dtype] * np.abs(right).max()  # both are rounded
        np.testing.assert_allclose(ours, right, atol=rounding)


def test_chunks_have_derivatives_inside_a_condition(monkeypatch):
    """As R1 needs them that is computed every n steps."""
    inputs = [tf.constant(x, tf.float32) for x in (QUERIES, KEYS, VALUES)]

    def penalty(*inputs: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = tf.square(attention.attend_in_chunks(*map(tf.sin, inputs)))
        return sum(tf.reduce_sum(tf.square(g)) for g in tape.gradient(y, inputs))

    @tf.function(autograph=False)
    def found(now: tf.Tensor, *inputs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            value = tf.cond(now, lambda: penalty(*inputs), lambda: 0.0)
        return outer.gradient(value, inputs)

    whole = found(tf.constant(True), *inputs)
    monkeypatch.setattr(attention, "LARGEST_SCORES", 3 * 6 * 5)
    chunked = tf.function(found.python_function, autograph=False)
    for ours, right in zip(chunked(tf.constant(True), *inputs), whole):
        np.testing.assert_allclose(ours, right, rtol=1e-4, atol=1e-5)


def test_chunks_are_chosen_by_shape_alone():
    biggan128, biggan256 = (64**2, 32**2), (128**2, 64**2)  # queries, keys of G
    assert attention.chunk_count(8, *biggan128) == 1
    assert attention.chunk_count(16, *biggan128) == 2
    assert attention.chunk_count(32, *biggan256) == 64  # of 2^25 scores, not of 2^31
    assert attention.chunk_count(None, *biggan128) == 8
    assert attention.chunk_count(2**40, *biggan128) == 64**2  # one query at a time


def test_chunks_keep_no_scores():
    """Neither for the gradient, nor all together in memory at once."""
    inputs = [tf.zeros([8, size, 1]) for size in (64**2, 64**2, 64**2)]  # 2^27 scores
    scores = 8 * 64**2 * 64**2

    @tf.function(autograph=False)
    def run(*inputs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = attention.attend_in_chunks(*inputs)
        return tape.gradient(y, inputs)

    graph = run.get_concrete_function(*inputs).graph
    sizes = [
        x.shape.num_elements() for op in graph.get_operations() for x in op.outputs
    ]
    assert max(size or 0 for size in sizes) == scores // 4


def test_threads_build_with_a_precision_each():
    policy, seen = keras.mixed_precision.global_policy, []

    def build():
        with process.computing_in("float32"):
            seen.append(policy().name)

    with process.computing_in("mixed_bfloat16"):
        thread = threading.Thread(target=build)
        thread.start()
        thread.join(0.2)
        assert policy().name == "mixed_bfloat16"
    thread.join()
    assert (seen, policy().name) == (["float32"], "float32")
