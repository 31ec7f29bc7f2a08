"""BigGAN's generator and discriminator (Section 3 and Appendix B of the paper).

G makes an image from latents z and a class y. A linear layer turns z into the seed, 4x4
features. Each residual block doubles their side, and the last convolution makes the
image. The class enters through the batch norms of the blocks: their gains and offsets
are linear in an embedding of y, which all blocks share. With skip-z, z is cut into
equal chunks: the first makes the seed, and each block's batch norms get one of the
others, joined to the embedding.

D makes a logit from an image and a class. Its blocks halve the side and have no batch
norm. Their features are summed over the image, and the sum is compared with an
embedding of y.

In both networks self-attention stands behind the stages whose output has a side in
`spec.attention`, and kernels have spectral norm (but not G's class embeddings).
Channels are `spec.width` times the factors in `architecture.CHANNELS`. A block takes
`units`, its number of output channels, and two dicts of arguments: `kernel` for each
convolution inside, `norm` for each conditional batch norm (cBN). conv3 is a 3x3
convolution.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from biggan_tf import layers
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec, Network
from biggan_tf.layers import Statistics


class GeneratorBlock(layers.Layer):
    """cBN-ReLU-up-conv3-cBN-ReLU-conv3 plus up-conv1 of the input (Figure 15b).

    float [batch, h, w, in] -> [batch, 2h, 2w, units].
    """

    upsample = True  # in every block; in BigGAN-deep only in some

    def __init__(self, units: int, kernel: dict, norm: dict, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.kernel, self.norm = units, kernel, norm
        self.norm1 = layers.ConditionalBatchNorm(name="norm1", **norm)
        self.conv1 = layers.UpsampleConv2D(units, name="conv1", **kernel)
        self.norm2 = layers.ConditionalBatchNorm(name="norm2", **norm)
        self.conv2 = layers.SpectralConv2D(units, name="conv2", **kernel)
        self.shortcut = layers.SpectralConv2D(units, 1, name="shortcut", **kernel)

    def call(
        self, x: tf.Tensor, condition: tf.Tensor, training: bool, statistics: Statistics
    ) -> tf.Tensor:
        h = tf.nn.relu(self.norm1(x, condition, training, statistics))
        h = self.conv1(h, training=training)
        h = tf.nn.relu(self.norm2(h, condition, training, statistics))
        h = self.conv2(h, training=training)
        # A 1x1 convolution commutes with upsampling: do it at the low resolution.
        return h + layers.upsample(self.shortcut(x, training=training))


class DiscriminatorBlock(layers.Layer):
    """[ReLU]-conv3-ReLU-conv3[-pool] plus [pool-]conv1 of the input (Figure 15c).

    float [batch, h, w, in] -> [batch, h / 2, w / 2, units] if it downsamples, else
    [batch, h, w, units]. The first block takes the image, so it has no first ReLU. If
    neither side nor channels change, the input is added without a convolution.
    """

    def __init__(
        self, units: int, downsample: bool, first: bool, kernel: dict, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.units, self.downsample = units, downsample
        self.first, self.kernel = first, kernel
        last_conv = layers.ConvDownsample2D if downsample else layers.SpectralConv2D
        self.conv1 = layers.SpectralConv2D(units, name="conv1", **kernel)
        self.conv2 = last_conv(units, name="conv2", **kernel)

    def build(self, input_shape: tf.TensorShape) -> None:
        self.shortcut = None
        if self.downsample or input_shape[-1] != self.units:
            conv = layers.SpectralConv2D
            self.shortcut = conv(self.units, 1, name="shortcut", **self.kernel)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        h = x if self.first else tf.nn.relu(x)
        h = tf.nn.relu(self.conv1(h, training=training))
        h = self.conv2(h, training=training)
        if self.downsample:
            x = layers.downsample(x)
        if self.shortcut is not None:
            x = self.shortcut(x, training=training)
        return h + x


class Generator(Network):
    """G(z, y): latents and labels -> images."""

    SPEC = GeneratorSpec

    def __init__(self, spec: GeneratorSpec, **kwargs: Any):
        super().__init__(spec, **kwargs)
        seed, *outputs = (spec.width * factor for factor in spec.channels.generator)
        self.condition = layers.ClassCondition(
            spec.num_classes, spec.embedding_size, spec.kernel, name="condition"
        )
        self.seed = layers.SpectralDense(4 * 4 * seed, name="seed", **spec.kernel)
        self.blocks = self.make_blocks(seed, outputs)
        self.attention = self.attention_layers()
        self.to_image = layers.ToImage(
            spec.kernel, spec.bn_epsilon, spec.rgb_units, name="to_image"
        )

    def make_blocks(self, seed: int, outputs: list[int]) -> list[layers.Layer]:
        """Makes the blocks; takes the channels of the seed and of each stage."""
        kernel, norm = self.spec.kernel, self.spec.norm
        return [
            GeneratorBlock(units, kernel, norm, name=f"block{index}")
            for index, units in enumerate(outputs)
        ]

    def seed_and_conditions(
        self, z: tf.Tensor, y: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns what the seed is made of, and the condition of each block.

        Takes z and the class condition y, float [batch, *].
        """
        if not self.spec.skip_z:
            return z, [y] * len(self.blocks)
        z, *chunks = tf.split(z, len(self.blocks) + 1, axis=1)
        order = self.spec.condition_order
        return z, [layers.join_condition(y, chunk, order) for chunk in chunks]

    def call(
        self,
        z: tf.Tensor,
        y: tf.Tensor,
        training: bool = False,
        statistics: Statistics = layers.running_statistics,
    ) -> tf.Tensor:
        """Returns images, float32 [batch, resolution, resolution, 3] in [-1, 1].

        Args:
            z: float32 [batch, latent_size].
            y: int [batch], or float [batch, num_classes], one-hot or soft.
            training: moves the power-iteration vectors u, and does nothing else; the
                images are the same.
            statistics: gives batch norm its mean and variance: the batch's, the running
                averages, or measured ones; see `layers.norm`.
        """
        z, conditions = self.seed_and_conditions(z, self.condition(y))
        h = self.seed(z, training=training)
        h = tf.reshape(h, [-1, 4, 4, self.seed.units // 16])
        for block, condition in zip(self.blocks, conditions):
            h = self.run(block, h, condition, training=training, statistics=statistics)
            if block.upsample:
                h = self.attend(h, training)
        return self.run(self.to_image, h, training=training, statistics=statistics)


class Discriminator(Network):
    """D(x, y): images and labels -> logits, high for real."""

    SPEC = DiscriminatorSpec

    def __init__(self, spec: DiscriminatorSpec, **kwargs: Any):
        super().__init__(spec, **kwargs)
        channels = [spec.width * factor for factor in spec.channels.discriminator]
        self.blocks = self.make_blocks(channels)
        self.attention = self.attention_layers()
        self.head = layers.ProjectionHead(spec.num_classes, spec.kernel, name="head")

    def make_blocks(self, channels: list[int]) -> list[layers.Layer]:
        """Makes the blocks; takes the channels of each."""
        kernel, halvings = self.spec.kernel, self.spec.channels.halvings
        return [
            DiscriminatorBlock(
                units, index < halvings, index == 0, kernel, name=f"block{index}"
            )
            for index, units in enumerate(channels)
        ]

    def halved(self, index: int) -> bool:
        """Returns whether this block ends a stage that halved the side."""
        return self.blocks[index].downsample

    def call(
        self,
        x: tf.Tensor,
        y: tf.Tensor,
        training: bool = False,
        dropout: layers.DropoutMask | None = None,
    ) -> tf.Tensor:
        """Returns logits, float32 [batch, 1].

        Args:
            x: float32 [batch, resolution, resolution, 3] in [-1, 1].
            y, training: as in `Generator.call`.
            dropout: makes the mask that multiplies the last features; None drops none.
        """
        for index, block in enumerate(self.blocks):
            x = self.run(block, x, training=training)
            if self.halved(index):
                x = self.attend(x, training)
        return self.head(x, y, training, dropout)
