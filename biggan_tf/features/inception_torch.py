"""The Inception of 2015-12-05 from the files of pytorch-fid and torch-fidelity.

Both hold the weights of the TensorFlow graph, with the names of torchvision's
inception_v3. The network is not torchvision's: average pooling leaves the padding out
of its mean, and the last block has maximum pooling.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from biggan_tf.errors import BadInput
from biggan_tf.features import torch_file
from biggan_tf.features.torch_layers import TorchLayers
from biggan_tf.keras import keras

INPUT_SIZE = 299
SPATIAL_CHANNELS = 7  # of 17 x 17, of which sFID is made


def torch_layers(path: Path) -> keras.Model:
    """Returns float32 [b, 299, 299, 3] in [-1, 1] -> features, logits, spatial.

    2048 features, 1008 logits without bias, and [b, 17, 17, 7], as sFID takes them.
    BadInput if the file has other weights.
    """
    weights = torch_file.read(path)
    is_dict = isinstance(weights, Mapping)
    head = weights.get("fc.weight") if is_dict else None
    if np.shape(head)[:1] == (1000,) or (is_dict and "AuxLogits.fc.weight" in weights):
        raise BadInput(
            f"{path} is torchvision's inception_v3 of 1000 classes, whose features "
            "give other scores: take pt_inception-2015-12-05-6726825d.pth of "
            "pytorch-fid, or the same file of torch-fidelity."
        )
    if not is_dict or np.shape(head) != (1008, 2048):
        names = ", ".join(list(weights)[:3]) if is_dict else type(weights).__name__
        raise BadInput(
            f"{path} is not the Inception of 2015-12-05, whose fc.weight is "
            f"[1008, 2048]: it holds {names}."
        )
    layers = TorchLayers(weights)
    try:
        model = _model(layers)
    except (LookupError, ValueError) as error:
        raise BadInput(
            f"{path} is not the Inception of 2015-12-05: {error} is missing or has "
            "another shape."
        ) from error
    if unused := sorted(layers.unused - {"fc.bias"}):
        raise BadInput(
            f"{path} is not the Inception of 2015-12-05: it also holds "
            f"{', '.join(unused[:3])}."
        )
    return model


def _model(weights: TorchLayers) -> keras.Model:
    def conv(
        x: tf.Tensor, name: str, stride: int = 1, padding: str = "same"
    ) -> tf.Tensor:
        x = weights.conv(x, f"{name}.conv", f"{name}.bn", stride, padding)
        return tf.nn.relu(x)

    def chain(x: tf.Tensor, name: str, count: int) -> tf.Tensor:
        for index in range(1, count + 1):
            x = conv(x, f"{name}_{index}")
        return x

    def mean(x: tf.Tensor) -> tf.Tensor:  # without the padding
        return tf.nn.avg_pool2d(x, 3, 1, "SAME")

    def widest(x: tf.Tensor, stride: int = 2, padding: str = "VALID") -> tf.Tensor:
        return tf.nn.max_pool2d(x, 3, stride, padding)

    def small(x: tf.Tensor, name: str) -> tf.Tensor:  # 35 x 35
        branches = [
            conv(x, f"{name}.branch1x1"),
            chain(x, f"{name}.branch5x5", 2),
            chain(x, f"{name}.branch3x3dbl", 3),
            conv(mean(x), f"{name}.branch_pool"),
        ]
        return tf.concat(branches, -1)

    def middle(x: tf.Tensor, name: str) -> tuple[tf.Tensor, tf.Tensor]:  # 17 x 17
        branches = [
            conv(x, f"{name}.branch1x1"),
            chain(x, f"{name}.branch7x7", 3),
            chain(x, f"{name}.branch7x7dbl", 5),
            conv(mean(x), f"{name}.branch_pool"),
        ]
        return tf.concat(branches, -1), branches[0]

    def large(x: tf.Tensor, name: str, pooled: tf.Tensor) -> tf.Tensor:  # 8 x 8
        short = conv(x, f"{name}.branch3x3_1")
        long = chain(x, f"{name}.branch3x3dbl", 2)
        branches = [
            conv(x, f"{name}.branch1x1"),
            *(conv(short, f"{name}.branch3x3_2{half}") for half in "ab"),
            *(conv(long, f"{name}.branch3x3dbl_3{half}") for half in "ab"),
            conv(pooled, f"{name}.branch_pool"),
        ]
        return tf.concat(branches, -1)

    images = keras.layers.Input([INPUT_SIZE, INPUT_SIZE, 3], dtype="float32")
    x = conv(images, "Conv2d_1a_3x3", 2, "valid")
    x = conv(x, "Conv2d_2a_3x3", 1, "valid")
    x = widest(conv(x, "Conv2d_2b_3x3"))
    x = conv(x, "Conv2d_3b_1x1")
    x = widest(conv(x, "Conv2d_4a_3x3", 1, "valid"))
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = small(x, name)
    branches = [
        conv(x, "Mixed_6a.branch3x3", 2, "valid"),
        conv(
            chain(x, "Mixed_6a.branch3x3dbl", 2), "Mixed_6a.branch3x3dbl_3", 2, "valid"
        ),
        widest(x),
    ]
    x = tf.concat(branches, -1)
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x, first = middle(x, name)
        if name == "Mixed_6d":
            spatial = first[..., :SPATIAL_CHANNELS]
    branches = [
        conv(conv(x, "Mixed_7a.branch3x3_1"), "Mixed_7a.branch3x3_2", 2, "valid"),
        conv(chain(x, "Mixed_7a.branch7x7x3", 3), "Mixed_7a.branch7x7x3_4", 2, "valid"),
        widest(x),
    ]
    x = tf.concat(branches, -1)
    x = large(x, "Mixed_7b", mean(x))
    x = large(x, "Mixed_7c", widest(x, 1, "SAME"))
    features = tf.reduce_mean(x, (1, 2))
    dense = keras.layers.Dense(1008, use_bias=False, dtype="float32")
    logits = dense(features)
    dense.set_weights([weights.take("fc.weight").T])
    return keras.Model(images, (features, logits, spatial))
