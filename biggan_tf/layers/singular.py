"""The largest singular values of kernels, for the monitor and the regularisers."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from biggan_tf.layers.spectral import SpectralLayer

_BLOCK, _DEPTH = 8, 24  # columns of X, and powers of W^T W, from 0


def largest_singular(
    matrix: tf.Tensor, count: int = 3
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the largest singular values of W, and their vectors.

    Block Krylov iteration: they are looked for in the space that (W^T W)^i X spans, for
    i < 24 and a random X of 8 columns. They are exact if the shorter side of W is at
    most 8 * 24, and right to 1e-4 elsewhere. A single column would not find singular
    values that are equal, as those of a fresh orthogonal kernel are.

    Args:
        matrix: float32 [..., rows, columns]; no gradient flows into it.
        count: how many, up to 8; fewer where a side is shorter.

    Returns:
        sigma [..., count], descending; v [..., rows, count] and u [..., columns,
        count], float32, with W u = sigma v.
    """
    matrix = tf.stop_gradient(matrix)
    rows, columns = matrix.shape[-2:]
    if columns > rows:
        sigma, u, v = largest_singular(tf.linalg.matrix_transpose(matrix), count)
        return sigma, v, u
    block = min(_BLOCK, columns)
    shape = [*matrix.shape[:-2], columns, block]
    x, _ = tf.linalg.qr(tf.random.stateless_normal(shape, [0, 0]))
    space = x
    for _ in range(min(_DEPTH, -(-columns // block)) - 1):
        x = tf.matmul(matrix, tf.matmul(matrix, x), transpose_a=True)
        for _ in range(2):  # the second time removes the first one's rounding errors
            x -= tf.matmul(space, tf.matmul(space, x, transpose_a=True))
            x, _ = tf.linalg.qr(x)
        space = tf.concat([space, x], axis=-1)
    space, _ = tf.linalg.qr(space)
    left, triangle = tf.linalg.qr(tf.matmul(matrix, space))
    sigma, inner_left, inner_right = tf.linalg.svd(triangle)
    v = tf.matmul(left, inner_left[..., :count])
    return sigma[..., :count], v, tf.matmul(space, inner_right[..., :count])


def by_shape(layers: Sequence[SpectralLayer]) -> list[tuple[list, tf.Tensor]]:
    """Returns, for each shape, the layers of that shape and their stacked matrices."""
    groups: dict[tuple, list[SpectralLayer]] = {}
    for layer in layers:
        groups.setdefault(tuple(layer.matrix().shape), []).append(layer)
    return [
        (group, tf.stack([layer.matrix() for layer in group]))
        for group in groups.values()
    ]
