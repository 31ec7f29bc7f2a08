"""Makes the generator or discriminator that a spec describes."""

import functools
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

from biggan_tf import biggan, biggan_deep, process
from biggan_tf.architecture import GeneratorSpec, Network, NetworkSpec
from biggan_tf.layers import by_path

_FAMILIES = {"biggan": biggan, "biggan_deep": biggan_deep}


def build(spec: NetworkSpec) -> Network:
    """Returns the generator or discriminator of a spec, with its initial values."""
    family, label = _FAMILIES[spec.family], tf.zeros([1], tf.int32)
    with process.computing_in(spec.precision):
        if isinstance(spec, GeneratorSpec):
            network = family.Generator(spec, name="generator")
            network(tf.zeros([1, spec.latent_size]), label)
        else:
            network = family.Discriminator(spec, name="discriminator")
            network(tf.zeros([1, spec.resolution, spec.resolution, 3]), label)
    return network


@functools.cache
def variables(spec: NetworkSpec) -> dict[str, tuple[tuple[int, ...], bool]]:
    """Returns {path: (shape, whether it is trained)} of a network's variables.

    The network is traced alone, and its variables get no values and no memory.
    """

    def without_value(_: Callable, **asked: Any) -> tf.Variable:
        wanted = {key: asked[key] for key in ("trainable", "shape", "dtype", "name")}
        return UninitializedVariable(**wanted)

    # A plain tf.Graph would turn all Keras layers of the process into those of Keras 1.
    graph = tf.__internal__.FuncGraph("without_values")
    # Layers need no AutoGraph; applying it would take three quarters of the time.
    plainly = tf.autograph.experimental.do_not_convert(build)
    with tf.variable_creator_scope(without_value), graph.as_default():
        network = plainly(spec)
    found = by_path(network.variables)
    return {path: (tuple(v.shape), v.trainable) for path, v in found.items()}


def parameter_count(spec: NetworkSpec) -> int:
    """Returns how many trained numbers a network has."""
    shapes = variables(spec).values()
    return sum(math.prod(shape) for shape, trained in shapes if trained)
