"""BigGAN's training step, and the loop of steps that runs on the device.

One step is the paper's: `discriminator_steps` updates of D, then one update of G. An
update of D makes one pass over fake and real images together. Every replica computes a
slice of the global batch; losses and batch norm's moments are means over all slices.

To save memory an update may compute its batch in micro-batches, one after the other
(`update.Update`). The optimiser applies the mean of their gradients once. Batch norm
uses the moments of each micro-batch and moves its running averages each time. The
power-iteration vectors u of G and D move in the last micro-batch only.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import tensorflow as tf

from biggan_tf import latents, losses
from biggan_tf.augment import AUGMENTATIONS, Augmenter
from biggan_tf.config import option, options
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras
from biggan_tf.latents import Draws, LatentOptions
from biggan_tf.layers import batch_moments, batch_statistics, by_path
from biggan_tf.moving_average import MovingAverage
from biggan_tf.regularisers import Regulariser, Seen
from biggan_tf.update import Scalars, Update, assign_alike, loss_scales

# What a step reports, float32 scalars; D's are those of its last update in the step.
D_SCALARS = (
    "loss/discriminator",
    "loss/discriminator_real",
    "loss/discriminator_fake",
    "accuracy/real",
    "accuracy/fake",
)
G_SCALARS = ("loss/generator",)
NORMS = ("gradient_norm/discriminator", "gradient_norm/generator")
SCALARS = (*D_SCALARS, *G_SCALARS, *NORMS)


@options("gan")
class GanOptions:
    """How G and D are trained; the defaults are the paper's at 128 px."""

    loss: str = option("hinge", "the adversarial loss", choices=losses.ADVERSARIAL)
    discriminator_steps: int = option(2, "updates of D in a step", low=1, high=1000)
    generator_learning_rate: float = option(5e-5, "of Adam, for G", high=1)
    discriminator_learning_rate: float = option(2e-4, "of Adam, for D", high=1)
    beta1: float = option(0.0, "of Adam, for G and D", high=0.999999)
    beta2: float = option(0.999, "of Adam, for G and D", high=0.999999)
    adam_epsilon: float = option(1e-6, "of Adam, for G and D", low=1e-12, high=1)
    ema_decay: float = option(0.9999, "of G's moving average", high=0.999999)
    ema_start_step: int = option(20_000, "updates of G until its average begins")
    discriminator_dropout: float = option(0.0, "rate on D's last features", high=0.99)
    augment: tuple[str, ...] = option(
        (), "augmentations of D's images", choices=AUGMENTATIONS
    )
    augment_target: float | None = option(
        None, "D's accuracy on real images that sets their share", low=0.5, high=0.999
    )
    augment_images: int = option(100_000, "in which the share moves by 1", low=1)
    freeze_generator: bool = option(False, "G, its statistics and average stay fixed")
    freeze_discriminator: bool = option(False, "nothing of D moves")

    def check(self) -> None:
        """Raises BadInput if nothing would train, or a target has no augmentations."""
        if self.freeze_generator and self.freeze_discriminator:
            raise BadInput(
                "gan.freeze_generator = True with gan.freeze_discriminator = True: "
                "leave one out, or nothing would train."
            )
        if self.augment_target is not None and not self.augment:
            told = f"name augmentations too, such as {(*AUGMENTATIONS,)}"
            at = f"gan.augment_target = {self.augment_target}"
            raise BadInput(f"{at} with gan.augment = (): {told}.")

    @property
    def frozen(self) -> str:
        """The network that does not train: "generator", "discriminator" or ""."""
        if self.freeze_generator:
            return "generator"
        return "discriminator" if self.freeze_discriminator else ""


