"""Up- and downsampling, fused with the 3x3 convolution beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from biggan_tf.layers.spectral import SpectralConv2D

# A row of three taps convolved with a box of two.
BOX = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])


def spread(kernel: tf.Tensor, taps: np.ndarray) -> tf.Tensor:
    """A kernel [3, 3, ...] whose three rows and columns `taps` [4, 3] makes four.

    This turns resampling and a 3x3 convolution into one 4x4 convolution of stride 2.
    The product has the device's precision, as the convolution has: TF32 on GPUs that
    know it, unless `tf.config.experimental.enable_tensor_float_32_execution(False)`.
    """
    plane = tf.constant(np.kron(taps, taps), kernel.dtype)
    flat = tf.matmul(plane, tf.reshape(kernel, [9, -1]))
    return tf.reshape(flat, [4, 4, *kernel.shape[2:]])


class UpsampleConv2D(SpectralConv2D):
    """Nearest 2x upsampling, then a 3x3 convolution, [h, w] -> [2h, 2w].

    Computed as one transposed 4x4 convolution of stride 2 on the small image: 4 instead
    of 9 multiplications per output value and pair of channels. The trained kernel, and
    its sigma, are those of the 3x3 convolution.
    """

    def __init__(self, units: int, kernel_size: int = 3, **kwargs: Any):
        super().__init__(units, kernel_size, **kwargs)

    def effective_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        return spread(kernel, BOX[:, ::-1])

    def convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        _, height, width, _ = x.shape
        return tf.nn.conv2d_transpose(
            x,
            tf.transpose(kernel, [0, 1, 3, 2]),
            output_shape=[_batch(x), 2 * height, 2 * width, kernel.shape[-1]],
            strides=2,
        )


class ConvDownsample2D(SpectralConv2D):
    """A 3x3 convolution, then 2x2 average pooling, [2h, 2w] -> [h, w].

    Computed as one 4x4 convolution of stride 2: 16 instead of 36 multiplications per
    pooled value and pair of channels. The trained kernel, and its sigma, are those of
    the 3x3 convolution.
    """

    def __init__(self, units: int, kernel_size: int = 3, **kwargs: Any):
        super().__init__(units, kernel_size, **kwargs)

    def effective_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        return spread(kernel, BOX / 2)

    def convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if x.shape[1] % 2 or x.shape[2] % 2:
            raise ValueError(f"2x2 pooling needs even sides, not {x.shape[1:3]}")
        # For even sides SAME pads by one all around. Saying so explicitly would keep
        # the gradients from the fast kernels of a CPU.
        return tf.nn.conv2d(x, kernel, strides=2, padding="SAME")


def upsample(x: tf.Tensor) -> tf.Tensor:
    """Nearest neighbour, [batch, h, w, channels] -> [batch, 2h, 2w, channels]."""
    _, height, width, channels = x.shape
    x = tf.reshape(x, [-1, height, 1, width, 1, channels])
    x = tf.broadcast_to(x, [_batch(x), height, 2, width, 2, channels])
    return tf.reshape(x, [-1, 2 * height, 2 * width, channels])


def _batch(x: tf.Tensor) -> int | tf.Tensor:
    """Its size, as a number if that is known."""
    return x.shape[0] or tf.shape(x)[0]


def downsample(x: tf.Tensor) -> tf.Tensor:
    """2x2 average pooling, [batch, 2h, 2w, channels] -> [batch, h, w, channels]."""
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")
