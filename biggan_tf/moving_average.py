"""The moving average of G's weights, an optimiser around the one that trains them.

Where TensorFlow Addons exists, which is with TensorFlow 2.15, `MovingAverage` is its
own; elsewhere it is `Twin`, with the same numbers, slots and keys in a checkpoint.
"""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow as tf

from biggan_tf.keras import IN_TENSORFLOW, keras


class Twin(keras.optimizers.legacy.Optimizer):
    """Keeps `average`, a slot beside each weight that another optimiser trains.

    Every update moves it: average += (1 - decay) * (weight - average). Updates before
    `start_step` set it to the weight.

    Args:
        optimizer: a legacy optimiser of Keras 2; it shares this one's iterations.
        average_decay: in [0, 1].
        start_step: number of updates.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.legacy.Optimizer,
        average_decay: float,
        start_step: int,
    ):
        super().__init__("MovingAverage")
        self._optimizer = optimizer
        self._track_trackable(optimizer, "awg_optimizer")
        self._decay, self._start_step = average_decay, start_step

    def _create_slots(self, var_list: list[tf.Variable]) -> None:
        self._optimizer._create_slots(var_list)
        for variable in var_list:
            self.add_slot(variable, "average", variable.read_value())

    def _create_hypers(self) -> None:
        self._optimizer._create_hypers()

    def _prepare_local(self, device: str, dtype: tf.DType, apply_state: dict) -> None:
        self._optimizer._prepare_local(device, dtype, apply_state)
        starts = self.iterations >= self._start_step
        apply_state[device, dtype]["average"] = tf.where(starts, self._decay, 0.0)

    def apply_gradients(self, *args: Any, **kwargs: Any) -> tf.Operation:
        self._optimizer._iterations = self.iterations
        return super().apply_gradients(*args, **kwargs)

    def _resource_apply_dense(
        self, grad: tf.Tensor, var: tf.Variable, apply_state: dict
    ) -> tf.Operation:
        optimizer, average = self._optimizer, self.get_slot(var, "average")
        trained = optimizer._resource_apply_dense(grad, var, apply_state=apply_state)
        decay = apply_state[var.device, var.dtype.base_dtype]["average"]
        moved = average.assign_sub((average - var) * (1.0 - decay))
        return tf.group(trained, moved)


if IN_TENSORFLOW:
    with warnings.catch_warnings():  # at every start it says that it has ended
        warnings.simplefilter("ignore")
        from tensorflow_addons.optimizers import MovingAverage
else:
    MovingAverage = Twin
