"""What can be done with a model directory that tools/import_weights.py wrote."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from gin import config as gin_config

from biggan_tf import config, loop, networks, saved_model


def restore(model_dir: Path) -> loop.Restored:
    """The model of a directory, whatever was configured before."""
    gin_config.clear_config()
    config.read_back(model_dir)
    return loop.restore(model_dir)


def images(
    model_dir: Path, z: np.ndarray, y: np.ndarray, *truncations: float
) -> list[np.ndarray]:
    """What an export of a model directory would give, without the graphs of one."""
    trained = restore(model_dir)
    generator, statistics, _ = saved_model.for_sampling(
        trained,
        saved_model.Settings(),
        functools.partial(networks.build_generator, trained.family),
    )
    return [
        generator(z, y, statistics=statistics.at(np.float32(truncation))).numpy()
        for truncation in truncations
    ]


def export(model_dir: Path) -> saved_model.Exported:
    """Exports a model directory as the door does, and opens the module."""
    trained = restore(model_dir)
    saved_model.export(
        trained,
        saved_model.Settings(),
        model_dir / "export",
        functools.partial(networks.build_generator, trained.family),
    )
    return saved_model.load(model_dir / "export")
