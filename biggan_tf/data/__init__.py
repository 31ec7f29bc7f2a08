"""Labelled images from the embedded set, TensorFlow Datasets or a folder.

The front door is `load`; `pipeline.Data` describes what it returns.
"""

from __future__ import annotations

import gin

from biggan_tf.data.embedded import Embedded
from biggan_tf.data.folder import Folder
from biggan_tf.data.pipeline import Data, DataSpec, sentences
from biggan_tf.errors import BadInput

__all__ = ["Data", "DataSpec", "load", "named", "sentences"]

IMAGE_SIZES = (32, 64, 128, 256, 512)
# The bindings that only some sources take; the first is one they cannot do without.
_TAKES = {
    "embedded": (),
    "tfds": ("name", "data_dir", "split", "held_out_split", "held_out_fraction"),
    "folder": ("path", "held_out_fraction"),
}


@gin.configurable("data")
def load(
    image_size: int = gin.REQUIRED,
    source: str = "embedded",
    name: str | None = None,
    path: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    held_out_split: str | None = None,
    held_out_fraction: float | None = None,
    flip: bool = False,
) -> Data:
    """Find a data set; no image is read, and TFDS data need not be prepared.

    Args:
      image_size: side of the images, pixels: 32, 64, 128, 256 or 512.
      source: "embedded" (10,000 images of Fashion-MNIST), "tfds" or "folder".
      name: tfds: of the builder, such as "imagenet2012" or "cifar10".
      path: folder: where the sub-folders are, one per class.
      data_dir: tfds: where data sets are prepared; None for the default of TFDS.
      split: tfds: to train on; None for "train". May be a slice, "train[:50%]".
      held_out_split: tfds: None for "validation" or "test", whichever there is.
      held_out_fraction: folder, or tfds without held_out_split: the share of the
        training images to hold out instead; None for 0.1 where it is needed.
      flip: mirror each training image with probability 1/2.

    Raises:
      BadInput: any of these cannot be as it is.
    """
    optional = {
        "name": name,
        "path": path,
        "data_dir": data_dir,
        "split": split,
        "held_out_split": held_out_split,
        "held_out_fraction": held_out_fraction,
    }
    given = {key: value for key, value in optional.items() if value is not None}
    _check(image_size, source, given)
    if source == "embedded":
        return Embedded(image_size, flip)
    if source == "folder":
        return Folder(image_size=image_size, flip=flip, **given)
    # A slow import that the other sources do without.
    from biggan_tf.data.tfds_source import Tfds

    return Tfds(image_size=image_size, flip=flip, **given)


def named(text: str, image_size: int, flag: str) -> Data:
    """Unflipped data that a flag names: "embedded", "tfds:NAME" or "folder:PATH"."""
    source, _, which = text.partition(":")
    if source not in _TAKES or bool(_TAKES[source]) != bool(which):
        raise BadInput(f"{flag}={text}: take embedded, tfds:NAME or folder:PATH.")
    given = {_TAKES[source][0]: which} if which else {}
    return load(image_size, source, flip=False, **given)


def _check(image_size: int, source: str, given: dict[str, object]) -> None:
    if image_size not in IMAGE_SIZES:
        raise BadInput(
            f"data.image_size = {image_size!r}: there are networks for "
            f"{', '.join(map(str, IMAGE_SIZES))} pixels only"
        )
    if source not in _TAKES:
        raise BadInput(
            f"data.source = {source!r} is none of the sources {', '.join(_TAKES)}"
        )
    takes = _TAKES[source]
    for key, value in given.items():
        if key not in takes:
            raise BadInput(
                f"data.{key} = {value!r} means nothing to data.source = {source!r}, "
                f"which takes {', '.join(takes) or 'neither name nor path'}"
            )
    if takes and takes[0] not in given:
        raise BadInput(f"data.{takes[0]} is missing: data.source = {source!r} needs it")
    if "held_out_fraction" in given and "held_out_split" in given:
        raise BadInput(
            "data.held_out_fraction and data.held_out_split both say what to hold "
            "out: set one of them"
        )
    fraction = given.get("held_out_fraction", 0.5)
    if not 0 < fraction < 1:
        raise BadInput(f"data.held_out_fraction = {fraction!r} is not between 0 and 1")
