"""What a TPU would run compiles with XLA; where it cannot, that is said."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import config, loop, plan
from biggan_tf.errors import BadInput
from biggan_tf.layers.attention import max_pool

TOOL = Path(__file__).parents[1] / "tools" / "check_xla.py"


def test_everything_compiles_at_32_px():
    """Of BigGAN; the gradients of BigGAN-deep are compiled below."""
    command = [sys.executable, TOOL, "--families=biggan", "--resolutions=32"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| biggan, 32 px | " in done.stdout


def test_several_replicas_are_refused():
    bindings = [
        "train.jit_compile = True",
        "distribution.kind = 'virtual_cpus'",
        "distribution.virtual_cpus = 2",
    ]
    config.parse(["test.gin"], bindings)
    with pytest.raises(BadInput, match=r"train.jit_compile = True.*one_device"):
        loop.make_plan()


def test_what_xla_cannot_compile_is_refused():
    sigma0 = ["sigma0.clamp = True", "sigma0.target = 0.5"]
    config.parse(["test.gin"], ["train.jit_compile = True", *sigma0])
    with pytest.raises(BadInput, match=r"train.jit_compile = True with sigma0"):
        loop.make_plan()


def test_a_tpu_compiles_with_xla_whatever_jit_compile_says(monkeypatch):
    config.parse(["test.gin"], ["generator.precision = 'mixed_float16'"])
    made = loop.make_plan()
    strategy = object.__new__(tf.distribute.TPUStrategy)
    monkeypatch.setattr(plan.distribution, "xla_can_compile", lambda _: True)
    on_tpu = dataclasses.replace(made, strategy=strategy)
    with pytest.raises(BadInput, match="'tpu' with precision = 'mixed_float16': take"):
        plan._check_xla(on_tpu, ())


def test_pooling_has_the_same_derivatives_with_xla():
    """The second derivatives of `tf.nn.max_pool2d` are others there."""
    rng = np.random.default_rng(0)
    near = tf.constant(1 + 1e-3 * rng.normal(size=[2, 8, 8, 3]), tf.float32)
    weights = tf.constant(rng.normal(size=[2, 4, 4, 3]), tf.float32)

    def penalty(pool: Callable, x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(weights * pool(x) ** 3)
            found = tf.reduce_sum(tape.gradient(y, x) ** 2)
        return outer.gradient(found, x)

    right = penalty(lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"), near)
    compiled = tf.function(penalty, autograph=False, jit_compile=True)
    np.testing.assert_allclose(compiled(max_pool, near), right, rtol=1e-5)
    ties = tf.round(near)  # all are 1: the first of a square takes the gradient
    expected = penalty(lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"), ties)
    np.testing.assert_allclose(penalty(max_pool, ties), expected, rtol=1e-6)


COMPILED = """
import glob, os, re, sys
dump = sys.argv[1]
os.environ["XLA_FLAGS"] = (
    f"--xla_dump_to={dump} --xla_dump_hlo_as_text --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)
import tensorflow as tf
from biggan_tf import layers, networks
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec

for recompute in (False, True):
    both = {"resolution": 128, "num_classes": 3, "family": "biggan_deep", "width": 4}
    both |= {"attention": (), "initializer": "normal", "recompute": recompute}
    d = networks.build(DiscriminatorSpec(**both))
    g = networks.build(GeneratorSpec(**both, embedding_size=8))
    y = tf.zeros([8], tf.int32)

    @tf.function(autograph=False, jit_compile=True)
    def gradients(z):
        with tf.GradientTape() as tape:
            image = g(z, y, training=True, statistics=layers.batch_statistics)
            loss = tf.reduce_mean(d(image, y, training=True))
        return tape.gradient(loss, g.trainable_variables)

    compiled = gradients.experimental_get_compiler_ir(tf.zeros([8, g.spec.latent_size]))
    convolutions = compiled(stage="optimized_hlo").count(" convolution(")
    reports = glob.glob(f"{dump}/*gradients*buffer-assignment.txt")
    newest = open(max(reports, key=os.path.getmtime)).read()
    temporary = re.findall(r"size (\\d+)[^\\n]*preallocated-temp", newest)
    print(convolutions, sum(map(int, temporary)))
"""


def test_xla_keeps_the_second_pass_and_so_less_memory(tmp_path):
    """In the optimised program of G's gradients, and by XLA's own account of memory."""
    command = [sys.executable, "-c", COMPILED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept, recomputed = (line.split() for line in done.stdout.splitlines())
    assert int(recomputed[0]) >= int(kept[0]) + 30  # most of 60 in the blocks
    assert int(recomputed[1]) <= 0.6 * int(kept[1])
