"""What a feature network is, whichever it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from biggan_tf.errors import BadInput


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """A fixed network from images to features and logits, with its own resize.

    Runs eagerly, in a tf.function and on replicas (make it in the strategy's scope).

    Attributes:
        name: goes into the name of every score, "inception" or "lite0_128".
        hash: sha256 of the file or files that hold the weights.
        input_size: side in pixels of the images that the layers see.
        resize: how images of any other size get there, in words.
        apply: uint8 [b, h, w, 3] -> float32 [b, d] and float32 [b, k].
    """

    name: str
    hash: str
    input_size: int
    resize: str
    apply: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """uint8 [b, h, w, 3] -> {"features": [b, d], "logits": [b, k]}, float32."""
        images = tf.convert_to_tensor(images)
        if images.dtype != tf.uint8 or images.shape.rank != 4 or images.shape[3] != 3:
            raise BadInput(
                f"images of type {images.dtype.name} and shape {images.shape} for the "
                f"feature network {self.name}: it takes uint8 [b, height, width, 3]."
            )
        features, logits = self.apply(images)
        return {"features": features, "logits": logits}

    @property
    def feature_size(self) -> int:
        """d, found by a run on one image: that the network works shows early, too."""
        image = tf.zeros([1, self.input_size, self.input_size, 3], tf.uint8)
        return self(image)["features"].shape[1]

    @property
    def protocol(self) -> dict[str, str | int]:
        """What two scores must share of their feature networks to be comparable."""
        return {
            "features": self.name,
            "features_sha256": self.hash,
            "features_resize": self.resize,
        }
