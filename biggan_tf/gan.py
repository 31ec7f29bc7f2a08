"""BigGAN's training step, and the loop of steps that runs on the device.

One step is the paper's: `discriminator_steps` updates of D, each on one pass over a
fake and a real batch joined, then one update of G. Statistics of batch norm and losses
are those of the global batch; every replica holds a slice of it.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gin
import tensorflow as tf

with warnings.catch_warnings():  # that it is no longer developed, at every start
    warnings.simplefilter("ignore")
    import tensorflow_addons as tfa

from biggan_tf import latents, losses
from biggan_tf.errors import BadInput
from biggan_tf.layers import SpectralEmbedding, batch_statistics, spectral_layers

# A gradient sum is each replica's own.
REPLICA_STATE = {
    "trainable": False,
    "synchronization": tf.VariableSynchronization.ON_READ,
    "aggregation": tf.VariableAggregation.SUM,
}

Batch = tuple[tf.Tensor, tf.Tensor]

# What a step reports, float32 scalars: D's of its last update in the step.
D_SCALARS = (
    "loss/discriminator",
    "loss/discriminator_real",
    "loss/discriminator_fake",
    "accuracy/real",
    "accuracy/fake",
)
G_SCALARS = ("loss/generator",)
SCALARS = (
    *D_SCALARS,
    *G_SCALARS,
    "gradient_norm/discriminator",
    "gradient_norm/generator",
)


@gin.configurable("gan")
@dataclasses.dataclass(frozen=True)
class Recipe:
    """How G and D are trained; the defaults are the paper's at 128 px.

    Attributes:
        loss: "hinge", "non_saturating", "least_squares" or "wasserstein".
        discriminator_steps: D updates per G update.
        generator_learning_rate, discriminator_learning_rate: Adam's.
        beta1, beta2, adam_epsilon: Adam's, of both.
        ema_decay: of the moving average of G's weights, by G update.
        ema_start_step: before it the average is a copy.
        orthogonal_penalty: beta of orthogonal regularisation of G's raw kernels
            (Section 3.1); embeddings and one-dimensional parameters are exempt.
    """

    loss: str = "hinge"
    discriminator_steps: int = 2
    generator_learning_rate: float = 5e-5
    discriminator_learning_rate: float = 2e-4
    beta1: float = 0.0
    beta2: float = 0.999
    adam_epsilon: float = 1e-6
    ema_decay: float = 0.9999
    ema_start_step: int = 20_000
    orthogonal_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.loss not in losses.ADVERSARIAL:
            raise BadInput(
                f"gan.loss = {self.loss!r}: take one of "
                f"{', '.join(losses.ADVERSARIAL)}."
            )
        for name, low, high in (
            ("discriminator_steps", 1, 1000),
            ("generator_learning_rate", 0, 1),
            ("discriminator_learning_rate", 0, 1),
            ("beta1", 0, 1),
            ("beta2", 0, 1),
            ("adam_epsilon", 0, 1),
            ("ema_decay", 0, 1),
            ("ema_start_step", 0, 10**9),
            ("orthogonal_penalty", 0, 1e3),
        ):
            value = getattr(self, name)
            whole = name.endswith("steps") or name.endswith("step")
            kind = int if whole else (int, float)
            if not isinstance(value, kind) or not low <= value <= high:
                raise BadInput(
                    f"gan.{name} = {value!r}: take a {'whole ' if whole else ''}number "
                    f"between {low} and {high}."
                )


class GradientSum:
    """Gradients of the portions of a batch so far; empty between updates, not saved."""

    def __init__(self, variables: Sequence[tf.Variable], portions: int):
        self._portions = portions
        self._sums = [
            tf.Variable(tf.zeros_like(variable), **REPLICA_STATE)
            for variable in variables
            if portions > 1
        ]

    def add(self, gradients: Sequence[tf.Tensor]) -> None:
        for total, gradient in zip(self._sums, gradients):
            total.assign_add(gradient)

    def mean_with(self, last: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The mean of all portions, of which this is the last; empties the sum."""
        if self._portions == 1:
            return list(last)
        mean = [
            (s + gradient) / self._portions for s, gradient in zip(self._sums, last)
        ]
        for total in self._sums:
            total.assign(tf.zeros_like(total))
        return mean


