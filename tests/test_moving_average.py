"""The moving average of weights: TensorFlow Addons' and our twin of it."""

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf.keras import IN_TENSORFLOW, keras
from biggan_tf.moving_average import MovingAverage, Twin

addons = pytest.mark.skipif(not IN_TENSORFLOW, reason="TensorFlow Addons is not there")


def make(kind):
    """Two weights and the average of what Adam trains, from update 3 on."""
    weights = [tf.Variable([[1.0, -2.0], [3.0, 0.5]], name="w"), tf.Variable([0.1])]
    adam = keras.optimizers.legacy.Adam(0.1, beta_1=0.0, epsilon=1e-6)
    optimizer = kind(adam, average_decay=0.9, start_step=3)
    optimizer._create_all_weights(weights)
    return tf.train.Checkpoint(weights=weights, optimizer=optimizer)


def update(kept, times, first=0):
    @tf.function
    def once(gradients):
        kept.optimizer.apply_gradients(zip(gradients, kept.weights))

    for step in range(first, first + times):
        random = np.random.default_rng(step)
        once([tf.constant(random.normal(size=w.shape), w.dtype) for w in kept.weights])


def values(kept):
    averages = [kept.optimizer.get_slot(w, "average") for w in kept.weights]
    return [v.numpy().tobytes() for v in (*kept.weights, *averages)]


@addons
def test_the_twin_has_the_bits_of_addons():
    theirs, ours = make(MovingAverage), make(Twin)
    for step in range(7):
        update(theirs, 1, step)
        update(ours, 1, step)
        assert values(ours) == values(theirs)


@addons
@pytest.mark.parametrize("kinds", [(MovingAverage, Twin), (Twin, MovingAverage)])
def test_a_checkpoint_of_either_is_read_by_the_other(tmp_path, kinds):
    before, after = map(make, kinds)
    update(before, 4)
    path = before.write(str(tmp_path / "ckpt"))
    keys = [name for name, _ in tf.train.list_variables(path)]
    assert keys == [
        name for name, _ in tf.train.list_variables(after.write(str(tmp_path / "2")))
    ]
    after.read(path).assert_consumed()
    update(before, 3, 4)
    update(after, 3, 4)
    assert values(after) == values(before)


def test_the_average_is_a_copy_and_then_moves():
    kept = make(MovingAverage)
    update(kept, 3)
    weight, average = (
        kept.weights[0],
        kept.optimizer.get_slot(kept.weights[0], "average"),
    )
    np.testing.assert_array_equal(average, weight)
    before = average.numpy()
    update(kept, 1, 3)
    np.testing.assert_allclose(average, 0.9 * before + 0.1 * weight.numpy(), rtol=1e-6)
    assert int(kept.optimizer.iterations) == 4
