"""What decides the variables of G and D, and the base of both families' networks."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import tensorflow as tf

from biggan_tf import layers
from biggan_tf.config import option, options, settle
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras

FAMILIES = ("biggan", "biggan_deep")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


class Channels(NamedTuple):
    """Channels of both families at one resolution, in multiples of `spec.width`.

    A stage is a block of BigGAN, and a pair of blocks of BigGAN-deep.
    """

    generator: tuple[int, ...]  # the 4x4 seed, then each stage, which doubles the side
    discriminator: tuple[int, ...]  # each stage; BigGAN-deep: first the stem
    halvings: int  # how many stages of D, the first ones, halve the side
    attention: tuple[int, ...]  # the sides at which self-attention stands


# By the side of the images, in pixels. The paper's Tables 4 to 6 print D's column
# shifted by one row; this layout has the paper's parameter counts.
CHANNELS = {
    32: Channels((4, 4, 4, 4), (4, 4, 4, 4), 2, ()),
    64: Channels((16, 16, 8, 4, 2), (1, 2, 4, 8, 16), 4, (32,)),
    128: Channels((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5, (64,)),
    256: Channels((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6, (64,)),
    512: Channels((16, 16, 8, 8, 4, 2, 1, 1), (1, 1, 2, 4, 8, 8, 16, 16), 7, (64,)),
}
RESOLUTIONS = tuple(CHANNELS)


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """What G and D both need to know. The data give the first two; options the rest."""

    resolution: int  # side of the images in pixels, one of `RESOLUTIONS`
    num_classes: int
    family: str = option("biggan", "the architecture", choices=FAMILIES)
    width: int = option(
        96, "channels of multiplier 1, the paper's ch", low=1, high=4096
    )
    attention: tuple[int, ...] | None = option(
        None, "sides at which self-attention stands; None: by the size of the images"
    )
    initializer: str = option("orthogonal", "of kernels", choices=layers.INITIALIZERS)
    spectral_norm: bool = option(True, "kernels are divided by their spectral norm")
    sn_epsilon: float = option(1e-6, "lower bound of norms in power iteration", high=1)
    precision: str = option(
        "float32",
        "'mixed_bfloat16' computes in bfloat16 all but spectral norm, statistics, D's "
        "head and G's tanh; 'mixed_float16' in float16, with scaled losses",
        choices=PRECISIONS,
    )
    recompute: bool = option(False, "layers are computed twice to save memory")

    def check(self) -> None:
        """Raises BadInput unless there are networks of these sizes."""
        if self.resolution not in RESOLUTIONS:
            sides = ", ".join(map(str, RESOLUTIONS))
            raise BadInput(
                f"data.image_size = {self.resolution!r}: take one of {sides}, for "
                "which there are networks."
            )
        if type(self.num_classes) is not int or self.num_classes < 1:
            raise BadInput(f"num_classes = {self.num_classes!r}: take 1 or more.")
        settle(self, "attention", self.usual_attention)
        for side in self.attention:
            if side not in self.attention_sides:
                raise BadInput(
                    f"{self.room}.attention = {self.attention}: at {self.resolution} "
                    f"px take some of {', '.join(map(str, self.attention_sides))}."
                )

    def remarks(self) -> list[str]:
        """Returns lines that say which options decide nothing."""
        if self.spectral_norm or self.sn_epsilon == type(self).sn_epsilon:
            return []
        return [self._decides_nothing("sn_epsilon", "spectral_norm")]

    def _decides_nothing(self, option: str, by: str) -> str:
        """Says that `option` decides nothing, for the value of the option `by`."""
        first, then = (
            f"{self.room}.{name} = {getattr(self, name)!r}" for name in (option, by)
        )
        return f"{first} decides nothing here, where {then}"

    @property
    def channels(self) -> Channels:
        return CHANNELS[self.resolution]

    @property
    def usual_attention(self) -> tuple[int, ...]:
        """The sides at which self-attention stands where no option says it."""
        return self.channels.attention

    @property
    def attention_sides(self) -> list[int]:
        """The sides, in pixels, at which self-attention can stand: behind a block."""
        raise NotImplementedError

    @property
    def kernel(self) -> dict[str, Any]:
        """The arguments that every `layers.SpectralLayer` gets."""
        return {
            "kernel_initializer": layers.INITIALIZERS[self.initializer],
            "spectral_norm": self.spectral_norm,
            "sn_epsilon": self.sn_epsilon,
        }


@options("generator")
class GeneratorSpec(NetworkSpec):
    """The options of G.

    With `skip_z` z reaches the seed and the batch norms of every block: BigGAN cuts it
    into equal chunks, one for the seed and one for each block; BigGAN-deep gives all of
    z to each. Without `skip_z` all of z goes to the seed alone. Without both `skip_z`
    and `embedding_size` G is the SA-GAN baseline of the paper's Table 1.
    """

    latent_size: int | None = option(
        None, "size of z; None: 128, or that of all chunks", low=1, high=100_000
    )
    # Free, for what counts is the latent_size that follows.
    chunk_size: int = option(
        20, "latents in a chunk of z", low=1, high=10_000, free=True
    )
    skip_z: bool = option(True, "z reaches the blocks too")
    embedding_size: int | None = option(
        128,
        "of the class embedding that all layers share; None gives each layer its own",
        low=1,
        high=100_000,
    )
    condition_order: str = option(
        "yz",
        "class first, or z first as in DeepMind's weights",
        choices=("yz", "zy"),
    )
    released_rgb: bool = option(
        False,
        "the last kernel has `width` output channels, three of them used, as in the "
        "released BigGAN-deep",
    )
    bn_epsilon: float = option(1e-5, "of the batch norms", high=1)

    def check(self) -> None:
        """Raises BadInput unless skip-z cuts z into equal chunks, and RGB is there."""
        super().check()
        if self.released_rgb and self.width < 3:
            raise BadInput(
                f"generator.width = {self.width} with generator.released_rgb = True: "
                "take 3 or more, for three of so many last channels are the image."
            )
        chunks = len(self.channels.generator)
        cuts = self.family == "biggan" and self.skip_z
        settle(self, "latent_size", chunks * self.chunk_size if cuts else 128)
        if cuts and self.latent_size % chunks:
            raise BadInput(
                f"generator.latent_size = {self.latent_size}: leave it out, or take "
                f"a multiple of {chunks}, the number of chunks that generator.skip_z "
                f"= True makes of z at {self.resolution} px."
            )

    def remarks(self) -> list[str]:
        remarks = super().remarks()
        chosen, chunks = self.chunk_size, len(self.channels.generator)
        cuts = self.family == "biggan" and self.skip_z
        follows = cuts and self.latent_size == chosen * chunks
        if not follows and chosen != type(self).chunk_size:
            remarks.append(self._decides_nothing("chunk_size", "latent_size"))
        ordered = self.family == "biggan_deep" or self.skip_z
        if not ordered and self.condition_order != type(self).condition_order:
            remarks.append(self._decides_nothing("condition_order", "skip_z"))
        return remarks

    @property
    def usual_attention(self) -> tuple[int, ...]:
        # The paper's Table 5; in BigGAN-deep it stands at 64 px (Table 8).
        table5 = (self.family, self.resolution) == ("biggan", 256)
        return (128,) if table5 else super().usual_attention

    @property
    def attention_sides(self) -> list[int]:
        return [8 * 2**block for block in range(len(self.channels.generator) - 1)]

    @property
    def rgb_units(self) -> int:
        return self.width if self.released_rgb else 3

    @property
    def norm(self) -> dict[str, Any]:
        """The arguments that every `layers.ConditionalBatchNorm` gets.

        G's class embeddings have no spectral norm, whether shared or separate.
        """
        shared = self.embedding_size is not None
        kernel = {**self.kernel, "spectral_norm": self.spectral_norm and shared}
        return {"kernel": kernel, "epsilon": self.bn_epsilon}


@options("discriminator")
class DiscriminatorSpec(NetworkSpec):
    """The options of D."""

    @property
    def attention_sides(self) -> list[int]:
        halvings = range(1, self.channels.halvings + 1)
        return [self.resolution // 2**halving for halving in halvings]


class Network(keras.Model):
    """Base class of generators and discriminators."""

    SPEC: type[NetworkSpec]

    def __init__(self, spec: NetworkSpec, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.spec = spec

    def get_config(self) -> dict[str, Any]:
        return {"spec": dataclasses.asdict(self.spec), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Network:
        return cls(**{**config, "spec": cls.SPEC(**config["spec"])})

    def attention_layers(self) -> dict[str, layers.SelfAttention]:
        """Makes self-attention layers, by the side at which they stand."""
        return {
            str(side): layers.SelfAttention(self.spec.kernel, name=f"attention{side}")
            for side in self.spec.attention
        }

    def run(self, block: layers.Layer, *inputs: Any, **options: Any) -> tf.Tensor:
        """Returns a block's output; with `recompute` its activations are not kept."""
        if self.spec.recompute:
            return layers.recomputed(block, *inputs, **options)
        return block(*inputs, **options)

    def attend(self, h: tf.Tensor, training: bool) -> tf.Tensor:
        """Applies the self-attention that stands at the side of `h`, if any."""
        attention = self.attention.get(str(h.shape[1]))
        return h if attention is None else self.run(attention, h, training=training)
