"""The layers that BigGAN is made of. Images and features are NHWC.

Three arguments have the same meaning everywhere:

    kernel      the arguments of each `SpectralLayer` inside, by name: how its kernel is
                initialised, and whether to divide it by its largest singular value
    training    whether the vector u that estimates this value moves, see `spectral`;
                nothing else depends on it, and the output is the same either way
    statistics  the function that gives batch norm its mean and variance, see `norm`
"""

from biggan_tf.layers.attention import SelfAttention
from biggan_tf.layers.base import EQUAL_ON_REPLICAS, Layer
from biggan_tf.layers.labels import ClassCondition, join_condition, one_hot
from biggan_tf.layers.norm import (
    AffineBatchNorm,
    BatchNorm,
    ConditionalBatchNorm,
    Statistics,
    batch_moments,
    batch_norms,
    batch_statistics,
    running_statistics,
)
from biggan_tf.layers.outputs import DropoutMask, ProjectionHead, ToImage
from biggan_tf.layers.recomputation import recomputed
from biggan_tf.layers.resampling import (
    ConvDownsample2D,
    UpsampleConv2D,
    downsample,
    upsample,
)
from biggan_tf.layers.singular import by_shape, largest_singular
from biggan_tf.layers.spectral import (
    INITIALIZERS,
    SpectralConv2D,
    SpectralDense,
    SpectralEmbedding,
    SpectralLayer,
    by_path,
    path_of,
    power_iteration,
    spectral_layers,
)
