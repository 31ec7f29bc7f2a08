"""The command-line programs, in processes that need not import TensorFlow anew.

They are forked from one that has imported it and not started it. A `Door` is otherwise
what `python -m biggan_tf.NAME` is; `called` has one process call a program's `main` for
several command lines.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from absl.testing import flagsaver

from biggan_tf import config
from biggan_tf.config.door import parse
from biggan_tf.errors import BadInput

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from torture import FORKS, door  # noqa: E402

# Of a process that sees the package and the tools, and nothing else of ours.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")]),
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class Outcome(NamedTuple):
    """What a program printed, and the sentence it ended with if it refused, or ""."""

    printed: str
    complaint: str


def called(module: str, *command_lines: list[str]) -> list[Outcome]:
    """Of the `main` of a module, such as "biggan_tf.export", for each command line."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "outcomes.json")
        arguments = module, command_lines, path
        process = FORKS.Process(target=write_outcomes, args=arguments)
        process.start()
        process.join(1500)
        process.kill()  # if it hangs
        assert process.exitcode == 0, process.exitcode
        return [Outcome(*pair) for pair in json.loads(Path(path).read_text())]


def write_outcomes(module: str, command_lines: list[list[str]], path: str) -> None:
    # The graph optimiser takes longer than what is computed here.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    program, outcomes = importlib.import_module(module), []
    for arguments in command_lines:
        config.clear()
        printed, complaint = io.StringIO(), ""
        with flagsaver.flagsaver(), contextlib.redirect_stdout(printed):
            try:
                parse([module, *arguments])
                program.main()
            except BadInput as error:
                complaint = str(error)
        outcomes.append(Outcome(printed.getvalue(), complaint))
    Path(path).write_text(json.dumps(outcomes))


class Door:
    """A running program; what it prints goes to a file.

    Args:
        name: of the module, as "train".
        arguments: of the command line.
        params: gin bindings.
        folder: for the file.
        environment: variables besides the present ones.
    """

    def __init__(
        self,
        name: str,
        *arguments: str,
        params: tuple[str, ...] = (),
        folder: Path,
        **environment: str,
    ):
        self._log = folder / f"{name}{time.monotonic_ns()}.log"
        self._log.touch()
        words = [*arguments, *(f"--gin_param={param}" for param in params)]
        inside = name, words, str(self._log)
        self._process = FORKS.Process(target=opened, args=(environment, *inside))
        self._process.start()
        self.pid = self._process.pid

    def until(self, condition: Callable[[], bool], seconds: float = 1500) -> None:
        """Waits for something that the program does."""
        end = time.monotonic() + seconds
        while not condition():
            assert self._process.exitcode is None or condition(), self.output()
            assert time.monotonic() < end, self.output()
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = 1500) -> int:
        """The exit status; negative, the signal that killed it."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"it hangs: {self.output()}")
        return self._process.exitcode

    def output(self) -> str:
        return self._log.read_text()


def opened(environment: dict[str, str], *arguments: object) -> None:
    os.environ.update(environment)
    door(*arguments)


def log_lines(model_dir: Path) -> list[dict]:
    """The whole lines of scalars.jsonl."""
    path = model_dir / "scalars.jsonl"
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def last_step(model_dir: Path) -> int:
    return [{"step": 0}, *log_lines(model_dir)][-1]["step"]


def tf_configs(count: int) -> list[str]:
    """TF_CONFIG of each of so many workers, at free ports of this machine."""
    draw = random.SystemRandom()  # tests seed the usual one, and would draw alike
    addresses = set()
    while len(addresses) < count:
        # Linux gives ports from 32,768 on to connections, maybe before a worker starts.
        port = draw.randrange(20_000, 32_000)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("", port))
            addresses.add(f"127.0.0.1:{port}")
    cluster = {"worker": sorted(addresses)}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(count)
    ]
