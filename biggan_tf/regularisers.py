"""What holds training off collapse: each regulariser a plain function of tensors.

All are off by default. Those of weights take matrices, float32 [inputs, units]; those
of D take its logits, float32 [batch, 1]; every penalty is a scalar, a mean over the
batch given. `Regularisation` says which are on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from biggan_tf.errors import BadInput
from biggan_tf.layers import (
    SpectralEmbedding,
    SpectralLayer,
    by_shape,
    largest_singular,
    spectral_layers,
)
from biggan_tf.losses import full_orthogonal_penalty, orthogonal_penalty

ORTHOGONAL = {"off_diagonal": orthogonal_penalty, "full": full_orthogonal_penalty}


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """BadInput unless `gan.<name>` is a number in range, whole if it counts steps."""
    whole = name.endswith(("steps", "step"))
    kind = int if whole else (int, float)
    if not isinstance(value, kind) or not low <= value <= high:
        raise BadInput(
            f"gan.{name} = {value!r}: take a {'whole ' if whole else ''}number "
            f"between {low} and {high}."
        )


@dataclasses.dataclass(frozen=True)
class Regularisation:
    """Which regularisers are on; each number at 0 is off.

    Attributes:
        orthogonal_penalty: beta of orthogonal regularisation of G's raw kernels
            (Section 3.1); embeddings and one-dimensional parameters are exempt, as
            they are from what follows on sigma0.
        orthogonal_form: "off_diagonal", the paper's, or "full", what it is compared to.
        sigma0_penalty: weight of (sigma0 - target)^2 of G's raw kernels (Section 4.1).
        sigma0_clamp: whether sigma0 above the target is cut off after G's updates.
        sigma0_target: for both of these, a fixed value;
        sigma0_ratio: or r of the target r * sigma1, a constant to the gradient.
        r1_penalty: gamma of gamma / 2 E|grad D(x)|^2 on real images (Section 4.2).
        r1_every_steps: it is computed in every n-th step only, n times as strong.
        discriminator_dropout: share of D's last features that is dropped.
        embedding_decay: weight of |E|^2 / 2 of the class embeddings of G and D.
        augment: DiffAugment's of "color", "translation" and "cutout", for D's images.
        consistency_penalty: weight of (D(x) - D(T(x)))^2, T flips and shifts.
        lecam_penalty: weight of D's distance from the averages of its own logits.
        lecam_decay: of these averages, by D update; the last of its micro-batches
            moves them.
    """

    orthogonal_penalty: float = 0.0
    orthogonal_form: str = "off_diagonal"
    sigma0_penalty: float = 0.0
    sigma0_clamp: bool = False
    sigma0_target: float | None = None
    sigma0_ratio: float | None = None
    r1_penalty: float = 0.0
    r1_every_steps: int = 1
    discriminator_dropout: float = 0.0
    embedding_decay: float = 0.0
    augment: tuple[str, ...] = ()
    consistency_penalty: float = 0.0
    lecam_penalty: float = 0.0
    lecam_decay: float = 0.99

    def __post_init__(self) -> None:
        for name, low, high in (
            ("orthogonal_penalty", 0, 1e3),
            ("sigma0_penalty", 0, 1e3),
            ("r1_penalty", 0, 1e4),
            ("r1_every_steps", 1, 10**6),
            ("discriminator_dropout", 0, 0.99),
            ("embedding_decay", 0, 1e3),
            ("consistency_penalty", 0, 1e4),
            ("lecam_penalty", 0, 1e3),
            ("lecam_decay", 0, 1),
        ):
            check_number(name, getattr(self, name), low, high)
        if self.orthogonal_form not in list(ORTHOGONAL):
            raise BadInput(
                f"gan.orthogonal_form = {self.orthogonal_form!r}: take one of "
                f"{', '.join(ORTHOGONAL)}."
            )
        names, known = self.augment, list(AUGMENTATIONS)
        if not isinstance(names, (tuple, list)) or any(n not in known for n in names):
            raise BadInput(
                f"gan.augment = {self.augment!r}: take a tuple of some of "
                f"{', '.join(AUGMENTATIONS)}."
            )
        if type(self.sigma0_clamp) is not bool:
            raise BadInput(
                f"gan.sigma0_clamp = {self.sigma0_clamp!r}: take True or False."
            )
        targets = [x for x in (self.sigma0_target, self.sigma0_ratio) if x is not None]
        on = [
            name for name in ("sigma0_penalty", "sigma0_clamp") if getattr(self, name)
        ]
        if len(on) == 2 or len(targets) != len(on):
            raise BadInput(
                f"gan.sigma0_penalty = {self.sigma0_penalty}, gan.sigma0_clamp = "
                f"{self.sigma0_clamp}, gan.sigma0_target = {self.sigma0_target}, "
                f"gan.sigma0_ratio = {self.sigma0_ratio}: set one of the first two and "
                "one of the last two, or none of all."
            )
        if targets:
            check_number("sigma0_target (or ratio)", targets[0], 1e-6, 1e6)
        for child, parent in (
            ("orthogonal_form", "orthogonal_penalty"),
            ("r1_every_steps", "r1_penalty"),
            ("lecam_decay", "lecam_penalty"),
        ):
            default = getattr(Regularisation, child)
            if getattr(self, child) != default and not getattr(self, parent):
                raise BadInput(
                    f"gan.{child} = {getattr(self, child)!r} does nothing while "
                    f"gan.{parent} = 0: set that too, or leave this out."
                )

    def of_generator(self, generator: tf.keras.Model) -> tf.Tensor:
        """The sum of the penalties on G's weights."""
        kernels, _ = _split(generator)
        terms = [self._decay(generator)]
        if self.orthogonal_penalty:
            penalty = ORTHOGONAL[self.orthogonal_form]
            terms += [
                self.orthogonal_penalty * penalty(layer.matrix()) for layer in kernels
            ]
        if self.sigma0_penalty:
            terms += [
                self.sigma0_penalty * sigma0_penalty(matrices, self._target)
                for _, matrices in by_shape(kernels)
            ]
        return tf.add_n(terms)

    def of_discriminator(self, discriminator: tf.keras.Model) -> tf.Tensor:
        """The sum of the penalties on D's weights."""
        return self._decay(discriminator)

    def _decay(self, network: tf.keras.Model) -> tf.Tensor:
        _, embeddings = _split(network)
        if not self.embedding_decay or not embeddings:
            return tf.zeros([])
        return self.embedding_decay * tf.add_n([weight_decay(e) for e in embeddings])

    def clamped(
        self, generator: tf.keras.Model
    ) -> tuple[list[tf.Variable], list[tf.Tensor]]:
        """G's kernels, and their values with sigma0 cut off at its target."""
        variables, values = [], []
        kernels, _ = _split(generator)
        for layers, matrices in by_shape(kernels):
            for layer, value in zip(
                layers, tf.unstack(clamp_sigma0(matrices, self._target))
            ):
                variables.append(layer.kernel)
                values.append(tf.reshape(value, layer.kernel.shape))
        return variables, values

    def _target(self, sigma: tf.Tensor) -> tf.Tensor:
        """Of sigma0, [...]; sigma: [..., up to 2], descending."""
        if self.sigma0_target is not None:
            return tf.fill(tf.shape(sigma)[:-1], float(self.sigma0_target))
        return self.sigma0_ratio * sigma[..., -1]  # of a single one, its own


