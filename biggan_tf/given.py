"""Latents that somebody gives, in a file that `sheets.save` wrote or in arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Union
from zipfile import BadZipFile

import numpy as np

from biggan_tf import latents
from biggan_tf.errors import BadInput
from biggan_tf.layers import one_hot
from biggan_tf.sampling import Sampler
from biggan_tf.sheets import Row, titled

ARRAYS = ("z", "labels", "truncation")
Latents = Union[str, "os.PathLike[str]", Mapping[str, Any]]


class Given(NamedTuple):
    """What makes images."""

    z: np.ndarray  # float32 [n, latent_size]
    y: np.ndarray  # float32 [n, num_classes], one-hot or soft
    truncation: np.ndarray  # float32 [n]

    def rows(self, sampler: Sampler, columns: int) -> list[Row]:
        """Returns rows of one truncation each, and of `columns` images at most."""
        rows, start = [], 0
        for end in range(1, len(self.z) + 1):
            same = end < len(self.z) and self.truncation[end] == self.truncation[start]
            if same and end - start < columns:
                continue
            truncation = float(self.truncation[start])
            rows.append(Row("", self.z[start:end], self.y[start:end], truncation))
            start = end
        return titled(rows, sampler.class_names)


def read(source: Latents, sampler: Sampler, flag: str) -> Given:
    """Returns given latents, checked.

    Args:
        source: a .npz file of `sheets.save`, or by name its z, float [n, latent_size];
            labels, whole [n] or float [n, num_classes]; and truncation, [n] or one
            number for all.
        flag: that a BadInput names, if they do not fit the module.
    """
    if not isinstance(source, (str, os.PathLike, Mapping)):
        raise BadInput(f"{flag} = {source!r}: give a .npz file, or arrays by name.")
    is_file = not isinstance(source, Mapping)
    told = f"{flag}={os.fspath(source)}" if is_file else flag
    arrays = _load(source, told) if is_file else source
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise BadInput(
            f"{told}: give z, labels and truncation; {missing[0]} is missing."
        )
    z, y, truncation = (_array(arrays[name], f"{told}: {name}") for name in ARRAYS)
    size, classes = sampler.latent_size, sampler.num_classes
    count = len(z) if z.ndim else 0
    soft = _is_number(y) and y.shape == (count, classes)
    hard = y.dtype.kind in "iu" and y.shape == (count,)
    several = truncation.shape in ((), (count,))
    right = {
        "z": _is_number(z) and z.shape == (count, size) and count > 0,
        "labels": soft or (hard and set(y.tolist()) <= set(range(classes))),
        "truncation": several and truncation.dtype.kind in "fiu",
    }
    if wrong := [name for name in ARRAYS if not right[name]]:
        raise BadInput(
            f"{told}: {wrong[0]} does not fit; take z, finite [n, {size}]; labels, [n] "
            f"of 0 to {classes - 1} or [n, {classes}]; truncation, [n]."
        )
    truncation = np.broadcast_to(np.float32(truncation), [count])
    for value in set(truncation.tolist()):
        latents.check_truncation(sampler.convention, value, f"{told}: truncation")
    y = np.float32(y) if soft else one_hot(y.astype(np.int64), classes).numpy()
    return Given(np.float32(z), y, truncation)


def _array(given: Any, told: str) -> np.ndarray:
    try:
        return np.asarray(given)
    except ValueError as error:  # of lists of several lengths
        raise BadInput(f"{told}: give an array ({error}).") from error


def _is_number(x: np.ndarray) -> bool:
    """Returns whether all are finite in float32."""
    largest = np.finfo(np.float32).max
    return x.dtype.kind in "fiu" and bool((np.abs(x) <= largest).all())


def _load(path: Any, told: str) -> Mapping[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            found = np.load(file)
            names = getattr(found, "files", ())  # a .npy is one array without a name
            return {name: found[name] for name in ARRAYS if name in names}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise BadInput(f"{told}: give a .npz file that `sample` wrote.") from error
