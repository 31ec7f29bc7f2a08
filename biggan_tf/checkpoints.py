"""Saving and restoring a training: any `tf.Module`, in TensorFlow's checkpoints."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from biggan_tf import files
from biggan_tf.errors import BadInput

T = TypeVar("T")

# What TensorFlow raises when it reads a damaged checkpoint.
DAMAGE = (tf.errors.OpError, IndexError, RuntimeError)

_NAME = "ckpt-[0-9]+"
_STEP = "gan/step/.ATTRIBUTES/VARIABLE_VALUE"  # of a `gan.Gan`


class Checkpoints:
    """The folder `checkpoints/` of a model directory.

    TensorFlow stores a CRC-32C of every tensor, and writes the index, without which
    nothing can be read, last. So a checkpoint that was cut off or damaged is noticed,
    and the one before it is taken.

    The `keep_last` newest checkpoints of every `every_steps` stay, and the newest of
    all, which an interrupted run may have left between two of these. Those of every
    `keep_every_steps` (0: none) stay for good, in the folder `kept`. Without `write`,
    as in a worker that is not the chief, nothing is saved.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        module: tf.Module,
        keep_last: int = 3,
        keep_every_steps: int = 0,
        write: bool = True,
        every_steps: int = 1,
    ):
        self._folder = Path(directory)
        self._checkpoint = tf.train.Checkpoint(gan=module)
        self._keep_last, self._keep_every_steps = keep_last, keep_every_steps
        self._may_write, self._every_steps = write, every_steps
        self._step_on_disk: int | None = None  # what was saved or restored last

    def save(self, step: int) -> None:
        """Writes the state after `step` steps; nothing if it is already there.

        Raises BadInput if it cannot be written; earlier checkpoints do not change.
        """
        if step == self._step_on_disk or not self._may_write:
            return
        if self._keep_every_steps and step and step % self._keep_every_steps == 0:
            self._write(self._folder / "kept", step)
        self._write(self._folder, step)
        self._step_on_disk = step
        found = _found(self._folder)
        newer = [path for path in found if step_of(path) > step]  # damaged ones
        _delete(newer + self._spare([path for path in found if step_of(path) <= step]))

    def _spare(self, found: list[Path]) -> list[Path]:
        """Returns which checkpoints need not stay, of those found, the newest first."""
        regular = [path for path in found if step_of(path) % self._every_steps == 0]
        stay = {found[0], *regular[: self._keep_last]}
        others = [path for path in found if path not in stay]
        return others[max(0, self._keep_last - len(stay)) :]

    def _write(self, folder: Path, step: int) -> None:
        path = folder / f"ckpt-{step}"
        try:
            self._checkpoint.write(str(path))
            # By this file TensorFlow's own functions find the newest; ours do not.
            newest = f'model_checkpoint_path: "{path.name}"\n'
            files.write_text(folder / "checkpoint", newest)
            for leaving in folder.glob("ckpt-*_temp"):  # of a killed process
                shutil.rmtree(leaving, ignore_errors=True)
        except (tf.errors.OpError, OSError) as error:
            raise BadInput(
                f"{path} cannot be written ({_reason(error)}): make room, and run the "
                "same command to go on; the checkpoints before it are whole."
            ) from error

    def keep_best(
        self, step: int, name: str, value: float, lower: bool, protocol: dict[str, Any]
    ) -> None:
        """Writes the state to the folder `best` if it beats the score there.

        Those of the same name and `comparable` protocol compare. Otherwise, or if its
        best.json is lost, what is there is moved to `best-STEP`, with a line; and what
        was moved for others before comes back. A best.json whose checkpoint is lost
        does not count, with a line. With `lower`, lower scores are better.
        """
        folder, sign = self._folder / "best", 1 if lower else -1
        here = comparable(name, protocol)
        record = {"step": step, "score": name, "value": value, "protocol": here}

        def compares(best: dict | None) -> bool:
            if not best or best["score"] != name:
                return False
            return comparable(name, best["protocol"] or here) == here

        best, found = _best(folder), [*map(step_of, _found(folder))]
        if best and best["step"] not in found:
            lost = f"{folder}/ckpt-{best['step']}"
            print(f"{lost} is lost; the best is sought from now on", flush=True)
            best = None
        if best and not compares(best):
            why = f"its {best['score']} and those from now on do not compare"
            _move_apart(folder, best["step"], why)
            best = _bring_back(folder, compares)
        elif not best and {*found} - {step}:
            _move_apart(folder, found[0], "its best.json is lost")
        if best and sign * (best["value"] - value) <= 0:
            return
        self._write(folder, step)
        files.write_json(folder / "best.json", record)
        _delete(path for path in _found(folder) if step_of(path) != step)

    def restore_latest(self) -> str | None:
        """Restores the newest checkpoint and returns its path; None if there is none.

        Raises BadInput if it does not hold the module's variables, if all are damaged,
        or if best.json is.
        """
        _best(self._folder / "best")  # damaged, it would end the first score
        found = read_latest(self._folder, self._restore)
        return found and str(found[0])

    def restore(self, step: int) -> None:
        """Restores the checkpoint that the chief restored; BadInput if it cannot."""
        for path in (self._folder, self._folder / "kept"):
            with contextlib.suppress(*DAMAGE):
                return self._restore(path / f"ckpt-{step}")
        raise BadInput(
            f"{self._folder}/ckpt-{step}, from which the chief goes on, cannot be read "
            "by this worker: --model_dir has to be one folder that all workers share."
        )

    def rewind(self, most: int) -> int:
        """Deletes the checkpoints after `most` steps, but never the first checkpoint.

        Returns the step of the newest that is left, 0 if there is none.
        """
        found = every(self._folder)
        steps = [step for step in map(step_of, found) if step <= most]
        target = max(steps, default=step_of(found[-1]) if found else 0)
        _delete(path for path in found if step_of(path) > target)
        return target

    def _restore(self, path: Path) -> None:
        _open(path)
        try:
            self._checkpoint.read(str(path)).assert_consumed()
        except (AssertionError, ValueError) as error:
            raise BadInput(
                f"{path} does not fit the networks of the configuration "
                f"({_reason(error)}); take the configuration it was made with, or "
                "another --model_dir."
            ) from error
        self._step_on_disk = step_of(path)