class Gan(tf.Module):
    """Everything that training changes: G, D, their optimisers, G's average, the step.

    Make it inside the strategy's scope. A checkpoint of this object is a checkpoint of
    the training.

    Args:
        generator, discriminator: see `networks`.
        options: how they are trained.
        batch_size: images per update, over all micro-batches and replicas.
        seed: of every latent, label and augmentation.
        micro_batches: how many an update's batch is cut into.
        jit_compile: whether XLA compiles the updates; on a TPU it always does.
        latent_options: the distributions of z and of labels.
        regularisers: those that are on.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        options: GanOptions,
        batch_size: int,
        seed: int = 0,
        micro_batches: int = 1,
        jit_compile: bool = False,
        latent_options: LatentOptions | None = None,
        regularisers: Sequence[Regulariser] = (),
    ):
        super().__init__(name="gan")
        self.generator, self.discriminator = generator, discriminator
        self.options, self.seed = options, seed
        self.latent_options = latent_options or LatentOptions()
        self.loss = losses.ADVERSARIAL[options.loss]
        self.regularisers = tuple(regularisers)
        self.averages = [v for one in regularisers for v in one.averages]
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.generator_optimizer = MovingAverage(
            self._adam(options.generator_learning_rate),
            average_decay=options.ema_decay,
            start_step=options.ema_start_step,
        )
        self.discriminator_optimizer = self._adam(options.discriminator_learning_rate)
        # The slots must exist before the first update is traced on the replicas.
        for optimizer, network in (
            (self.generator_optimizer, generator),
            (self.discriminator_optimizer, discriminator),
        ):
            optimizer._create_all_weights(network.trainable_variables)
        scales = loss_scales(generator, discriminator)
        if scales:  # an attribute is a part of checkpoints
            self.loss_scales = scales
        stride = batch_size / options.augment_images
        self.augment = Augmenter(options.augment, options.augment_target, stride)
        self.augmented_share = self.augment.share
        state = [*generator.non_trainable_variables, *self.averages]
        state += discriminator.non_trainable_variables
        batch = {"batch_size": batch_size, "micro_batches": micro_batches}
        batch |= {"state": state, "jit_compile": jit_compile}
        self.update_discriminator = Update(
            discriminator,
            None if options.freeze_discriminator else self.discriminator_optimizer,
            self.discriminator_gradients,
            D_SCALARS,
            **batch,
            loss_scale=scales.get("discriminator"),
        )
        self.update_generator = Update(
            generator,
            None if options.freeze_generator else self.generator_optimizer,
            self.generator_gradients,
            G_SCALARS,
            **batch,
            after=self._after_generator,
            loss_scale=scales.get("generator"),
        )

    def _adam(self, learning_rate: float) -> keras.optimizers.legacy.Adam:
        options = self.options
        return keras.optimizers.legacy.Adam(
            learning_rate, options.beta1, options.beta2, options.adam_epsilon
        )

    # --- one step ---------------------------------------------------------------------

    def train_step(self, batches: Iterator) -> Scalars:
        """One step of the training, on all replicas.

        Args:
            batches: iterator over distributed micro-batches of real images, float32
                [batch, side, side, 3] in [-1, 1], and their labels, int32 [batch].

        Returns:
            The values of `SCALARS`, means over the global batch.
        """
        seed = latents.fold(latents.root_seed(self.seed), self.step)

        # D learns to tell real from fake images, each time with a new batch of both.
        for index in range(self.options.discriminator_steps):
            d_seed = latents.fold(seed, index)
            d_scalars = self.update_discriminator(batches.get_next, d_seed)
            self.augment.adapt(d_scalars["accuracy/real"])

        # G learns to make images that D takes for real. It needs no real ones.
        g_seed = latents.fold(seed, self.options.discriminator_steps)
        g_scalars = self.update_generator(lambda: (), g_seed)
        return {**d_scalars, **g_scalars}

    def discriminator_gradients(
        self, images: tf.Tensor, labels: tf.Tensor, draws: Draws, training: bool
    ) -> tuple[Scalars, list[tf.Tensor]]:
        """D's loss and its gradients, for one micro-batch on one replica.

        Takes this replica's slice of real images and labels, and random numbers for
        that slice; `training` says whether u moves, in G and D. Returns
        `D_SCALARS`, and the gradients of D's trainable variables.
        """
        # Draw z and y, and make as many fake images as there are real ones.
        fake_images, fake_labels = self.generate(draws, training)

        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            # One pass of D over fake and real images.
            fake_logits, real_logits = self.judge(
                [fake_images, images], [fake_labels, labels], draws, training
            )

            # The adversarial loss, and what the regularisers add to it.
            real_loss, fake_loss = self.loss.discriminator(real_logits, fake_logits)
            loss = real_loss + fake_loss
            seen = Seen(
                discriminator=self.discriminator,
                images=images,
                labels=labels,
                real_logits=real_logits,
                fake_logits=fake_logits,
                # A separate pass of D, in which u does not move.
                judge=lambda x, y: self.judge([x], [y], draws.further(), False)[0],
                draws=draws,
                step=self.step,
            )
            penalised = loss
            for one in self.regularisers:
                penalised += one.discriminator_penalty(seen)
        if training:
            for one in self.regularisers:
                one.after_discriminator(seen)
        real_right, fake_right = self.loss.accuracies(real_logits, fake_logits)
        scalars = {
            "loss/discriminator": loss,
            "loss/discriminator_real": real_loss,
            "loss/discriminator_fake": fake_loss,
            "accuracy/real": real_right,
            "accuracy/fake": fake_right,
        }
        start = self.update_discriminator.gradient_of_loss
        return scalars, tape.gradient(penalised, variables, start)

    def generator_gradients(
        self, draws: Draws, training: bool
    ) -> tuple[Scalars, list[tf.Tensor]]:
        """G's loss and its gradients, for one micro-batch on one replica.

        Returns `G_SCALARS`, and the gradients of G's trainable variables.
        """
        variables = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            # Draw z and y, make fake images, and let D judge them.
            fake_images, fake_labels = self.generate(draws, training)
            [logits] = self.judge([fake_images], [fake_labels], draws, training)

            # The adversarial loss, and what the regularisers add to it.
            adversarial = self.loss.generator(logits)
            loss = adversarial
            for one in self.regularisers:
                loss += one.generator_penalty(self.generator)
        start = self.update_generator.gradient_of_loss
        return {"loss/generator": adversarial}, tape.gradient(loss, variables, start)

    def draw(self, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns z, float32 [batch, latent_size], and labels, int32 [batch]."""
        spec = self.generator.spec
        z = draws.latents(self.latent_options, spec.latent_size, self.step)
        return z, draws.labels(self.latent_options.frequencies(spec.num_classes))

    def generate(self, draws: Draws, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns fake images and the labels they were made for."""
        z, y = self.draw(draws)
        frozen = self.options.freeze_generator
        fake = self.generator(
            z,
            y,
            training=training and not frozen,
            statistics=batch_moments if frozen else batch_statistics,
        )
        return fake, y

    def judge(
        self,
        images: Sequence[tf.Tensor],
        labels: Sequence[tf.Tensor],
        draws: Draws,
        training: bool,
    ) -> list[tf.Tensor]:
        """One pass of D over all images, augmented and with dropout if configured.

        Takes lists of image and label batches; returns each batch's logits, [batch, 1].
        """
        options, count = self.options, len(images)
        x = self.augment(tf.concat(images, axis=0), draws, count)
        rate = options.discriminator_dropout
        dropout = functools.partial(draws.dropout, rate, count) if rate else None
        logits = self.discriminator(
            x,
            tf.concat(labels, axis=0),
            training=training and not options.freeze_discriminator,
            dropout=dropout,
        )
        return tf.split(logits, count)

    def _after_generator(self, applied: tf.Tensor) -> None:
        """Changes G's weights as regularisers ask, and its average accordingly."""
        options, optimizer = self.options, self.generator_optimizer
        started = optimizer.iterations > options.ema_start_step
        decay = tf.where(started, options.ema_decay, 0.0)
        for one in self.regularisers:
            asked = one.after_generator(self.generator)
            # After an update that was skipped, the weights keep their values.
            changes = [(w, tf.where(applied, value, w)) for w, value in asked]
            # The update moved the average by 1 - decay of the way to the old weight;
            # it should have been to the new value.
            averages = [optimizer.get_slot(weight, "average") for weight, _ in changes]
            moved = [
                average + (1 - decay) * (value - weight)
                for average, (weight, value) in zip(averages, changes)
            ]
            assign_alike([*changes, *zip(averages, moved)])

    # --- many steps -------------------------------------------------------------------

    # Autograph would only slow tracing down: the loop is already a tf.while_loop.
    @tf.function(autograph=False)
    def train(self, batches: Iterator, steps: tf.Tensor) -> Scalars:
        """Runs a tick of `steps` (int32, at least 1) on the device.

        Returns:
            The means over the tick of `SCALARS`, and `nonfinite_step`, int64: the first
            step with a NaN or an infinity in them, or 0. In float16 also the loss
            scales, and how many updates were skipped since step 0; with
            `gan.augment_target` the share of augmented images.
        """

        def one_step(
            index: tf.Tensor, totals: Scalars, first_bad: tf.Tensor
        ) -> tuple[tf.Tensor, Scalars, tf.Tensor]:
            scalars = self.train_step(batches)
            step = self.step.assign_add(1, read_value=True)
            good = tf.math.is_finite(tf.add_n(list(scalars.values())))
            first_bad = tf.where(good | (first_bad > 0), first_bad, step)
            totals = {name: totals[name] + scalars[name] for name in SCALARS}
            return index + 1, totals, first_bad

        _, totals, first_bad = tf.while_loop(
            lambda index, *_: index < steps,
            one_step,
            (0, dict.fromkeys(SCALARS, 0.0), tf.constant(0, tf.int64)),
        )
        count = tf.cast(steps, tf.float32)
        means = {name: total / count for name, total in totals.items()}
        for name, scale in getattr(self, "loss_scales", {}).items():
            means[f"loss_scale/{name}"] = tf.convert_to_tensor(scale.value)
            means[f"skipped_updates/{name}"] = tf.cast(scale.skipped, tf.float32)
        if self.augmented_share is not None:
            means["augmented_share"] = tf.convert_to_tensor(self.augmented_share)
        return {**means, "nonfinite_step": first_bad}

    # --- between ticks ----------------------------------------------------------------

    def averaged_weights(self) -> list[tf.Variable]:
        """Returns the moving averages, in the order of G's trainable variables."""
        return [
            self.generator_optimizer.get_slot(variable, "average")
            for variable in self.generator.trainable_variables
        ]

    def averaged_generator(self) -> dict[str, tf.Variable]:
        """Returns G's variables by path, its weights replaced by their averages."""
        weights = by_path(self.generator.trainable_variables)
        averages = dict(zip(weights, self.averaged_weights()))
        return {**by_path(self.generator.variables), **averages}

    def learning_rates(self) -> dict[str, float]:
        """Returns the rates of G and D as they are now, by name."""
        adams = self.generator_optimizer._optimizer, self.discriminator_optimizer
        names = "learning_rate/generator", "learning_rate/discriminator"
        return {n: float(adam.learning_rate.numpy()) for n, adam in zip(names, adams)}

    def set_rates(
        self, generator_factor: float = 1.0, discriminator_factor: float = 1.0
    ) -> None:
        """Sets the options' learning rates, times these factors, and Adam's betas.

        Call it after a restore, which brings back the rates of the checkpoint.
        """
        options = self.options
        g_rate = options.generator_learning_rate * generator_factor
        d_rate = options.discriminator_learning_rate * discriminator_factor
        adams = self.generator_optimizer._optimizer, self.discriminator_optimizer
        for adam, rate in zip(adams, (g_rate, d_rate)):
            adam.learning_rate = rate
            adam.beta_1, adam.beta_2 = options.beta1, options.beta2
