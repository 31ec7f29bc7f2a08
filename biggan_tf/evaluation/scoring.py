"""Scores of a generator, with their whole protocol."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

import biggan_tf
from biggan_tf import features, latents, metrics
from biggan_tf.data import Data
from biggan_tf.errors import BadInput
from biggan_tf.features import FeatureNetwork
from biggan_tf.metrics import METRICS, Batch, FeatureStatistics, Metric
from biggan_tf.sampling import Draw, Sampler

SPLITS = ("train", "held_out")
BATCH_SIZE = 128  # images a pass, over all replicas
KEPT = 10_000  # real images of KID; real and generated images of PRDC


class Evaluator:
    """Scores generators against one data set with one feature network.

    BadInput on too few images, or a file of another protocol, before an image is made.

    Args:
        strategy: images are drawn and looked at on all of its replicas.
        network: the feature network, loaded in the strategy's scope.
        data: real images; none of them is mirrored.
        names: of `metrics.METRICS`.
        num_images: generated images for each score.
        split: of the real images to compare with, "train" or "held_out".
        reference: file of their statistics, which is made if it is not there; None
            keeps them in memory.
        seed: of latents, labels and the choice of real images.
        frequencies: of the classes among generated images; None: equal.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        network: FeatureNetwork,
        data: Data,
        names: Sequence[str],
        num_images: int,
        split: str = "train",
        reference: str | os.PathLike[str] | None = None,
        seed: int = 0,
        frequencies: Sequence[float] | None = None,
    ):
        self._strategy, self.network, self._seed = strategy, network, seed
        self._data, self._split = data.unflipped(), split
        self._path = Path(reference) if reference else None
        self._metrics: list[type[Metric]] = [METRICS[name] for name in names]
        spec, size = data.spec, network.feature_size
        frequencies = frequencies or latents.uniform(spec.num_classes)
        self._frequencies = frequencies
        self.check(len(frequencies), spec.image_size)
        drawn = functools.partial(drawn_counts, num_images, frequencies, seed)
        self._request = metrics.Request(
            num_images, size, spec.class_names, spec.own_classes, KEPT, drawn
        )
        metrics.check_enough_images("num_images", num_images, size)
        for one in self._metrics:
            one.check(self._request)
        self._needs_head = any(one.needs_head(self._request) for one in self._metrics)
        self._needs_classes = any(one.needs_classes for one in self._metrics)
        self._statistics = self._read_reference()
        self._looks: dict[Draw, Callable] = {}
        if self._statistics is None or self._needs_head or self._needs_classes:
            data.check_ready()
            images = f"images of the split {split}"
            metrics.check_enough_images(images, self._real_count(split), size)

    def _read_reference(self) -> FeatureStatistics | None:
        if not self._path or not self._path.is_file():
            return None
        statistics = FeatureStatistics.load(self._path)
        statistics.require(self.reference_protocol, str(self._path))
        needing = [one.name for one in self._metrics if one.needs_features]
        if needing and not len(statistics.features):
            raise BadInput(
                f"{self._path} keeps no features: make it with them, for "
                f"{', '.join(needing)}."
            )
        size, images = self.network.feature_size, f"images in {self._path}"
        metrics.check_enough_images(images, statistics.count, size)
        return statistics

    @property
    def reference_protocol(self) -> dict[str, Any]:
        """What reference statistics must have been made with."""
        spec, held_out = self._data.spec, self._split == "held_out"
        return {
            "data": spec.name,
            "split": spec.held_out_split if held_out else spec.train_split,
            "image_size": spec.image_size,
            **self.network.protocol,
        }

    def check(self, num_classes: int, image_size: int) -> None:
        """Raises BadInput unless a generator has the data's classes and image size."""
        spec = self._data.spec
        for what, ours in (("num_classes", num_classes), ("image_size", image_size)):
            theirs = getattr(spec, what)
            if ours != theirs:
                raise BadInput(
                    f"{what} = {ours} of the generator: take the data that it was "
                    f"trained on; {spec.name} has {theirs}."
                )

    def statistics(self, keep: int = KEPT) -> FeatureStatistics:
        """Returns statistics of the real images, from the file or made once.

        The features of `keep` images stay with them, or of all held-out images.
        """
        if self._statistics is None:
            count = self._real_count(self._split)
            if self._split == "held_out":  # which may come class after class
                keep = count if keep else 0
            protocol = {**self.reference_protocol, "count": count}
            made = FeatureStatistics(protocol, keep)
            for batch in self.real(self._split):
                made.update(batch.features)
            if self._path:
                made.save(self._path)
            self._statistics = made
        return self._statistics

    @functools.cached_property
    def reference(self) -> metrics.Reference:
        """All that metrics compare with."""
        statistics, names = self.statistics(), self._data.spec.class_names
        classes, head = [FeatureStatistics() for _ in names], None
        if self._needs_classes:
            for batch in self.real(self._split):
                metrics.update_classes(classes, batch)
        if self._needs_head:
            batches = [(b.features, b.labels) for b in self.real(most=KEPT)]
            x, y = map(np.concatenate, zip(*batches))
            head = features.fit_linear_head(x, y, len(names))
        return metrics.Reference(statistics, classes, head, self._seed)

    def score(self, sampler: Sampler, truncation: float = math.inf) -> dict[str, float]:
        """Returns scores by name; names end in the network's unless it is Inception.

        Raises BadInput if images are NaN or not in [-1, 1].
        """
        batches = self._generated(sampler, truncation, self._request.num_images)
        made = [one(self._request, self.reference) for one in self._metrics]
        for batch in batches:
            for metric in made:
                metric.update(batch)
        results = [metric.result() for metric in made]
        network = self.network.name
        ending = "" if network == "inception" else f"_{network}"
        return {f"{name}{ending}": v for each in results for name, v in each.items()}

    def real_inception_score(self) -> float:
        """Returns the Inception Score of real images, in random order.

        They are the held-out images, or those to train on if none are held out.
        """
        split = "held_out" if self._real_count("held_out") else "train"
        count = self._real_count(split)
        request = self._request._replace(num_images=count)
        score = METRICS["is"](request, self.reference)
        seen = [b._replace(images=b.images[:, :0]) for b in self.real(split)]
        order = np.random.default_rng(self._seed).permutation(count)
        score.update(Batch(*(np.concatenate(each)[order] for each in zip(*seen))))
        return next(iter(score.result().values()))

    def record(
        self, sampler: Sampler, truncation: float, scores: dict[str, float]
    ) -> dict[str, Any]:
        """Returns a line of `metrics.jsonl`: step, scores and their whole protocol."""
        return {
            "step": sampler.step,
            **scores,
            "protocol": {
                "step": sampler.step,
                "weights": "ema",
                "statistics": sampler.statistics,
                "truncation": "inf" if math.isinf(truncation) else truncation,
                "convention": sampler.convention,
                "num_images": self._request.num_images,
                "seed": self._seed,
                "labels": "uniform"
                if latents.is_uniform(self._frequencies)
                else "data",
                **self.reference_protocol,
                "reference": str(self._path) if self._path else "of the same data",
                "reference_images": self.statistics().count,
                "biggan_tf": biggan_tf.__version__,
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
            },
        }

    def real(
        self, split: str = "train", ordered: bool = False, most: float = math.inf
    ) -> Iterator[Batch]:
        """Yields real images once, `most` at most; those of training in random order.

        With `ordered` they come as the data set has them.
        """
        if ordered or split == "held_out":
            batches = self._data.batches(split, BATCH_SIZE)
        else:
            batches = self._data.train_batches(BATCH_SIZE, self._seed)
        count = min(self._real_count(split), most)
        return self._look(_as_it_is, batches, count, f"real, {split}")

    def _real_count(self, split: str) -> int:
        spec = self._data.spec
        return spec.train_images if split == "train" else spec.held_out_images

    def generated(self, sampler: Sampler, truncation: float, count: int) -> Batch:
        """Returns `count` samples at once."""
        batches = self._generated(sampler, truncation, count)
        return Batch(*map(np.concatenate, zip(*batches)))

    def _generated(
        self, sampler: Sampler, truncation: float, count: int
    ) -> Iterator[Batch]:
        self.check(sampler.num_classes, sampler.image_size)
        latents.check_truncation(sampler.convention, truncation, "--truncation")
        root = latents.root_seed(self._seed)
        shape, frequencies = [BATCH_SIZE, sampler.latent_size], self._frequencies
        draw_latents = latents.TRUNCATIONS[sampler.convention]

        # On the host, so that a seed's samples are the same for all replica counts.
        def inputs(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            z = draw_latents(shape, latents.fold(root, index, 0), truncation)
            y_seed = latents.fold(root, index, 1)
            return z, latents.labels(BATCH_SIZE, frequencies, y_seed)

        batches = tf.data.Dataset.range(2**31).map(inputs)
        title = f"generated, truncation {truncation:g}"
        return self._look(sampler.draw, batches, count, title, truncation)

    def _look(
        self,
        draw: Draw,
        batches: tf.data.Dataset,
        count: int,
        title: str,
        truncation: float = math.inf,
    ) -> Iterator[Batch]:
        """Yields the first `count` images of batches, seen by the feature network."""
        look = self._looks.setdefault(draw, self._look_function(draw))
        options = tf.data.Options()
        off = tf.data.experimental.AutoShardPolicy.OFF
        options.experimental_distribute.auto_shard_policy = off
        batches = batches.take(-(-count // BATCH_SIZE)).map(_filled)
        batches = batches.with_options(options).prefetch(2)
        truncation = tf.constant(truncation, tf.float32)
        local, left = self._strategy.experimental_local_results, count
        bar = tqdm(total=count, desc=title, unit=" images", disable=None)
        with features.without_tf32(), bar:
            for x, labels in self._strategy.experimental_distribute_dataset(batches):
                seen = look(x, labels, truncation)
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

    def _look_function(self, draw: Draw) -> Callable:
        classes = len(self._request.class_names)

        def on_replica(
            x: tf.Tensor, labels: tf.Tensor, truncation: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            images = draw(x, tf.one_hot(labels, classes), truncation)
            # NaN is not below anything. tanh in bfloat16 reaches 1 at most.
            fine = tf.reduce_all(tf.abs(images) <= 1.0 + 1e-5)
            pixels = tf.saturate_cast(tf.floor((images + 1) * 128), tf.uint8)
            seen = self.network(pixels)
            return pixels, seen["features"], seen["logits"], labels, fine[None]

        # saturate_cast of NaN is anything, but such images go no further.
        return tf.function(
            lambda *args: self._strategy.run(on_replica, args), autograph=False
        )


def drawn_counts(
    num_images: int, frequencies: Sequence[float], seed: int
) -> np.ndarray:
    """Returns how many samples of each class there will be, int [classes]."""
    root = latents.root_seed(seed)
    labels = [
        latents.labels(BATCH_SIZE, frequencies, latents.fold(root, index, 1))
        for index in tf.range(-(-num_images // BATCH_SIZE), dtype=tf.int64)
    ]
    labels = np.concatenate(labels)[:num_images]
    return np.bincount(labels, minlength=len(frequencies))


def _as_it_is(image: tf.Tensor, y: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    del y, truncation
    return image


def _filled(x: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Fills a batch up: all replicas get slices of the same static shape."""
    missing = BATCH_SIZE - tf.shape(labels)[0]
    x = tf.pad(x, [[0, missing], *([[0, 0]] * (len(x.shape) - 1))])
    labels = tf.pad(labels, [[0, missing]])
    x.set_shape([BATCH_SIZE, *x.shape[1:]])
    labels.set_shape([BATCH_SIZE])
    return x, labels


def parse_metrics(names: Sequence[str], flag: str) -> tuple[str, ...]:
    """Returns the names; BadInput unless they are of `METRICS`, one or more."""
    if not names or any(name not in METRICS for name in names):
        raise BadInput(f"{flag}={','.join(names)}: take some of {', '.join(METRICS)}.")
    return tuple(names)