def read_latest(folder: Path, read: Callable[[Path], T]) -> tuple[Path, T] | None:
    """Returns the path of the newest whole checkpoint, and what `read` returned of it.

    Returns None if there is no checkpoint. Names each damaged one, for which `read`
    raises one of `DAMAGE`; raises BadInput if all are damaged, or one cannot be opened.
    """
    paths = every(folder)
    for path in paths:
        try:
            return path, read(path)
        except tf.errors.ResourceExhaustedError:  # there is no room in memory
            raise
        except DAMAGE as error:
            print(f"{path} is damaged: {_reason(error)}", flush=True)
    if paths:
        raise BadInput(
            f"{folder}: all {len(paths)} checkpoints in it are damaged; put a copy of "
            "one back, or start anew with another --model_dir."
        )
    return None


def read_best(folder: Path, read: Callable[[Path], T]) -> tuple[Path, T]:
    """Reads what `keep_best` kept, as `read_latest` does; BadInput if it cannot."""
    folder /= "best"
    best = _best(folder)
    if not best:
        raise BadInput(
            f"{folder}: no best checkpoint is kept there; train with "
            "evaluation.every_steps above 0."
        )
    path = folder / f"ckpt-{best['step']}"
    try:
        return path, read(path)
    except DAMAGE as error:
        raise BadInput(f"{path} is damaged: {_reason(error)}.") from error


def read_weights(path: Path, network: str) -> dict[str, np.ndarray]:
    """Returns the variables of one network in a checkpoint of a `gan.Gan`, by path.

    `network` is "generator", "discriminator", or "average": G with the moving averages
    of its weights. Raises BadInput if the checkpoint has the name of another step.
    """
    reader = _open(path)
    graph = TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    root = "discriminator" if network == "discriminator" else "generator"
    keys, averages = {}, {}
    for attribute in (each for node in graph.nodes for each in node.attributes):
        key, name = attribute.checkpoint_key, attribute.full_name.partition("/")[2]
        if "/.OPTIMIZER_SLOT/gan/generator_optimizer/average/" in key:
            averages[name.removesuffix("/average")] = key
        elif key.startswith(f"gan/{root}/") and "/.OPTIMIZER_SLOT/" not in key:
            keys[name] = key
    if network == "average":
        keys.update(averages)
    return {name: reader.get_tensor(key) for name, key in keys.items()}


def check_whole(path: Path) -> None:
    """Reads all of a checkpoint; raises one of `DAMAGE` if that cannot be done."""
    reader = _open(path)
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)


def read_updates(path: Path) -> int:
    """Returns how many updates of G its optimiser counts in a checkpoint."""
    reader = _open(path)
    key = "gan/generator_optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE"
    return int(reader.get_tensor(key)) if reader.has_tensor(key) else 0


def read_average(path: Path) -> dict[str, np.ndarray]:
    """Returns the variables of G, its weights averaged; see `read_weights`."""
    return read_weights(path, "average")


def sha256(weights: dict[str, np.ndarray]) -> str:
    """Returns a hash of what `read_average` returns."""
    whole = hashlib.sha256()
    for name, value in sorted(weights.items()):
        whole.update(name.encode())
        whole.update(np.ascontiguousarray(value))
    return whole.hexdigest()


