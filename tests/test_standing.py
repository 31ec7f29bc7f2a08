"""How many samples standing statistics take."""

import math

import numpy as np
import tensorflow as tf
from tiny import specs

from biggan_tf import networks
from biggan_tf.keras import keras
from biggan_tf.sampling import for_inference
from biggan_tf.standing import Accumulator, enough_passes


def test_passes_grow_with_the_classes():
    assert enough_passes(50, 10, 64) == 50
    assert enough_passes(50, 1000, 64) == 782
    assert enough_passes(10, 1000, 500) == 100


def test_first_means_of_1000_classes_hardly_depend_on_the_seed():
    spec, _ = specs(num_classes=1000, generator_attention=())
    keras.utils.set_random_seed(0)
    generator = networks.build(for_inference(spec))
    for (
        weight
    ) in generator.trainable_variables:  # classes as different as after training
        if weight.name.endswith(("gain/kernel:0", "embedding/kernel:0")):
            weight.assign(tf.random.stateless_normal(weight.shape, [1, 2], stddev=0.5))
    passes = enough_passes(10, 1000, 500)
    accumulator = Accumulator(generator, "resample", 500)
    (one, *_), (two, *_) = (accumulator.moments(math.inf, passes, s) for s in (0, 1))
    deviation = np.sqrt(one[1] - one[0] ** 2)
    assert np.max(np.abs(one[0] - two[0]) / deviation) < 0.01
