"""Keras 2, which all layers and optimisers here are of, whatever TensorFlow brings.

TensorFlow 2.15 has it as `tf.keras`, and TensorFlow Addons takes no other. Since 2.16
`tf.keras` is Keras 3, and Keras 2 is the package tf_keras. The version decides, for
even to look at `tf.keras` loads Keras 3.
"""

import tensorflow as tf

IN_TENSORFLOW = tuple(map(int, tf.__version__.split(".")[:2])) < (2, 16)

if IN_TENSORFLOW:
    keras = tf.keras
else:
    import tf_keras

    keras = tf_keras