def _open(path: Path) -> tf.train.CheckpointReader:
    """Opens a checkpoint.

    BadInput if its files cannot be read, which is no damage, or if its name and what it
    holds are of two steps.
    """
    for file in path.parent.glob(f"{path.name}.*"):
        try:
            # A training may delete it meanwhile.
            with contextlib.suppress(FileNotFoundError), open(file, "rb") as opened:
                opened.read(1)
        except OSError as error:
            raise BadInput(
                f"{file} is there but cannot be read ({error.strerror}); make it "
                "readable, and run the same command again."
            ) from error
    reader = tf.train.load_checkpoint(str(path))
    if reader.has_tensor(_STEP) and re.fullmatch(_NAME, path.name):
        held = int(reader.get_tensor(_STEP))
        if held != step_of(path):
            raise BadInput(
                f"{path} was renamed, for it holds step {held}: name its files "
                f"ckpt-{held} again, or move them away."
            )
    return reader


def every(folder: Path) -> list[Path]:
    """Returns all checkpoints in a folder `checkpoints`, the newest first."""
    return sorted(_found(folder) + _found(folder / "kept"), key=step_of, reverse=True)


def locate(source: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Returns the model directory and the checkpoint that --continue_from names.

    The flag names a checkpoint, or a model directory and so its newest checkpoint.
    """
    source = Path(source)
    if re.fullmatch(_NAME, source.name) and Path(f"{source}.index").is_file():
        folders = [f for f in source.parents if (f / "config.gin").is_file()]
        if folders:
            return folders[0], source
    found = every(source / "checkpoints")
    if not found or not (source / "config.gin").is_file():
        raise BadInput(
            f"--continue_from={source}: give a model directory with a checkpoint in "
            "it, or a checkpoint such as runs/demo/checkpoints/ckpt-6500."
        )
    return source, found[0]


def _found(folder: Path) -> list[Path]:
    """Returns the checkpoints directly in a folder, the newest first."""
    # Not by glob, which finds nothing in a folder that may not be listed.
    names = os.listdir(folder) if folder.is_dir() else []
    ours = [re.fullmatch(rf"({_NAME})\.index", name) for name in names]
    return sorted((folder / m[1] for m in ours if m), key=step_of, reverse=True)


def _delete(checkpoints: Iterable[Path]) -> None:
    for path in checkpoints:
        for kind in ("data-*", "index"):  # the index last
            for file in path.parent.glob(f"{path.name}.{kind}"):
                file.unlink()


def step_of(path: Path) -> int:
    """Returns the step of a checkpoint, which is in its name."""
    return int(path.name.removeprefix("ckpt-"))


def _move_apart(folder: Path, step: int, why: str) -> None:
    """Renames the folder `best` to `best-STEP`, or `best-STEP-2` and so on."""
    apart = first = folder.with_name(f"best-{step}")
    numbers = itertools.count(2)
    while apart.exists():
        apart = first.with_name(f"{first.name}-{next(numbers)}")
    print(f"{folder} is now {apart.name}, for {why}", flush=True)
    folder.rename(apart)


def _bring_back(folder: Path, wanted: Callable[[dict | None], bool]) -> dict | None:
    """Renames a folder that was moved apart to `best` again; returns its best.json."""
    for apart in folder.parent.glob("best-*"):
        with contextlib.suppress(BadInput):  # a damaged one stays where it is
            if wanted(best := _best(apart)):
                print(f"{apart} is {folder.name} again", flush=True)
                apart.rename(folder)
                return best
    return None


def comparable(name: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """Returns what scores of this name of two steps of a run share if they compare.

    Not what the protocol says because of other scores beside it.
    """
    apart = {"step", "weights_sha256", "generator_sha256", "reference"}
    apart |= {"biggan_tf", "tensorflow", "numpy"}
    apart |= {"reference_images", "reference_features"}
    if "_linear" not in name:
        apart.add("head_fitted_to_sha256")
    if protocol.get("content_sha256"):  # the same images, wherever they lie
        apart.add("data")
    plain = json.loads(json.dumps(protocol))
    if "reference_holds" in plain:  # moments; and images, for single features
        plain["reference_holds"] = str(plain["reference_holds"]).partition("; ")[0]
    return {name: value for name, value in plain.items() if name not in apart}


def _best(folder: Path) -> dict | None:
    path = folder / "best.json"
    if not path.is_file():
        return None
    try:
        best = files.read_json(path)
        known = {"step": int(best["step"]), "value": float(best["value"])}
        best["protocol"] = dict(best.get("protocol", {}))
        return {**best, **known, "score": str(best["score"])}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{path} is damaged ({error}): put a copy back, or delete the folder."
        ) from error


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].split("}} ")[-1]  # without its graph node
