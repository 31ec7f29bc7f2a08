"""State dicts of networks and optimisers in files, however they are wrapped."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from biggan_tf import files
from biggan_tf.errors import BadInput
from biggan_tf.features import torch_file
from biggan_tf.weights import safetensors

# Parts of a key, or of a name before its first full stop, that say nothing of which
# network it is: "state_dict", "module", "netG", "_orig_mod", "optimizer_D", ...
NEUTRAL = (
    "state_?dict|checkpoint|optimi[sz]er|optim|orig_mod|module|model|network|net|"
    "weights|params|[^a-z]"
)
# What is left of it, by network.
ROLES = {
    "generator": "g|gen|generator",
    "discriminator": "d|dis|disc|discriminator",
    "generator_ema": "ema|ema(g|gen|generator)|(g|gen|generator)ema",
}
FORMATS = ".pth, .safetensors or .npz"


class StateDicts:
    """The networks and optimisers in a file, and which of them were read.

    BadInput, which names the flag of the file, if it cannot be read without running
    code.
    """

    def __init__(self, path: str, flag: str):
        self._path, self._content = path, _read_dict(path, flag)
        self._networks = dict(_inner(self._content, _has_tensors))
        self._optimizers = dict(_inner(self._content, lambda d: "param_groups" in d))
        self._held = {*self._networks, *self._optimizers}  # by key
        self._read: set[str] = set()

    def tensors(self, flag: str, network: str) -> dict[str, np.ndarray]:
        """Returns the tensors of one network, float32, by name in the file's order.

        Dicts around the state dict and words before all names are taken off. If there
        are several networks, `network` (a key of `ROLES`) says which. BadInput if there
        is not just one such network.
        """
        file, key = f"{flag}={self._path}", ""
        content = self._content
        if self._networks:
            key = _choose(self._networks, network, file)
            content = dict(self._networks[key])
        _check_tensors(content, file)
        content.pop("n_averaged", None)  # of torch's AveragedModel
        self._read.add(key)
        # Take off words such as "module." while all names begin with such.
        while groups := _by_first_word(content):
            word = _choose(groups, network, file)
            self._held |= {f"{key}.{each}" for each in groups}
            self._read |= {f"{key}.{word}"}
            key, content = f"{key}.{word}", groups[word]
        return {name: np.asarray(value, np.float32) for name, value in content.items()}

    def optimizer(self, flag: str, network: str) -> dict[str, Any]:
        """Returns the state of the optimiser of a network; see `tensors`."""
        if not self._optimizers:
            return self._content
        key = _choose(self._optimizers, network, f"{flag}={self._path}")
        self._read.add(key)
        return self._optimizers[key]

    def unread(self) -> list[str]:
        """Returns the keys of the networks and optimisers that nothing has read."""
        left = sorted(self._held - self._read)
        return [key.strip(".") or "tensors without a key" for key in left]


def read_tensors(path: str, flag: str, network: str) -> dict[str, np.ndarray]:
    """Returns the tensors of one network in a file; see `StateDicts.tensors`."""
    return StateDicts(path, flag).tensors(flag, network)


def _check_tensors(content: Mapping, file: str) -> None:
    """Raises BadInput unless it is a state dict of weights."""
    for name, value in content.items():
        if not isinstance(name, str):
            raise BadInput(f"{file}: give tensors by names; {name!r} is none.")
        if not isinstance(value, np.ndarray) or not _is_of_numbers(value.dtype):
            found = getattr(value, "dtype", type(value).__name__)
            raise BadInput(
                f"{file}: give the state dict of one network; {name!r} is no tensor of "
                f"numbers but a {found}."
            )
        if value.dtype.kind in "iu" and value.size > 1:  # single ones are counts
            raise BadInput(
                f"{file}: give weights that are not quantised; {name!r} is of whole "
                f"numbers ({value.dtype})."
            )


def _read_dict(path: str, flag: str) -> dict[Any, Any]:
    """Returns the dict in a file, whose format its content tells; tensors are arrays.

    Raises BadInput if the file cannot be read without running code.
    """
    files.refuse_failed(Path(path), f"{flag}={path}")
    try:
        with open(path, "rb") as file:
            start = file.read(64)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                of_numpy = all(name.endswith(".npy") for name in archive.namelist())
            if of_numpy:
                with np.load(path, allow_pickle=False) as file:
                    return dict(file)
        elif start[8:9] == b"{":
            return safetensors.read(path)
        elif start.startswith(b"\x1f\x8b") or tarfile.is_tarfile(path):
            raise ValueError("it is an archive; unpack it and give the file in it")
        elif start.startswith(b"PK\x03\x04"):
            raise ValueError("it is a zip file that is cut short; download it again")
        elif not start.startswith(b"\x80"):  # of pickles
            raise ValueError(
                f"it begins with {start[:12]!r}, so it is none of {FORMATS}; give such "
                "a file, or download it again"
            )
        content = torch_file.read(path)
    except BadInput as error:
        raise BadInput(f"{flag}: {error}") from error
    except Exception as error:  # a broken archive can raise anything
        raise BadInput(f"{flag}={path}: cannot be read: {error}.") from error
    if isinstance(content, dict):
        return content
    raise BadInput(f"{flag}={path}: give a dict, not a {type(content).__name__}.")


def _is_of_numbers(dtype: np.dtype) -> bool:
    return dtype.kind in "fiu" or dtype == tf.bfloat16.as_numpy_dtype


def _has_tensors(content: Mapping) -> bool:
    return any(isinstance(value, np.ndarray) for value in content.values())


def _inner(
    content: Mapping,
    is_wanted: Callable[[Mapping], bool],
    key: str = "",
    levels: int = 5,
) -> Iterator[tuple[str, dict]]:
    """Yields the innermost dicts that are wanted, and the keys that lead there.

    Also a dict around them that holds weights itself: tensors whose names have a dot.
    It looks into so many levels, for a file can nest dicts without end.
    """
    if not levels or not all(isinstance(name, str) for name in content):
        return
    deeper = False
    for name, value in content.items():
        if isinstance(value, dict):
            inner_key = f"{key}.{name}" if key else name
            for found in _inner(value, is_wanted, inner_key, levels - 1):
                deeper = True
                yield found
    holds_weights = any(
        "." in name and isinstance(value, np.ndarray) for name, value in content.items()
    )
    if is_wanted(content) and (holds_weights or not deeper):
        yield key, dict(content)


def _role(key: str) -> str | None:
    """Returns the network that a key means, "" for any, None if it means none."""
    rest = re.sub(NEUTRAL, "", key.lower())
    if not rest:
        return ""
    return next((role for role, p in ROLES.items() if re.fullmatch(p, rest)), None)


def _choose(found: Collection[str], network: str, file: str) -> str:
    """Returns the key of what belongs to a network, of all that were found."""
    for role in (network, ""):
        fitting = [key for key in found if _role(key) == role]
        if len(fitting) == 1:
            return fitting[0]
    if len(found) == 1:
        return next(iter(found))
    raise BadInput(
        f"{file}: give the state dict of the {network} alone; which of "
        f"{', '.join(found)} it is cannot be told."
    )


def _by_first_word(
    tensors: Mapping[str, np.ndarray],
) -> dict[str, dict[str, np.ndarray]]:
    """Returns tensors by the first word of their names and then by the rest.

    Nothing if any word is none that a network may be called by.
    """
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        word, stop, rest = name.partition(".")
        if not stop or _role(word) is None:
            return {}
        groups.setdefault(word, {})[rest] = tensor
    return groups
