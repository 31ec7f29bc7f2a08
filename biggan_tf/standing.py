"""Standing statistics: batch norm's moments for sampling (Appendix C.1 of the paper).

The running averages of training fit neither averaged weights nor truncated latents. So
moments are measured with the weights and at the truncations that will be used.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from biggan_tf import checkpoints, distribution, files, latents, process
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras
from biggan_tf.layers import BatchNorm, Statistics, batch_norms, path_of

# For each convention of `latents.TRUNCATIONS`, the truncations that have statistics of
# their own. Between two of them statistics are interpolated, unless one is infinity.
RESAMPLE_GRID = (0.04, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, math.inf)
SCALED_GRID = tuple(index / 50 for index in range(51))
GRIDS = {
    **{name: RESAMPLE_GRID for name in latents.TRUNCATIONS},
    **{name: (math.inf,) for name in latents.DISCRETE},
    "uniform": (0.04, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, math.inf),
    "scaled": SCALED_GRID,
}


# With 50 of each of 1,000 classes the means of G's first batch norms move by less than
# 1 % of a standard deviation between two seeds.
SAMPLES_PER_CLASS = 50


def told(passes: int, batch_size: int, seed: int) -> str:
    """Says, for people and protocols, what statistics are."""
    return (
        f"moments over {passes * batch_size:,} samples each, in batches of "
        f"{batch_size} from seed {seed}"
    )


def enough_passes(least: int, num_classes: int, batch_size: int) -> int:
    """Returns the batches for `SAMPLES_PER_CLASS` on average, or `least` if more."""
    return max(least, -(-SAMPLES_PER_CLASS * num_classes // batch_size))


@dataclasses.dataclass(frozen=True)
class PublishedStatistics:
    """The statistics that came with published weights, by the paths of layers."""

    convention: str  # of truncation, see `latents.TRUNCATIONS`
    truncations: np.ndarray  # float32 [sets], ascending; infinity may be the last
    means: Mapping[str, np.ndarray]  # float32 [sets, channels] of "block0/norm1/norm"
    variances: Mapping[str, np.ndarray]  # likewise
    sigmas: Mapping[str, np.ndarray]  # of kernels; {}: power iteration computes them


def save_published(
    folder: Path,
    statistics: PublishedStatistics,
    step: int,
    weights: Mapping[str, np.ndarray],
) -> None:
    """Writes `statistics.npz`, which belongs to the averaged weights of one step."""
    arrays = {"step": np.int64(step), "weights_sha256": checkpoints.sha256(weights)}
    for name, value in dataclasses.asdict(statistics).items():
        if isinstance(value, dict):
            arrays |= {f"{name}/{path}": array for path, array in value.items()}
        else:
            arrays[name] = np.asarray(value)
    with files.replacing(folder / "statistics.npz") as path, path.open("wb") as file:
        np.savez(file, **arrays)


def load_published(
    folder: Path, step: int, weights: Mapping[str, np.ndarray]
) -> PublishedStatistics | None:
    """Reads `statistics.npz`; returns None unless it belongs to this step.

    BadInput if it is damaged, or belongs to other weights of the step.
    """
    path = folder / "statistics.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        convention, truncations = str(arrays["convention"]), arrays["truncations"]
        if arrays["step"] != step:
            return None
        tables: dict[str, dict] = {"means": {}, "variances": {}, "sigmas": {}}
        for name, array in arrays.items():
            table, _, path_in_network = name.partition("/")
            if path_in_network:
                tables[table][path_in_network] = array
    except Exception as error:  # a broken archive can raise anything
        raise BadInput(f"{path} is damaged ({error}); import again.") from error
    of = arrays.get("weights_sha256")  # earlier versions wrote none
    if of is not None and str(of) != checkpoints.sha256(weights):
        raise BadInput(
            f"{path} is of other weights; put its own back, or import again."
        )
    return PublishedStatistics(convention, truncations, **tables)


class StandingStatistics(tf.Module):
    """The moments of every batch norm of a generator, one set for each truncation.

    Variables, float32, none trained: `truncations` [sets], ascending, infinity may be
    the last; `means` and `variances`, lists of [sets, channels], in the order of
    `layers.batch_norms`.
    """

    def __init__(self, generator: keras.Model, truncations: Sequence[float]):
        super().__init__(name="standing_statistics")
        norms = batch_norms(generator)
        self._index = {id(layer): index for index, layer in enumerate(norms)}
        self._paths = [
            path_of(layer.moving_mean).removesuffix("/moving_mean") for layer in norms
        ]

        def table(name: str, layer: BatchNorm, value: float) -> tf.Variable:
            shape = [len(truncations), *layer.moving_mean.shape]
            return tf.Variable(tf.fill(shape, value), trainable=False, name=name)

        self.truncations = tf.Variable(
            truncations, dtype=tf.float32, trainable=False, name="truncations"
        )
        self.means = [table("mean", layer, 0.0) for layer in norms]
        self.variances = [table("variance", layer, 1.0) for layer in norms]

    def at(self, truncation: tf.Tensor) -> Statistics:
        """Returns the statistics of a truncation (float32 scalar), for G's call.

        Interpolated linearly between two sets, and clamped at both ends of the grid.
        Above the largest finite truncation infinity's set is used, if there is one.
        """
        grid = tf.convert_to_tensor(self.truncations)
        truncation = tf.clip_by_value(truncation, grid[0], grid[-1])
        upper = tf.reduce_sum(tf.cast(grid < truncation, tf.int32))
        lower = tf.maximum(upper - 1, 0)
        # On the grid this is exactly 1; on its first truncation 0, from 0 / 0.
        weight = tf.math.divide_no_nan(
            truncation - grid[lower], grid[upper] - grid[lower]
        )
        weight = tf.where(tf.math.is_inf(grid[upper]), 1.0, weight)

        def interpolate(table: tf.Variable) -> tf.Tensor:
            return (1 - weight) * table[lower] + weight * table[upper]

        def statistics(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            del x
            index = self._index[id(layer)]
            return interpolate(self.means[index]), interpolate(self.variances[index])

        return statistics

    def set_tables(
        self, means: Mapping[str, np.ndarray], variances: Mapping[str, np.ndarray]
    ) -> None:
        """Sets all truncations' statistics; see `PublishedStatistics`."""
        for mean, variance, path in zip(self.means, self.variances, self._paths):
            mean.assign(means[path])
            variance.assign(variances[path])

    def set_row(self, row: int, moments: Sequence[np.ndarray]) -> None:
        """Stores one set: E[x] and E[x^2], float64 [2, channels], of every norm."""
        tables = zip(self.means, self.variances, moments)
        for mean, variance, (first, second) in tables:
            spread = np.maximum(second - np.square(first), 0.0)
            for table, values in ((mean, first), (variance, spread)):
                rows = table.numpy()  # a slice of a mirrored variable is of one replica
                rows[row] = values
                table.assign(rows)


