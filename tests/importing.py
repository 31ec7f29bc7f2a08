"""What can be done with a model directory that `import_weights` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from doors import called

from biggan_tf import config, run, saved_model
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec
from biggan_tf.checkpoints import Checkpoints
from biggan_tf.gan import Gan
from biggan_tf.sampling import ExportOptions, Sampler


def restore(model_dir: Path) -> run.Trained:
    """The model of a directory, whatever was configured before."""
    config.clear()
    config.read_back(model_dir)
    return run.restore(model_dir)


def restore_gan(model_dir: Path) -> Gan:
    """All that would be trained on."""
    data = restore(model_dir).data
    sizes = data.image_size, data.num_classes
    specs = GeneratorSpec(*sizes), DiscriminatorSpec(*sizes)
    gan = run.build_gan(*specs, run.TrainOptions(), run.LatentOptions())
    Checkpoints(model_dir / "checkpoints", gan).restore_latest()
    return gan


def images(
    model_dir: Path, z: np.ndarray, y: np.ndarray, *truncations: float
) -> list[np.ndarray]:
    """What an export of a model directory would give, without the graphs of one."""
    _, sampler = run.inference_generator(restore(model_dir), ExportOptions())
    return [sampler.images(z, y, truncation) for truncation in truncations]


def export(model_dir: Path) -> Sampler:
    """Exports a model directory and opens the module."""
    [outcome] = called("biggan_tf.export", [f"--model_dir={model_dir}"])
    assert outcome.complaint == ""
    return saved_model.load(model_dir / "export")
