"""Scores of generated images from features, logits and labels, in float64 numpy.

Knows no GAN, no data set and no feature network. A metric is a subclass of `Metric`,
found by its name in `METRICS`; its memory does not grow with the number of images. To
add one, write the class, import it here and name it in base.gin.

Inception Score, FID-infinity, KID, PRDC and PRD need generated images in random order,
of mixed classes.
Features or logits that are not finite are `BadInput` everywhere.
"""

from biggan_tf.metrics.classifier import InceptionScore, LabelAccuracy
from biggan_tf.metrics.clusters import k_means, prd_f
from biggan_tf.metrics.distances import NearestNeighbours, prdc
from biggan_tf.metrics.distributions import (
    FidInfinity,
    IntraFid,
    Kid,
    Sfid,
    frechet_distance,
    squared_mmd,
)
from biggan_tf.metrics.metric import (
    METRICS,
    Batch,
    Metric,
    Reference,
    Request,
    check_enough_images,
)
from biggan_tf.metrics.similarity import ms_ssim
from biggan_tf.metrics.statistics import FeatureStatistics
