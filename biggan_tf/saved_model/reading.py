"""Opening an exported module for our own tools."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from biggan_tf import latents
from biggan_tf.errors import BadInput
from biggan_tf.layers import one_hot
from biggan_tf.saved_model.inference import in_parts

ATTRIBUTES = (
    "num_classes",
    "latent_size",
    "image_size",
    "class_names",
    "truncation_convention",
    "standing_truncations",
    "step",
)


class Exported:
    """A module written by `export`.

    Attributes:
        module: what `hub.load` gives.
        num_classes, latent_size, image_size, step: whole numbers.
        class_names: one a class.
        truncation_convention: "resample" or "scaled".
        standing_truncations: those with statistics of their own.
    """

    def __init__(self, module: tf.Module):
        self.module = module
        values = {name: getattr(module, name).numpy() for name in ATTRIBUTES}
        self.num_classes = int(values["num_classes"])
        self.latent_size = int(values["latent_size"])
        self.image_size = int(values["image_size"])
        self.step = int(values["step"])
        self.class_names = tuple(name.decode() for name in values["class_names"])
        self.truncation_convention = values["truncation_convention"].decode()
        self.standing_truncations = tuple(values["standing_truncations"].tolist())

    def check_truncation(self, truncation: float, flag: str) -> None:
        """BadInput unless the module's convention knows this truncation."""
        latents.check_truncation(self.truncation_convention, truncation, flag)

    def sample_latents(self, batch: int, truncation: float, seed: int) -> np.ndarray:
        """z, float32 [batch, latent_size], a function of the arguments alone."""
        return self.module.sample_latents(batch, truncation, seed).numpy()

    def images(self, z: np.ndarray, y: np.ndarray, truncation: float) -> np.ndarray:
        """Images of latents, with the statistics of a truncation.

        Args:
            z: float32 [batch, latent_size].
            y: int [batch], or float [batch, num_classes], one-hot or soft.
            truncation: that `z` was drawn with.

        Returns:
            float32 [batch, image_size, image_size, 3] in [-1, 1].
        """
        y = one_hot(tf.convert_to_tensor(y), self.num_classes)

        def draw(z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
            return self.module({"z": z, "y": y, "truncation": truncation})

        return in_parts(draw, tf.cast(z, tf.float32), y, self.image_size)

    def generate(
        self, labels: Sequence[int], truncation: float, seed: int
    ) -> np.ndarray:
        """Images of the classes `labels`, float32 [len(labels), side, side, 3]."""
        z = self.sample_latents(len(labels), truncation, seed)
        return self.images(z, np.asarray(labels), truncation)


def load(handle: str | os.PathLike[str], flag: str = "--module") -> Exported:
    """Opens an exported module.

    Args:
        handle: its folder, or any other handle that `hub.load` takes.
        flag: for the message.

    Raises:
        BadInput: there is none, or it is not one of ours.
    """
    # A slow import that training does without.
    import tensorflow_hub as hub

    handle = os.fspath(handle)
    if "://" not in handle and not (Path(handle) / "saved_model.pb").is_file():
        raise BadInput(
            f"{flag}={handle}: there is no saved_model.pb in it; give the folder that "
            "biggan_tf.export wrote."
        )
    try:
        module = hub.load(handle)
    except Exception as error:  # of many kinds: the network, archives, TensorFlow
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(f"{flag}={handle} cannot be loaded: {reason}") from error
    missing = [name for name in ATTRIBUTES if not hasattr(module, name)]
    if missing:
        raise BadInput(
            f"{flag}={handle} is no module of biggan_tf.export: it has no "
            f"{', '.join(missing)}."
        )
    return Exported(module)
