"""Scores of a generator, with their whole protocol."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

import biggan_tf
from biggan_tf import features, latents, metrics
from biggan_tf.data import Data
from biggan_tf.errors import BadInput
from biggan_tf.saved_model import Exported

METRICS = ("fid", "is", "kid", "prdc", "intra_fid", "accuracy")
SPLITS = ("train", "held_out")
BATCH_SIZE = 128  # images a pass, over all replicas
KEPT = 10_000  # images whose features k-nearest neighbours and KID see, of each kind
_KID_BLOCK = 1000
_MOST_CLASS_BYTES = 2**33  # of intra-class FID's covariances

Draw = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A generator to be scored.

    Attributes:
        draw: (z, y one-hot, truncation) -> images, float32 in [-1, 1]; on a replica.
        latent_size, num_classes, image_size: G's.
        convention: of truncation, see `latents.TRUNCATIONS`.
        protocol: step, weights and statistics, for the record.
    """

    draw: Draw
    latent_size: int
    num_classes: int
    image_size: int
    convention: str
    protocol: dict[str, Any]

    @classmethod
    def exported(cls, module: Exported, statistics: str) -> Subject:
        """What an exported module draws.

        Args:
            module: its weights are moving averages.
            statistics: in words, where those of batch norm are from.
        """
        return cls(
            # A module that was just made has its call as an attribute alone.
            lambda z, y, t: module.module.__call__({"z": z, "y": y, "truncation": t}),
            module.latent_size,
            module.num_classes,
            module.image_size,
            module.truncation_convention,
            {"step": module.step, "weights": "ema", "statistics": statistics},
        )


class Batch(NamedTuple):
    """Images uint8 [n, h, w, 3], features [n, d], logits [n, k] and labels [n]."""

    images: np.ndarray
    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray


