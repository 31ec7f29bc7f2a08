"""One update of one network: micro-batches, replicas, optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from biggan_tf.keras import keras
from biggan_tf.latents import Draws

Scalars = dict[str, tf.Tensor]
# On one replica: (images and labels if the loss needs any, draws, training) -> scalars
# and gradients. `training` says whether the power-iteration vectors u move.
Gradients = Callable[..., tuple[Scalars, list[tf.Tensor]]]


class Update:
    """Updates a network once from the gradients of its loss over a batch.

    The batch may come in micro-batches, one after the other, to save memory. The
    gradient is the mean over micro-batches and replicas, so it is the whole batch's.

    Args:
        network: what is updated.
        optimizer: applies the gradients; its slots must exist. None: a frozen network.
        gradients: computes a micro-batch's scalars and gradients on one replica.
        scalars: the names of these scalars.
        batch_size: images, over all micro-batches and replicas.
        micro_batches: how many the batch is cut into.
        after: is called on each replica after each update.
        jit_compile: whether XLA compiles what a replica does in one micro-batch.
    """

    def __init__(
        self,
        network: keras.Model,
        optimizer: keras.optimizers.legacy.Optimizer | None,
        gradients: Gradients,
        scalars: Sequence[str],
        batch_size: int,
        micro_batches: int = 1,
        after: Callable[[], None] = lambda: None,
        jit_compile: bool = False,
    ):
        self.optimizer = optimizer
        self._variables = network.trainable_variables
        self._norm_name = f"gradient_norm/{network.name}"
        self._gradients, self._scalars = gradients, tuple(scalars)
        self._batch_size, self._micro_batches = batch_size, micro_batches
        self._after = after
        self._strategy = tf.distribute.get_strategy()
        self._sums = [
            tf.Variable(
                tf.zeros_like(variable),
                trainable=False,
                # Every replica has its own.
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for variable in self._variables
            if micro_batches > 1
        ]
        self._first, self._last = self._accumulate, self._apply
        if jit_compile:  # one program each, however often it is called
            self._first, self._last = (
                tf.function(method, autograph=False, jit_compile=True)
                for method in (self._accumulate, self._apply)
            )

    def __call__(self, next_batch: Callable[[], tuple], seed: tf.Tensor) -> Scalars:
        """Updates the network on all replicas.

        `next_batch` gives the images and labels of the next micro-batch, or (); `seed`
        is that of everything drawn. Returns the scalars, means over the whole batch,
        and the norm of the gradient.
        """
        last = self._micro_batches - 1

        # Sum the gradients of all micro-batches but the last.
        def accumulate(index: tf.Tensor, totals: Scalars) -> tuple[tf.Tensor, Scalars]:
            scalars = self._on_replicas(self._first, next_batch(), seed, index)
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
        draws = self._draws(seed, index)
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
        if self.optimizer is not None:
            self.optimizer.apply_gradients(
                zip(gradients, self._variables), experimental_aggregate_gradients=False
            )
        self._after()
        return {**scalars, self._norm_name: tf.linalg.global_norm(gradients)}

    def _draws(self, seed: tf.Tensor, index: int | tf.Tensor) -> Draws:
        return Draws(seed, self._batch_size, self._micro_batches, index)


def assign_alike(pairs: Iterable[tuple[tf.Variable, tf.Tensor]]) -> None:
    """Assigns new values to variables, inside a replica.

    Every replica must have computed the same values.
    """
    extended = tf.distribute.get_strategy().extended
    for variable, value in pairs:
        extended.update(variable, lambda copy, own: copy.assign(own), args=(value,))