def _split(network: tf.keras.Model) -> tuple[list[SpectralLayer], list[tf.Variable]]:
    """The layers of a network with a kernel, and the kernels of its embeddings."""
    every = spectral_layers(network)
    kernels = [layer for layer in every if not isinstance(layer, SpectralEmbedding)]
    return kernels, [e.kernel for e in every if isinstance(e, SpectralEmbedding)]


Target = Callable[[tf.Tensor], tf.Tensor]


def sigma0_penalty(matrices: tf.Tensor, target: Target) -> tf.Tensor:
    """Sum of (sigma0 - target)^2 of W [..., inputs, units] (the paper's Section 4.1).

    The gradient flows through sigma0 = v0^T W u0 alone.
    """
    sigma, v, u = largest_singular(matrices, count=2)
    v0, u0 = v[..., 0], u[..., 0]
    sigma0 = tf.reduce_sum(v0 * tf.linalg.matvec(matrices, u0), axis=-1)
    return tf.reduce_sum(tf.square(sigma0 - tf.stop_gradient(target(sigma))))


def clamp_sigma0(matrices: tf.Tensor, target: Target) -> tf.Tensor:
    """W - max(0, sigma0 - target) v0 u0^T (Section 4.1); other values stay."""
    sigma, v, u = largest_singular(matrices, count=2)
    excess = tf.nn.relu(sigma[..., 0] - target(sigma))
    return matrices - tf.einsum("...,...i,...j->...ij", excess, v[..., 0], u[..., 0])


