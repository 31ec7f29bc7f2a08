"""One update of one network: micro-batches, replicas, optimiser."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from biggan_tf.keras import keras
from biggan_tf.latents import Draws

Scalars = dict[str, tf.Tensor]
# On one replica: (images and labels if the loss needs any, draws, training) -> scalars
# and gradients. `training` says whether the power-iteration vectors u move.
Gradients = Callable[..., tuple[Scalars, list[tf.Tensor]]]


class LossScale(tf.Module):
    """What a loss is multiplied by, so that gradients in float16 do not vanish.

    Halved when a gradient overflows; doubled after `DOUBLED_AFTER` updates without.

    Attributes:
        value: float32, the scale.
        good_updates: int32, since it last changed.
        skipped: int64, how many updates were skipped for an infinite gradient.
    """

    FIRST, LEAST, DOUBLED_AFTER = 2.0**10, 1.0, 2000

    def __init__(self):
        super().__init__(name="loss_scale")
        self.value = tf.Variable(self.FIRST, trainable=False, name="value")
        self.good_updates = tf.Variable(0, trainable=False, name="good_updates")
        self.skipped = tf.Variable(0, False, name="skipped", dtype=tf.int64)

    def move(self, finite: tf.Tensor) -> None:
        """Notes whether an update's gradients were finite, on all replicas at once."""
        good = tf.where(finite, self.good_updates + 1, 0)
        doubled = tf.equal(good, self.DOUBLED_AFTER)
        factor = tf.where(finite, tf.where(doubled, 2.0, 1.0), 0.5)
        self.value.assign(tf.clip_by_value(self.value * factor, self.LEAST, 2.0**100))
        self.good_updates.assign(tf.where(doubled, 0, good))
        self.skipped.assign_add(tf.where(finite, tf.zeros([], tf.int64), 1))


def loss_scales(
    generator: keras.Model, discriminator: keras.Model
) -> dict[str, LossScale]:
    """Makes a loss scale for each network whose gradients pass through float16."""
    half = [
        network.spec.precision == "mixed_float16"
        for network in (generator, discriminator)
    ]
    needed = {"generator": any(half), "discriminator": half[1]}  # G's pass through D
    return {name: LossScale() for name, needs in needed.items() if needs}


