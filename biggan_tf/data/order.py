"""The order of examples in the endless training stream.

The stream is a function of (seed, position) alone. Global batch k of size B holds the
positions k B to (k + 1) B - 1, whatever the number of replicas, and epochs follow each
other without a gap. So a resumed run starts at any position without replaying, and
several workers take disjoint slices of the same batch without talking to each other.
"""

from __future__ import annotations

import tensorflow as tf

from biggan_tf.distribution import per_replica_batch

_ORDER_KEY, _FLIP_KEY = 1, 2  # two independent uses of one seed: odd and even
# Rounds of the permuting cipher. tf.random.experimental.index_shuffle is fixed at 4,
# with which two epochs of 50,000 examples correlate at 0.7 and neighbours' coins at
# 0.4 and more; from 16 on nothing is left of either.
_ROUNDS = 24


def shuffled_index(position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Returns the index, 0 to count - 1, of the example at each position.

    Every epoch of `count` examples is another permutation. Positions are int64 [] or
    [n], from 0, and the result is like them.
    """
    epoch = position // count
    # Of each word of its seed the operation may take 8 bits alone.
    higher = epoch // 256 + seed // 256 % 127
    return _permuted(position % count, count, seed, epoch, _ORDER_KEY + 2 * higher)


def coin(position: tf.Tensor, seed: int) -> tf.Tensor:
    """Returns a fair coin for each position: bool, same shape as position."""
    sides = 2**62
    drawn = _permuted(position, sides, seed, tf.zeros_like(position), _FLIP_KEY)
    return drawn < sides // 2


def _permuted(
    index: tf.Tensor, count: int, seed: int, epoch: tf.Tensor, key: tf.Tensor | int
) -> tf.Tensor:
    constant = tf.zeros_like(index)
    return tf.raw_ops.RandomIndexShuffle(
        index=index,
        seed=tf.stack([constant + seed, epoch, constant + key], axis=-1),
        max_index=tf.constant(count - 1, tf.int64),
        rounds=_ROUNDS,
    )


class PipelineSlice:
    """The slice of every global batch that one input pipeline provides.

    Replica r gets the r-th of R equal slices of each global batch; pipeline w of W
    feeds the replicas w R / W to (w + 1) R / W - 1.
    """

    def __init__(
        self,
        batch_size: int,
        first_batch: int = 0,
        context: tf.distribute.InputContext | None = None,
    ) -> None:
        """Raises BadInput if the batch does not divide; None is one replica."""
        context = context or tf.distribute.InputContext()
        replicas = context.num_replicas_in_sync
        self.batch_size, self.first_batch = batch_size, first_batch
        self.replica_batch = per_replica_batch(replicas, batch_size, "batch size")
        self._local_replicas = replicas // context.num_input_pipelines
        self._pipeline = context.input_pipeline_id

    def positions(self) -> tf.data.Dataset:
        """Returns endless int64 [replica_batch], for each local replica in turn."""
        first_replica = self._pipeline * self._local_replicas
        within = tf.range(self.replica_batch, dtype=tf.int64)

        def slice_of(element: tf.Tensor) -> tf.Tensor:
            batch = element // self._local_replicas
            replica = first_replica + element % self._local_replicas
            return batch * self.batch_size + replica * self.replica_batch + within

        first = self.first_batch * self._local_replicas
        return tf.data.Dataset.counter(first).map(slice_of)

    def owns(self, position: tf.Tensor) -> tf.Tensor:
        """Returns whether this pipeline provides the example at a position: bool []."""
        replica = position % self.batch_size // self.replica_batch
        return replica // self._local_replicas == self._pipeline