def weight_decay(kernel: tf.Tensor) -> tf.Tensor:
    """|E|^2 / 2, whose gradient is E."""
    return 0.5 * tf.reduce_sum(tf.square(kernel))


def gradient_penalty(
    discriminate: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor
) -> tf.Tensor:
    """E|grad D(x)|^2 / 2 of real images (R1, Mescheder et al. 2018)."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = tf.reduce_sum(discriminate(images))
    square = tf.square(tape.gradient(logits, images))
    return 0.5 * tf.reduce_mean(tf.reduce_sum(square, axis=[1, 2, 3]))


def consistency(logits: tf.Tensor, of_transformed: tf.Tensor) -> tf.Tensor:
    """E[(D(x) - D(T(x)))^2] (Zhang et al. 2020)."""
    return tf.reduce_mean(tf.square(logits - of_transformed))


def lecam(real: tf.Tensor, fake: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """E[(D(x) - a_fake)^2] + E[(D(G(z)) - a_real)^2] (Tseng et al. 2021).

    anchors: the averages a_real and a_fake of D's logits so far, [2].
    """
    return tf.reduce_mean(tf.square(real - anchors[1])) + tf.reduce_mean(
        tf.square(fake - anchors[0])
    )


def dropout_mask(uniform: tf.Tensor, rate: float) -> tf.Tensor:
    """Of numbers in [0, 1): 0 for a share `rate` of them, 1 / (1 - rate) elsewhere."""
    return tf.cast(uniform >= rate, tf.float32) / (1 - rate)


# DiffAugment (Zhao et al. 2020): images, float32 [batch, side, side, 3], and numbers in
# [0, 1), [batch, 3], to images; differentiable in the images.


def _color(x: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    brightness, saturation, contrast = (u[:, None, None] for u in _columns(uniform))
    x += brightness - 0.5
    grey = tf.reduce_mean(x, axis=3, keepdims=True)
    x = grey + (x - grey) * 2 * saturation
    mean = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
    return mean + (x - mean) * (contrast + 0.5)


def _translation(x: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """By up to an eighth of the side, both ways; zeros follow."""
    side, most = x.shape[1], x.shape[1] // 8
    rows, columns, _ = _columns(uniform)
    return _select(
        x, *(tf.range(side) + _whole(u, -most, most) for u in (rows, columns))
    )


def _cutout(x: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """A square of half the side, in part outside perhaps, becomes zero."""
    side = x.shape[1]
    rows, columns, _ = _columns(uniform)
    inside = [
        tf.abs(tf.range(side) - _whole(u, 0, side)) * 4 < side for u in (rows, columns)
    ]
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return tf.where(hole[..., None], tf.zeros_like(x), x)


AUGMENTATIONS = {"color": _color, "translation": _translation, "cutout": _cutout}


def diff_augment(x: tf.Tensor, names: Sequence[str], uniform: tf.Tensor) -> tf.Tensor:
    """The augmentations named, one after the other; uniform: [batch, 9]."""
    for name, numbers in zip(AUGMENTATIONS, tf.split(uniform, 3, axis=1)):
        if name in names:
            x = AUGMENTATIONS[name](x, numbers)
    return x


def flip_and_shift(x: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Mirrored or not, and shifted by up to 4 pixels, edges reflected (CR's T)."""
    side = x.shape[1]
    rows, columns, mirror = _columns(uniform)
    x = tf.where(mirror[..., None, None] < 0.5, x, tf.reverse(x, [2]))
    indices = [tf.abs(tf.range(side) + _whole(u, -4, 4)) for u in (rows, columns)]
    return _select(x, *(side - 1 - tf.abs(side - 1 - index) for index in indices))


def _columns(uniform: tf.Tensor) -> list[tf.Tensor]:
    """[batch, n] -> n of [batch, 1]."""
    return tf.split(uniform, uniform.shape[1], axis=1)


def _whole(uniform: tf.Tensor, low: int, high: int) -> tf.Tensor:
    """Whole numbers from low to high, both included, as likely, from [0, 1)."""
    return low + tf.cast(tf.floor(uniform * (high - low + 1)), tf.int32)


def _select(x: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """The rows and columns of each image, int32 [batch, side]; zeros where outside."""
    rows, columns = (tf.one_hot(i, x.shape[1], dtype=x.dtype) for i in (rows, columns))
    return tf.einsum("bij,bjkc,blk->bilc", rows, x, columns)
