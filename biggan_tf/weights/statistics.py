"""What published weights are sampled with, in a model directory.

`statistics.npz` beside the checkpoints holds batch norm's moments, in place of standing
statistics that an export would measure. They belong to the weights of one step:
training on makes them stale.
"""

from __future__ import annotations

import dataclasses
import os
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
        sigmas: float32 scalars by the path of the layer whose kernel they divide; {} if
            a power iteration is to find them.
    """

    convention: str
    truncations: np.ndarray
    means: Mapping[str, np.ndarray]
    variances: Mapping[str, np.ndarray]
    sigmas: Mapping[str, np.ndarray]


def save_statistics(
    statistics: Statistics, model_dir: str | os.PathLike[str], step: int
) -> None:
    """Writes the statistics of a model directory's step."""
    arrays = {"step": np.int64(step)}
    for name, value in dataclasses.asdict(statistics).items():
        if isinstance(value, dict):
            arrays |= {f"{name}/{path}": array for path, array in value.items()}
        else:
            arrays[name] = np.asarray(value)
    np.savez(Path(model_dir) / FILE, **arrays)


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
        convention, truncations = str(arrays["convention"]), arrays["truncations"]
        if arrays["step"] != step:
            return None
    except Exception as error:  # a broken archive can raise anything
        raise BadInput(f"{path} is damaged ({error}); import again.") from error
    tables = (
        {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        for prefix in ("means/", "variances/", "sigmas/")
    )
    return Statistics(convention, truncations, *tables)
