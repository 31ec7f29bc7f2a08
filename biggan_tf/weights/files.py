"""Opening published files without running any code from them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from biggan_tf.errors import BadInput


def read_tensors(path: str | Path, flag: str) -> dict[str, np.ndarray]:
    """The tensors of a state dict, `.npz`, or `.pth` as torch saves it.

    Args:
        path: the file.
        flag: for messages.

    Returns:
        Arrays by name, in the file's order; float64 and half precision as float32.

    Raises:
        BadInput: it cannot be read, or holds something else than tensors by name.
    """
    if Path(path).suffix == ".npz":
        content = _read_npz(Path(path), flag)
    else:
        content = {
            name: value.detach().float().numpy() if hasattr(value, "detach") else value
            for name, value in read_torch(path, flag).items()
        }
    for name, value in content.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise BadInput(
                f"{flag}={path}: {name!r} is no tensor of numbers but a "
                f"{getattr(value, 'dtype', type(value).__name__)}; give the file of "
                "one network's state dict."
            )
    return {name: np.asarray(value, np.float32) for name, value in content.items()}


def _read_npz(path: Path, flag: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BadInput(f"{flag}={path} cannot be read: {error}.") from error


def read_torch(path: str | Path, flag: str) -> dict[Any, Any]:
    """What `torch.save` wrote, which must be a dict; tensors on the CPU.

    Raises:
        BadInput: torch is not installed, or the file is damaged or would run code.
    """
    try:
        import torch
    except ImportError as error:
        raise BadInput(
            f"{flag}={path} is a file of torch, which is not installed: run "
            '`pip install "biggan-tf[import]"`.'
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{flag}={path} is refused: it is damaged, or reading it would run code "
            f"that it brings along ({str(error).partition('.')[0]})."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(f"{flag}={path} cannot be read: {reason}.") from error
    if not isinstance(content, dict):
        raise BadInput(f"{flag}={path} holds a {type(content).__name__}, not a dict.")
    return content
