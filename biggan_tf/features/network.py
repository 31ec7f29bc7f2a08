"""What a feature network is, and the registry of all of them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import re
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from biggan_tf.errors import BadInput

LARGEST_SIDE = 1024  # of what a network sees; memory grows with its square

# How a name is written -> (regular expression of such names, maker of the network).
NETWORKS: dict[str, tuple[str, Callable[..., FeatureNetwork]]] = {}


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """A fixed network from images to features and logits, with its own resize.

    It runs eagerly, in a tf.function and on replicas; load it in the strategy's scope.
    """

    name: str  # such as "lite0_128"; ends the names of its scores, but "inception"
    hash: str  # sha256 of the file or files that hold the weights
    input_size: int  # side in pixels of the images that the layers see
    resize: str  # in words, how other images are brought to that size
    # uint8, or float32 in [0, 255], [b, h, w, 3] -> what a call returns
    apply: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    # Of the logits' class names, which are in sorted order; "": their order is unknown.
    classes_sha256: str = ""

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns "features" [b, d] and "logits" [b, k], float32, of uint8 images.

        Inceptions also have "spatial", [b, 17, 17, 7].
        """
        images = tf.convert_to_tensor(images)
        if images.dtype != tf.uint8 or images.shape.rank != 4 or images.shape[3] != 3:
            raise BadInput(
                f"images of type {images.dtype.name} and shape {images.shape} for the "
                f"feature network {self.name}: it takes uint8 [b, height, width, 3]."
            )
        return self.apply(images)

    @functools.cached_property
    def sizes(self) -> dict[str, int]:
        """The sizes of what a call returns of an image, flat.

        They are found by a run on one image, which also tries the network.
        """
        image = tf.zeros([1, self.input_size, self.input_size, 3], tf.uint8)
        return {name: int(tf.size(found)) for name, found in self(image).items()}

    @property
    def feature_size(self) -> int:
        """The size d."""
        return self.sizes["features"]

    @property
    def spatial_size(self) -> int:
        """The size of "spatial"; 0 if there is none."""
        return self.sizes.get("spatial", 0)

    def logits_of(self, class_names: Sequence[str]) -> np.ndarray | None:
        """Returns which logit is that of each class, int [classes]; None: not known."""
        names = sorted(class_names)
        if hashlib.sha256("\n".join(names).encode()).hexdigest() != self.classes_sha256:
            return None
        return np.array([names.index(name) for name in class_names])

    @property
    def protocol(self) -> dict[str, str | bool]:
        """What two scores must share to be comparable."""
        return {
            "features": self.name,
            "features_sha256": self.hash,
            "features_resize": self.resize,
            "tf32": False,
        }


def feature_network(form: str, pattern: str) -> Callable[[Callable], Callable]:
    """Lets `load` find a function that makes a feature network.

    `form` is how its name is written, "lite0_RESOLUTION" say, and `pattern` the regular
    expression of such names; the function takes its groups. The group `side`, if there
    is one, is in pixels, 1 to `LARGEST_SIDE`.
    """

    def decorate(make: Callable) -> Callable:
        NETWORKS[form] = pattern, make
        return make

    return decorate


def load(name: str) -> FeatureNetwork:
    """Returns the feature network of a name, see `NETWORKS`; BadInput if there is none.

    "inception" is downloaded from TF-Hub, or comes from TF-Hub's cache.
    """
    return find(name)()


def find(name: str) -> Callable[[], FeatureNetwork]:
    """Returns what makes the feature network of a name; BadInput if nothing does.

    Also if the images that it would look at are too large.
    """
    for pattern, make in NETWORKS.values():
        if match := re.fullmatch(pattern, name):
            side = match.groupdict().get("side", "1")
            if len(side) > 4 or not 1 <= int(side) <= LARGEST_SIDE:
                raise BadInput(
                    f"feature network {name!r}: take a size from 1 to {LARGEST_SIDE:,} "
                    f"pixels instead of {side}, for memory grows with its square."
                )
            return functools.partial(make, *map(_at_home, match.groups()))
    raise BadInput(
        f"feature network {name!r}: take {' or '.join(NETWORKS)}, such as lite0_128."
    )


def _at_home(part: str | None) -> str | None:
    return part and os.path.expanduser(part)
