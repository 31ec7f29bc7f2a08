"""Kills a training many times, and compares its end with an uninterrupted one.

    python tools/torture.py --kills=100 --seed=0

The program is `biggan_tf.train` with a small model that saves a checkpoint every second
step. The same command starts it again and again, and SIGKILL ends it at a moment drawn
from the seed: while it starts, during its steps, or as soon as the first file of a new
checkpoint appears. After the last kill it runs to the end. Then it must agree bit for
bit with the uninterrupted run in everything in the last checkpoint (weights, average,
optimisers, step), `scalars.jsonl`, the curves in the event files and the list of
checkpoints. The exit status is 1 if anything differs.

To save the time of importing TensorFlow, all processes are forked from one that has
imported it but not started it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import multiprocessing
import os
import random
import re
import runpy
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader

CHECKPOINT_EVERY = 2  # steps, which are a tick too
STARTING_SECONDS = 12  # that a start takes, or more
MOST_TICKS = 3  # of progress in a process that is killed
PARAMS = (
    f"train.tick_steps = {CHECKPOINT_EVERY}",
    f"train.checkpoint_every_steps = {CHECKPOINT_EVERY}",
    "train.keep_every_steps = 100",
    "monitor.spectra_every_steps = 2",
    "monitor.samples_every_steps = 0",
    "gan.discriminator_steps = 1",
    "generator.attention = ()",
    "discriminator.attention = ()",
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["biggan_tf.loop"])


def door(name: str, arguments: list[str], log: str) -> None:
    """Is `python -m biggan_tf.NAME ARGUMENTS > log 2>&1`, in a forked process."""
    with open(log, "a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    # The graph optimiser takes longer than the steps here.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    sys.argv = [name, *arguments]
    runpy.run_module(f"biggan_tf.{name}", run_name="__main__", alter_sys=True)


def start(model_dir: Path, total_steps: int) -> BaseProcess:
    """The training, in a process of its own."""
    params = [*PARAMS, f"train.total_steps = {total_steps}"]
    arguments = ["--gin_file=test.gin", f"--model_dir={model_dir}"]
    arguments += [f"--gin_param={param}" for param in params]
    log = str(model_dir.with_suffix(".log"))
    process = FORKS.Process(target=door, args=("train", arguments, log))
    process.start()
    return process


def names(model_dir: Path) -> list[str]:
    """Returns the names of the files of checkpoints."""
    with contextlib.suppress(FileNotFoundError):
        return [n for n in os.listdir(model_dir / "checkpoints") if n[:5] == "ckpt-"]
    return []


def steps(model_dir: Path) -> set[int]:
    """Returns the steps of all checkpoints, unfinished ones too."""
    return {int(re.match(r"ckpt-(\d+)", name)[1]) for name in names(model_dir)}


def unfinished(model_dir: Path) -> bool:
    """Whether a checkpoint was being written."""
    there = names(model_dir)
    whole = {name for name in there if name.endswith(".index")}
    return any(re.match(r"ckpt-\d+", name)[0] + ".index" not in whole for name in there)


def strike(model_dir: Path, total_steps: int, draw: random.Random) -> str:
    """Starts the training, kills it, and returns what it was doing."""
    kind = draw.choices(["start", "step", "checkpoint"], [15, 40, 45])[0]
    moment, ticks = draw.random(), draw.randint(1, MOST_TICKS)
    before = steps(model_dir)
    process = start(model_dir, total_steps)
    if kind == "start":
        time.sleep(STARTING_SECONDS * moment)
    else:
        goal = max(before, default=0) + ticks * CHECKPOINT_EVERY
        while max(steps(model_dir), default=0) < goal:
            if not process.is_alive():
                sys.exit(f"it ended by itself, see {model_dir.with_suffix('.log')}")
            time.sleep(0.0005)
        time.sleep(moment * (0.3 if kind == "step" else 0.01))
    process.kill()
    process.join()
    if max(steps(model_dir), default=0) <= max(before, default=0):
        return "starting"
    return "saving" if unfinished(model_dir) else "training"


def findings(model_dir: Path) -> dict[str, object]:
    """Returns everything that must be equal in two runs, by name."""
    folder = model_dir / "checkpoints"
    reader = tf.train.load_checkpoint(str(folder))
    found: dict[str, object] = {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in reader.get_variable_to_shape_map()
    }
    found["files of checkpoints"] = sorted(path.name for path in folder.glob("**/*"))
    lines = (model_dir / "scalars.jsonl").read_text().splitlines()
    found["scalars.jsonl"] = [
        {k: v for k, v in json.loads(line).items() if not k.startswith("speed/")}
        for line in lines
    ]
    for path in sorted(model_dir.glob("events.*")):
        for event in event_file_loader.LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if not value.tag.startswith("speed/"):
                    name = f"event {value.tag} of step {event.step}"
                    found[name] = value.tensor.SerializeToString()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="for both runs; a temporary one by default")
    options = parser.parse_args()
    if options.kills < 1:
        parser.error(f"--kills={options.kills}: take 1 or more.")
    if options.folder and Path(options.folder).is_file():
        parser.error(f"--folder={options.folder}: give a folder.")
    folder = Path(options.folder or tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    # More steps than the run reaches between the kills, even on a busy machine, where a
    # kill comes late.
    total_steps = CHECKPOINT_EVERY * (MOST_TICKS + 1) * options.kills + 40
    uninterrupted, tortured = folder / "uninterrupted", folder / "tortured"
    whole = start(uninterrupted, total_steps)
    draw, doing = random.Random(options.seed), collections.Counter()
    begin = time.monotonic()
    for kill in range(1, options.kills + 1):
        doing[strike(tortured, total_steps, draw)] += 1
        print(f"kill {kill}, at step {max(steps(tortured), default=0)}", flush=True)
    reached = max(steps(tortured), default=0)
    for process in (start(tortured, total_steps), whole):
        process.join()
        if process.exitcode:
            sys.exit(f"exit status {process.exitcode}, see the logs in {folder}")
    found, expected = findings(tortured), findings(uninterrupted)
    logged = [line["step"] for line in found["scalars.jsonl"]]
    different = [
        name
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    ]
    if logged != list(range(CHECKPOINT_EVERY, total_steps + 1, CHECKPOINT_EVERY)):
        different.append("the steps of scalars.jsonl")
    print(
        f"{options.kills} kills in {time.monotonic() - begin:.0f} s, seed "
        f"{options.seed}: {doing['starting']} while starting, {doing['training']} "
        f"between steps and checkpoints, {doing['saving']} while a checkpoint was "
        f"written; the last one at step {reached} of {total_steps}.\n"
        f"{len(found):,} things compared, {len(different)} different"
        + "".join(f"\n  {name}" for name in different[:20])
    )
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
