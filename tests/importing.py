"""Running tools/import_weights.py, and what can be done with what it writes."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gin import config as gin_config

from biggan_tf import config, loop, networks, saved_model

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")]),
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

# Runs the tool once for each list of arguments, in one process.
TOOL = """
import contextlib, io, json, sys
from absl import flags
from absl.testing import flagsaver
from gin import config as gin_config
import import_weights
from biggan_tf import config
from biggan_tf.errors import BadInput
outcomes = []
for arguments in json.loads(sys.argv[1]):
    gin_config.clear_config()
    printed, complaint = io.StringIO(), ""
    with flagsaver.flagsaver(), contextlib.redirect_stdout(printed):
        flags.FLAGS(["import_weights", *arguments])
        try:
            with config.call_errors():
                import_weights.main()
        except BadInput as error:
            complaint = str(error)
    outcomes.append([printed.getvalue(), complaint])
print(json.dumps(outcomes))
"""


class Outcome(NamedTuple):
    """What the tool printed, and the sentence it ended with if it refused."""

    printed: str
    complaint: str


def import_weights(*command_lines: list[str]) -> list[Outcome]:
    """Runs the tool once for each list of arguments."""
    result = subprocess.run(
        [sys.executable, "-c", TOOL, json.dumps(command_lines)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return [Outcome(*pair) for pair in json.loads(result.stdout.splitlines()[-1])]


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
