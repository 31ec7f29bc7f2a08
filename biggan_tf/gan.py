"""BigGAN's training step, and the loop of steps that runs on the device.

One step is the paper's: `discriminator_steps` updates of D, each on one pass over a
fake and a real batch joined, then one update of G. Statistics of batch norm and losses
are those of the global batch; every replica holds a slice of it.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator

import gin
import tensorflow as tf

with warnings.catch_warnings():  # that it is no longer developed, at every start
    warnings.simplefilter("ignore")
    import tensorflow_addons as tfa

from biggan_tf import latents, losses
from biggan_tf.errors import BadInput
from biggan_tf.layers import SpectralEmbedding, batch_statistics, spectral_layers

Batch = tuple[tf.Tensor, tf.Tensor]

# What a step reports, float32 scalars: D's of its last update in the step.
SCALARS = (
    "loss/discriminator",
    "loss/discriminator_real",
    "loss/discriminator_fake",
    "loss/generator",
    "accuracy/real",
    "accuracy/fake",
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


class Gan(tf.Module):
    """All that changes in training: G, D, their optimisers with the EMA, the step.

    Make it inside the strategy's scope. Saving and restoring this object saves and
    restores the training.

    Args:
        generator, discriminator: see `networks`.
        recipe: how they are trained.
        batch_size: global, images per update.
        seed: of every latent and label.
    """

    def __init__(
        self,
        generator: tf.keras.Model,
        discriminator: tf.keras.Model,
        recipe: Recipe,
        batch_size: int,
        seed: int = 0,
    ):
        super().__init__(name="gan")
        self.generator = generator
        self.discriminator = discriminator
        self.recipe = recipe
        self.batch_size = batch_size
        self.seed = seed
        self._strategy = tf.distribute.get_strategy()
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
        self._discriminator_loss, self._generator_loss = losses.ADVERSARIAL[recipe.loss]

    def _adam(self, learning_rate: float) -> tf.keras.optimizers.legacy.Adam:
        recipe = self.recipe
        return tf.keras.optimizers.legacy.Adam(
            learning_rate, recipe.beta1, recipe.beta2, recipe.adam_epsilon
        )

    def train_discriminator(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """One update of D on this replica's real images and as many fake ones."""
        z, y = self.draw(seed)
        fake = self.generator(z, y, training=True, statistics=batch_statistics)
        both = tf.concat([fake, images], axis=0), tf.concat([y, labels], axis=0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.discriminator.trainable_variables)
            logits = self.discriminator(*both, training=True)
            fake_logits, real_logits = tf.split(logits, 2)
            real_loss, fake_loss = self._discriminator_loss(real_logits, fake_logits)
            loss = real_loss + fake_loss
        norm = self._update(
            self.discriminator_optimizer, tape, loss, self.discriminator
        )
        return {
            "loss/discriminator": loss,
            "loss/discriminator_real": real_loss,
            "loss/discriminator_fake": fake_loss,
            "accuracy/real": tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
            "accuracy/fake": tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32)),
            "gradient_norm/discriminator": norm,
        }

    def train_generator(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update of G, and of its moving average."""
        z, y = self.draw(seed)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.generator.trainable_variables)
            fake = self.generator(z, y, training=True, statistics=batch_statistics)
            logits = self.discriminator(fake, y, training=True)
            loss = adversarial = self._generator_loss(logits)
            if self.recipe.orthogonal_penalty:
                loss += self.recipe.orthogonal_penalty * self.orthogonality()
        norm = self._update(self.generator_optimizer, tape, loss, self.generator)
        return {"loss/generator": adversarial, "gradient_norm/generator": norm}

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

    def draw(self, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """This replica's slice of a global batch of latents and labels."""
        spec = self.generator.spec
        z = latents.normal([self.batch_size, spec.latent_size], latents.fold(seed, 0))
        y = latents.labels(self.batch_size, spec.num_classes, latents.fold(seed, 1))
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
        tape: tf.GradientTape,
        loss: tf.Tensor,
        network: tf.keras.Model,
    ) -> tf.Tensor:
        """Applies the gradient of the mean loss over replicas; returns its norm."""
        variables = network.trainable_variables
        gradients = tape.gradient(loss, variables)
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
        strategy = self._strategy

        def one_step(index, totals, first_bad):
            data = [batches.get_next() for _ in range(self.recipe.discriminator_steps)]
            scalars = strategy.run(self.replica_step, args=(data,))
            step = self.step.assign_add(1, read_value=True)
            scalars = {
                name: strategy.reduce("MEAN", scalars[name], axis=None)
                for name in SCALARS
            }
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
