"""Reads the tensors of a PyTorch file without PyTorch and without running its code."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from biggan_tf.errors import BadInput

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Storage(NamedTuple):
    key: str
    dtype: str
    count: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _TensorsOnly(pickle.Unpickler):
    """Knows the few names that a dict of tensors needs, and refuses all others."""

    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # The rest: requires_grad and hooks.
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, shape, strides
            )
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, reference: tuple) -> _Storage:
        kind, dtype, key, _, count, _ = reference
        if kind != "storage":
            raise pickle.UnpicklingError(f"it refers to a {kind}")
        return _Storage(key, dtype, count)


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """The tensors of a file as PyTorch before 1.6 wrote it: five pickles, then data.

    Args:
        path: of a file that holds one flat dict from names to float32 or int64 tensors.

    Raises:
        BadInput: the file holds anything else, or is cut short.
    """
    try:
        with open(path, "rb") as file:
            return _read(file)
    except Exception as error:  # a broken pickle can raise anything
        raise BadInput(
            f"{path} is no dict of tensors as PyTorch before 1.6 wrote it: {error}."
        ) from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    magic, _, machine = (_TensorsOnly(file).load() for _ in range(3))
    if magic != _MAGIC or not machine["little_endian"]:
        raise ValueError("it starts otherwise")
    tensors = _TensorsOnly(file).load()
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    data = {}
    for key in _TensorsOnly(file).load():
        dtype, count = np.dtype(storages[key].dtype), storages[key].count
        if int.from_bytes(file.read(8), "little") != count:
            raise ValueError(f"storage {key} has another size than its tensors")
        data[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: _view(tensor, data) for name, tensor in tensors.items()}


def _view(tensor: _Tensor, data: dict[str, np.ndarray]) -> np.ndarray:
    values = data[tensor.storage.key][tensor.offset :]
    steps = tuple(zip(tensor.shape, tensor.strides))
    last = sum((size - 1) * stride for size, stride in steps)
    if min((0, tensor.offset, *(stride for _, stride in steps))) < 0 or (
        last >= len(values)
    ):
        raise ValueError("a tensor reaches outside its storage")
    strides = [stride * values.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values, tensor.shape, strides)
    return np.ascontiguousarray(view)
