"""Layers with a kernel W that compute with W / sigma(W) (Miyato et al. 2018).

sigma(W) is the largest singular value of W as a matrix. Dividing by it bounds how much
a layer can stretch its input. W itself is what is trained, so gradients flow through
sigma, and the raw spectrum can be watched.

sigma comes from power iteration: a stored vector u, an estimate of the right singular
vector, is improved by one iteration in every forward pass. The argument `training` of
every layer and network decides one thing only: whether the improved u is stored.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from biggan_tf.keras import keras
from biggan_tf.layers import wide
from biggan_tf.layers.base import EQUAL_ON_REPLICAS, Layer

INITIALIZERS = {
    "orthogonal": {"class_name": "Orthogonal", "config": {}},
    "normal": {"class_name": "RandomNormal", "config": {"stddev": 0.02}},
    "glorot": {"class_name": "GlorotUniform", "config": {}},
}


def power_iteration(
    matrix: tf.Tensor, u: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes one iteration towards the largest singular value of `matrix`.

    v = W u / |W u|; then the new u = W^T v / |W^T v|; then sigma = v^T W u.

    Args:
        matrix: W, float32 [rows, columns].
        u: float32 [columns].
        epsilon: lower bound of both norms.

    Returns:
        The new u [columns] and sigma, a scalar. Gradients flow from sigma into W with u
        and v as constants (sigma is stationary in them): d sigma / d W = v u^T.
    """
    frozen = tf.stop_gradient(matrix)
    # Vectors are columns here, which makes the smallest graph.
    v = _unit(tf.matmul(frozen, tf.reshape(tf.stop_gradient(u), [-1, 1])), epsilon)
    u = _unit(tf.matmul(frozen, v, transpose_a=True), epsilon)
    sigma = tf.matmul(v, tf.matmul(matrix, u), transpose_a=True)
    return tf.reshape(u, [-1]), tf.reshape(sigma, [])


def _unit(x: tf.Tensor, epsilon: float) -> tf.Tensor:
    return tf.math.l2_normalize(x, epsilon=epsilon**2)


class SpectralLayer(Layer):
    """The base of dense layers, embeddings and convolutions; spectral norm is optional.

    Variables, stored in float32: `kernel` (W) and `bias`, which are trained; `u` and
    `sigma` (the last estimate of sigma(W), which checkpoints keep), which are not.

    Args:
        units: output channels.
        use_bias: whether a bias is added.
        kernel_initializer: anything `keras.initializers.get` takes.
        spectral_norm: False computes with W itself; then u and sigma do not exist.
        sn_epsilon: lower bound of the norms in the power iteration.
    """

    U_AXIS = -1  # of the kernel: u has as many values

    def __init__(
        self,
        units: int,
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "orthogonal",
        spectral_norm: bool = True,
        sn_epsilon: float = 1e-6,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units, self.use_bias = units, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.spectral_norm, self.sn_epsilon = spectral_norm, sn_epsilon

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "kernel_initializer": initializer}

    def add_kernel(self, shape: tuple[int, ...]) -> None:
        """Creates the variables; the last axis of `shape` is the output's."""
        initializer = self.kernel_initializer
        self.kernel = self.add_weight("kernel", shape, initializer=initializer)
        if self.use_bias:
            self.bias = self.add_weight("bias", [self.units], initializer="zeros")
        if self.spectral_norm:
            size, state = shape[self.U_AXIS], EQUAL_ON_REPLICAS
            normal = keras.initializers.RandomNormal(stddev=1.0)
            self.u = self.add_weight("u", [size], initializer=normal, **state)
            self.sigma = self.add_weight("sigma", [], initializer="ones", **state)

    def matrix(self) -> tf.Tensor:
        """Returns W as the matrix [rest, units] of which sigma is taken."""
        if self.kernel.shape.rank == 2:
            return tf.convert_to_tensor(self.kernel)
        return tf.reshape(self.kernel, [-1, self.kernel.shape[-1]])

    def normalized_kernel(self, training: bool = False) -> tf.Tensor:
        """Returns W / sigma(W), float32, in the shape of W.

        sigma comes from one power iteration that starts at the stored u. `training`
        stores the new u and sigma; the result is the same either way.
        """
        if id(self.kernel) in _FIXED.values:
            return _FIXED.values[id(self.kernel)]
        if not self.spectral_norm:
            return tf.convert_to_tensor(self.kernel)
        u, sigma = power_iteration(self.matrix(), self.u, self.sn_epsilon)
        if training:
            self.u.assign(u)
            self.sigma.assign(sigma)
        return self.kernel / sigma