class Accumulator:
    """Measures a generator's moments over passes of fresh latents and labels.

    In every pass batch norm uses the moments of the pass, as in training. Each replica
    of the current strategy computes a slice of the `batch_size` images. The generator's
    running averages do not change. Labels are as frequent as `frequencies` says; None:
    equally.
    """

    def __init__(
        self,
        generator: keras.Model,
        convention: str,
        batch_size: int,
        frequencies: Sequence[float] | None = None,
    ):
        norms = batch_norms(generator)
        spec = generator.spec
        frequencies = frequencies or latents.uniform(spec.num_classes)
        strategy = tf.distribute.get_strategy()
        replicas = strategy.num_replicas_in_sync
        distribution.per_replica_batch(replicas, batch_size, "export.batch_size")

        def on_replica(truncation: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
            moments = {}

            def measured(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                mean, square = layer.moments(x)
                moments[id(layer)] = tf.stack([mean, square])
                return mean, tf.nn.relu(square - tf.square(mean))

            z = latents.TRUNCATIONS[convention](
                [batch_size, spec.latent_size], latents.fold(seed, 0), truncation
            )
            y = latents.labels(batch_size, frequencies, latents.fold(seed, 1))
            z, y = latents.replica_slice(z), latents.replica_slice(y)
            generator(z, y, statistics=measured)
            return [moments[id(layer)] for layer in norms]

        signature = [tf.TensorSpec([], tf.float32), tf.TensorSpec([2], tf.int32)]

        @tf.function(input_signature=signature, autograph=False)
        def one_pass(truncation: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
            found = strategy.run(on_replica, args=(truncation, seed))
            return [strategy.experimental_local_results(one)[0] for one in found]

        self.one_pass = one_pass

    def moments(self, truncation: float, passes: int, seed: int) -> list[np.ndarray]:
        """Returns E[x] and E[x^2] over the passes, float64 [2, channels], of each norm.

        One seed draws corresponding latents at every truncation.
        """
        root, total = latents.root_seed(seed), None
        for index in range(passes):
            with process.without_tf32():  # as scores see its images
                found = self.one_pass(truncation, latents.fold(root, index))
            found = [value.numpy().astype(np.float64) for value in found]
            total = found if total is None else [a + b for a, b in zip(total, found)]
        return [value / passes for value in total]
