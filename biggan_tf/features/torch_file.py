"""Reads files of PyTorch without PyTorch and without running their code."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import tensorflow as tf

from biggan_tf.errors import BadInput

_MAGIC = 0x1950A86A20F9469CFC6C


def _view(
    values: np.ndarray,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    requires_grad: object = False,
    hooks: object = None,
    flags: dict[str, bool] | None = None,  # "neg": the numbers lack their sign
) -> np.ndarray:
    if flags:
        told = f"a tensor is flagged {' and '.join(flags)}"
        raise ValueError(f"{told}; save what its resolve_neg() returns")
    values = values[offset:]
    last = sum((size - 1) * stride for size, stride in zip(shape, strides))
    if min((0, offset, *strides)) < 0 or last >= len(values):
        raise ValueError("a tensor reaches outside its storage")
    strides = [stride * values.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(values, shape, strides)


def _parameter(tensor: np.ndarray, *_: object) -> np.ndarray:
    return tensor


# The names that a file may ask for; storages are arrays of these dtypes.
_KNOWN = {
    "collections.OrderedDict": OrderedDict,
    "torch.Size": tuple,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch.BFloat16Storage": tf.bfloat16.as_numpy_dtype,
    "torch.BoolStorage": "?",
    "torch.ByteStorage": "u1",
    "torch.CharStorage": "i1",
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.IntStorage": "<i4",
    "torch.LongStorage": "<i8",
    "torch.ShortStorage": "<i2",
}
_CUT_SHORT = "it is cut short; download it again"
_SAVE = "load it where you trust it and save the state_dict() of the network alone"


class _TensorsOnly(pickle.Unpickler):
    """Knows the few names that tensors in containers need, and refuses all others.

    Tensors become views of arrays, which `storages` holds by key, to be filled.
    """

    def __init__(self, file: IO[bytes], most_bytes: int):
        super().__init__(file)
        self.storages: dict[str, np.ndarray] = {}
        self._most_bytes = most_bytes

    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        name = f"{module}.{name}"
        if name not in _KNOWN:
            raise pickle.UnpicklingError(
                f"it asks for {name}, beyond what tensors need; {_SAVE}"
            )
        return _KNOWN[name]

    def persistent_load(self, reference: tuple) -> np.ndarray:
        kind, dtype, key, _, count, *_ = reference
        if kind != "storage":
            raise pickle.UnpicklingError(f"it refers to a {kind}")
        if key not in self.storages:
            if not 0 <= count * np.dtype(dtype).itemsize <= self._most_bytes:
                raise ValueError("a tensor is larger than the file")
            self.storages[key] = np.empty(count, dtype)
        return self.storages[key]


def read(path: str | os.PathLike[str]) -> Any:
    """Returns what `torch.save` wrote, before PyTorch 1.6 or since; tensors are arrays.

    BadInput if the file is cut short, or holds more than tensors, numbers, text, dicts
    and lists.
    """
    try:
        with open(path, "rb") as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    return _read_archive(archive, os.path.getsize(path))
            file.seek(0)
            if file.read(4) == b"PK\x03\x04":  # an archive without its end
                raise EOFError
            file.seek(0)
            return _read_pickles(file, os.path.getsize(path))
    except Exception as error:  # a broken pickle can raise anything
        is_cut = isinstance(error, EOFError) or "truncated" in str(error)
        reason = _CUT_SHORT if is_cut else error
        raise BadInput(f"{path} is no file of PyTorch's tensors: {reason}.") from error


def _read_archive(archive: zipfile.ZipFile, size: int) -> Any:
    """The form since 1.6: NAME/data.pkl, and each storage in NAME/data/KEY."""
    names = set(archive.namelist())
    indices = [name for name in names if name.endswith("/data.pkl")]
    if len(indices) != 1:
        some = ", ".join(sorted(names)[:3])
        raise ValueError(
            f"it is a zip archive of {len(names)} other files ({some}); unpack it and "
            "give the file of tensors in it, if there is one"
        )
    folder = indices[0].removesuffix("/data.pkl")
    if any(name.startswith(f"{folder}/code/") for name in names):
        raise ValueError(f"it is a program of TorchScript; {_SAVE}")
    order = f"{folder}/byteorder"
    if order in names and archive.read(order) != b"little":
        raise ValueError("its numbers are big-endian")
    with archive.open(indices[0]) as file:
        unpickler = _TensorsOnly(file, size)
        content = unpickler.load()
    for key, storage in unpickler.storages.items():
        with archive.open(f"{folder}/data/{key}") as file:
            _fill(storage, file)
    return content


def _read_pickles(file: IO[bytes], size: int) -> Any:
    """The form before 1.6: five pickles, then each storage, its length first."""
    if _TensorsOnly(file, size).load() != _MAGIC:
        raise ValueError("it starts otherwise")
    _, machine = (_TensorsOnly(file, size).load() for _ in range(2))
    if not machine["little_endian"]:
        raise ValueError("its numbers are big-endian")
    unpickler = _TensorsOnly(file, size)
    content = unpickler.load()
    keys = _TensorsOnly(file, size).load()
    for key in keys:
        storage = unpickler.storages.pop(key)
        count = np.empty(1, "<i8")
        _fill(count, file)
        if count[0] != len(storage):
            raise ValueError(f"storage {key} has another size than its tensors")
        _fill(storage, file)
    if unpickler.storages:
        raise ValueError("it lacks the data of some tensors")
    return content


def _fill(storage: np.ndarray, file: IO[bytes]) -> None:
    data = file.read(storage.nbytes)
    if len(data) != storage.nbytes:
        raise EOFError
    storage[:] = np.frombuffer(data, storage.dtype)
