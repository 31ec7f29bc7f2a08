"""Opening an exported module as a `Sampler`."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from biggan_tf.errors import BadInput
from biggan_tf.sampling import Sampler

ATTRIBUTES = ("num_classes", "latent_size", "image_size", "class_names")
ATTRIBUTES += ("truncation_convention", "standing_truncations", "step")


def load(handle: str | os.PathLike[str], flag: str = "--module") -> Sampler:
    """Opens an exported module; BadInput, which names `flag`, if it is none.

    Args:
        handle: its folder, or any other handle that `hub.load` takes.
    """
    # A slow import that training does without.
    import tensorflow_hub as hub

    handle = os.fspath(handle)
    if "://" not in handle and not (Path(handle) / "saved_model.pb").is_file():
        raise BadInput(
            f"{flag}={handle}: give the folder that biggan_tf.export wrote; there is "
            "no saved_model.pb in this one."
        )
    try:
        module = hub.load(handle)
    except Exception as error:  # of many kinds: the network, archives, TensorFlow
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(f"{flag}={handle}: cannot be loaded ({reason}).") from error
    missing = [name for name in ATTRIBUTES if not hasattr(module, name)]
    if missing:
        raise BadInput(
            f"{flag}={handle}: give a module of biggan_tf.export; this one has no "
            f"{', '.join(missing)}."
        )
    values = {name: getattr(module, name).numpy() for name in ATTRIBUTES}

    def draw(z: tf.Tensor, y: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
        return module({"z": z, "y": y, "truncation": truncation})

    return Sampler(
        draw,
        *(int(values[name]) for name in ATTRIBUTES[:3]),
        tuple(name.decode() for name in values["class_names"]),
        values["truncation_convention"].decode(),
        tuple(values["standing_truncations"].tolist()),
        int(values["step"]),
        "standing, of the module",
    )
