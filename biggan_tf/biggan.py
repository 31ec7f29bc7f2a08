"""BigGAN's generator and discriminator (Section 3 and Appendix B of the paper)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from biggan_tf import layers
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec, Network
from biggan_tf.errors import BadInput
from biggan_tf.layers import Statistics

# G: width multipliers of the 4x4 seed, then of each block's output; every block doubles
# the image's side. D: of each block's output. The paper's Tables 4 to 6 print D's
# column shifted by one; this is the layout that has the paper's parameter counts.
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


class GeneratorBlock(tf.keras.layers.Layer):
    """cBN-ReLU-up-conv3-cBN-ReLU-conv3 plus up-conv1 of the input (Figure 15b).

    float [batch, h, w, in] -> [batch, 2h, 2w, units].

    Args:
        units: output channels.
        kernel: arguments of the convolutions, see `layers.SpectralLayer`.
        norm: arguments of the batch norms, see `layers.ConditionalBatchNorm`.
    """

    def __init__(self, units: int, kernel: dict, norm: dict, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.kernel, self.norm = units, kernel, norm
        self.norm1 = layers.ConditionalBatchNorm(name="norm1", **norm)
        self.conv1 = layers.UpsampleConv2D(units, name="conv1", **kernel)
        self.norm2 = layers.ConditionalBatchNorm(name="norm2", **norm)
        self.conv2 = layers.SpectralConv2D(units, 3, name="conv2", **kernel)
        self.shortcut = layers.SpectralConv2D(units, 1, name="shortcut", **kernel)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "kernel": dict(self.kernel),
            "norm": dict(self.norm),
        }

    def call(
        self, x: tf.Tensor, condition: tf.Tensor, training: bool, statistics: Statistics
    ) -> tf.Tensor:
        h = tf.nn.relu(self.norm1(x, condition, training, statistics))
        h = self.conv1(h, training=training)
        h = tf.nn.relu(self.norm2(h, condition, training, statistics))
        h = self.conv2(h, training=training)
        # A 1x1 convolution commutes with upsampling: do it at the low resolution.
        return h + layers.upsample(self.shortcut(x, training=training))


class DiscriminatorBlock(tf.keras.layers.Layer):
    """[ReLU]-conv3-ReLU-conv3[-pool] plus [pool-]conv1 of the input (Figure 15c).

    float [batch, h, w, in] -> [batch, h / 2, w / 2, units], or of the same side.

    Args:
        units: output channels, of the first convolution too.
        downsample: whether the side halves.
        first: the block that takes the image has no ReLU before its convolution.
        kernel: arguments of the convolutions, see `layers.SpectralLayer`.
    """

    def __init__(
        self, units: int, downsample: bool, first: bool, kernel: dict, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.units, self.downsample = units, downsample
        self.first, self.kernel = first, kernel
        last_conv = layers.ConvDownsample2D if downsample else layers.SpectralConv2D
        self.conv1 = layers.SpectralConv2D(units, 3, name="conv1", **kernel)
        self.conv2 = last_conv(units, kernel_size=3, name="conv2", **kernel)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "downsample": self.downsample,
            "first": self.first,
            "kernel": dict(self.kernel),
        }

    def build(self, input_shape: tf.TensorShape) -> None:
        self.shortcut = None
        if self.downsample or input_shape[-1] != self.units:
            self.shortcut = layers.SpectralConv2D(
                self.units, 1, name="shortcut", **self.kernel
            )

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        h = x if self.first else tf.nn.relu(x)
        h = tf.nn.relu(self.conv1(h, training=training))
        h = self.conv2(h, training=training)
        if self.downsample:
            x = layers.downsample(x)
        if self.shortcut is not None:
            x = self.shortcut(x, training=training)
        return h + x


def check_latent_size(spec: GeneratorSpec) -> None:
    """BadInput unless z splits into one chunk for the seed and one for each block."""
    chunks = len(GENERATOR_CHANNELS[spec.resolution])
    if spec.skip_z and spec.latent_size % chunks:
        raise BadInput(
            f"networks.latent_size = {spec.latent_size} does not split into the "
            f"{chunks} equal chunks that networks.skip_z needs at {spec.resolution} "
            f"px; take a multiple of {chunks}."
        )


class Generator(Network):
    """G(z, y): latents and labels -> images."""

    SPEC = GeneratorSpec

    def __init__(self, spec: GeneratorSpec, **kwargs: Any):
        super().__init__(spec, **kwargs)
        channels = [
            spec.width * factor for factor in GENERATOR_CHANNELS[spec.resolution]
        ]
        check_latent_size(spec)
        self.condition = layers.ClassCondition(
            spec.num_classes, spec.embedding_size, spec.kernel, name="condition"
        )
        self.seed = layers.SpectralDense(
            4 * 4 * channels[0], name="seed", **spec.kernel
        )
        self.blocks = [
            GeneratorBlock(units, spec.kernel, spec.norm, name=f"block{index}")
            for index, units in enumerate(channels[1:])
        ]
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
        """Images of latents and labels.

        Args:
            z: float32 [batch, latent_size].
            y: int [batch], or float [batch, num_classes], one-hot or soft.
            training: whether power-iteration vectors move.
            statistics: where batch norm's moments come from.

        Returns:
            float32 [batch, resolution, resolution, 3] in [-1, 1].
        """
        y = self.condition(y)
        conditions = [y] * len(self.blocks)
        if self.spec.skip_z:
            z, *chunks = tf.split(z, len(self.blocks) + 1, axis=1)
            conditions = [
                layers.join_condition(y, chunk, self.spec.condition_order)
                for chunk in chunks
            ]
        h = self.seed(z, training=training)
        h = tf.reshape(h, [-1, 4, 4, self.seed.units // 16])
        for block, condition in zip(self.blocks, conditions):
            h = self.run_block(
                block, h, condition, training=training, statistics=statistics
            )
            h = self.attend(h, training)
        return self.to_image(h, training, statistics)


class Discriminator(Network):
    """D(x, y): images and labels -> logits, high for real."""

    SPEC = DiscriminatorSpec

    def __init__(self, spec: DiscriminatorSpec, **kwargs: Any):
        super().__init__(spec, **kwargs)
        factors = DISCRIMINATOR_CHANNELS[spec.resolution]
        # All blocks but the last halve the side; at 32 px only the first two do.
        halvings = 2 if spec.resolution == 32 else len(factors) - 1
        self.blocks = [
            DiscriminatorBlock(
                spec.width * factor,
                downsample=index < halvings,
                first=index == 0,
                kernel=spec.kernel,
                name=f"block{index}",
            )
            for index, factor in enumerate(factors)
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
        """Logits of images and labels.

        Args:
            x: float32 [batch, resolution, resolution, 3] in [-1, 1].
            y: int [batch], or float [batch, num_classes], one-hot or soft.
            training: whether power-iteration vectors move.
            dropout: makes the mask of the last features; None drops nothing.

        Returns:
            float32 [batch, 1].
        """
        for block in self.blocks:
            x = self.run_block(block, x, training=training)
            if block.downsample:
                x = self.attend(x, training)
        return self.head(x, y, training, dropout)
