"""Samples beside the training images nearest to them: the check for memorising."""

from __future__ import annotations

import numpy as np

from biggan_tf import images, metrics
from biggan_tf.evaluation.scoring import Batch, Evaluator, Subject


def nearest_neighbours(
    evaluator: Evaluator,
    subject: Subject,
    truncation: float,
    rows: int = 10,
    columns: int = 7,
) -> dict[str, np.ndarray]:
    """Sheets by distance of features and of pixels: a sample, then its nearest.

    Returns:
        "features" and "pixels", each uint8 [h, w, 3].
    """
    spaces = {"features": lambda batch: batch.features, "pixels": _pixels}
    samples = evaluator.generated(subject, truncation, rows)
    searches = {
        name: metrics.NearestNeighbours(space(samples), columns)
        for name, space in spaces.items()
    }
    for batch in evaluator.real_ordered():
        for name, space in spaces.items():
            searches[name].update(space(batch))
    wanted = {name: search.result() for name, search in searches.items()}
    tiles = {
        name: np.zeros((*indices.shape, *samples.images.shape[1:]), np.uint8)
        for name, indices in wanted.items()
    }
    start = 0
    for batch in evaluator.real_ordered():
        for name, indices in wanted.items():
            inside = (indices >= start) & (indices < start + len(batch.labels))
            tiles[name][inside] = batch.images[indices[inside] - start]
        start += len(batch.labels)
    return {
        name: images.sheet(
            np.concatenate([samples.images[:, None], found], 1).reshape(
                -1, *samples.images.shape[1:]
            ),
            columns + 1,
        )
        for name, found in tiles.items()
    }


def _pixels(batch: Batch) -> np.ndarray:
    return batch.images.reshape(len(batch.images), -1)
