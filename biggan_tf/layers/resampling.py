"""Up- and downsampling, fused with the 3x3 convolution beside it.

Nearest upsampling copies each value to 2x2 places, so a 3x3 convolution after it
multiplies the same value by several taps. Adding those taps first leaves one 4x4
convolution of stride 2, transposed. Likewise a 3x3 convolution and the mean over 2x2
of its outputs are one 4x4 convolution of stride 2. The numbers are the same, with less
than half the multiplications. The 3x3 kernel is what is trained and divided by sigma.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from biggan_tf.layers.spectral import SpectralConv2D

# [4, 3]: makes four taps of three, by convolving them with two ones.
BOX = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])


def spread(kernel: tf.Tensor, taps: np.ndarray) -> tf.Tensor:
    """Returns the 4x4 kernel that `taps` [4, 3] makes of a 3x3 kernel, [3, 3, ...].

    The product has the device's precision, as the convolution has: TF32 on GPUs that
    know it, unless `tf.config.experimental.enable_tensor_float_32_execution(False)`.
    """
    plane = tf.constant(np.kron(taps, taps), kernel.dtype)
    flat = tf.matmul(plane, tf.reshape(kernel, [9, -1]))
    return tf.reshape(flat, [4, 4, *kernel.shape[2:]])


class UpsampleConv2D(SpectralConv2D):
    """Nearest 2x upsampling, then a 3x3 convolution, [h, w] -> [2h, 2w].

    Takes 4 instead of 9 multiplications per output value and pair of channels.
    """

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

    Takes 16 instead of 36 multiplications per pooled value and pair of channels.
    """

    def effective_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        return spread(kernel, BOX / 2)

    def convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if x.shape[1] % 2 or x.shape[2] % 2:
            raise ValueError(f"sides = {x.shape[1:3]}: 2x2 pooling needs even sides.")
        # For even sides SAME pads by one on all sides. Explicit padding would mean the
        # same, but a CPU has no fast kernels for its gradients.
        return tf.nn.conv2d(x, kernel, strides=2, padding="SAME")


def upsample(x: tf.Tensor) -> tf.Tensor:
    """Nearest neighbour, [batch, h, w, channels] -> [batch, 2h, 2w, channels]."""
    _, height, width, channels = x.shape
    x = tf.reshape(x, [-1, height, 1, width, 1, channels])
    x = tf.broadcast_to(x, [_batch(x), height, 2, width, 2, channels])
    return tf.reshape(x, [-1, 2 * height, 2 * width, channels])


def _batch(x: tf.Tensor) -> int | tf.Tensor:
    """Returns the batch size, as a number if it is known."""
    return x.shape[0] or tf.shape(x)[0]


def downsample(x: tf.Tensor) -> tf.Tensor:
    """2x2 average pooling, [batch, 2h, 2w, channels] -> [batch, h, w, channels]."""
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")
