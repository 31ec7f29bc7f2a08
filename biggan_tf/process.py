"""Settings of the whole process, which hold while they are needed and then go back.

A program that trains or scores in Python has settings of its own. Threads may overlap.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import config

from biggan_tf.keras import keras

_SEEDS, _POLICY = threading.Lock(), threading.Lock()


class _Switch:
    """A setting that is `value` while any thread is inside `held`."""

    def __init__(
        self, value: bool, read: Callable[[], bool], write: Callable[[bool], None]
    ):
        self._value, self._read, self._write = value, read, write
        self._lock, self._users, self._before = threading.RLock(), 0, value

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._before = self._read()
                self._write(self._value)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._write(self._before)


def _determine(on: bool) -> None:
    if on:
        config.enable_op_determinism()
    else:
        config.disable_op_determinism()


_TF32 = _Switch(
    False,
    config.tensor_float_32_execution_enabled,
    config.enable_tensor_float_32_execution,
)
_DETERMINISM = _Switch(True, config.is_op_determinism_enabled, _determine)


def without_tf32() -> contextlib.AbstractContextManager:
    """Makes GPUs that know TF32 compute in float32.

    The same images should have the same score on all of them.
    """
    return _TF32.held()


def deterministic() -> contextlib.AbstractContextManager:
    """Makes TensorFlow compute the same bits every time, which may be slower."""
    return _DETERMINISM.held()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, all random numbers of Python, NumPy, TensorFlow and Keras follow a seed.

    Afterwards each generator goes on where it was. One thread at a time is inside.
    """
    of_keras = sys.modules[keras.utils.set_random_seed.__module__].backend
    with _SEEDS:
        eager, local = context.context(), of_keras._SEED_GENERATOR
        of_python, of_numpy = random.getstate(), np.random.get_state()
        of_tensorflow = eager._seed, getattr(eager, "_rng", None)
        generator = getattr(local, "generator", None)
        keras.utils.set_random_seed(seed)
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
            tf.random.set_seed(of_tensorflow[0])
            eager._rng = of_tensorflow[1] or eager._rng
            del local.generator
            if generator is not None:
                local.generator = generator


@contextlib.contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Sets the precision of Keras layers that are made inside, one thread at a time."""
    with _POLICY:
        before = keras.mixed_precision.global_policy()
        keras.mixed_precision.set_global_policy(policy)
        try:
            yield
        finally:
            keras.mixed_precision.set_global_policy(before)
