"""Saving and restoring a training: any `tf.Module`, in TensorFlow's checkpoints."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import tensorflow as tf

from biggan_tf.errors import BadInput

# What TensorFlow raises when it reads a damaged checkpoint.
DAMAGE = (tf.errors.OpError, IndexError, RuntimeError)


class Checkpoints:
    """The folder `checkpoints/` of a model directory.

    TensorFlow stores a CRC-32C of every tensor and writes the index, with which alone
    a checkpoint can be read, last: one that was cut off or damaged since is noticed,
    and the one before is taken.

    Args:
        directory: the folder; made if missing.
        module: what is saved and restored, all its variables.
        keep_last: how many of the newest checkpoints stay.
        keep_every_steps: one checkpoint every so many steps stays for good, in the
            folder `kept` inside; 0 for none.
        write: False (a worker that is not the chief) saves nothing.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        module: tf.Module,
        keep_last: int = 3,
        keep_every_steps: int = 0,
        write: bool = True,
    ):
        self._folder = Path(directory)
        self._checkpoint = tf.train.Checkpoint(gan=module)
        self._keep_last = keep_last
        self._keep_every_steps = keep_every_steps
        self._may_write = write
        self._step_on_disk: int | None = None  # that was saved or restored last

    def save(self, step: int) -> None:
        """Writes the state after `step` steps; nothing if it is already there.

        Raises:
            BadInput: it cannot be written; those before are as they were.
        """
        if step == self._step_on_disk or not self._may_write:
            return
        if self._keep_every_steps and step and step % self._keep_every_steps == 0:
            self._write(self._folder / "kept", step)
        self._write(self._folder, step)
        self._step_on_disk = step
        found = _found(self._folder)
        damaged = [path for number, path in found if number > step]
        earlier = [path for number, path in found if number < step]
        for path in [*damaged, *earlier[self._keep_last - 1 :]]:
            for file in sorted(self._folder.glob(f"{path.name}.*")):  # the index last
                file.unlink()

    def _write(self, folder: Path, step: int) -> None:
        path = folder / f"ckpt-{step}"
        try:
            self._checkpoint.write(str(path))
            # By this file TensorFlow's own functions find the newest; ours do not.
            temporary = folder / ".checkpoint"
            temporary.write_text(f'model_checkpoint_path: "{path.name}"\n')
            os.replace(temporary, folder / "checkpoint")
            for leaving in folder.glob("ckpt-*_temp"):  # of a killed process
                shutil.rmtree(leaving, ignore_errors=True)
        except (tf.errors.OpError, OSError) as error:
            raise BadInput(
                f"{path} cannot be written ({_reason(error)}); the checkpoints before "
                "it are whole: make room, and run the same command to go on."
            ) from error

    def keep_best(self, step: int, name: str, value: float, lower: bool) -> None:
        """Writes the state to the folder `best` if it has the best score so far.

        Args:
            step: of the state.
            name, value: of the score; one of another name is forgotten.
            lower: whether lower scores are better.
        """
        folder = self._folder / "best"
        best = self._best()
        sign = 1 if lower else -1
        if best and best["score"] == name and sign * (best["value"] - value) <= 0:
            return
        self._write(folder, step)
        temporary = folder / ".best.json"
        temporary.write_text(json.dumps({"step": step, "score": name, "value": value}))
        os.replace(temporary, folder / "best.json")
        for file in sorted(folder.glob("ckpt-*")):
            if file.is_file() and not file.name.startswith(f"ckpt-{step}."):
                file.unlink()

    def restore_best(self) -> None:
        """Restores what `keep_best` kept.

        Raises:
            BadInput: there is none, or it is damaged.
        """
        best = self._best()
        if not best:
            raise BadInput(
                f"{self._folder / 'best'}: no best checkpoint is kept there; train "
                "with evaluation.every_steps above 0."
            )
        path = self._folder / "best" / f"ckpt-{best['step']}"
        try:
            self._restore(best["step"], path)
        except DAMAGE as error:
            raise BadInput(f"{path} is damaged: {_reason(error)}.") from error

    def _best(self) -> dict | None:
        path = self._folder / "best" / "best.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def restore_latest(self) -> str | None:
        """Restores the newest checkpoint and returns its path; None if there is none.

        One that is damaged is named and passed over.

        Raises:
            BadInput: the checkpoint does not hold this module's variables, or all that
                there are are damaged.
        """
        found = _found(self._folder)
        found = sorted(found + _found(self._folder / "kept"), reverse=True)
        for step, path in found:
            try:
                self._restore(step, path)
            except DAMAGE as error:
                print(f"{path} is damaged: {_reason(error)}", flush=True)
                continue
            return str(path)
        if found:
            raise BadInput(
                f"{self._folder}: all {len(found)} checkpoints in it are damaged; put "
                "a copy of one back, or start anew with another --model_dir."
            )
        return None

    def restore(self, step: int) -> None:
        """Restores the checkpoint that the chief restored, after `step` steps.

        Raises:
            BadInput: this worker cannot read it.
        """
        for path in (self._folder, self._folder / "kept"):
            with contextlib.suppress(*DAMAGE):
                return self._restore(step, path / f"ckpt-{step}")
        raise BadInput(
            f"{self._folder}/ckpt-{step}, from which the chief goes on, cannot be read "
            "by this worker: --model_dir has to be one folder that all workers share."
        )

    def rewind(self, most: int) -> int:
        """Drops the checkpoints after the newest of at most `most` steps, or the first.

        Returns:
            The step of the newest that is left.
        """
        found = sorted(_found(self._folder) + _found(self._folder / "kept"))
        target = max((step for step, _ in found if step <= most), default=found[0][0])
        for step, path in found:
            if step > target:
                for file in sorted(path.parent.glob(f"{path.name}.*")):
                    file.unlink()
        return target

    def _restore(self, step: int, path: Path) -> None:
        try:
            self._checkpoint.read(str(path)).assert_consumed()
        except (AssertionError, ValueError) as error:
            raise BadInput(
                f"{path} does not fit the networks of the configuration "
                f"({_reason(error)}); take the configuration it was made with, or "
                "another --model_dir."
            ) from error
        self._step_on_disk = step


def newest(folder: Path) -> Path | None:
    """The path of the newest checkpoint of a folder `checkpoints`."""
    found = max(_found(folder) + _found(folder / "kept"), default=None)
    return found and found[1]


def _found(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of the checkpoints directly in a folder, the newest first."""
    paths = [path.with_suffix("") for path in folder.glob("ckpt-*.index")]
    return sorted(
        ((int(path.name[5:]), path) for path in paths if path.name[5:].isdigit()),
        reverse=True,
    )


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0]
