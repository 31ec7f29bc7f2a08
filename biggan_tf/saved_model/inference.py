"""From a generator in training to one for sampling.

Sampling differs from training in three ways: weights are the moving averages, W / sigma
is computed once and for all, and batch norm uses standing statistics (Appendix C.1 of
the paper), since the running averages of training fit neither averaged weights nor
truncated latents.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from biggan_tf import latents
from biggan_tf.architecture import NetworkSpec
from biggan_tf.errors import BadInput
from biggan_tf.layers import (
    BatchNorm,
    Statistics,
    batch_norms,
    path_of,
    power_iteration,
    spectral_layers,
)

# The truncations that have statistics of their own, by convention; between two of them
# statistics are interpolated, but nothing lies between 2 and infinity.
RESAMPLE_GRID = (0.04, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, math.inf)
SCALED_GRID = tuple(index / 50 for index in range(51))
GRIDS = {
    **{name: RESAMPLE_GRID for name in latents.TRUNCATIONS},
    **{name: (math.inf,) for name in latents.DISCRETE},
    "uniform": (0.04, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, math.inf),
    "scaled": SCALED_GRID,
}

Build = Callable[[NetworkSpec], tf.keras.Model]


def for_inference(build: Build, spec: NetworkSpec) -> tf.keras.Model:
    """A network for `fold` to write into: no spectral norm, initial values of no use.

    It computes in float32, whatever the training did.

    Args:
        build: makes a network, its variables too, from a spec.
        spec: of the network in training.
    """
    return build(
        dataclasses.replace(
            spec,
            spectral_norm=False,
            precision="float32",
            # Orthogonal kernels take seconds each where they are wide.
            initializer="normal",
        )
    )


def fold(
    source: tf.keras.Model,
    weights: Sequence[tf.Variable] | None,
    target: tf.keras.Model,
    sigmas: Mapping[str, float] | None = None,
) -> None:
    """Writes a network's weights into its twin for inference, divided by their sigma.

    Sigma is what the source itself would divide these weights by: one power iteration
    from the stored u. So the twin computes exactly what the source does when it is not
    training. Nothing of the source changes.

    Args:
        source: a generator or discriminator in training.
        weights: to take instead of its own, in the order of its trainable variables.
        target: made by `for_inference` from its spec.
        sigmas: to divide by instead, by the layer's path, such as "block0/conv1".
    """
    values = source.trainable_variables if weights is None else weights
    for variable, value in zip(target.trainable_variables, values):
        variable.assign(value)
    for trained, folded in zip(spectral_layers(source), spectral_layers(target)):
        if not trained.spectral_norm:
            continue
        if sigmas:
            sigma = sigmas[path_of(folded.kernel).removesuffix("/kernel")]
        else:
            matrix, u = folded.matrix(), tf.convert_to_tensor(trained.u)
            _, sigma = power_iteration(matrix, u, trained.sn_epsilon)
        folded.kernel.assign(folded.kernel / sigma)


class StandingStatistics(tf.Module):
    """The moments of every batch norm of a generator, one set for each truncation.

    Variables, float32, none trained: `truncations` [sets]; `means` and `variances`, a
    list of [sets, channels] each, in the order of `layers.batch_norms`.

    Args:
        generator: whose batch norms they are.
        truncations: ascending; infinity may be the last.
    """

    def __init__(self, generator: tf.keras.Model, truncations: Sequence[float]):
        super().__init__(name="standing_statistics")
        norms = batch_norms(generator)
        self._index = {id(layer): index for index, layer in enumerate(norms)}
        self._paths = [
            path_of(layer.moving_mean).removesuffix("/moving_mean") for layer in norms
        ]

        def table(name: str, layer: BatchNorm, value: float) -> tf.Variable:
            shape = [len(truncations), layer.moving_mean.shape[0]]
            return tf.Variable(tf.fill(shape, value), trainable=False, name=name)

        self.truncations = tf.Variable(
            truncations, dtype=tf.float32, trainable=False, name="truncations"
        )
        self.means = [table("mean", layer, 0.0) for layer in norms]
        self.variances = [table("variance", layer, 1.0) for layer in norms]

    def at(self, truncation: tf.Tensor) -> Statistics:
        """The statistics, for a generator's call, of a truncation, float32 scalar.

        Interpolated linearly between two sets; the first set below the first, and the
        last above the last. Where the last is infinity's, it holds from the last but
        one on.
        """
        grid = tf.convert_to_tensor(self.truncations)
        truncation = tf.clip_by_value(truncation, grid[0], grid[-1])
        upper = tf.reduce_sum(tf.cast(grid < truncation, tf.int32))
        lower = tf.maximum(upper - 1, 0)
        # On the grid this is 1 (or 0 / 0 on the first set) to the last bit.
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
        """Sets all truncations' statistics.

        Args:
            means, variances: float32 [sets, channels], by the path of the layer in the
                generator, such as "block0/norm1/norm".
        """
        for mean, variance, path in zip(self.means, self.variances, self._paths):
            mean.assign(means[path])
            variance.assign(variances[path])

    def set_row(self, row: int, moments: Sequence[np.ndarray]) -> None:
        """Sets one truncation's statistics from E[x] and E[x^2].

        Args:
            row: index of the set.
            moments: float64 [2, channels] for every batch norm.
        """
        tables = zip(self.means, self.variances, moments)
        for mean, variance, (first, second) in tables:
            mean[row].assign(first.astype(np.float32))
            spread = np.maximum(second - np.square(first), 0.0)
            variance[row].assign(spread.astype(np.float32))


class Accumulator:
    """Measures a generator's moments over passes of fresh latents and labels.

    In every pass batch norm uses the statistics of the pass, as in training. A pass is
    shared by the replicas of the strategy in whose scope this and the generator are
    made.

    Args:
        generator: its batch norms are measured; their running averages stay.
        convention: how latents are truncated, see `latents.TRUNCATIONS`.
        batch_size: images a pass, over all replicas.

    Raises:
        BadInput: batch_size does not divide among the replicas.
    """

    def __init__(self, generator: tf.keras.Model, convention: str, batch_size: int):
        norms = batch_norms(generator)
        spec = generator.spec
        strategy = tf.distribute.get_strategy()
        if batch_size % strategy.num_replicas_in_sync:
            raise BadInput(
                f"export.batch_size = {batch_size} does not divide among "
                f"{strategy.num_replicas_in_sync} replicas; take a multiple."
            )

        def on_replica(truncation: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
            moments = {}

            def measured(layer: BatchNorm, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                mean, square = layer.moments(x)
                moments[id(layer)] = tf.stack([mean, square])
                return mean, tf.nn.relu(square - tf.square(mean))

            z = latents.TRUNCATIONS[convention](
                [batch_size, spec.latent_size], latents.fold(seed, 0), truncation
            )
            y = latents.labels(batch_size, spec.num_classes, latents.fold(seed, 1))
            z, y = latents.replica_share(z), latents.replica_share(y)
            generator(z, y, statistics=measured)
            return [moments[id(layer)] for layer in norms]

        # One graph for all truncations.
        @tf.function(
            input_signature=[
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([2], tf.int32),
            ],
            autograph=False,
        )
        def one_pass(truncation: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
            found = strategy.run(on_replica, args=(truncation, seed))
            return [strategy.experimental_local_results(one)[0] for one in found]

        self.one_pass = one_pass

    def moments(self, truncation: float, passes: int, seed: int) -> list[np.ndarray]:
        """Means of E[x] and E[x^2] over the passes, float64 [2, channels] a batch norm.

        The same seed draws corresponding latents at every truncation.
        """
        totals: Any = 0.0
        for index in range(passes):
            found = self.one_pass(
                truncation, latents.fold(latents.root_seed(seed), index)
            )
            found = [value.numpy().astype(np.float64) for value in found]
            totals = found if index == 0 else [a + b for a, b in zip(totals, found)]
        return [total / passes for total in totals]


class Sampler:
    """Untruncated images of a generator while it trains, as an export would give them.

    Args:
        build: makes a generator from a spec.
        spec: of the generator in training.
        passes: whose mean moments are the standing statistics.
        convention: of truncation, see `latents.TRUNCATIONS`.
        batch_size: images a pass.
    """

    def __init__(
        self,
        build: Build,
        spec: NetworkSpec,
        passes: int,
        convention: str = "resample",
        batch_size: int = 64,
    ):
        self.convention = convention
        self._generator = for_inference(build, spec)
        self._passes = passes
        self._accumulator = Accumulator(self._generator, convention, batch_size)
        self._statistics = StandingStatistics(self._generator, [math.inf])

    def update(
        self, source: tf.keras.Model, weights: Sequence[tf.Variable] | None = None
    ) -> None:
        """Takes over the source's weights, or the given ones (see `fold`)."""
        fold(source, weights, self._generator)
        moments = self._accumulator.moments(math.inf, self._passes, seed=0)
        self._statistics.set_row(0, moments)

    def __call__(self, z: tf.Tensor, y: tf.Tensor) -> np.ndarray:
        """Images, float32 [batch, side, side, 3] in [-1, 1]; z and y as G's."""
        return in_parts(self.draw, z, y, self._generator.spec.resolution)

    @tf.function(autograph=False)
    def draw(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The same as a tensor, all at once."""
        return self._generator(z, y, statistics=self._statistics.at(math.inf))


def in_parts(
    draw: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    z: tf.Tensor,
    y: tf.Tensor,
    side: int,
) -> np.ndarray:
    """draw(z, y) a part at a time, so that memory does not run out.

    Args:
        draw: G.
        z, y: the whole batch, any number.
        side: of the images, pixels.
    """
    size = max(1, 64 * 128**2 // side**2)
    starts = range(0, len(z), size)
    parts = [draw(z[start : start + size], y[start : start + size]) for start in starts]
    return np.concatenate(parts)
