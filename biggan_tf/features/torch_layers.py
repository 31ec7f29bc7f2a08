"""Keras layers with the weights of a PyTorch state dict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from biggan_tf.keras import keras

_EPSILON = 1e-3  # of all batch norms


class TorchLayers:
    """Makes layers, float32 NHWC, of a state dict, and knows which weights they took.

    Batch norms are folded into the convolutions before them.

    Args:
        weights: arrays by their names, as `torch_file.read` returns them.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._weights = weights
        self.unused = {n for n in weights if not n.endswith(".num_batches_tracked")}

    def take(self, name: str) -> np.ndarray:
        """Returns a weight; KeyError if there is none, or it was taken before."""
        self.unused.remove(name)
        return self._weights[name]

    def conv(
        self,
        x: tf.Tensor,
        name: str,
        norm: str,
        stride: int = 1,
        padding: str = "same",
        depthwise: bool = False,
    ) -> tf.Tensor:
        """Returns a convolution of x without bias, and then a batch norm."""
        # PyTorch's order: [out, in, h, w], and [channels, 1, h, w] if depthwise.
        kernel = self.take(f"{name}.weight")
        variance = self.take(f"{norm}.running_var") + _EPSILON
        gain = self.take(f"{norm}.weight") / np.sqrt(variance)
        bias = self.take(f"{norm}.bias") - self.take(f"{norm}.running_mean") * gain
        kernel = kernel * gain[:, None, None, None]
        size = kernel.shape[2:]
        if depthwise:
            layer = keras.layers.DepthwiseConv2D(size, stride, padding, dtype="float32")
            kernel = kernel.transpose(2, 3, 0, 1)
        else:
            layer = keras.layers.Conv2D(
                len(kernel), size, stride, padding, dtype="float32"
            )
            kernel = kernel.transpose(2, 3, 1, 0)
        x = layer(x)
        layer.set_weights([kernel, bias])
        return x
