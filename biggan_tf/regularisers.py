"""What keeps training from collapse: one class for each regulariser.

All are off by default. A regulariser is a room of options that overrides what it needs
of `Regulariser`. Penalties are float32 scalars, means over the batch given. "Kernels"
are the raw weights, before spectral norm, of all layers but embeddings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from biggan_tf import layers
from biggan_tf.augment import flip_and_shift
from biggan_tf.config import ROOMS, option, options
from biggan_tf.config.options import declared
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras
from biggan_tf.latents import Draws

Change = tuple[tf.Variable, tf.Tensor]
CONSISTENCY_KEY = 4  # of random numbers, see `latents.Draws.uniform`


class Seen(NamedTuple):
    """D's inputs and outputs in one micro-batch, on one replica."""

    discriminator: keras.Model
    images: tf.Tensor  # the real ones
    labels: tf.Tensor  # of them
    real_logits: tf.Tensor  # float32 [batch, 1]
    fake_logits: tf.Tensor  # float32 [batch, 1]
    # (images, labels) -> logits of other images, augmented with new random numbers
    judge: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    draws: Draws  # random numbers of this slice
    step: tf.Tensor  # of the training, an int64 scalar


class Regulariser:
    """Base class of all regularisers. Its methods do nothing.

    Attributes:
        network: "generator" or "discriminator" if it acts on that one alone, else "".
        averages: variables that it keeps from update to update.
    """

    network = ""
    averages: Sequence[tf.Variable] = ()

    @property
    def on(self) -> bool:
        """Whether it does anything."""
        return self.weight > 0

    def discriminator_penalty(self, seen: Seen) -> tf.Tensor | float:
        """Returns what is added to D's loss."""
        return 0.0

    def generator_penalty(self, generator: keras.Model) -> tf.Tensor | float:
        """Returns what is added to G's loss."""
        return 0.0

    def after_discriminator(self, seen: Seen) -> None:
        """Moves the averages after D's last micro-batch."""

    def after_generator(self, generator: keras.Model) -> list[Change]:
        """Returns the weights to change after an update of G, and their new values."""
        return []

    def check(self) -> None:
        """Raises BadInput if an option is set while the weight is 0."""
        for name, field in declared(type(self)).items():
            if not self.on and getattr(self, name) != field.default:
                raise BadInput(
                    f"{self.room}.{name} = {getattr(self, name)!r} with "
                    f"{self.room}.weight = 0: set the weight too, or leave this out."
                )


def turned_on(frozen: str = "") -> list[Regulariser]:
    """Returns the regularisers that gin turns on.

    Raises BadInput if one of them acts only on the network that is `frozen`,
    "generator" or "discriminator".
    """
    every = [room() for room in ROOMS.values() if issubclass(room, Regulariser)]
    active = [one for one in every if one.on]
    for one in active:
        if frozen and one.network == frozen:
            raise BadInput(
                f"{one.room}.* with gan.freeze_{frozen} = True: leave one of them out, "
                f"for that regulariser acts on the {frozen} alone."
            )
    return active


# --- of D's judgement -----------------------------------------------------------------


@options("r1")
class R1(Regulariser):
    """gamma / 2 E|grad D(x)|^2 of real images (Section 4.2; Mescheder et al. 2018)."""

    network = "discriminator"
    weight: float = option(0.0, "gamma", high=1e4)
    every_steps: int = option(1, "computed every n steps, n times as strong", low=1)

    def discriminator_penalty(self, seen: Seen) -> tf.Tensor:
        def penalty() -> tf.Tensor:
            return (self.weight * self.every_steps) * gradient_penalty(
                lambda x: seen.discriminator(x, seen.labels), seen.images
            )

        if self.every_steps == 1:
            return penalty()
        now = tf.equal(seen.step % self.every_steps, 0)
        return tf.cond(now, penalty, lambda: 0.0)


@options("consistency")
class Consistency(Regulariser):
    """E[(D(x) - D(T(x)))^2] of real images; T flips and shifts (Zhang et al. 2020)."""

    network = "discriminator"
    weight: float = option(0.0, "of the penalty", high=1e4)

    def discriminator_penalty(self, seen: Seen) -> tf.Tensor:
        uniform = seen.draws.uniform(CONSISTENCY_KEY, 3)
        logits = seen.judge(flip_and_shift(seen.images, uniform), seen.labels)
        return self.weight * tf.reduce_mean(tf.square(seen.real_logits - logits))


