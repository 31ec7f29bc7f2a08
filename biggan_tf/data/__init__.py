"""Labelled images from the embedded set, TensorFlow Datasets or a folder."""

from __future__ import annotations

from typing import Any

from biggan_tf.data.pipeline import (
    SOURCES,
    SPLITS,
    Data,
    DataOptions,
    DataSpec,
    sentences,
    source_class,
)
from biggan_tf.errors import BadInput


def load(**options: Any) -> Data:
    """Finds the data set of some `DataOptions`; gin gives those that are left out.

    It decodes no image, and TFDS data need not be prepared. BadInput: a wrong option.
    """
    made = DataOptions(**options)
    return source_class(made.source)(made)


def named(text: str, image_size: int, flag: str) -> Data:
    """Returns unflipped data that a flag names, such as "tfds:cifar10"."""
    source, _, which = text.partition(":")
    needs = source_class(source).NEEDS if source in SOURCES else None
    if needs is None or bool(needs) != bool(which):
        raise BadInput(
            f"{flag}={text}: take one of {', '.join(SOURCES)}, with the name or path "
            "after a colon if it has one, such as folder:/my/images."
        )
    given = dict.fromkeys(needs, which)
    return load(image_size=image_size, source=source, flip=False, **given)
