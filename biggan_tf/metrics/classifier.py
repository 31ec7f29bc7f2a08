"""Scores from the logits of a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.metric import Batch, Metric, Reference, Request
from biggan_tf.metrics.statistics import RandomRows, finite_rows

_SPLITS = 10


class InceptionScore(Metric):
    """exp of the mean KL(p(y|x) || p(y)), in splits (Salimans et al. 2016).

    Uses the feature network's logits, or a linear head's if the data has own classes.
    Split i of s holds images i n / s to (i + 1) n / s of the n that are requested.
    """

    name = "is"
    needs_statistics = False

    @classmethod
    def fewest_images(cls, feature_size: int) -> int:
        return 2 * _SPLITS  # the score of a single image is 1

    @classmethod
    def needs_head(cls, request: Request) -> bool:
        return request.own_classes

    @classmethod
    def check(cls, request: Request) -> None:
        if not request.own_classes and not request.logits_size:
            raise BadInput(
                "is: leave it out of the metrics, for the network has no logits."
            )

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        name = "is_linear" if request.own_classes else "is"
        return (name, f"{name}_std", f"{name}_se")

    def __init__(self, request: Request, reference: Reference, splits: int = _SPLITS):
        count = request.num_images
        if count < splits:
            raise BadInput(
                f"an Inception Score over {splits} splits needs as many images; "
                f"num_images = {count}."
            )
        self._head = reference.head if request.own_classes else None
        self._ends = [(i + 1) * count // splits for i in range(splits)]
        self._count = 0
        self._negative_entropy = np.zeros(splits)  # sums of sum_y p(y|x) log p(y|x)
        self._probabilities: np.ndarray | None = None  # sums of p(y|x), [splits, k]

    def update(self, batch: Batch) -> None:
        logits = self._head(batch.features) if self._head else batch.logits
        logits = finite_rows(logits)
        positions = self._count + np.arange(len(logits))
        self._count += len(logits)
        self._refuse_if(self._count > self._ends[-1])
        logs = logits - logits.max(1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        probabilities = np.exp(logs)
        if self._probabilities is None:
            self._probabilities = np.zeros((len(self._ends), logits.shape[1]))
        split = np.searchsorted(self._ends, positions, side="right")
        np.add.at(self._negative_entropy, split, (probabilities * logs).sum(1))
        np.add.at(self._probabilities, split, probabilities)

    def result(self) -> dict[str, float]:
        """Returns mean and standard deviation over the splits, and the mean's error."""
        self._refuse_if(self._count != self._ends[-1])
        counts = np.diff(self._ends, prepend=0)
        marginal = self._probabilities / counts[:, None]
        logs = np.log(np.where(marginal > 0, marginal, 1.0))
        scores = np.exp(self._negative_entropy / counts - (marginal * logs).sum(1))
        name = "is_linear" if self._head else "is"
        mean, deviation = float(scores.mean()), float(scores.std())
        error = deviation / (len(scores) - 1) ** 0.5
        return {name: mean, f"{name}_std": deviation, f"{name}_se": error}

    def _refuse_if(self, wrong_count: bool) -> None:
        if wrong_count:
            raise BadInput(
                f"logits of {self._count} images for an Inception Score over "
                f"{self._ends[-1]}."
            )


def _check_classes(metric: str, request: Request) -> None:
    if len(request.class_names) < 2:
        raise BadInput(
            f"{metric}: leave it out of the metrics, for the data has one class, so it "
            "is 1 for any images."
        )


class LabelAccuracy(Metric):
    """Fraction of images to which a linear head gives the label they were made for."""

    name = "accuracy"
    compares_classes = True
    needs_statistics = False

    @classmethod
    def check(cls, request: Request) -> None:
        _check_classes(cls.name, request)

    @classmethod
    def needs_head(cls, request: Request) -> bool:
        return True

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        return ("accuracy_linear", "accuracy_linear_se")

    def __init__(self, request: Request, reference: Reference):
        self._head, self._right, self._count = reference.head, 0, 0

    def update(self, batch: Batch) -> None:
        found = finite_rows(self._head(batch.features)).argmax(1)
        self._right += int((found == batch.labels).sum())
        self._count += len(found)

    def result(self) -> dict[str, float]:
        return _share("accuracy_linear", self._right, self._count)


class TopK(Metric):
    """Fraction of images whose label is the feature network's first, or in its five."""

    name = "topk"
    compares_classes = True
    is_one_number = False
    needs_statistics = False

    @classmethod
    def check(cls, request: Request) -> None:
        if request.logits_of is None:
            raise BadInput(
                "topk: leave it out of the metrics, or take lite0_N and ImageNet's "
                "1,000 classes by their WordNet ids, for the feature network is not "
                f"known to have the {len(request.class_names)} classes of the data."
            )

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        return ("top1", "top1_se", "top5", "top5_se")

    def __init__(self, request: Request, reference: Reference):
        self._logits_of = request.logits_of
        self._first, self._in_five, self._count = 0, 0, 0

    def update(self, batch: Batch) -> None:
        logits = finite_rows(batch.logits)
        asked = np.take_along_axis(logits, self._logits_of[batch.labels][:, None], 1)
        before = (logits > asked).sum(1)
        self._first += int((before < 1).sum())
        self._in_five += int((before < 5).sum())
        self._count += len(logits)

    def result(self) -> dict[str, float]:
        first = _share("top1", self._first, self._count)
        return {**first, **_share("top5", self._in_five, self._count)}


class _Labelled:
    """Features and labels of some images, chosen at random."""

    def __init__(self, request: Request, seed: int):
        self._rows = RandomRows(request.kept, seed)

    def update(self, batch: Batch) -> None:
        features = finite_rows(batch.features)
        self._rows.update(np.concatenate([features, batch.labels[:, None]], 1))

    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns float32 [n, d] and int [n]."""
        rows = self._rows.rows
        return rows[:, :-1], rows[:, -1].astype(int)


class Cas(Metric):
    """Classification accuracy score (Ravuri and Vinyals 2019), by linear heads.

    A head is fitted to features of generated images and the labels they were made for;
    the score is its accuracy on held-out real images, beside that of a head which was
    fitted to real ones of the training split.
    """

    name = "cas"
    compares_classes = True
    needs_statistics = False

    @classmethod
    def observer(cls, request: Request, seed: int) -> _Labelled:
        return _Labelled(request, seed)

    @classmethod
    def needs_head(cls, request: Request) -> bool:
        return True

    @classmethod
    def check(cls, request: Request) -> None:
        _check_classes(cls.name, request)
        if request.split != "held_out":
            raise BadInput(
                f"{request.room}split = {request.split}: take held_out, or leave out "
                "cas, which tests on images that nothing was fitted to."
            )

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        return ("cas_linear", "cas_linear_real")

    def __init__(self, request: Request, reference: Reference):
        self._reference, self._classes = reference, len(request.class_names)
        self._fake = _Labelled(request, reference.seed)

    def update(self, batch: Batch) -> None:
        self._fake.update(batch)

    def result(self) -> dict[str, float]:
        reference = self._reference
        features, labels = reference.seen[self.name].both()
        head = reference.fit_head(*self._fake.both(), self._classes)
        heads = {"cas_linear": head, "cas_linear_real": reference.head}
        return {
            name: float((one(features).argmax(1) == labels).mean())
            for name, one in heads.items()
        }


def _share(name: str, right: int, count: int) -> dict[str, float]:
    """Returns a share of images and its standard error, by name."""
    if not count:
        raise BadInput(f"{name} of no images.")
    share = right / count
    return {name: share, f"{name}_se": (share * (1 - share) / count) ** 0.5}
