"""Latents that somebody gives, in a file that `sheets.save` wrote or in arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Union

import numpy as np

from biggan_tf import latents
from biggan_tf.checks import as_array
from biggan_tf.errors import BadInput
from biggan_tf.sampling import Sampler
from biggan_tf.sheets import DRAWN_WITH, Row, drawn_with, titled

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
    """Returns given latents, checked; prints a line if another module drew with them.

    Args:
        source: a .npz file of `sheets.save`, or by name its z, float [n, latent_size];
            labels, whole [n] or float [n, num_classes]; and truncation, [n] or one
            number for all.
        flag: that a BadInput names, if they do not fit the module.
    """
    if not isinstance(source, (str, os.PathLike, Mapping)):
        raise BadInput(f"{flag} = {source!r}: give a .npz file, or arrays by name.")
    is_file = not isinstance(source, Mapping)
    if is_file:
        source = os.path.expanduser(source)
    told = f"{flag}={source}" if is_file else flag
    arrays = _load(source, told) if is_file else source
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise BadInput(
            f"{told}: give z, labels and truncation; {missing[0]} is missing."
        )
    here = drawn_with(sampler)
    known = [(str(arrays[n]), here[n]) for n in here if n in arrays and here[n]]
    if any(there not in ("", now) for there, now in known):
        print(f"{told}: another module drew its images, so these will differ")
    z, y = sampler.inputs(arrays["z"], arrays["labels"], f"{told}: ")
    truncation = as_array(f"{told}: truncation", arrays["truncation"])
    several = truncation.shape in ((), (len(z),))
    if not several or truncation.dtype.kind not in "fiu":
        raise BadInput(
            f"{told}: truncation does not fit; take a number, or [{len(z)}] of them."
        )
    truncation = np.broadcast_to(np.float32(truncation), [len(z)])
    for value in set(truncation.tolist()):
        latents.check_truncation(sampler.convention, value, f"{told}: truncation")
    return Given(z, y, truncation)


def _load(path: Any, told: str) -> Mapping[str, np.ndarray]:
    try:
        if not os.path.isfile(path):  # a pipe would never end
            raise FileNotFoundError(path)
        with open(path, "rb") as file:
            found = np.load(file)
            names = getattr(found, "files", ())  # a .npy is one array without a name
            wanted = (*ARRAYS, *DRAWN_WITH)
            return {name: found[name] for name in wanted if name in names}
    except Exception as error:  # a broken archive can raise anything
        raise BadInput(f"{told}: give a .npz file that `sample` wrote.") from error
