"""What both families' networks share: a description that decides their variables."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from biggan_tf import layers
from biggan_tf.errors import BadInput

RESOLUTIONS = (32, 64, 128, 256, 512)
PRECISIONS = ("float32", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """What generators and discriminators have in common.

    Attributes:
        resolution: side of the images in pixels, one of `RESOLUTIONS`.
        width: channels of multiplier 1 in the family's channel table (the paper's ch).
        num_classes: number of classes.
        attention: the sides at which self-attention stands, of `attention_sides`.
        initializer: "orthogonal" (paper), "normal" (N(0, 0.02)) or "glorot".
        spectral_norm: whether kernels are divided by their largest singular value.
        sn_epsilon: lower bound of norms in the power iteration.
        precision: "float32", or "mixed_bfloat16" to compute in bfloat16 all but
            spectral norm, statistics, D's head and G's tanh; variables stay float32.
        recompute: whether the activations inside of blocks are computed again in the
            backward pass instead of kept, see `layers.recomputed`.
    """

    resolution: int
    width: int
    num_classes: int
    attention: tuple[int, ...] = ()
    initializer: str = "orthogonal"
    spectral_norm: bool = True
    sn_epsilon: float = 1e-6
    precision: str = "float32"
    recompute: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.attention, (tuple, list)):
            raise BadInput(
                f"networks attention = {self.attention!r}: take a list of sides in "
                "pixels, such as (64,), or ()."
            )
        object.__setattr__(self, "attention", tuple(self.attention))
        if self.resolution not in RESOLUTIONS:
            raise BadInput(
                f"resolution = {self.resolution!r}: take one of {RESOLUTIONS}."
            )
        if self.initializer not in layers.INITIALIZERS:
            raise BadInput(
                f"networks.initializer = {self.initializer!r}: take one of "
                f"{', '.join(layers.INITIALIZERS)}."
            )
        if self.precision not in PRECISIONS:
            raise BadInput(
                f"networks precision = {self.precision!r}: take one of "
                f"{', '.join(PRECISIONS)}."
            )
        if not isinstance(self.width, int) or self.width < 1:
            raise BadInput(
                f"network width = {self.width!r}: take a positive whole number."
            )
        if not isinstance(self.num_classes, int) or self.num_classes < 1:
            raise BadInput(f"num_classes = {self.num_classes!r}: take 1 or more.")
        for side in self.attention:
            if side not in self.attention_sides:
                raise BadInput(
                    f"networks attention at {side!r} px: it can stand at "
                    f"{', '.join(map(str, self.attention_sides))} px in this part of "
                    f"a {self.resolution} px network."
                )

    @property
    def attention_sides(self) -> list[int]:
        """Where self-attention can stand: the sides that blocks of G put out."""
        return [side for side in (8, 16, *RESOLUTIONS) if side <= self.resolution]

    @property
    def kernel(self) -> dict[str, Any]:
        """Arguments of every `layers.SpectralLayer`."""
        return {
            "kernel_initializer": layers.INITIALIZERS[self.initializer],
            "spectral_norm": self.spectral_norm,
            "sn_epsilon": self.sn_epsilon,
        }


@dataclasses.dataclass(frozen=True)
class GeneratorSpec(NetworkSpec):
    """What decides G's variables.

    Attributes:
        latent_size: size of z.
        embedding_size: of the class embedding that all layers share; None gives every
            layer its own (the SA-GAN baseline of the paper's Table 1).
        skip_z: BigGAN: split z into equal chunks, the first for the 4x4 seed, one more
            for the conditional batch norms of each block; False: all of z to the seed
            alone. BigGAN-deep gives all of z to every block, and to the seed with the
            class embedding; False: to the seed alone.
        condition_order: "yz" concatenates [class, z]; "zy" the other way round, as in
            the released DeepMind weights.
        rgb_units: output channels of the last kernel, of which three are used; more
            than 3 only to be weight-compatible with the released BigGAN-deep.
        bn_epsilon: of the batch norms.
    """

    latent_size: int = 120
    embedding_size: int | None = 128
    skip_z: bool = True
    condition_order: str = "yz"
    rgb_units: int = 3
    bn_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.condition_order not in ("yz", "zy"):
            raise BadInput(
                f"networks.condition_order = {self.condition_order!r}: take 'yz' "
                "(class first) or 'zy' (z first)."
            )
        size = self.embedding_size
        if size is not None and (type(size) is not int or size < 1):
            raise BadInput(
                f"networks.embedding_size = {size!r}: take a positive whole number, or "
                "None for an embedding of each layer's own."
            )
        if not isinstance(self.latent_size, int) or self.latent_size < 1:
            raise BadInput(
                f"networks.latent_size = {self.latent_size!r}: take a positive whole "
                "number."
            )

    @property
    def norm(self) -> dict[str, Any]:
        """Arguments of every `layers.ConditionalBatchNorm`.

        Separate class embeddings carry no spectral norm, as the shared one does not.
        """
        shared = self.embedding_size is not None
        kernel = {**self.kernel, "spectral_norm": self.spectral_norm and shared}
        return {"kernel": kernel, "epsilon": self.bn_epsilon}


@dataclasses.dataclass(frozen=True)
class DiscriminatorSpec(NetworkSpec):
    """What decides D's variables."""

    @property
    def attention_sides(self) -> list[int]:
        """Where self-attention can stand: the sides that blocks of D halve to."""
        return [side for side in (8, 16, *RESOLUTIONS) if side < self.resolution]


class Network(tf.keras.Model):
    """A generator or discriminator, which its spec describes."""

    SPEC = NetworkSpec

    def __init__(self, spec: NetworkSpec, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.spec = spec

    def get_config(self) -> dict[str, Any]:
        return {"spec": dataclasses.asdict(self.spec), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Network:
        return cls(**{**config, "spec": cls.SPEC(**config["spec"])})

    def attention_layers(self) -> dict[str, layers.SelfAttention]:
        """Self-attention by the side at which it stands."""
        return {
            str(side): layers.SelfAttention(self.spec.kernel, name=f"attention{side}")
            for side in self.spec.attention
        }

    def run_block(
        self, block: tf.keras.layers.Layer, *inputs: Any, **options: Any
    ) -> tf.Tensor:
        """A block's output; what is inside of it is kept, or computed again later."""
        if self.spec.recompute:
            return layers.recomputed(block, *inputs, **options)
        return block(*inputs, **options)

    def attend(self, h: tf.Tensor, training: bool) -> tf.Tensor:
        """Self-attention, if there is one for this side."""
        attention = self.attention.get(str(h.shape[1]))
        return h if attention is None else attention(h, training=training)
