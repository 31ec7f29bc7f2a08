"""BigGAN's training step, and the loop of steps that runs on the device.

One step is the paper's: `discriminator_steps` updates of D, each on one pass over a
fake and a real batch joined, then one update of G. Statistics of batch norm and losses
are those of the global batch; every replica holds a slice of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

with warnings.catch_warnings():  # that it is no longer developed, at every start
    warnings.simplefilter("ignore")
    import tensorflow_addons as tfa

from biggan_tf import latents, losses
from biggan_tf import regularisers as regular
from biggan_tf.layers import ALIKE, batch_moments, batch_statistics
from biggan_tf.recipe import Recipe

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


class GradientSum:
    """Gradients of the portions of a batch so far; empty between updates, not saved."""

    def __init__(self, variables: Sequence[tf.Variable], portions: int):
        self._portions = portions
        self._sums = [
            tf.Variable(
                tf.zeros_like(variable),
                trainable=False,
                # Each replica's own.
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
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
        latent: the distribution of z.
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
        latent: latents.Latents | None = None,
    ):
        super().__init__(name="gan")
        self.generator = generator
        self.discriminator = discriminator
        self.recipe = recipe
        self.batch_size = batch_size
        self.seed = seed
        self.micro_batches = micro_batches
        self.latents = latent or latents.Latents()
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
        adversarial = losses.ADVERSARIAL[recipe.loss]
        self._discriminator_loss, self._generator_loss, self._threshold = adversarial
        if recipe.lecam_penalty:  # the averages of D's logits, of real and of fake
            self.lecam_anchors = tf.Variable(tf.zeros([2]), **ALIKE)

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
        if self.recipe.sigma0_clamp:
            _assign(*self.recipe.clamped(self.generator))
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
        fake, y = self.generate(seed, portion, training)
        parts, part_labels = [fake, images], [y, labels]
        if self.recipe.consistency_penalty:
            parts.append(self.transformed(images, seed, portion))
            part_labels.append(labels)
        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = self.judge(parts, part_labels, seed, portion, training)
            fake_logits, real_logits, *transformed_logits = logits
            real_loss, fake_loss = self._discriminator_loss(real_logits, fake_logits)
            loss = real_loss + fake_loss
            penalised = loss + self.discriminator_penalty(
                images, labels, real_logits, fake_logits, *transformed_logits
            )
        if training:
            self._move_lecam_anchors(real_logits, fake_logits)
        scalars = {
            "loss/discriminator": loss,
            "loss/discriminator_real": real_loss,
            "loss/discriminator_fake": fake_loss,
            "accuracy/real": _share(real_logits > self._threshold),
            "accuracy/fake": _share(fake_logits < self._threshold),
        }
        return scalars, tape.gradient(penalised, variables)

    def generator_gradients(
        self, seed: tf.Tensor, portion: int | tf.Tensor = 0, training: bool = True
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Scalars, and the gradients of G's loss, of one portion of a batch."""
        variables = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            fake, y = self.generate(seed, portion, training)
            [logits] = self.judge([fake], [y], seed, portion, training)
            adversarial = self._generator_loss(logits)
            loss = adversarial + self.recipe.of_generator(self.generator)
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

    def generate(
        self, seed: tf.Tensor, portion: int | tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """This replica's slice of a portion of a global batch of images and labels."""
        z, y = self.draw(seed, portion)
        frozen = self.recipe.freeze_generator
        fake = self.generator(
            z,
            y,
            training=training and not frozen,
            statistics=batch_moments if frozen else batch_statistics,
        )
        return fake, y

    def judge(
        self,
        parts: list[tf.Tensor],
        labels: list[tf.Tensor],
        seed: tf.Tensor,
        portion: int | tf.Tensor,
        training: bool,
    ) -> list[tf.Tensor]:
        """D's logits of each part, in one pass, as augmentation and dropout have it."""
        x, recipe, dropout = tf.concat(parts, axis=0), self.recipe, None
        if recipe.augment:
            uniform = self.uniform(latents.fold(seed, 2), portion, len(parts), 9)
            x = regular.diff_augment(x, recipe.augment, uniform)
        if recipe.discriminator_dropout:

            def dropout(size: int) -> tf.Tensor:
                uniform = self.uniform(latents.fold(seed, 3), portion, len(parts), size)
                return regular.dropout_mask(uniform, recipe.discriminator_dropout)

        logits = self.discriminator(
            x,
            tf.concat(labels, axis=0),
            training=training and not recipe.freeze_discriminator,
            dropout=dropout,
        )
        return tf.split(logits, len(parts))

    def discriminator_penalty(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        real_logits: tf.Tensor,
        fake_logits: tf.Tensor,
        transformed_logits: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """What the regularisers add to D's loss."""
        recipe = self.recipe
        penalty = recipe.of_discriminator(self.discriminator)
        if transformed_logits is not None:
            penalty += recipe.consistency_penalty * regular.consistency(
                real_logits, transformed_logits
            )
        if recipe.lecam_penalty:
            anchors = tf.convert_to_tensor(self.lecam_anchors)
            penalty += recipe.lecam_penalty * regular.lecam(
                real_logits, fake_logits, anchors
            )
        if recipe.r1_penalty:

            def r1() -> tf.Tensor:
                every = recipe.r1_penalty * recipe.r1_every_steps
                return every * regular.gradient_penalty(
                    lambda x: self.discriminator(x, labels), images
                )

            now = tf.equal(self.step % recipe.r1_every_steps, 0)
            rare = recipe.r1_every_steps > 1
            penalty += tf.cond(now, r1, lambda: 0.0) if rare else r1()
        return penalty

    def transformed(
        self, images: tf.Tensor, seed: tf.Tensor, portion: int | tf.Tensor
    ) -> tf.Tensor:
        """Real images flipped and shifted, for consistency."""
        uniform = self.uniform(latents.fold(seed, 4), portion, 1, 3)
        return regular.flip_and_shift(images, uniform)

    def draw(
        self, seed: tf.Tensor, portion: int | tf.Tensor = 0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """This replica's slice of a portion of a global batch of latents and labels."""
        spec = self.generator.spec
        shape = [self.batch_size, spec.latent_size]
        z = self.latents.draw(shape, latents.fold(seed, 0), self.step)
        y = latents.labels(self.batch_size, spec.num_classes, latents.fold(seed, 1))
        return self._slice(z, portion), self._slice(y, portion)

    def uniform(
        self, seed: tf.Tensor, portion: int | tf.Tensor, parts: int, size: int
    ) -> tf.Tensor:
        """Slices, as `draw`'s, of numbers in [0, 1), one after the other a part."""
        shape = [self.batch_size, size]
        batches = [
            tf.random.stateless_uniform(shape, latents.fold(seed, part))
            for part in range(parts)
        ]
        return tf.concat([self._slice(batch, portion) for batch in batches], axis=0)

    def _slice(self, batch: tf.Tensor, portion: int | tf.Tensor) -> tf.Tensor:
        batch = latents.share(batch, portion, self.micro_batches)
        return latents.replica_share(batch)

    def _move_lecam_anchors(self, real: tf.Tensor, fake: tf.Tensor) -> None:
        if not self.recipe.lecam_penalty:
            return
        means = tf.stack([tf.reduce_mean(real), tf.reduce_mean(fake)])
        replicas = tf.distribute.get_replica_context()
        if replicas.num_replicas_in_sync > 1:
            means = replicas.all_reduce("MEAN", means)
        decay = self.recipe.lecam_decay
        self.lecam_anchors.assign(decay * self.lecam_anchors + (1 - decay) * means)

    def _update(
        self,
        optimizer: tf.keras.optimizers.legacy.Optimizer,
        gradients: list[tf.Tensor],
        network: tf.keras.Model,
    ) -> tf.Tensor:
        """Applies the mean of the gradients of all replicas; returns its norm.

        To a frozen network it applies nothing.
        """
        variables = network.trainable_variables
        gradients = self._sums[network.name].mean_with(gradients)
        replicas = tf.distribute.get_replica_context()
        if replicas.num_replicas_in_sync > 1:
            gradients = replicas.all_reduce("MEAN", gradients)
        if not getattr(self.recipe, f"freeze_{network.name}"):
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

    def set_rates(
        self, generator_factor: float = 1.0, discriminator_factor: float = 1.0
    ) -> None:
        """Assigns the recipe's learning rates, times these, and Adam's betas.

        A checkpoint has brought the saved ones back.
        """
        recipe = self.recipe
        for optimizer, rate, factor in (
            (
                self.generator_optimizer._optimizer,
                recipe.generator_learning_rate,
                generator_factor,
            ),
            (
                self.discriminator_optimizer,
                recipe.discriminator_learning_rate,
                discriminator_factor,
            ),
        ):
            optimizer.learning_rate = rate * factor
            optimizer.beta_1, optimizer.beta_2 = recipe.beta1, recipe.beta2


def _assign(variables: list[tf.Variable], values: list[tf.Tensor]) -> None:
    """Assigns, on a replica, values that all replicas have alike."""

    def on_all(strategy: tf.distribute.Strategy, *values: Any) -> None:
        for variable, value in zip(variables, values):
            strategy.extended.update(
                variable, lambda copy, own: copy.assign(own), args=(value,)
            )

    tf.distribute.get_replica_context().merge_call(on_all, args=tuple(values))


def _share(true: tf.Tensor) -> tf.Tensor:
    """Of a boolean tensor, float32 scalar."""
    return tf.reduce_mean(tf.cast(true, tf.float32))
