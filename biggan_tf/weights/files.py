"""Opening published files without running any code from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.features import torch_file


def read(path: str, flag: str) -> dict[Any, Any]:
    """The dict in a file, `.npz` or of PyTorch (`.pth`, `.bin`); tensors are arrays.

    Raises:
        BadInput: it cannot be read without running code, or holds no dict.
    """
    try:
        if path.endswith(".npz"):
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        content = torch_file.read(path)
    except BadInput as error:
        raise BadInput(f"{flag}: {error}") from error
    except Exception as error:  # a broken archive can raise anything
        raise BadInput(f"{flag}={path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise BadInput(f"{flag}={path} holds a {type(content).__name__}, not a dict.")
    return content


def read_tensors(path: str, flag: str) -> dict[str, np.ndarray]:
    """The tensors, float32 by name in the file's order, of one network's state dict.

    Raises:
        BadInput: as `read`, or something in it is no tensor of numbers.
    """
    content = read(path, flag)
    for name, value in content.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise BadInput(
                f"{flag}={path}: {name!r} is no tensor of numbers but a "
                f"{getattr(value, 'dtype', type(value).__name__)}; give the file of "
                "one network's state dict."
            )
    return {name: np.asarray(value, np.float32) for name, value in content.items()}
