"""Samples beside the training images nearest to them: the check for memorising."""

import numpy as np

from biggan_tf import images
from biggan_tf.evaluation.scoring import Evaluator
from biggan_tf.metrics import NearestNeighbours
from biggan_tf.sampling import Sampler


def nearest_neighbours(
    evaluator: Evaluator,
    sampler: Sampler,
    truncation: float,
    rows: int = 10,
    columns: int = 7,
) -> dict[str, np.ndarray]:
    """Returns "features" and "pixels": sheets by either distance, uint8 [h, w, 3].

    A row shows a sample, named by its class, then the training images nearest to it.
    """
    spaces = {
        "features": lambda batch: batch.features,
        "pixels": lambda batch: batch.images.reshape(len(batch.images), -1),
    }
    columns = min(columns, evaluator.real_count("train"))
    samples = evaluator.generated(sampler, truncation, rows)
    searches = {
        name: NearestNeighbours(space(samples), columns)
        for name, space in spaces.items()
    }
    for batch in evaluator.real(ordered=True):
        for name, space in spaces.items():
            searches[name].update(space(batch), batch.images)

    def sheet(nearest: list[list[np.ndarray]]) -> np.ndarray:
        tiles = [[sample, *row] for sample, row in zip(samples.images, nearest)]
        names = [sampler.class_names[label] for label in samples.labels]
        return images.sheet(np.concatenate(tiles), columns + 1, names)

    return {name: sheet(search.found) for name, search in searches.items()}