class Update:
    """Updates a network once from the gradients of its loss over a batch.

    The batch may come in micro-batches, one after the other, to save memory. The
    gradient is the mean over micro-batches and replicas.

    Args:
        network: what is updated.
        optimizer: applies the gradients; its slots must exist. None: a frozen network.
        gradients: computes a micro-batch's scalars and gradients on one replica.
        scalars: the names of these scalars.
        batch_size: images, over all micro-batches and replicas.
        micro_batches: how many the batch is cut into.
        after: is called on each replica after each update, with whether it was
            applied, a bool scalar.
        jit_compile: whether XLA compiles what a replica does in one micro-batch.
        loss_scale: for float16, by which `gradients` are multiplied; else None.
        state: other variables. If gradients are infinite, they go back to what they
            were before the last micro-batch.
    """

    def __init__(
        self,
        network: keras.Model,
        optimizer: keras.optimizers.legacy.Optimizer | None,
        gradients: Gradients,
        scalars: Sequence[str],
        batch_size: int,
        micro_batches: int = 1,
        after: Callable[[tf.Tensor], None] = lambda applied: None,
        jit_compile: bool = False,
        loss_scale: LossScale | None = None,
        state: Sequence[tf.Variable] = (),
    ):
        self.optimizer, self.loss_scale = optimizer, loss_scale
        self._state = state if loss_scale else ()
        self._variables = network.trainable_variables
        self._norm_name = f"gradient_norm/{network.name}"
        self._gradients, self._scalars = gradients, tuple(scalars)
        self._batch_size, self._micro_batches = batch_size, micro_batches
        self._after = after
        self._strategy = tf.distribute.get_strategy()
        summed = self._variables if micro_batches > 1 else []
        self._sums = [
            tf.Variable(
                tf.zeros_like(variable),
                trainable=False,
                # Every replica has its own.
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for variable in summed
        ]
        self._earlier, self._last = self._accumulate, self._apply
        if jit_compile:  # XLA compiles each once, for all calls
            compiled = functools.partial(tf.function, autograph=False, jit_compile=True)
            self._earlier, self._last = map(compiled, (self._accumulate, self._apply))

    def __call__(self, next_batch: Callable[[], tuple], seed: tf.Tensor) -> Scalars:
        """Updates the network on all replicas.

        `next_batch` gives the images and labels of the next micro-batch, or (); `seed`
        is that of everything drawn. Returns the scalars, means over the whole batch,
        and the norm of the gradient.
        """
        last = self._micro_batches - 1

        # Sum the gradients of all micro-batches but the last.
        def accumulate(index: tf.Tensor, totals: Scalars) -> tuple[tf.Tensor, Scalars]:
            scalars = self._on_replicas(self._earlier, next_batch(), seed, index)
            return index + 1, {name: totals[name] + scalars[name] for name in totals}

        totals: Scalars = dict.fromkeys(self._scalars, 0.0)
        if last:
            _, totals = tf.while_loop(
                lambda index, _: index < last, accumulate, (0, totals)
            )

        # The last micro-batch: u moves, and the optimiser updates the weights.
        scalars = self._on_replicas(self._last, next_batch(), seed, last)
        for name, total in totals.items():
            scalars[name] = (total + scalars[name]) / self._micro_batches
        return scalars

    def _on_replicas(
        self, method: Callable, data: tuple, seed: tf.Tensor, index: int | tf.Tensor
    ) -> Scalars:
        """Calls a method on every replica; returns the means of its scalars."""
        scalars = self._strategy.run(method, args=(data, seed, index))
        return {
            name: self._strategy.reduce("MEAN", scalar, axis=None)
            for name, scalar in scalars.items()
        }

    def _accumulate(
        self, data: tuple, seed: tf.Tensor, index: int | tf.Tensor
    ) -> Scalars:
        draws = self._draws(seed, index)
        scalars, gradients = self._gradients(*data, draws, training=False)
        for total, gradient in zip(self._sums, gradients):
            total.assign_add(gradient)
        return scalars

    def _apply(self, data: tuple, seed: tf.Tensor, index: int | tf.Tensor) -> Scalars:
        draws, before = self._draws(seed, index), [*map(tf.identity, self._state)]
        scalars, gradients = self._gradients(*data, draws, training=True)
        if self._sums:
            gradients = [
                (total + gradient) / self._micro_batches
                for total, gradient in zip(self._sums, gradients)
            ]
            for total in self._sums:
                total.assign(tf.zeros_like(total))
        replicas = tf.distribute.get_replica_context()
        if replicas.num_replicas_in_sync > 1:
            gradients = replicas.all_reduce("MEAN", gradients)
        if self.loss_scale is not None:
            gradients = [gradient / self.loss_scale.value for gradient in gradients]
        norm, finite = tf.linalg.global_norm(gradients), tf.constant(True)
        if self.loss_scale is not None:
            finite = tf.math.is_finite(norm)
            cannot_fall = self.loss_scale.value <= LossScale.LEAST
            replicas.merge_call(self._descend_if, args=(finite, *gradients))
            for variable, value in zip(self._state, before):
                variable.assign(tf.where(finite, variable, value))
            # No alarm for an update that was skipped, if a lower scale may do.
            norm = tf.where(finite | cannot_fall, norm, 0.0)
        elif self.optimizer is not None:
            self._descend(*gradients)
        self._after(finite)
        return {**scalars, self._norm_name: norm}

    @property
    def gradient_of_loss(self) -> tf.Tensor | None:
        """What the backward pass begins with; None for 1."""
        if self.loss_scale is None:
            return None
        return tf.convert_to_tensor(self.loss_scale.value)

    def _descend(self, *gradients: tf.Tensor) -> None:
        self.optimizer.apply_gradients(
            zip(gradients, self._variables), experimental_aggregate_gradients=False
        )

    def _descend_if(
        self, strategy: tf.distribute.Strategy, finite: tf.Tensor, *gradients: tf.Tensor
    ) -> None:
        """Updates the weights on all replicas if the gradients are finite."""
        finite = strategy.experimental_local_results(finite)[0]

        def descend() -> int:
            strategy.extended.call_for_each_replica(self._descend, args=gradients)
            return 0

        if self.optimizer is not None:
            tf.cond(finite, descend, lambda: 0)
        self.loss_scale.move(finite)

    def _draws(self, seed: tf.Tensor, index: int | tf.Tensor) -> Draws:
        return Draws(seed, self._batch_size, self._micro_batches, index)


def assign_alike(pairs: Iterable[tuple[tf.Variable, tf.Tensor]]) -> None:
    """Assigns new values to variables, inside a replica.

    Every replica must have computed the same values.
    """
    extended = tf.distribute.get_strategy().extended
    for variable, value in pairs:
        extended.update(variable, lambda copy, own: copy.assign(own), args=(value,))
