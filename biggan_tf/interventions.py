"""Going on from a checkpoint otherwise: in a new model directory, or after a rewind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import tensorflow as tf

from biggan_tf import checkpoints
from biggan_tf.errors import BadInput
from biggan_tf.gan import Gan


def locate(source: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The model directory and the checkpoint that --continue_from names.

    Args:
        source: a model directory, whose newest checkpoint is meant, or a checkpoint in
            one, such as "runs/demo/checkpoints/ckpt-2000".

    Raises:
        BadInput: there is no such thing.
    """
    source = Path(source)
    if Path(f"{source}.index").is_file():
        folders = [f for f in source.parents if (f / "config.gin").is_file()]
        if folders:
            return folders[0], source
    newest = checkpoints.newest(source / "checkpoints")
    if newest is None or not (source / "config.gin").is_file():
        raise BadInput(
            f"--continue_from={source}: give a model directory with a checkpoint in "
            "it, or a checkpoint such as runs/demo/checkpoints/ckpt-2000."
        )
    return source, newest


def take_over(path: Path, gan: Gan, keep_moments: bool) -> None:
    """Restores networks, averages, optimisers and step; what is new starts afresh.

    Args:
        path: of the checkpoint.
        gan: of the same architecture.
        keep_moments: of Adam; else both optimisers start as at step 0.

    Raises:
        BadInput: another architecture, or moments that cannot be reset.
    """
    if not keep_moments and gan.recipe.ema_start_step:
        raise BadInput(
            "train.keep_moments = False counts the updates anew, by which G's average "
            f"would be a copy again: set gan.ema_start_step = 0, which is "
            f"{gan.recipe.ema_start_step}."
        )
    parts = tf.train.Checkpoint(
        generator=gan.generator,
        discriminator=gan.discriminator,
        generator_optimizer=gan.generator_optimizer,
        discriminator_optimizer=gan.discriminator_optimizer,
        step=gan.step,
    )
    try:
        there = [name for name, _ in tf.train.list_variables(str(path))]
        for network in (gan.generator, gan.discriminator):
            mine = [
                name
                for name in there
                if name.startswith(f"gan/{network.name}/") and ".OPTIMIZER" not in name
            ]
            if len(mine) != len(network.variables):
                raise ValueError(
                    f"{network.name} has {len(mine)} variables there and "
                    f"{len(network.variables)} here"
                )
        status = tf.train.Checkpoint(gan=parts).read(str(path))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"--continue_from: {path} does not fit ({reason}); leave data.* and "
            "networks.* as they were there."
        ) from error
    if not keep_moments:
        averages = {id(average) for average in gan.averaged_weights()}
        for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
            inner = getattr(optimizer, "_optimizer", optimizer)
            for variable in [*optimizer.variables(), *inner.variables()]:
                if id(variable) not in averages:
                    variable.assign(tf.zeros_like(variable))


class Rewind:
    """`rewind.json` of a model directory: that the run was rewound, once."""

    def __init__(self, folder: Path):
        self._path = folder / "rewind.json"

    def done(self) -> bool:
        return self._path.is_file()

    def record(self, **facts: object) -> None:
        """Writes it; from here on the changed learning rates hold."""
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(facts, indent=1))
        os.replace(temporary, self._path)
