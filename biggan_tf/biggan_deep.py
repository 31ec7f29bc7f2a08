"""BigGAN-deep's generator and discriminator (Section 3 and Appendix B of the paper).

They differ from those of `biggan` in three ways. A block is a bottleneck: 1x1
convolutions lead to a quarter of the channels and back, with two 3x3 convolutions in
between. There are two blocks for each change of the side. All of z is joined to the
embedding of y: the seed is made of both, and with skip-z every batch norm gets both.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from biggan_tf import layers
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec, Network
from biggan_tf.layers import Statistics

BOTTLENECK = 4  # a block's outer channels divided by its inner ones


class GeneratorBlock(layers.Layer):
    """cBN-ReLU-conv1, cBN-ReLU-[up-]conv3, cBN-ReLU-conv3, cBN-ReLU-conv1, plus x.

    float [batch, h, w, in] -> [batch, 2h, 2w, units] if it upsamples, else [batch, h,
    w, units] (Figure 16b). Where units < in, the first `units` channels of x are added.
    """

    def __init__(
        self, units: int, upsample: bool, kernel: dict, norm: dict, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.units, self.upsample = units, upsample
        self.kernel, self.norm = kernel, norm

    def build(self, input_shape: tf.TensorShape) -> None:
        inner = max(1, input_shape[-1] // BOTTLENECK)
        conv = layers.SpectralConv2D
        up_conv = layers.UpsampleConv2D if self.upsample else conv
        self.norms = [
            layers.ConditionalBatchNorm(name=f"norm{index}", **self.norm)
            for index in range(4)
        ]
        self.convs = [
            conv(inner, 1, name="conv0", **self.kernel),
            up_conv(inner, 3, name="conv1", **self.kernel),
            conv(inner, 3, name="conv2", **self.kernel),
            conv(self.units, 1, name="conv3", **self.kernel),
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


class DiscriminatorBlock(layers.Layer):
    """ReLU-conv1-ReLU-conv3-ReLU-conv3-ReLU-[pool-]conv1, plus x.

    float [batch, h, w, in] -> [batch, h / 2, w / 2, units] if it downsamples, else
    [batch, h, w, units] (Figure 16c). Where units > in, a 1x1 convolution of x makes
    the missing channels.
    """

    def __init__(self, units: int, downsample: bool, kernel: dict, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.downsample, self.kernel = units, downsample, kernel
        inner = max(1, units // BOTTLENECK)
        conv = layers.SpectralConv2D
        self.convs = [
            conv(inner, 1, name="conv0", **kernel),
            conv(inner, 3, name="conv1", **kernel),
            conv(inner, 3, name="conv2", **kernel),
            conv(units, 1, name="conv3", **kernel),
        ]

    def build(self, input_shape: tf.TensorShape) -> None:
        self.shortcut, missing = None, self.units - input_shape[-1]
        if missing > 0:
            conv = layers.SpectralConv2D
            self.shortcut = conv(missing, 1, name="shortcut", **self.kernel)

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
        seed, *outputs = (spec.width * factor for factor in spec.channels.generator)
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
        """Returns images; see `biggan.Generator.call`."""
        y = self.condition(y)
        joint = layers.join_condition(y, z, self.spec.condition_order)
        condition = joint if self.spec.skip_z else y
        h = self.seed(joint, training=training)
        h = tf.reshape(h, [-1, 4, 4, self.seed.units // 16])
        for block in self.blocks:
            h = self.run(block, h, condition, training=training, statistics=statistics)
            if block.upsample:
                h = self.attend(h, training)
        return self.run(self.to_image, h, training=training, statistics=statistics)


class Discriminator(Network):
    """D(x, y): images and labels -> logits, high for real."""

    SPEC = DiscriminatorSpec

    def __init__(self, spec: DiscriminatorSpec, **kwargs: Any):
        super().__init__(spec, **kwargs)
        stem, *outputs = (spec.width * factor for factor in spec.channels.discriminator)
        self.stem = layers.SpectralConv2D(stem, name="stem", **spec.kernel)
        self.blocks = [
            DiscriminatorBlock(
                units,
                downsample=half == 0 and pair < spec.channels.halvings,
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
        """Returns logits; see `biggan.Discriminator.call`."""
        h = self.stem(x, training=training)
        for index, block in enumerate(self.blocks):
            h = self.run(block, h, training=training)
            # Attention stands behind the pair of blocks that halved the side.
            if index % 2 and self.blocks[index - 1].downsample:
                h = self.attend(h, training)
        return self.head(h, y, training, dropout)
