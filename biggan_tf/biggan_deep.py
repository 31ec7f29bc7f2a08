"""BigGAN-deep's generator and discriminator (Section 3 and Appendix B of the paper)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from biggan_tf import layers
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec, Network
from biggan_tf.layers import Statistics

# G: width multipliers of the 4x4 seed, then of each pair of blocks, the second of which
# doubles the side. D: of the stem, then of each pair, the first of which halves the
# side (at 32 px the last pair does not).
GENERATOR_CHANNELS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
DISCRIMINATOR_CHANNELS = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}
BOTTLENECK = 4


class GeneratorBlock(tf.keras.layers.Layer):
    """cBN-ReLU-conv1, cBN-ReLU-[up-]conv3, cBN-ReLU-conv3, cBN-ReLU-conv1, plus x.

    float [batch, h, w, in] -> [batch, h, w, units] or of twice the side (Figure 16b).
    The shortcut keeps the first `units` channels of x.

    Args:
        units: output channels, at most the input's.
        upsample: whether the side doubles.
        kernel: arguments of the convolutions, see `layers.SpectralLayer`.
        norm: arguments of the batch norms, see `layers.ConditionalBatchNorm`.
    """

    def __init__(
        self, units: int, upsample: bool, kernel: dict, norm: dict, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.units, self.upsample = units, upsample
        self.kernel, self.norm = kernel, norm

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "upsample": self.upsample,
            "kernel": dict(self.kernel),
            "norm": dict(self.norm),
        }

    def build(self, input_shape: tf.TensorShape) -> None:
        inner = max(1, input_shape[-1] // BOTTLENECK)
        conv = layers.SpectralConv2D
        first_conv = layers.UpsampleConv2D if self.upsample else conv
        self.norms = [
            layers.ConditionalBatchNorm(name=f"norm{index}", **self.norm)
            for index in range(4)
        ]
        self.convs = [
            conv(inner, kernel_size=1, name="conv0", **self.kernel),
            first_conv(inner, kernel_size=3, name="conv1", **self.kernel),
            conv(inner, kernel_size=3, name="conv2", **self.kernel),
            conv(self.units, kernel_size=1, name="conv3", **self.kernel),
        ]

    def call(
        self, x: tf.Tensor, condition: tf.Tensor, training: bool, statistics: Statistics
    ) -> tf.Tensor:
        h = x
        for norm, conv in zip(self.norms, self.convs):
            h = tf.nn.relu(norm(h, condition, training, statistics))
            h = conv(h, training=training)
        x = x[..., : self.units]
        return h + (layers.upsample(x) if self.upsample else x)


class DiscriminatorBlock(tf.keras.layers.Layer):
    """ReLU-conv1-ReLU-conv3-ReLU-conv3-ReLU-[pool-]conv1, plus x.

    float [batch, h, w, in] -> [batch, h, w, units] or of half the side (Figure 16c).
    The shortcut pools x and appends units - in channels convolved 1x1 from it.

    Args:
        units: output channels, at least the input's.
        downsample: whether the side halves.
        kernel: arguments of the convolutions, see `layers.SpectralLayer`.
    """

    def __init__(self, units: int, downsample: bool, kernel: dict, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.downsample, self.kernel = units, downsample, kernel
        inner = max(1, units // BOTTLENECK)
        self.convs = [
            layers.SpectralConv2D(filters, side, name=f"conv{index}", **kernel)
            for index, (filters, side) in enumerate(
                [(inner, 1), (inner, 3), (inner, 3), (units, 1)]
            )
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "downsample": self.downsample,
            "kernel": dict(self.kernel),
        }

    def build(self, input_shape: tf.TensorShape) -> None:
        self.shortcut = None
        if self.units > input_shape[-1]:
            self.shortcut = layers.SpectralConv2D(
                self.units - input_shape[-1], 1, name="shortcut", **self.kernel
            )

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        h = x
        for conv in self.convs[:-1]:
            h = conv(tf.nn.relu(h), training=training)
        h = tf.nn.relu(h)
        if self.downsample:
            h, x = layers.downsample(h), layers.downsample(x)
        if self.shortcut is not None:
            x = tf.concat([x, self.shortcut(x, training=training)], axis=-1)
        return self.convs[-1](h, training=training) + x


class Generator(Network):
    """G(z, y): latents and labels -> images."""

    SPEC = GeneratorSpec

    def __init__(self, spec: GeneratorSpec, **kwargs: Any):
        super().__init__(spec, **kwargs)
        seed, *outputs = (
            spec.width * factor for factor in GENERATOR_CHANNELS[spec.resolution]
        )
        self.condition = layers.ClassCondition(
            spec.num_classes, spec.embedding_size, spec.kernel, name="condition"
        )
        self.seed = layers.SpectralDense(4 * 4 * seed, name="seed", **spec.kernel)
        self.blocks = []
        for pair, (inputs, units) in enumerate(zip([seed, *outputs], outputs)):
            for half, (width, upsample) in enumerate([(inputs, False), (units, True)]):
                name = f"block{2 * pair + half}"
                self.blocks.append(
                    GeneratorBlock(width, upsample, spec.kernel, spec.norm, name=name)
                )
        self.attention = self.attention_layers()
        self.to_image = layers.ToImage(
            spec.kernel, spec.bn_epsilon, spec.rgb_units, name="to_image"
        )

    def call(
        self,
        z: tf.Tensor,
        y: tf.Tensor,
        training: bool = False,
        statistics: Statistics = layers.running_statistics,
    ) -> tf.Tensor:
        """Images of latents and labels; as `biggan.Generator.call`."""
        y = self.condition(y)
        joint = layers.join_condition(y, z, self.spec.condition_order)
        condition = joint if self.spec.skip_z else y
        h = self.seed(joint, training=training)
        h = tf.reshape(h, [-1, 4, 4, self.seed.units // 16])
        for block in self.blocks:
            h = self.run_block(
                block, h, condition, training=training, statistics=statistics
            )
            if block.upsample:
                h = self.attend(h, training)
        return self.to_image(h, training, statistics)


class Discriminator(Network):
    """D(x, y): images and labels -> logits, high for real."""

    SPEC = DiscriminatorSpec

    def __init__(self, spec: DiscriminatorSpec, **kwargs: Any):
        super().__init__(spec, **kwargs)
        stem, *outputs = (
            spec.width * factor for factor in DISCRIMINATOR_CHANNELS[spec.resolution]
        )
        halvings = 2 if spec.resolution == 32 else len(outputs)
        self.stem = layers.SpectralConv2D(stem, 3, name="stem", **spec.kernel)
        self.blocks = [
            DiscriminatorBlock(
                units,
                downsample=half == 0 and pair < halvings,
                kernel=spec.kernel,
                name=f"block{2 * pair + half}",
            )
            for pair, units in enumerate(outputs)
            for half in range(2)
        ]
        self.attention = self.attention_layers()
        self.head = layers.ProjectionHead(spec.num_classes, spec.kernel, name="head")

    def call(
        self,
        x: tf.Tensor,
        y: tf.Tensor,
        training: bool = False,
        dropout: layers.DropoutMask | None = None,
    ) -> tf.Tensor:
        """Logits of images and labels; as `biggan.Discriminator.call`."""
        h = self.stem(x, training=training)
        for index, block in enumerate(self.blocks):
            h = self.run_block(block, h, training=training)
            # Attention stands behind the pair of blocks that halved the side.
            if index % 2 and self.blocks[index - 1].downsample:
                h = self.attend(h, training)
        return self.head(h, y, training, dropout)