class Gan(tf.Module):
    """All that changes in training: G, D, their optimisers with the EMA, the step.

    Make it inside the strategy's scope. Saving and restoring this object saves and
    restores the training.

    Args:
        generator, discriminator: see `networks`.
        recipe: how they are trained.
        batch_size: global, images per update.
        seed: of every latent and label.
        micro_batches: portions of an update's batch, computed one after the other, to
            save memory: gradients are the whole batch's, u moves once an update, but
            batch norm has the statistics of a portion, and its averages move with each.
        jit_compile: whether XLA compiles what a replica does (on a TPU it always does).
    """

    def __init__(
        self,
        generator: tf.keras.Model,
        discriminator: tf.keras.Model,
        recipe: Recipe,
        batch_size: int,
        seed: int = 0,
        micro_batches: int = 1,
        jit_compile: bool = False,
    ):
        super().__init__(name="gan")
        self.generator = generator
        self.discriminator = discriminator
        self.recipe = recipe
        self.batch_size = batch_size
        self.seed = seed
        self.micro_batches = micro_batches
        self._strategy = tf.distribute.get_strategy()
        self._jit_compile = jit_compile
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.generator_optimizer = tfa.optimizers.MovingAverage(
            self._adam(recipe.generator_learning_rate),
            average_decay=recipe.ema_decay,
            start_step=recipe.ema_start_step,
        )
        self.discriminator_optimizer = self._adam(recipe.discriminator_learning_rate)
        # Made here, not at the first update, which is traced inside the strategy.
        for optimizer, network in (
            (self.generator_optimizer, generator),
            (self.discriminator_optimizer, discriminator),
        ):
            optimizer._create_all_weights(network.trainable_variables)
        self._sums = {
            network.name: GradientSum(network.trainable_variables, micro_batches)
            for network in (generator, discriminator)
        }
        self._discriminator_loss, self._generator_loss = losses.ADVERSARIAL[recipe.loss]

    def _adam(self, learning_rate: float) -> tf.keras.optimizers.legacy.Adam:
        recipe = self.recipe
        return tf.keras.optimizers.legacy.Adam(
            learning_rate, recipe.beta1, recipe.beta2, recipe.adam_epsilon
        )

    def train_discriminator(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """One update of D on this replica's real images and as many fake ones.

        With micro-batches: the last portion of one, all others being accumulated.
        """
        scalars, gradients = self.discriminator_gradients(
            images, labels, seed, self.micro_batches - 1
        )
        norm = self._update(self.discriminator_optimizer, gradients, self.discriminator)
        return {**scalars, "gradient_norm/discriminator": norm}

    def train_generator(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update of G, and of its moving average; or the last portion of one."""
        scalars, gradients = self.generator_gradients(seed, self.micro_batches - 1)
        norm = self._update(self.generator_optimizer, gradients, self.generator)
        return {**scalars, "gradient_norm/generator": norm}

    def discriminator_gradients(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        seed: tf.Tensor,
        portion: int | tf.Tensor = 0,
        training: bool = True,
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Scalars, and the gradients of D's loss, of one portion of a batch."""
        z, y = self.draw(seed, portion)
        fake = self.generator(z, y, training=training, statistics=batch_statistics)
        both = tf.concat([fake, images], axis=0), tf.concat([y, labels], axis=0)
        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = self.discriminator(*both, training=training)
            fake_logits, real_logits = tf.split(logits, 2)
            real_loss, fake_loss = self._discriminator_loss(real_logits, fake_logits)
            loss = real_loss + fake_loss
        scalars = {
            "loss/discriminator": loss,
            "loss/discriminator_real": real_loss,
            "loss/discriminator_fake": fake_loss,
            "accuracy/real": tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
            "accuracy/fake": tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32)),
        }
        return scalars, tape.gradient(loss, variables)

    def generator_gradients(
        self, seed: tf.Tensor, portion: int | tf.Tensor = 0, training: bool = True
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Scalars, and the gradients of G's loss, of one portion of a batch."""
        z, y = self.draw(seed, portion)
        variables = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            fake = self.generator(z, y, training=training, statistics=batch_statistics)
            logits = self.discriminator(fake, y, training=training)
            loss = adversarial = self._generator_loss(logits)
            if self.recipe.orthogonal_penalty:
                loss += self.recipe.orthogonal_penalty * self.orthogonality()
        return {"loss/generator": adversarial}, tape.gradient(loss, variables)

    def accumulate_discriminator(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, portion: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """A portion of D's update before the last; moves no u, so that all have one."""
        scalars, gradients = self.discriminator_gradients(
            images, labels, seed, portion, training=False
        )
        self._sums[self.discriminator.name].add(gradients)
        return scalars

    def accumulate_generator(
        self, seed: tf.Tensor, portion: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """A portion of G's update before the last."""
        scalars, gradients = self.generator_gradients(seed, portion, training=False)
        self._sums[self.generator.name].add(gradients)
        return scalars

    def replica_step(self, batches: list[Batch]) -> dict[str, tf.Tensor]:
        """D's updates, one for each batch, then G's: what one replica does in a step.

        Args:
            batches: `discriminator_steps` pairs of this replica's images, float32
                [batch, side, side, 3] in [-1, 1], and labels, int32 [batch].

        Returns:
            The values of `SCALARS`.
        """
        seed = latents.fold(latents.root_seed(self.seed), self.step)
        for index, (images, labels) in enumerate(batches):
            d_scalars = self.train_discriminator(
                images, labels, latents.fold(seed, index)
            )
        g_scalars = self.train_generator(latents.fold(seed, len(batches)))
        return {**d_scalars, **g_scalars}

    def draw(
        self, seed: tf.Tensor, portion: int | tf.Tensor = 0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """This replica's slice of a portion of a global batch of latents and labels."""
        spec = self.generator.spec
        z = latents.normal([self.batch_size, spec.latent_size], latents.fold(seed, 0))
        y = latents.labels(self.batch_size, spec.num_classes, latents.fold(seed, 1))
        z, y = (latents.share(x, portion, self.micro_batches) for x in (z, y))
        return latents.replica_share(z), latents.replica_share(y)

    def orthogonality(self) -> tf.Tensor:
        """Sum of the orthogonal penalties of G's raw kernels, embeddings exempt."""
        return tf.add_n(
            [
                losses.orthogonal_penalty(layer.matrix())
                for layer in spectral_layers(self.generator)
                if not isinstance(layer, SpectralEmbedding)
            ]
        )

    def _update(
        self,
        optimizer: tf.keras.optimizers.legacy.Optimizer,
        gradients: list[tf.Tensor],
        network: tf.keras.Model,
    ) -> tf.Tensor:
        """Applies the mean of the gradients of all replicas; returns its norm."""
        variables = network.trainable_variables
        gradients = self._sums[network.name].mean_with(gradients)
        replicas = tf.distribute.get_replica_context()
        if replicas.num_replicas_in_sync > 1:
            gradients = replicas.all_reduce("MEAN", gradients)
        optimizer.apply_gradients(
            zip(gradients, variables), experimental_aggregate_gradients=False
        )
        return tf.linalg.global_norm(gradients)

    # Autograph would only slow the tracing down: the one loop is written out.
    @tf.function(autograph=False)
    def train(self, batches: Iterator, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs a tick of steps on the device.

        Args:
            batches: iterator over distributed batches of images and labels.
            steps: int32 scalar, at least 1.

        Returns:
            float32 scalars: the means over the tick of `SCALARS`, and `nonfinite_step`,
            int64, the first step with a NaN or an infinity in them (0 if none had).
        """

        def one_step(index, totals, first_bad):
            scalars = self._one_step(batches)
            step = self.step.assign_add(1, read_value=True)
            good = tf.math.is_finite(tf.add_n(list(scalars.values())))
            first_bad = tf.where(good | (first_bad > 0), first_bad, step)
            totals = {name: totals[name] + scalars[name] for name in SCALARS}
            return index + 1, totals, first_bad

        _, totals, first_bad = tf.while_loop(
            lambda index, *_: index < steps,
            one_step,
            (0, {name: 0.0 for name in SCALARS}, tf.constant(0, tf.int64)),
        )
        means = {
            name: total / tf.cast(steps, tf.float32) for name, total in totals.items()
        }
        return {**means, "nonfinite_step": first_bad}

    def _one_step(self, batches: Iterator) -> dict[str, tf.Tensor]:
        """One step on all replicas; the mean over them of `SCALARS`."""
        d_steps = self.recipe.discriminator_steps
        if self.micro_batches == 1:
            data = [batches.get_next() for _ in range(d_steps)]
            return self._run(self.replica_step, data)
        seed = latents.fold(latents.root_seed(self.seed), self.step)
        for index in range(d_steps):
            d_scalars = self._in_portions(
                self.accumulate_discriminator,
                self.train_discriminator,
                batches.get_next,
                latents.fold(seed, index),
                D_SCALARS,
            )
        g_scalars = self._in_portions(
            self.accumulate_generator,
            self.train_generator,
            tuple,
            latents.fold(seed, d_steps),
            G_SCALARS,
        )
        return {**d_scalars, **g_scalars}

    def _in_portions(
        self,
        accumulate: Callable,
        train: Callable,
        data: Callable[[], tuple],
        seed: tf.Tensor,
        names: tuple[str, ...],
    ) -> dict[str, tf.Tensor]:
        """An update: all portions but the last accumulated, then `train` with that."""

        def portion(index: tf.Tensor, totals: dict) -> tuple[tf.Tensor, dict]:
            scalars = self._run(accumulate, *data(), seed, index)
            return index + 1, {name: totals[name] + scalars[name] for name in names}

        _, totals = tf.while_loop(
            lambda index, _: index < self.micro_batches - 1,
            portion,
            (0, {name: 0.0 for name in names}),
        )
        scalars = self._run(train, *data(), seed)
        for name in names:
            scalars[name] = (totals[name] + scalars[name]) / self.micro_batches
        return scalars

    def _run(self, method: Callable, *arguments: Any) -> dict[str, tf.Tensor]:
        """Runs a method on all replicas; the means over them of what it returns."""
        if self._jit_compile:
            method = tf.function(method, autograph=False, jit_compile=True)
        scalars = self._strategy.run(method, args=arguments)
        return {
            name: self._strategy.reduce("MEAN", scalar, axis=None)
            for name, scalar in scalars.items()
        }

    def averaged_weights(self) -> list[tf.Variable]:
        """The moving averages, in the order of G's trainable variables."""
        return [
            self.generator_optimizer.get_slot(variable, "average")
            for variable in self.generator.trainable_variables
        ]

    def set_learning_rates(self) -> None:
        """Assigns the recipe's: restoring a checkpoint brings the saved ones back."""
        for optimizer, rate in (
            (self.generator_optimizer._optimizer, self.recipe.generator_learning_rate),
            (self.discriminator_optimizer, self.recipe.discriminator_learning_rate),
        ):
            optimizer.learning_rate = rate
