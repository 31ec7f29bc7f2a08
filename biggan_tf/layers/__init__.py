"""The layers of BigGAN: spectral norm, resampling, batch norm, self-attention.

Images are NHWC. Every layer with a kernel W uses W / sigma(W) in its forward pass and
trains W itself; `training` says only whether the power-iteration vector u moves. Batch
norm is told where its moments come from by a function, `statistics`, so that training,
sampling and the exported module share one forward pass.
"""

from biggan_tf.layers.attention import SelfAttention
from biggan_tf.layers.ends import (
    ClassCondition,
    DropoutMask,
    ProjectionHead,
    ToImage,
    join_condition,
    one_hot,
)
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
from biggan_tf.layers.recomputation import recomputed
from biggan_tf.layers.resampling import (
    ConvDownsample2D,
    UpsampleConv2D,
    downsample,
    upsample,
)
from biggan_tf.layers.singular import by_shape, largest_singular
from biggan_tf.layers.spectral import (
    ALIKE,
    INITIALIZERS,
    SpectralConv2D,
    SpectralDense,
    SpectralEmbedding,
    SpectralLayer,
    path_of,
    power_iteration,
    spectral_layers,
)

__all__ = [
    "ALIKE",
    "INITIALIZERS",
    "AffineBatchNorm",
    "BatchNorm",
    "ClassCondition",
    "ConditionalBatchNorm",
    "ConvDownsample2D",
    "DropoutMask",
    "ProjectionHead",
    "SelfAttention",
    "SpectralConv2D",
    "SpectralDense",
    "SpectralEmbedding",
    "SpectralLayer",
    "Statistics",
    "ToImage",
    "UpsampleConv2D",
    "batch_moments",
    "batch_norms",
    "batch_statistics",
    "by_shape",
    "downsample",
    "join_condition",
    "largest_singular",
    "one_hot",
    "path_of",
    "power_iteration",
    "recomputed",
    "running_statistics",
    "spectral_layers",
    "upsample",
]
