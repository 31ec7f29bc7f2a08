"""Batch-norm statistics that came with published weights, in a model directory.

`statistics.npz` beside the checkpoints holds what the imported generator is sampled
with, in place of standing statistics that an export would measure. They belong to the
weights of one step: training on makes them stale.
"""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from biggan_tf.errors import BadInput

FILE = "statistics.npz"


@dataclasses.dataclass(frozen=True)
class Statistics:
    """One set of means and variances for each of some truncations.

    Attributes:
        convention: what truncation means, see `latents.TRUNCATIONS`.
        truncations: float32 [sets], ascending; infinity may be the last.
        means, variances: float32 [sets, channels], by the path of the batch norm's
            layer, such as "block0/norm1/norm".
    """

    convention: str
    truncations: np.ndarray
    means: Mapping[str, np.ndarray]
    variances: Mapping[str, np.ndarray]


def save_statistics(
    statistics: Statistics, model_dir: str | os.PathLike[str], step: int
) -> None:
    """Writes the statistics of a model directory's step, whole or not at all."""
    path = Path(model_dir) / FILE
    temporary = path.with_name(f".{FILE}.{os.getpid()}")
    arrays = {
        "step": np.int64(step),
        "convention": np.str_(statistics.convention),
        "truncations": statistics.truncations,
    }
    for layer in statistics.means:
        arrays[f"mean/{layer}"] = statistics.means[layer]
        arrays[f"variance/{layer}"] = statistics.variances[layer]
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)


def load_statistics(model_dir: str | os.PathLike[str], step: int) -> Statistics | None:
    """The statistics that came with the weights of a step; None if there are none.

    Raises:
        BadInput: the file is damaged.
    """
    path = Path(model_dir) / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if arrays["step"] != step:
            return None
        return Statistics(
            str(arrays["convention"]),
            arrays["truncations"],
            *(_under(arrays, p) for p in ("mean/", "variance/")),
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"{path} is damaged ({error}); import the weights again."
        ) from error


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    cut = len(prefix)
    return {name[cut:]: a for name, a in arrays.items() if name.startswith(prefix)}
