"""Labelled images from the embedded set, TensorFlow Datasets or a folder."""

from biggan_tf.data.pipeline import Data, DataSpec, load, named, sentences
