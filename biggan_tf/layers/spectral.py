"""Kernels divided by their largest singular value (Miyato et al. 2018)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

INITIALIZERS = {
    "orthogonal": {"class_name": "Orthogonal", "config": {}},
    "normal": {"class_name": "RandomNormal", "config": {"stddev": 0.02}},
    "glorot": {"class_name": "GlorotUniform", "config": {}},
}

# Variables that every replica computes alike from the same numbers: each keeps its own
# copy, and the first one's is saved.
ALIKE = {
    "trainable": False,
    "synchronization": tf.VariableSynchronization.ON_READ,
    "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
}
REPLICATED_STATE = {**ALIKE, "experimental_autocast": False}  # of a layer: float32


def power_iteration(
    matrix: tf.Tensor, u: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """One step towards the largest singular value of `matrix`.

    Args:
        matrix: float32 [rows, columns].
        u: float32 [columns], the estimate of the right singular vector so far.
        epsilon: norms below it are taken for it.

    Returns:
        The new u [columns] and sigma = v^T matrix u, a scalar, of v = matrix u / norm.
        Gradients flow into sigma through the matrix alone, u and v being constants
        (they are at a stationary point of sigma): d sigma / d matrix = v u^T.
    """
    frozen = tf.stop_gradient(matrix)
    # Vectors are columns here, which makes the smallest graph.
    v = _unit(tf.matmul(frozen, tf.reshape(tf.stop_gradient(u), [-1, 1])), epsilon)
    u = _unit(tf.matmul(frozen, v, transpose_a=True), epsilon)
    sigma = tf.matmul(v, tf.matmul(matrix, u), transpose_a=True)
    return tf.reshape(u, [-1]), tf.reshape(sigma, [])


def _unit(x: tf.Tensor, epsilon: float) -> tf.Tensor:
    return tf.math.l2_normalize(x, epsilon=epsilon**2)


class SpectralLayer(tf.keras.layers.Layer):
    """Base of the layers that divide their kernel by its largest singular value.

    Variables, all float32 whatever the compute dtype: `kernel` (raw W, trained),
    `bias` where used, `u` (power-iteration vector) and `sigma` (its last estimate, for
    the monitor; neither is trained).

    Args:
        units: output channels.
        use_bias: whether a bias is added.
        kernel_initializer: anything `tf.keras.initializers.get` takes.
        spectral_norm: False uses W as it is (then u and sigma do not exist).
        sn_epsilon: lower bound of the norms in the power iteration.
    """

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
        self.units = units
        self.use_bias = use_bias
        self.kernel_initializer = tf.keras.initializers.get(kernel_initializer)
        self.spectral_norm = spectral_norm
        self.sn_epsilon = sn_epsilon
        self.fixed_kernel = None  # set while `recomputed` calls the layer

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": tf.keras.initializers.serialize(
                self.kernel_initializer
            ),
            "spectral_norm": self.spectral_norm,
            "sn_epsilon": self.sn_epsilon,
        }

    def add_kernel(self, shape: tuple[int, ...]) -> None:
        """Creates the variables; the last axis of `shape` is the output's."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=shape,
            initializer=self.kernel_initializer,
            experimental_autocast=False,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=[self.units], initializer="zeros"
            )
        if self.spectral_norm:
            self.u = self.add_weight(
                name="u",
                shape=[self.matrix().shape[1]],
                initializer=tf.keras.initializers.RandomNormal(stddev=1.0),
                **REPLICATED_STATE,
            )
            self.sigma = self.add_weight(
                name="sigma", shape=[], initializer="ones", **REPLICATED_STATE
            )

    def matrix(self) -> tf.Tensor:
        """The raw kernel as the matrix whose singular values count: [rest, units]."""
        if self.kernel.shape.rank == 2:
            return tf.convert_to_tensor(self.kernel)
        return tf.reshape(self.kernel, [-1, self.kernel.shape[-1]])

    def normalized_kernel(self, training: bool = False) -> tf.Tensor:
        """W / sigma(W), float32, in the shape of W.

        Sigma comes from one power iteration that starts at the stored u, which moves
        only when training.
        """
        if self.fixed_kernel is not None:
            return self.fixed_kernel
        if not self.spectral_norm:
            return tf.convert_to_tensor(self.kernel)
        u, sigma = power_iteration(self.matrix(), self.u, self.sn_epsilon)
        if training:
            self.u.assign(u)
            self.sigma.assign(sigma)
        return self.kernel / sigma

    def add_bias(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(x, self.bias) if self.use_bias else x


class SpectralDense(SpectralLayer):
    """A linear layer, [batch, inputs] -> [batch, units]."""

    def build(self, input_shape: tf.TensorShape) -> None:
        self.add_kernel((input_shape[-1], self.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel = tf.cast(self.normalized_kernel(training), self.compute_dtype)
        return self.add_bias(tf.matmul(x, kernel))


class SpectralEmbedding(SpectralDense):
    """A linear layer on class probabilities [batch, classes], one-hot or soft.

    Its kernel [classes, units] has one row a class, and u lives on the class side.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **{**kwargs, "use_bias": False})

    def matrix(self) -> tf.Tensor:
        return tf.transpose(self.kernel)


class SpectralConv2D(SpectralLayer):
    """A convolution with stride 1 and SAME padding, NHWC.

    Args:
        units: output channels.
        kernel_size: side of the square kernel.
        used_units: how many of the output channels are computed (the first ones; None:
            all). The others belong to the kernel, and to its sigma, all the same.
        **kwargs: see `SpectralLayer`.
    """

    def __init__(
        self, units: int, kernel_size: int, used_units: int | None = None, **kwargs: Any
    ):
        super().__init__(units, **kwargs)
        self.kernel_size = kernel_size
        self.used_units = used_units

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "used_units": self.used_units,
        }

    def build(self, input_shape: tf.TensorShape) -> None:
        side = self.kernel_size
        self.add_kernel((side, side, input_shape[-1], self.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel = self.effective_kernel(self.normalized_kernel(training))
        x = self.convolve(x, tf.cast(self._used(kernel), self.compute_dtype))
        return tf.nn.bias_add(x, self._used(self.bias)) if self.use_bias else x

    def _used(self, weight: tf.Tensor) -> tf.Tensor:
        return weight if self.used_units is None else weight[..., : self.used_units]

    def effective_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        """The kernel that is convolved with, made from the normalised one."""
        return kernel

    def convolve(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


def path_of(variable: tf.Variable) -> str:
    """Layer and name of a network's variable, such as "block0/conv1/kernel"."""
    return variable.name.partition("/")[2].partition(":")[0]


def spectral_layers(network: tf.Module) -> list[SpectralLayer]:
    """Every layer with a kernel, in an order that only the structure decides."""
    return [layer for layer in network.submodules if isinstance(layer, SpectralLayer)]
