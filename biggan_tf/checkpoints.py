"""Saving and restoring a training: any `tf.Module`, in TensorFlow's checkpoints."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import tensorflow as tf

from biggan_tf.errors import BadInput


class Checkpoints:
    """The folder `checkpoints/` of a model directory.

    `tf.train.CheckpointManager` writes each checkpoint under a temporary name, renames
    it, and only then names it in the file `checkpoint`: a process killed at any moment
    leaves the one before.

    Args:
        directory: the folder; made if missing.
        module: what is saved and restored, all its variables.
        keep_last: how many of the newest checkpoints stay.
        keep_every_steps: one checkpoint every so many steps stays for good, in the
            folder `kept` inside; 0 for none.
        write: False (a worker that is not the chief) saves to a folder of its own that
            is thrown away, since all workers must take part in saving.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        module: tf.Module,
        keep_last: int = 3,
        keep_every_steps: int = 0,
        write: bool = True,
    ):
        self._read_from = str(directory)
        target = Path(directory) if write else Path(tempfile.mkdtemp())
        self._checkpoint = tf.train.Checkpoint(gan=module)
        self._latest = tf.train.CheckpointManager(
            self._checkpoint, str(target), max_to_keep=keep_last
        )
        self._kept = tf.train.CheckpointManager(
            self._checkpoint, str(target / "kept"), max_to_keep=None
        )
        self._keep_every_steps = keep_every_steps

    def save(self, step: int) -> None:
        """Writes the state after `step` steps; nothing if it is already there."""
        if self._latest.latest_checkpoint == self._latest_path(step):
            return
        if self._keep_every_steps and step and step % self._keep_every_steps == 0:
            self._kept.save(checkpoint_number=step)
        self._latest.save(checkpoint_number=step)

    def _latest_path(self, step: int) -> str:
        return os.path.join(self._latest.directory, f"ckpt-{step}")

    def restore_latest(self) -> str | None:
        """Restores the newest checkpoint and returns its path; None if there is none.

        Raises:
            BadInput: the checkpoint does not hold this module's variables.
        """
        path = tf.train.latest_checkpoint(self._read_from)
        if path is None:
            return None
        try:
            status = self._checkpoint.restore(path)
            status.assert_consumed()
        except (AssertionError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise BadInput(
                f"{path} does not fit the networks of the configuration ({reason}); "
                "take the configuration it was made with, or another --model_dir."
            ) from error
        return path