@options("lecam")
class LeCam(Regulariser):
    """E[(D(x) - a_fake)^2] + E[(D(G(z)) - a_real)^2] (Tseng et al. 2021).

    The averages a_real and a_fake of D's logits move once per update of D, towards the
    means of its last micro-batch.
    """

    network = "discriminator"
    weight: float = option(0.0, "of the penalty", high=1e3)
    decay: float = option(0.99, "of the averages, each update of D", high=0.999999)

    @functools.cached_property
    def averages(self) -> Sequence[tf.Variable]:
        return [tf.Variable(0.0, **layers.EQUAL_ON_REPLICAS) for _ in range(2)]

    def discriminator_penalty(self, seen: Seen) -> tf.Tensor:
        average_real, average_fake = map(tf.convert_to_tensor, self.averages)
        return self.weight * (
            tf.reduce_mean(tf.square(seen.real_logits - average_fake))
            + tf.reduce_mean(tf.square(seen.fake_logits - average_real))
        )

    def after_discriminator(self, seen: Seen) -> None:
        means = [tf.reduce_mean(seen.real_logits), tf.reduce_mean(seen.fake_logits)]
        replicas = tf.distribute.get_replica_context()
        if replicas.num_replicas_in_sync > 1:
            means = replicas.all_reduce("MEAN", means)
        for average, mean in zip(self.averages, means):
            average.assign(self.decay * average + (1 - self.decay) * mean)


# --- of weights -----------------------------------------------------------------------


def off_diagonal_penalty(matrix: tf.Tensor) -> tf.Tensor:
    """|W^T W * (1 - I)|^2 of W, float32 [inputs, units] (Section 3.1).

    Without the diagonal it asks for filters that differ, whatever their norm. Where
    there are more units than inputs it uses the Gram matrix of the other side, which
    has the same Frobenius norm and may be a thousand times smaller.
    """
    inputs, units = matrix.shape
    if units <= inputs:
        gram = tf.matmul(matrix, matrix, transpose_a=True)
        return tf.reduce_sum(tf.square(tf.linalg.set_diag(gram, tf.zeros([units]))))
    gram = tf.matmul(matrix, matrix, transpose_b=True)
    diagonal = tf.reduce_sum(tf.square(matrix), axis=0)
    return tf.reduce_sum(tf.square(gram)) - tf.reduce_sum(tf.square(diagonal))


def full_penalty(matrix: tf.Tensor) -> tf.Tensor:
    """|W^T W - I|^2 of W, float32 [inputs, units] (Brock et al. 2017)."""
    inputs, units = matrix.shape
    narrow = units <= inputs
    gram = tf.matmul(matrix, matrix, transpose_a=narrow, transpose_b=not narrow)
    # Both Gram matrices have the same eigenvalues except zeros; each zero adds 1.
    missing = max(0.0, float(units - inputs))
    return tf.reduce_sum(tf.square(gram - tf.eye(min(matrix.shape)))) + missing


ORTHOGONAL = {"off_diagonal": off_diagonal_penalty, "full": full_penalty}


@options("orthogonal")
class Orthogonal(Regulariser):
    """beta |W^T W * (1 - I)|^2 of G's kernels (Section 3.1)."""

    network = "generator"
    weight: float = option(0.0, "beta; the paper's is 1e-4", high=1e3)
    form: str = option("off_diagonal", "'full' is |W^T W - I|^2", choices=ORTHOGONAL)

    def generator_penalty(self, generator: keras.Model) -> tf.Tensor:
        form = ORTHOGONAL[self.form]
        return self.weight * tf.add_n(
            [form(w.matrix()) for w in kernel_layers(generator)]
        )


