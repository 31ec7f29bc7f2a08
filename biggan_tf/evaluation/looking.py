"""Images on their way past a feature network, on all replicas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from biggan_tf import process
from biggan_tf.errors import BadInput
from biggan_tf.features import FeatureNetwork
from biggan_tf.metrics import Batch
from biggan_tf.sampling import STREAM_BATCH, Draw

BATCH_SIZE = STREAM_BATCH  # images a pass, over all replicas


class Look:
    """Draws images and has the feature network look at them.

    Args:
        strategy: all of its replicas do.
        network: the feature network, loaded in the strategy's scope.
        num_classes: of the labels that `draw` gets, one-hot.
        with_spatial: whether batches have "spatial" of the network.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        network: FeatureNetwork,
        num_classes: int,
        with_spatial: bool,
    ):
        self._strategy, self._network = strategy, network
        self._num_classes, self._with_spatial = num_classes, with_spatial
        self._looks: dict[Draw, Callable] = {}

    def __call__(
        self,
        draw: Draw,
        batches: tf.data.Dataset,
        count: int,
        title: str,
        truncation: float = math.inf,
    ) -> Iterator[Batch]:
        """Yields the first `count` images of batches, seen by the feature network."""
        look = self._looks.setdefault(draw, self._look_function(draw))
        batches = _untuned(batches.take(-(-count // BATCH_SIZE)).map(_filled))
        truncation = tf.constant(truncation, tf.float32)
        local, left = self._strategy.experimental_local_results, count
        bar = tqdm(total=count, desc=title, unit=" images", disable=None)
        with bar:
            for x, labels in batches:
                with process.without_tf32():  # not while somebody uses what it yields
                    seen = look(*self._shared_out(x, labels), truncation)
                *seen, fine = (np.concatenate(local(each)) for each in seen)
                batch = Batch(*(each[:left] for each in seen))
                if not fine.all():
                    raise BadInput(
                        f"{title}: images are NaN or not in [-1, 1]; the weights are "
                        "broken, or what drew them is no generator of this program."
                    )
                left -= len(batch.labels)
                bar.update(len(batch.labels))
                yield batch

    def _shared_out(self, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Gives each replica its slice of a batch."""

        def of_replica(replica: tf.distribute.ValueContext) -> tuple[tf.Tensor, ...]:
            index, of = replica.replica_id_in_sync_group, replica.num_replicas_in_sync
            start, end = (BATCH_SIZE * at // of for at in (index, index + 1))
            return tuple(each[start:end] for each in batch)

        return self._strategy.experimental_distribute_values_from_function(of_replica)

    def _look_function(self, draw: Draw) -> Callable:
        classes = self._num_classes

        def on_replica(
            x: tf.Tensor, labels: tf.Tensor, truncation: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            images = draw(x, tf.one_hot(labels, classes), truncation)
            # NaN is not below anything. tanh in bfloat16 reaches 1 at most.
            fine = tf.reduce_all(tf.abs(images) <= 1.0 + 1e-5)
            # Of NaN this is anything, but such images go no further.
            pixels = tf.saturate_cast(tf.floor((images + 1) * 128), tf.uint8)
            seen = self._network(pixels)
            count = tf.shape(pixels)[0]
            spatial = seen["spatial"] if self._with_spatial else tf.zeros([count, 0])
            spatial = tf.reshape(spatial, [count, -1])
            features, logits = seen["features"], seen["logits"]
            return pixels, features, logits, labels, spatial, fine[None]

        return tf.function(
            lambda *args: self._strategy.run(on_replica, args), autograph=False
        )


def as_it_is(image: tf.Tensor, y: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    del y, truncation
    return image


def _untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetches batches, with no thread that tunes the pipeline.

    The end of an iterator waits until that thread wakes, which can take as long as the
    iterator lived, up to a minute: what should end it wakes it before it may end, and
    it sleeps again. A distributed dataset would start such a thread.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)


def _filled(x: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Fills a batch up: all replicas get slices of the same static shape."""
    missing = BATCH_SIZE - tf.shape(labels)[0]
    x = tf.pad(x, [[0, missing], *([[0, 0]] * (len(x.shape) - 1))])
    labels = tf.pad(labels, [[0, missing]])
    x.set_shape([BATCH_SIZE, *x.shape[1:]])
    labels.set_shape([BATCH_SIZE])
    return x, labels
