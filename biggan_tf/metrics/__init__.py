"""Scores of generated images from features, logits and labels, in float64 numpy.

Knows no GAN, no data set and no feature network. What is summed over a stream of
batches is an object with `update` and `result`; its memory does not grow with the
number of images. Only k-nearest neighbours need all features at once, and they take a
bounded number of them, `FeatureStatistics.features`.

Where a stream is cut into parts (Inception Score, KID, kept features), its images must
come in random order, labels included. Features or logits that are not finite are
`BadInput` everywhere.
"""

from biggan_tf.metrics.checks import check_enough_images
from biggan_tf.metrics.classifier import InceptionScore, LabelAccuracy
from biggan_tf.metrics.distances import NearestNeighbours, class_diversity, prdc
from biggan_tf.metrics.frechet import frechet_distance, intra_class_frechet_distance
from biggan_tf.metrics.kernel import KernelDistance, squared_mmd
from biggan_tf.metrics.statistics import FeatureStatistics

__all__ = [
    "FeatureStatistics",
    "InceptionScore",
    "KernelDistance",
    "LabelAccuracy",
    "NearestNeighbours",
    "check_enough_images",
    "class_diversity",
    "frechet_distance",
    "intra_class_frechet_distance",
    "prdc",
    "squared_mmd",
]
