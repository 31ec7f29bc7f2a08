"""Decoded images that stay in memory."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import numpy as np
import psutil
import tensorflow as tf

from biggan_tf.data.gate import GATE
from biggan_tf.errors import BadInput

# What the container may take, and takes, in the two versions of Linux's control groups.
_GROUPS = pathlib.Path("/sys/fs/cgroup")
_LIMITS = {
    "memory.max": "memory.current",
    "memory/memory.limit_in_bytes": "memory/memory.usage_in_bytes",
}


def available() -> int:
    """Returns the bytes of memory that are free here, within the container's limit."""
    found = [psutil.virtual_memory().available]
    for limit, usage in _LIMITS.items():
        with contextlib.suppress(OSError, ValueError, KeyError):  # none, or no limit
            most, held = (int((_GROUPS / name).read_text()) for name in (limit, usage))
            stat = (_GROUPS / limit).with_name("memory.stat").read_text()
            cached = dict(line.split() for line in stat.splitlines())["inactive_file"]
            found.append(max(0, most - held + int(cached)))
    return min(found)


def check_room(needed: int, what: str, right: str) -> None:
    """Raises BadInput unless so many bytes are free.

    It begins with what needs them, such as "columns: 9 images", and ends with what is
    right.
    """
    if needed > (free := available()):
        raise BadInput(
            f"{what} need {needed / 2**30:,.1f} GiB of memory, and {free / 2**30:,.1f} "
            f"are free; {right}."
        )


@contextlib.contextmanager
def room_or(told: str) -> Iterator[None]:
    """Raises a BadInput of these words if what is inside runs out of memory."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise BadInput(f"there is no room in memory: {told}.") from error


class Kept:
    """Examples by index: images are uint8 [n, size, size, channels], labels int32 [n].

    All pipelines of a process read the same arrays.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Takes the arrays as they are, without a copy."""
        self._images, self._labels = images, labels

    def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the images and labels of a batch of indices, int64 [batch]."""
        # Marked stateless, or op determinism would read one batch at a time. An array
        # that TensorFlow holds could end up in its graphs, which keep copies.
        types = [tf.uint8, tf.int32]
        images, labels = tf.numpy_function(self._at, [index], types, stateful=False)
        images = tf.ensure_shape(images, [*index.shape, *self._images.shape[1:]])
        return images, tf.ensure_shape(labels, index.shape)

    def _at(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with GATE:
            return self._images[index], self._labels[index]
