"""Blocks whose activations are computed again in the backward pass instead of kept.

Half as much computing again, for the memory of one block instead of all (Chen et al.
2016, arXiv 1604.06174). What a block keeps from batch to batch moves once all the same:
its normalised kernels are computed outside and handed in, and the moments of its batch
norms are handed out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from biggan_tf.layers.norm import (
    BatchNorm,
    Statistics,
    batch_moments,
    batch_norms,
    batch_statistics,
    move_averages,
    value_count,
)
from biggan_tf.layers.spectral import SpectralLayer, spectral_layers


def recomputed(
    block: tf.keras.layers.Layer,
    *inputs: tf.Tensor,
    training: bool,
    statistics: Statistics | None = None,
) -> tf.Tensor:
    """block(*inputs, training, [statistics]) with the same gradients and side effects.

    Args:
        block: made of the layers of this package.
        *inputs: float tensors.
        training: whether power-iteration vectors move.
        statistics: where the block's batch norms take their moments from, if it has
            any.
    """
    last = () if statistics is None else (statistics,)
    if not block.built:  # the call that makes its variables
        return block(*inputs, training, *last)
    spectral, norms = spectral_layers(block), batch_norms(block)
    kernels = [layer.normalized_kernel(training) for layer in spectral]
    moves = statistics is batch_statistics
    count = len(inputs)

    def forward(*tensors: tf.Tensor) -> list[tf.Tensor]:
        moments = {}

        def noted(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = (batch_moments if moves else statistics)(layer, x)
            moments[id(layer)] = [*map(tf.stop_gradient, found), value_count(x)]
            return found

        with _fixed_kernels(spectral, tensors[count:]):
            y = block(*tensors[:count], False, *[noted for _ in last])
        return [y, *(value for layer in norms for value in moments[id(layer)])]

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple:
        def gradient(dy: tf.Tensor, *_: tf.Tensor, variables: Sequence = ()) -> tuple:
            # Not before it is needed, and so not taken for the first time's result.
            with tf.control_dependencies([dy]):
                again = [tf.identity(tensor) for tensor in tensors]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([*again, *variables])
                y = forward(*again)[0]
            found = tape.gradient(y, [*again, *variables], dy)
            return found[: len(again)], found[len(again) :]

        return forward(*tensors), gradient

    y, *moments = run(*inputs, *kernels)
    if moves:
        for layer, *found in zip(norms, moments[::3], moments[1::3], moments[2::3]):
            move_averages(layer, *found)
    return y


@contextlib.contextmanager
def _fixed_kernels(
    layers: Sequence[SpectralLayer], kernels: Sequence[tf.Tensor]
) -> Iterator[None]:
    """Layers called inside take these normalised kernels for theirs."""
    for layer, kernel in zip(layers, kernels):
        layer.fixed_kernel = kernel
    try:
        yield
    finally:
        for layer in layers:
            layer.fixed_kernel = None
