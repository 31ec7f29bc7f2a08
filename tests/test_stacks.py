"""Two TensorFlows, one program: what 2.15 wrote, and Keras 3 in the same process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from biggan_tf import config, loop, saved_model
from biggan_tf.keras import IN_TENSORFLOW

DATA = Path(__file__).with_name("data")


@pytest.fixture
def stored(tmp_path):
    """A run of 8 steps and its export, both of TensorFlow 2.15.

    `next.jsonl` has the scalars of its next 4 steps, `images.npz` what the export drew.
    """
    shutil.unpack_archive(DATA / "tensorflow215.zip", tmp_path)
    return tmp_path / "run"


def test_a_run_of_tensorflow_215_goes_on(stored, capsys):
    config.read_back(stored)
    config.parse([], ["train.total_steps = 12"])
    loop.train(stored)
    lines = (stored / "scalars.jsonl").read_text().splitlines()[-2:]
    for line, text in zip(lines, (stored / "next.jsonl").read_text().splitlines()):
        found, right = json.loads(line), json.loads(text)
        for name, value in right.items():
            if not name.startswith("speed/"):
                assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
    told = "was trained with TensorFlow 2.15" in capsys.readouterr().out
    assert told != IN_TENSORFLOW


def test_an_export_of_tensorflow_215_draws_the_same_images(stored):
    sampler = saved_model.load(stored / "export")
    assert (sampler.step, sampler.num_classes) == (8, 10)
    with np.load(stored / "images.npz") as file:
        images = sampler.generate([0, 3, 9, 9], 0.5, 7)
        np.testing.assert_allclose(images, file["images"], atol=1e-4)


BESIDE_KERAS_3 = """
import sys
import keras
three = keras.Sequential([keras.layers.Dense(3)])
three(keras.ops.ones([1, 2]))
assert keras.__version__.startswith("3.")

import numpy as np, tensorflow as tf, tensorflow_hub as hub
import biggan_tf
from biggan_tf.keras import keras as two

biggan_tf.train("test.gin", "run", {
    "train.total_steps": 2, "monitor.spectra_every_steps": 0,
    "monitor.samples_every_steps": 0, "train.checkpoint_every_steps": 2,
})
biggan_tf.export("run", bindings={"export.passes": 1})
module = hub.load("run/export")
assert module.generate([0, 1], 0.5, 0).shape == [2, 32, 32, 3]

layer = hub.KerasLayer("run/export", trainable=True)
z, y = tf.zeros([2, 16]), tf.one_hot([0, 1], 10)
inputs = dict(z=z, y=y, truncation=tf.constant(1.0))
before = layer(inputs)
with tf.GradientTape() as tape:
    loss = tf.reduce_mean((layer(inputs) - 0.5) ** 2)
weights = layer.trainable_variables
gradients = zip(tape.gradient(loss, weights), weights)
two.optimizers.legacy.SGD(0.1).apply_gradients(gradients)
assert np.abs(layer(inputs) - before).max() > 0

scores = biggan_tf.evaluate(
    "run/export", data="embedded", network="lite0_32", metrics=["fid"], num_images=1300
)
assert scores["fid_lite0_32"] > 1
assert three(keras.ops.ones([1, 2])).shape == (1, 3)
print("all of it")
"""


@pytest.mark.skipif(IN_TENSORFLOW, reason="TensorFlow 2.15 has Keras 2")
def test_everything_works_where_keras_3_is_in_use(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BESIDE_KERAS_3],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout.endswith("all of it\n"), done.stdout + done.stderr
