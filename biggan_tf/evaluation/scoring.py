"""Scores of a generator, with their whole protocol."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import biggan_tf
from biggan_tf import features, files, latents, metrics
from biggan_tf.data import Data
from biggan_tf.errors import BadInput
from biggan_tf.evaluation import reference as reference_files
from biggan_tf.evaluation.looking import BATCH_SIZE, Look, as_it_is
from biggan_tf.evaluation.reference import KEPT
from biggan_tf.features import FeatureNetwork
from biggan_tf.metrics import METRICS, Batch, FeatureStatistics, Metric
from biggan_tf.sampling import Sampler, stream_labels


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
        reference: file of their statistics, which is made if it is not there.
        cache: the same, but made anew if it is of other images or another protocol.
            Without a file they stay in memory.
        seed: of latents, labels and the choice of real images.
        frequencies: of the classes, as the generators draw them; None: equal.
        room: what stands before the names of options in messages: "evaluation." or "".
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
        cache: str | os.PathLike[str] | None = None,
        seed: int = 0,
        frequencies: Sequence[float] | None = None,
        room: str = "",
    ):
        self.network, self._seed = network, seed
        self._data, self._split = data.unflipped(), split
        self._path = Path(reference or cache) if reference or cache else None
        self._is_given = reference is not None
        self._metrics: list[type[Metric]] = [METRICS[name] for name in names]
        spec, size, spatial_size = data.spec, network.feature_size, network.spatial_size
        frequencies = frequencies or latents.uniform(spec.num_classes)
        self.check(len(frequencies), spec.image_size)
        drawn = functools.partial(drawn_counts, num_images, frequencies, seed)
        self._request = metrics.Request(
            num_images,
            size,
            spec.class_names,
            spec.own_classes,
            KEPT,
            drawn,
            spatial_size,
            network.sizes["logits"],
            network.logits_of(spec.class_names),
            split,
            data.class_counts(split),
            room,
        )
        told = f"{room}num_images"
        metrics.check_enough_images(told, num_images, self._metrics, size, spatial_size)
        for one in self._metrics:
            one.check(self._request)
        self._needs_head = any(one.needs_head(self._request) for one in self._metrics)
        observers = {
            one.name: one.observer(self._request, seed) for one in self._metrics
        }
        self._seen = {name: one for name, one in observers.items() if one}
        self._needs_spatial = any(one.needs_spatial for one in self._metrics)
        self._look = Look(strategy, network, len(spec.class_names), self._needs_spatial)
        comparing = [one for one in self._metrics if one.needs_statistics]
        self._statistics = None
        if reference and not comparing:
            raise BadInput(
                f"{room or '--'}reference={reference}: leave it out, for none of the "
                f"metrics {', '.join(names)} compares with it."
            )
        told, count = f"images of the split {split}", None
        if comparing and self._path and self._path.is_file():
            if cache and not reference:
                protocol = self.reference_protocol
                found = reference_files.cached(self._path, protocol, comparing)
            else:
                found = self._given_reference(comparing)
            if found:
                if len(found.mean) != size:
                    raise BadInput(
                        f"{self._path} has features of size {len(found.mean)}: take a "
                        f"file of {network.name}, whose features have size {size}."
                    )
                self._statistics, count = found, found.count
                told = f"images in {self._path}"
        self._needs_statistics = bool(comparing) and self._statistics is None
        if self._needs_statistics or self._needs_head or self._seen:
            data.check_ready()
        if self._needs_statistics:
            count = self.real_count(split)
        if comparing and count is not None:
            metrics.check_enough_images(told, count, comparing, size, spatial_size)

    def _given_reference(self, comparing: Sequence[type[Metric]]) -> FeatureStatistics:
        path, network = self._path, self.network
        names = reference_files.names(path)
        if "protocol" in names:
            return reference_files.given(path, self.reference_protocol, comparing)
        if not {"mu", "sigma"} <= names:
            return self._of_images(reference_files.images(path, names))
        of_moments = [one for one in comparing if not one.needs_features]
        if "arr_0" not in names or of_moments == [*comparing]:
            return reference_files.moments(path, network, comparing)
        # As ADM does: its moments are of more images than those in the file.
        found = None
        if of_moments:
            found = reference_files.moments(path, network, of_moments)
        images = self._of_images(reference_files.images(path, names))
        single = [one for one in comparing if one.needs_features]
        told, size = f"images in {path}", network.feature_size
        metrics.check_enough_images(told, images.count, single, size, 0)
        if found is None:
            return images
        found.keep_features_of(images)
        return found

    @functools.cached_property
    def reference_protocol(self) -> dict[str, Any]:
        """What reference statistics must have been made with."""
        spec, held_out = self._data.spec, self._split == "held_out"
        return {
            "data": spec.name,
            "content_sha256": self._data.fingerprint(self._split),
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
                    "trained on, with its data.labels if it had any; "
                    f"{spec.name} has {theirs}."
                )

    def make_reference(self, keep: int) -> int:
        """Writes the reference file, with the features of `keep` images.

        Returns how many images there are.
        """
        self._look_at_real_images(keep)
        return self._statistics.count

    def _of_images(self, images: np.ndarray) -> FeatureStatistics:
        """Returns statistics of other people's images, uint8 [n, h, w, 3]."""
        protocol = {"images": f"arr_0, {len(images)} of {images.shape[1]} px"}
        made = self._new_statistics({**protocol, **self.network.protocol}, KEPT)

        def slices() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for start in range(0, len(images), BATCH_SIZE):
                some = images[start : start + BATCH_SIZE]
                yield some / np.float32(127.5) - 1, np.zeros(len(some), np.int32)

        batches = tf.data.Dataset.from_generator(
            slices,
            output_signature=(
                tf.TensorSpec([None, *images.shape[1:]], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ),
        )
        for batch in self._look(as_it_is, batches, len(images), str(self._path)):
            self._update(made, batch)
        return made

    def _new_statistics(self, protocol: dict[str, Any], keep: int) -> FeatureStatistics:
        made = FeatureStatistics(protocol, keep, self._seed)
        made.spatial = FeatureStatistics() if self._needs_spatial else None
        return made

    def _update(self, statistics: FeatureStatistics, batch: Batch) -> None:
        statistics.update(batch.features)
        if statistics.spatial:
            statistics.spatial.update(batch.spatial)

    @functools.cached_property
    def reference(self) -> metrics.Reference:
        """All that metrics compare with."""
        seen, head = self._look_at_real_images(KEPT), None
        if self._needs_head:
            if self._split == "held_out":
                seen = [(b.features, b.labels) for b in self.real(most=KEPT)]
            x, y = map(np.concatenate, zip(*seen))
            classes = len(self._data.spec.class_names)
            head = features.fit_linear_head(x[:KEPT], y[:KEPT], classes)
        fit = features.fit_linear_head
        return metrics.Reference(self._statistics, self._seen, head, self._seed, fit)

    def _look_at_real_images(self, keep: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Has, in one pass, statistics made and observers see all, if needed.

        Returns features and labels of the first images, for a head.
        """
        seen: list[tuple[np.ndarray, np.ndarray]] = []
        of_head = self._needs_head and self._split == "train"
        all_of_them = self._needs_statistics or self._seen
        if not all_of_them and not of_head:
            return seen
        count = self.real_count(self._split)
        protocol = {**self.reference_protocol, "count": count}
        made = self._new_statistics(protocol, keep)
        for batch in self.real(self._split, most=count if all_of_them else KEPT):
            if self._needs_statistics:
                self._update(made, batch)
            for observer in self._seen.values():
                observer.update(batch)
            if of_head and sum(len(y) for _, y in seen) < KEPT:
                seen.append((batch.features, batch.labels))
        if self._needs_statistics:
            if self._path:
                made.save(self._path)
            self._statistics, self._needs_statistics = made, False
        return seen

    def score(self, sampler: Sampler, truncation: float = math.inf) -> dict[str, float]:
        """Returns scores by name; names end in the network's, but for Inception's.

        Raises BadInput if images are NaN or not in [-1, 1].
        """
        batches = self._generated(sampler, truncation, self._request.num_images)
        made = [one(self._request, self.reference) for one in self._metrics]
        for batch in batches:
            for metric in made:
                metric.update(batch)
        results = [metric.result() for metric in made]
        values = [value for each in results for value in each.values()]
        return dict(zip(self.score_names, values))

    @property
    def score_names(self) -> list[str]:
        """The names of the scores, in order."""
        return [name for one in self._metrics for name in self._names(one)]

    def main_score(self, metric: str) -> str:
        """Returns the name of the main score of a metric."""
        return self._names(METRICS[metric])[0]

    def _names(self, metric: type[Metric]) -> list[str]:
        network = self.network.name
        named = metric.is_of_features and network != "inception"
        ending = f"_{network}" if named else ""
        return [f"{name}{ending}" for name in metric.scores(self._request)]

    def real_for_inception_score(self) -> tuple[str, int]:
        """Returns a split and its count of images: those held out, if they are 20.

        BadInput if those to train on are fewer, too.
        """
        fewest = METRICS["is"].fewest_images(0)
        split = "held_out" if self.real_count("held_out") >= fewest else "train"
        if (count := self.real_count(split)) < fewest:
            raise BadInput(
                f"--sweep: it also takes the Inception Score of {fewest} real images "
                f"or more, and {self._data.spec.name} has {count}."
            )
        return split, count

    def real_inception_score(self) -> float:
        """Returns that of `real_for_inception_score`, in random order."""
        split, count = self.real_for_inception_score()
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
        uniform = latents.is_uniform(sampler.class_frequencies)
        made_of = {"generator_sha256": sampler.generator_sha256}
        return {
            "step": sampler.step,
            **scores,
            "protocol": {
                "step": sampler.step,
                "weights": "ema",
                "weights_sha256": sampler.weights_sha256,
                **(made_of if sampler.generator_sha256 else {}),
                "statistics": sampler.statistics,
                "truncation": "inf" if math.isinf(truncation) else truncation,
                "convention": sampler.convention,
                "num_images": self._request.num_images,
                "seed": self._seed,
                "labels": "uniform" if uniform else "data",
                **self.reference_protocol,
                **self._of_the_reference(),
                "biggan_tf": biggan_tf.__version__,
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
            },
        }

    def _of_the_reference(self) -> dict[str, Any]:
        """Returns what a record says of the file of statistics, and of the head."""
        statistics, count = self._statistics, None
        if statistics or self._needs_statistics or self._seen:
            count = statistics.count if statistics else self.real_count(self._split)
        told = {
            "reference": str(self._path) if self._path else "of the same data",
            "reference_images": count,
        }
        if count and any(one.needs_features for one in self._metrics):
            kept = len(statistics.features) if statistics else min(count, KEPT)
            told["reference_features"] = kept
        if self._is_given and self._path.is_file():
            told["reference_sha256"] = self._reference_sha256
        if self._needs_head and self._split == "held_out":
            told["head_fitted_to_sha256"] = self._data.fingerprint("train")
        if statistics and "images" in statistics.protocol:  # other people's
            told["reference_holds"] = statistics.protocol["images"]
        return told

    @functools.cached_property
    def _reference_sha256(self) -> str:
        return files.sha256(self._path)

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
        count = min(self.real_count(split), most)
        return self._look(as_it_is, batches, count, f"real, {split}")

    def real_count(self, split: str) -> int:
        """Returns how many real images a split has."""
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
        # On the host, so that a seed's samples are the same for all replica counts.
        batches = tf.data.Dataset.range(2**31).map(
            lambda index: sampler.batch(index, truncation, self._seed)
        )
        title = f"generated, truncation {truncation:g}"
        return self._look(sampler.draw, batches, count, title, truncation)


def drawn_counts(
    num_images: int, frequencies: Sequence[float], seed: int
) -> np.ndarray:
    """Returns how many samples of each class there will be, int [classes]."""
    batches = tf.range(-(-num_images // BATCH_SIZE), dtype=tf.int64)
    labels = [stream_labels(index, frequencies, seed) for index in batches]
    labels = np.concatenate(labels)[:num_images]
    return np.bincount(labels, minlength=len(frequencies))