@options("sigma0")
class Sigma0(Regulariser):
    """Holds sigma0, the largest singular value of each of G's kernels (Section 4.1).

    The penalty is (sigma0 - target)^2; the clamp cuts sigma0 off at its target after
    each update. The target is a number or r * sigma1 (the second), without gradient.
    """

    network = "generator"
    weight: float = option(0.0, "of the penalty", high=1e3)
    clamp: bool = option(False, "whether sigma0 is cut off at its target")
    target: float | None = option(None, "the target", low=1e-6, high=1e6)
    ratio: float | None = option(None, "r of the target r * sigma1", low=1e-6, high=1e6)

    @property
    def on(self) -> bool:
        return self.weight > 0 or self.clamp

    def check(self) -> None:
        """Raises BadInput unless one way and one target are set, or none."""
        ways = (self.weight > 0) + self.clamp
        targets = (self.target is not None) + (self.ratio is not None)
        if ways == 2 or targets != ways:
            raise BadInput(
                f"sigma0.weight = {self.weight}, sigma0.clamp = {self.clamp}, "
                f"sigma0.target = {self.target}, sigma0.ratio = {self.ratio}: set one "
                "of the first two and one of the last two, or none of all."
            )

    def generator_penalty(self, generator: keras.Model) -> tf.Tensor | float:
        if self.clamp:
            return 0.0
        groups = layers.by_shape(kernel_layers(generator))
        return self.weight * tf.add_n([self.penalty(group) for _, group in groups])

    def after_generator(self, generator: keras.Model) -> list[Change]:
        if not self.clamp:
            return []
        return [
            (layer.kernel, tf.reshape(value, layer.kernel.shape))
            for group, matrices in layers.by_shape(kernel_layers(generator))
            for layer, value in zip(group, tf.unstack(self.clamped(matrices)))
        ]

    def penalty(self, matrices: tf.Tensor) -> tf.Tensor:
        """Sum of (sigma0 - target)^2 of W [..., inputs, units].

        The gradient flows through sigma0 = v0^T W u0 alone.
        """
        sigma, v, u = layers.largest_singular(matrices, count=2)
        v0, u0 = v[..., 0], u[..., 0]
        sigma0 = tf.reduce_sum(v0 * tf.linalg.matvec(matrices, u0), axis=-1)
        return tf.reduce_sum(tf.square(sigma0 - tf.stop_gradient(self._target(sigma))))

    def clamped(self, matrices: tf.Tensor) -> tf.Tensor:
        """W - max(0, sigma0 - target) v0 u0^T: no other singular value changes."""
        sigma, v, u = layers.largest_singular(matrices, count=2)
        excess = tf.nn.relu(sigma[..., 0] - self._target(sigma))
        v0, u0 = v[..., 0], u[..., 0]
        return matrices - tf.einsum("...,...i,...j->...ij", excess, v0, u0)

    def _target(self, sigma: tf.Tensor) -> tf.Tensor:
        """Returns targets [...]; takes singular values [..., 1 or 2], descending."""
        if self.target is not None:
            return tf.fill(tf.shape(sigma)[:-1], float(self.target))
        return self.ratio * sigma[..., -1]  # r * sigma0 where there is no sigma1


@options("embedding_decay")
class EmbeddingDecay(Regulariser):
    """|E|^2 / 2 of D's class embedding and of G's shared one, if any (Appendix H)."""

    weight: float = option(0.0, "of the penalty; the paper's cure is 1e-6", high=1e3)

    def discriminator_penalty(self, seen: Seen) -> tf.Tensor:
        return self._penalty(seen.discriminator)

    def generator_penalty(self, generator: keras.Model) -> tf.Tensor:
        return self._penalty(generator)

    def _penalty(self, network: keras.Model) -> tf.Tensor:
        squares = [
            tf.reduce_sum(tf.square(layer.kernel))
            for layer in layers.spectral_layers(network)
            if isinstance(layer, layers.SpectralEmbedding)
        ]
        return self.weight * 0.5 * sum(squares)


def kernel_layers(network: keras.Model) -> list[layers.SpectralLayer]:
    """Returns the layers with a kernel, shared embeddings and D's left out."""
    every = layers.spectral_layers(network)
    return [layer for layer in every if not isinstance(layer, layers.SpectralEmbedding)]


def gradient_penalty(
    discriminate: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor
) -> tf.Tensor:
    """E|grad D(x)|^2 / 2."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = tf.reduce_sum(discriminate(images))
    square = tf.square(tape.gradient(logits, images))
    return 0.5 * tf.reduce_mean(tf.reduce_sum(square, axis=[1, 2, 3]))