class SpectralDense(SpectralLayer):
    """A linear layer, [batch, inputs] -> [batch, units]."""

    def build(self, input_shape: tf.TensorShape) -> None:
        self.add_kernel((input_shape[-1], self.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel = tf.cast(self.normalized_kernel(training), self.compute_dtype)
        x = tf.matmul(x, kernel)
        return wide.add_bias(x, value_of(self.bias)) if self.use_bias else x


class SpectralEmbedding(SpectralDense):
    """A linear layer without bias on class probabilities [batch, classes].

    Its kernel [classes, units] has one row for each class. u has one value for each
    class, not for each unit.
    """

    U_AXIS = 0

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **{**kwargs, "use_bias": False})

    def matrix(self) -> tf.Tensor:
        return tf.transpose(self.kernel)


class SpectralConv2D(SpectralLayer):
    """A convolution with stride 1 and SAME padding, NHWC.

    Args:
        kernel_size: side of the square kernel.
        used_units: how many output channels are computed, the first ones; None for all.
            The others still belong to the kernel, and count in its sigma.
    """

    def __init__(
        self,
        units: int,
        kernel_size: int = 3,
        used_units: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.kernel_size, self.used_units = kernel_size, used_units

    def build(self, input_shape: tf.TensorShape) -> None:
        side = self.kernel_size
        self.add_kernel((side, side, input_shape[-1], self.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel = self._used(self.effective_kernel(self.normalized_kernel(training)))
        x = self.convolve(x, tf.cast(kernel, self.compute_dtype))
        return wide.add_bias(x, self._used(self.bias)) if self.use_bias else x

    def _used(self, weight: tf.Tensor) -> tf.Tensor:
        weight = value_of(weight)
        return weight if self.used_units is None else weight[..., : self.used_units]

    def effective_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the kernel to convolve with, made from the normalised one."""
        return kernel

    def convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


def path_of(variable: tf.Variable) -> str:
    """Returns a variable's path in its network, such as "block0/conv1/kernel"."""
    return variable.name.partition("/")[2].partition(":")[0]


class _Fixed(threading.local):
    """Tensors by the id of their variable, of one replica: each has its own thread."""

    def __init__(self):
        self.values: dict[int, tf.Tensor] = {}


_FIXED = _Fixed()


@contextlib.contextmanager
def fixed(
    variables: Sequence[tf.Variable], values: Sequence[tf.Tensor]
) -> Iterator[None]:
    """Inside, on this replica, layers compute with these values of their variables.

    Those of a kernel are W / sigma(W).
    """
    before = _FIXED.values
    _FIXED.values = {id(variable): value for variable, value in zip(variables, values)}
    try:
        yield
    finally:
        _FIXED.values = before


def value_of(variable: tf.Variable) -> tf.Tensor:
    """Returns what a layer computes with: the value that is `fixed`, or its own."""
    if id(variable) in _FIXED.values:
        return _FIXED.values[id(variable)]
    return tf.convert_to_tensor(variable)


def by_path(variables: Iterable[tf.Variable]) -> dict[str, tf.Variable]:
    """Returns a network's variables by their paths."""
    return {path_of(variable): variable for variable in variables}


def spectral_layers(network: tf.Module) -> list[SpectralLayer]:
    """Returns a network's layers with kernels, in an order its structure decides."""
    return [layer for layer in network.submodules if isinstance(layer, SpectralLayer)]
