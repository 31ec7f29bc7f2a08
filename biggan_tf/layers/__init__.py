"""The layers of BigGAN: spectral norm, resampling, batch norm, self-attention.

Images are NHWC. Every layer with a kernel W uses W / sigma(W) in its forward pass and
trains W itself; `training` says only whether the power-iteration vector u moves. Batch
norm is told where its moments come from by a function, `statistics`, so that training,
sampling and the exported module share one forward pass.
"""

from biggan_tf.layers.attention import SelfAttention
from biggan_tf.layers.ends import (
    ClassCondition,
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
    batch_norms,
    batch_statistics,
    running_statistics,
)
from biggan_tf.layers.resampling import (
    ConvDownsample2D,
    UpsampleConv2D,
    downsample,
    upsample,
)
from biggan_tf.layers.spectral import (
    INITIALIZERS,
    SpectralConv2D,
    SpectralDense,
    SpectralEmbedding,
    SpectralLayer,
    power_iteration,
    spectral_layers,
)

__all__ = [
    "INITIALIZERS",
    "AffineBatchNorm",
    "BatchNorm",
    "ClassCondition",
    "ConditionalBatchNorm",
    "ConvDownsample2D",
    "ProjectionHead",
    "SelfAttention",
    "SpectralConv2D",
    "SpectralDense",
    "SpectralEmbedding",
    "SpectralLayer",
    "Statistics",
    "ToImage",
    "UpsampleConv2D",
    "batch_norms",
    "batch_statistics",
    "downsample",
    "join_condition",
    "one_hot",
    "power_iteration",
    "running_statistics",
    "spectral_layers",
    "upsample",
]