class Evaluator:
    """Scores generators against one data set with one feature network.

    Whatever can be wrong is found when it is made, before the first image.

    Args:
        strategy: images are drawn and looked at on all of its replicas.
        network: name of the feature network, see `features.load`.
        data: real images, which are looked at unflipped.
        names: of `METRICS`.
        num_images: generated images for each score.
        split: real images of the reference, "train" or "held_out".
        reference: file of reference statistics. Read if it is there, and else made and
            written; None keeps them in memory.
        seed: of latents, labels and the choice of real images.

    Attributes:
        network: the `features.FeatureNetwork`.

    Raises:
        BadInput: too few images, a file of another protocol, or no such network.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        network: str,
        data: Data,
        names: Sequence[str],
        num_images: int,
        split: str = "train",
        reference: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ):
        data = data.unflipped()
        self._strategy, self._data, self._seed = strategy, data, seed
        self._names, self._num_images, self._split = tuple(names), num_images, split
        self._path = Path(reference) if reference else None
        with strategy.scope():
            self.network = features.load(network)
        size = self.network.feature_size
        if type(num_images) is not int or num_images < 1:
            raise BadInput(f"num_images = {num_images!r}: take a whole number from 1.")
        metrics.check_enough_images(num_images, size)
        spec = data.spec
        if "intra_fid" in names and 16 * spec.num_classes * size**2 > _MOST_CLASS_BYTES:
            raise BadInput(
                f"intra_fid: covariances of {spec.num_classes} classes and {size} "
                "features do not fit in memory; leave it out of the metrics."
            )
        self._reference: metrics.FeatureStatistics | None = None
        self._classes: list[metrics.FeatureStatistics] = []
        self._head: features.LinearHead | None = None
        # On a small set of other classes 1000-class logits mean nothing.
        self._own_classes = spec.source == "embedded"
        self._needs_head = "accuracy" in names or ("is" in names and self._own_classes)
        self._looks: dict[Draw, Callable] = {}
        if self._path and self._path.is_file():
            self._reference = metrics.FeatureStatistics.load(self._path)
            self._reference.require(self.reference_protocol, str(self._path))
            if {"kid", "prdc"} & set(names) and not len(self._reference.features):
                raise BadInput(
                    f"{self._path} keeps no features, which kid and prdc need: make it "
                    "with them."
                )
            metrics.check_enough_images(self._reference.count, size)
        if self._reference is None or self._needs_head or "intra_fid" in names:
            data.check_ready()
            metrics.check_enough_images(self._real_count(split), size)
        if "intra_fid" in names:
            self._check_class_sizes("generated", self._drawn())

    @property
    def reference_protocol(self) -> dict[str, Any]:
        """What reference statistics must have been made with."""
        spec = self._data.spec
        return {
            "data": spec.name,
            "split": spec.train_split
            if self._split == "train"
            else spec.held_out_split,
            "image_size": spec.image_size,
            **self.network.protocol,
        }

    def check(self, num_classes: int, image_size: int) -> None:
        """BadInput unless the generator makes images of the data's classes and size."""
        spec = self._data.spec
        for what, ours in (("num_classes", num_classes), ("image_size", image_size)):
            theirs = getattr(spec, what)
            if ours != theirs:
                raise BadInput(
                    f"the generator has {what} = {ours}, and the data {spec.name} has "
                    f"{theirs}: evaluate with the data it was trained on."
                )

    def reference(self, keep: int = KEPT) -> metrics.FeatureStatistics:
        """Statistics of the real images, made in the first call unless read.

        Args:
            keep: how many images' features stay; of the held-out images all do.
        """
        if self._reference is None:
            count = self._real_count(self._split)
            if self._split == "held_out":  # in order of classes, it may be
                keep = count if keep else 0
            protocol = {**self.reference_protocol, "count": count}
            made = metrics.FeatureStatistics(protocol, keep)
            for batch in self._real(self._split):
                made.update(batch.features)
            if self._path:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                made.save(self._path)
            self._reference = made
        classes = self._data.spec.num_classes
        if "intra_fid" in self._names and not self._classes:
            made = [metrics.FeatureStatistics() for _ in range(classes)]
            for batch in self._real(self._split):
                _update_classes(made, batch)
            self._check_class_sizes("real", [one.count for one in made])
            self._classes = made
        if self._needs_head and self._head is None:
            batches = [(b.features, b.labels) for b in self._real("train", KEPT)]
            x, y = map(np.concatenate, zip(*batches))
            self._head = features.fit_linear_head(x, y, classes)
        return self._reference

    def score(self, subject: Subject, truncation: float = math.inf) -> dict[str, float]:
        """Scores of generated images, by name.

        Raises:
            BadInput: they are NaN or not in [-1, 1].
        """
        self.check(subject.num_classes, subject.image_size)
        latents.check_truncation(subject.convention, truncation, "truncation")
        reference, names = self.reference(), self._names
        found = metrics.FeatureStatistics(keep=KEPT if "prdc" in names else 0)
        classes = [metrics.FeatureStatistics() for _ in self._classes]
        inception = metrics.InceptionScore(self._num_images) if "is" in names else None
        accuracy = metrics.LabelAccuracy()
        kid = None
        if "kid" in names:
            block = min(_KID_BLOCK, self._num_images, len(reference.features))
            kid = metrics.KernelDistance(reference.features, block, self._seed)
        for batch in self._generated(subject, truncation):
            found.update(batch.features)
            if inception:
                inception.update(self._logits(batch))
            if "accuracy" in names:
                accuracy.update(self._head(batch.features), batch.labels)
            if kid:
                kid.update(batch.features)
            if classes:
                _update_classes(classes, batch)
        scores = {}
        if "fid" in names:
            scores["fid"] = metrics.frechet_distance(reference, found)
        if inception:
            name = "is_linear" if self._own_classes else "is"
            scores[name], scores[f"{name}_std"] = inception.result()
        if kid:
            scores["kid"], scores["kid_std"] = kid.result()
        if "prdc" in names:
            scores.update(metrics.prdc(reference.features[:KEPT], found.features))
        if classes:
            pairs = zip(self._classes, classes)
            scores["intra_fid"] = metrics.intra_class_frechet_distance(pairs)
        if "accuracy" in names:
            scores["accuracy_linear"] = accuracy.result()
        return {self.named(name): value for name, value in scores.items()}

    def named(self, name: str) -> str:
        """A score's name, which holds the network's unless that is Inception."""
        network = self.network.name
        return name if network == "inception" else f"{name}_{network}"

    def real_inception_score(self) -> float:
        """Inception Score of the held-out images, in random order."""
        self.reference()
        logits = [self._logits(batch) for batch in self._real("held_out")]
        logits = np.random.default_rng(self._seed).permutation(np.concatenate(logits))
        score = metrics.InceptionScore(len(logits))
        score.update(logits)
        return score.result()[0]

    def record(
        self, subject: Subject, truncation: float, scores: dict[str, float]
    ) -> dict[str, Any]:
        """A line of `metrics.jsonl`: the step, the scores and their whole protocol."""
        truncations = {"truncation": truncation, "convention": subject.convention}
        if math.isinf(truncation):
            truncations["truncation"] = "inf"
        return {
            "step": subject.protocol["step"],
            **scores,
            "protocol": {
                **subject.protocol,
                **truncations,
                "num_images": self._num_images,
                "seed": self._seed,
                **self.reference_protocol,
                "reference": str(self._path) if self._path else "of the same data",
                "reference_images": self.reference().count,
                "biggan_tf": biggan_tf.__version__,
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
            },
        }

    def real_ordered(self, split: str = "train") -> Iterator[Batch]:
        """Real images in the order of the data set."""
        source = self._data.ordered_train_batches
        if split == "held_out":
            source = self._data.held_out_batches
        count = self._real_count(split)
        return self._look(_as_it_is, source(BATCH_SIZE), count, f"real, {split}")

    def generated(self, subject: Subject, truncation: float, count: int) -> Batch:
        """`count` samples at once."""
        batches = self._generated(subject, truncation, count)
        return Batch(*map(np.concatenate, zip(*batches)))

    def _drawn(self) -> np.ndarray:
        """How many samples of each class there are to be, int [classes]."""
        classes, root = self._data.spec.num_classes, latents.root_seed(self._seed)
        labels = [
            latents.labels(BATCH_SIZE, classes, _label_seed(root, index))
            for index in tf.range(-(-self._num_images // BATCH_SIZE), dtype=tf.int64)
        ]
        labels = np.concatenate(labels)[: self._num_images]
        return np.bincount(labels, minlength=classes)

    def _check_class_sizes(self, kind: str, counts: Sequence[int]) -> None:
        """BadInput if a class has too few images for a covariance."""
        fewest = int(np.argmin(counts))
        if counts[fewest] < 2:
            raise BadInput(
                f"intra_fid: of {self._data.spec.class_names[fewest]}, there are "
                f"{counts[fewest]} {kind} images, and each class needs 2 or more: "
                "take more images, or leave it out of the metrics."
            )

    def _logits(self, batch: Batch) -> np.ndarray:
        return self._head(batch.features) if self._own_classes else batch.logits

    def _real(self, split: str, most: int | None = None) -> Iterator[Batch]:
        """Real images once; those of training in random order."""
        if split == "held_out":
            return self.real_ordered(split)
        count = min(self._real_count(split), most or math.inf)
        batches = self._data.train_batches(BATCH_SIZE, self._seed)
        return self._look(_as_it_is, batches, count, "real")

    def _real_count(self, split: str) -> int:
        spec = self._data.spec
        return spec.train_images if split == "train" else spec.held_out_images

    def _generated(
        self, subject: Subject, truncation: float, count: int | None = None
    ) -> Iterator[Batch]:
        root = latents.root_seed(self._seed)
        classes, shape = subject.num_classes, [BATCH_SIZE, subject.latent_size]
        draw_latents = latents.TRUNCATIONS[subject.convention]

        # On the host, so that a seed's samples are the same for all replica counts.
        def inputs(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            z_seed = latents.fold(latents.fold(root, index), 0)
            z = draw_latents(shape, z_seed, truncation)
            return z, latents.labels(BATCH_SIZE, classes, _label_seed(root, index))

        def draw(z: tf.Tensor, labels: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
            return subject.draw(z, tf.one_hot(labels, classes), truncation)

        if subject.draw not in self._looks:
            self._looks[subject.draw] = self._look_function(draw)
        batches = tf.data.Dataset.range(2**31).map(inputs)
        title = f"generated, truncation {truncation:g}"
        return self._look(
            subject.draw, batches, count or self._num_images, title, truncation
        )

    def _look(
        self,
        draw: Draw,
        batches: tf.data.Dataset,
        count: int,
        title: str,
        truncation: float = math.inf,
    ) -> Iterator[Batch]:
        """The first `count` images of batches, through the feature network."""
        if draw not in self._looks:
            self._looks[draw] = self._look_function(draw)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.OFF
        )
        batches = batches.take(-(-count // BATCH_SIZE)).map(_filled)
        batches = batches.with_options(options).prefetch(2)
        truncation = tf.constant(truncation, tf.float32)
        left = count
        with tqdm(total=count, desc=title, unit=" images", disable=None) as bar:
            for x, labels in self._strategy.experimental_distribute_dataset(batches):
                parts = self._looks[draw](x, labels, truncation)
                parts = tf.nest.map_structure(self._joined, parts)
                batch = Batch(*(part[:left] for part in parts[:4]))
                if not parts[4].all():
                    raise BadInput(
                        f"{title}: images are NaN or not in [-1, 1]; the weights are "
                        "broken, or what drew them is no generator of this program."
                    )
                left -= len(batch.labels)
                bar.update(len(batch.labels))
                yield batch

    def _look_function(self, draw: Draw) -> Callable:
        def on_replica(
            x: tf.Tensor, labels: tf.Tensor, truncation: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            images = draw(x, labels, truncation)
            # NaN is not below anything. tanh in bfloat16 reaches 1 at most.
            fine = tf.reduce_all(tf.abs(images) <= 1.0 + 1e-5)
            pixels = tf.saturate_cast(tf.floor((images + 1) * 128), tf.uint8)
            seen = self.network(pixels)
            return pixels, seen["features"], seen["logits"], labels, fine[None]

        # saturate_cast of NaN is anything, but such images go no further.
        return tf.function(
            lambda *args: self._strategy.run(on_replica, args), autograph=False
        )

    def _joined(self, value: Any) -> np.ndarray:
        return np.concatenate(self._strategy.experimental_local_results(value))


def _label_seed(root: tf.Tensor, index: int | tf.Tensor) -> tf.Tensor:
    """Of the labels of a batch of samples."""
    return latents.fold(latents.fold(root, index), 1)


def _as_it_is(image: tf.Tensor, label: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
    del label, truncation
    return image


def _filled(x: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A batch of the full size, so that replicas get equal shares of static shape."""
    missing = BATCH_SIZE - tf.shape(labels)[0]
    x = tf.pad(x, [[0, missing], *([[0, 0]] * (len(x.shape) - 1))])
    labels = tf.pad(labels, [[0, missing]])
    x.set_shape([BATCH_SIZE, *x.shape[1:]])
    labels.set_shape([BATCH_SIZE])
    return x, labels


def _update_classes(classes: list[metrics.FeatureStatistics], batch: Batch) -> None:
    for label in np.unique(batch.labels):
        classes[label].update(batch.features[batch.labels == label])


def parse_metrics(names: Sequence[str], flag: str) -> tuple[str, ...]:
    """BadInput unless they are of `METRICS`, one or more."""
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise BadInput(
            f"{flag} = {','.join(names)}: take some of {', '.join(METRICS)}."
        )
    return tuple(names)


def lower_is_better(score: str) -> bool:
    """Whether a smaller value of a score, such as "fid_lite0_64", is better."""
    return score.startswith(("fid", "kid", "intra_fid"))


def append(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Adds a line to `metrics.jsonl`."""
    with open(path, "a") as file:
        file.write(json.dumps(record) + "\n")
