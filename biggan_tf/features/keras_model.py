"""Any network of Keras or TF-Hub as a feature network."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
import tensorflow_hub as hub

from biggan_tf import files
from biggan_tf.errors import BadInput
from biggan_tf.features.network import FeatureNetwork, feature_network

_NUMBER = r"(-?\d+(?:\.\d+)?)"


@feature_network(
    "keras=PATH,SIZE,LOW:HIGH",
    rf"keras=(.+), *(?P<side>\d+), *{_NUMBER}:{_NUMBER}",
)
def keras_model(source: str, size: str, low: str, high: str) -> FeatureNetwork:
    """Returns the features of a SavedModel, such as a DINOv2; it has no logits.

    It takes float32 [b, size, size, 3] from `low`, for black, to `high`, and gives
    [b, d], or [b, h, w, d], which is averaged over space. Images are resized as those
    of lite0 are. `source` is a folder or a handle of TF-Hub. BadInput if it is neither.
    """
    side, least, most = int(size), float(low), float(high)
    if least >= most:
        raise BadInput(
            f"keras={source},{size},{low}:{high}: take a range that rises, such as "
            "-1:1."
        )
    try:
        path = Path(hub.resolve(source))
        module = tf.saved_model.load(str(path))
    except Exception as error:  # other files and handles fail in many ways
        raise BadInput(f"keras={source}: it is no SavedModel: {error}.") from error

    def run(images: tf.Tensor) -> tf.Tensor | dict[str, tf.Tensor]:
        # A signature alone would not keep the module's variables.
        called = module if callable(module) else module.signatures["serving_default"]
        return called(images)

    @tf.function(autograph=False)
    def apply(images: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.image.resize(
            tf.cast(images, tf.float32), [side, side], antialias=True
        )
        found = run(images / 255.0 * (most - least) + least)
        if isinstance(found, dict) and len(found) == 1:
            (found,) = found.values()
        rank = found.shape.rank if tf.is_tensor(found) else None
        if rank not in (2, 4):
            raise BadInput(
                f"keras={source}: it gives no [b, d] or [b, h, w, d] but {found}."
            )
        features = tf.cast(found, tf.float32)
        features = tf.reduce_mean(features, (1, 2)) if rank == 4 else features
        return {"features": features, "logits": features[:, :0]}

    told = f"bilinear to {side}, half-pixel centres, antialiased, {low} to {high}"
    # In the name of a score, _se stands for its standard error.
    name = f"keras_{path.name}_{side}".replace("_se", "-se")
    network = FeatureNetwork(name, files.sha256(path), side, told, apply)
    try:
        assert network.feature_size
    except BadInput:
        raise
    except Exception as error:  # whatever the model does to such images
        raise BadInput(
            f"keras={source}: it takes no float32 [b, {side}, {side}, 3]: {error}."
        ) from error
    return network
