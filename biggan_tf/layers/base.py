"""The base of all layers and blocks: their config, and how their variables are made."""

from __future__ import annotations

import inspect
from typing import Any

import tensorflow as tf

from biggan_tf.keras import keras

# Arguments of an untrained `tf.Variable` whose value all replicas compute from the same
# numbers. Each replica has a copy of its own; a checkpoint holds the first replica's.
EQUAL_ON_REPLICAS = {
    "trainable": False,
    "synchronization": tf.VariableSynchronization.ON_READ,
    "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
}


class Layer(keras.layers.Layer):
    """A Keras layer whose config is the arguments of its `__init__`.

    A subclass keeps each of these arguments as the attribute of that name.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for kind in type(self).__mro__:
            if issubclass(kind, Layer):
                names = set(inspect.signature(kind.__init__).parameters)
                for name in names - {"self", "kwargs"}:
                    value = getattr(self, name)
                    config[name] = dict(value) if isinstance(value, dict) else value
        return config

    def add_weight(self, *args: Any, **kwargs: Any) -> tf.Variable:
        """Adds a variable that stays float32 when the layer computes in 16 bits."""
        return super().add_weight(*args, experimental_autocast=False, **kwargs)
