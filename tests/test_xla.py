"""What a TPU would run compiles with XLA; where it cannot, that is said."""

import subprocess
import sys
from pathlib import Path

import pytest

from biggan_tf import config, loop
from biggan_tf.errors import BadInput

TOOL = Path(__file__).parents[1] / "tools" / "check_xla.py"


def test_everything_compiles_at_32_px():
    command = [sys.executable, TOOL, "--resolutions=32"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for family in ("biggan", "biggan_deep"):
        assert f"| {family}, 32 px | " in done.stdout


def test_several_replicas_are_refused():
    bindings = [
        "train.jit_compile = True",
        "distribution.kind = 'virtual_cpus'",
        "distribution.virtual_cpus = 2",
    ]
    config.parse(["test.gin"], bindings)
    with pytest.raises(BadInput, match=r"train.jit_compile = True.*one_device"):
        loop.make_plan()
