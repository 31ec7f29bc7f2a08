"""Files of safetensors: the header's length, the header in JSON, the tensors."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import tensorflow as tf

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": tf.bfloat16.as_numpy_dtype,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Returns the tensors by name; ValueError or LookupError if the file is broken."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > os.path.getsize(path) - 8:
            raise ValueError("it is cut short; download it again")
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, about in header.items():
        (start, end), shape = about["data_offsets"], about["shape"]
        if end > len(data):
            raise ValueError("it is cut short; download it again")
        dtype = np.dtype(DTYPES[about["dtype"]])
        if (
            min(start, *shape, 0) < 0
            or end - start != math.prod(shape) * dtype.itemsize
        ):
            raise ValueError(f"{name} has another size than its bytes")
        tensors[name] = np.frombuffer(data[start:end], dtype).reshape(shape)
    return tensors
