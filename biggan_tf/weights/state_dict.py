"""Opening state dicts without running code from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.features import torch_file


def read(path: str, flag: str) -> dict[Any, Any]:
    """Returns the dict in a file, `.npz` or PyTorch's; its tensors are arrays.

    Raises BadInput if the file cannot be read without running code.
    """
    try:
        if path.endswith(".npz"):
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        content = torch_file.read(path)
    except BadInput as error:
        raise BadInput(f"{flag}: {error}") from error
    except Exception as error:  # a broken archive can raise anything
        raise BadInput(f"{flag}={path}: cannot be read: {error}.") from error
    if isinstance(content, dict):
        return content
    raise BadInput(f"{flag}={path}: give a dict, not a {type(content).__name__}.")


def read_tensors(path: str, flag: str) -> dict[str, np.ndarray]:
    """Returns the tensors of one network, float32, by name in the file's order."""
    content = read(path, flag)
    for name, value in content.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            found = getattr(value, "dtype", type(value).__name__)
            raise BadInput(
                f"{flag}={path}: give the state dict of one network; {name!r} is no "
                f"tensor of numbers but a {found}."
            )
    return {name: np.asarray(value, np.float32) for name, value in content.items()}
