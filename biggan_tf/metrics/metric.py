"""What a metric is, and the registry of all of them."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.statistics import FeatureStatistics

METRICS: dict[str, type[Metric]] = {}


class Batch(NamedTuple):
    """Some images, as a feature network sees them."""

    images: np.ndarray  # uint8 [n, h, w, 3]
    features: np.ndarray  # float32 [n, d]
    logits: np.ndarray  # float32 [n, k], of the network's own classes
    labels: np.ndarray  # int [n], of the data's classes
    spatial: np.ndarray | None = None  # float32 [n, s], of a layer with its places


class Request(NamedTuple):
    """What is to be scored, before any image is made."""

    num_images: int  # that will be generated
    feature_size: int  # d of the feature network
    class_names: Sequence[str]  # of the data
    own_classes: bool  # the data's classes are not those of the feature network
    kept: int  # most real, and most generated, images that a metric keeps
    drawn: Callable[[], np.ndarray]  # -> generated images of each class, int [classes]
    spatial_size: int = 0  # s of the feature network; 0: it has none
    logits_size: int = 1000  # k of the feature network; 0: it has none
    logits_of: np.ndarray | None = None  # each class's logit, int [classes], if known
    split: str = "train"  # of the real images, or "held_out"
    real: Sequence[int] = ()  # images of each class, if that is known
    room: str = ""  # what stands before the names of options in messages


class Reference(NamedTuple):
    """The real images that generated ones are compared with."""

    statistics: FeatureStatistics | None  # of all, if a metric needs them
    seen: Mapping[str, Any]  # name of a metric -> its observer of real images
    head: Callable | None  # features [n, d] -> logits of the data's classes, if needed
    seed: int  # of random choices
    # features [n, d], labels int [n], number of classes -> a head as above
    fit_head: Callable | None = None


class Observer(Protocol):
    """What a metric has to see of the real images."""

    def update(self, batch: Batch) -> None:
        """Takes in further real images."""


class Metric(abc.ABC):
    """A score of a stream of generated images; each score takes a new one.

    A subclass gives its name, by which options and flags find it in `METRICS`.
    """

    name: str
    lower_is_better = False
    is_one_number = True  # so a run can keep its best checkpoint by it
    is_of_features = True  # so the names of its scores end in the network's
    needs_statistics = True  # of all real images
    needs_features = False  # of single real images
    needs_spatial = False  # statistics of spatial features
    compares_classes = False  # so generated classes have to be those of the data

    def __init_subclass__(cls) -> None:
        METRICS[cls.name] = cls

    @classmethod
    def needs_head(cls, request: Request) -> bool:
        """Returns whether it needs a linear head, fitted to real images."""
        return False

    @classmethod
    def observer(cls, request: Request, seed: int) -> Observer | None:
        """Returns what is to see all real images once, for all scores; None: nothing.

        Held-out images come as the data has them, perhaps class by class.
        """
        return None

    @classmethod
    def fewest_images(cls, feature_size: int) -> int:
        """Returns how many images it needs at least; of real ones too, if any.

        A standard error needs 2.
        """
        return 2

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        """Returns the names in `result`, in order.

        "x_se" is the standard error of x: how far it strays from one set of generated
        images to another, beside the same real ones.
        """
        return (cls.name, f"{cls.name}_se")

    @classmethod
    def check(cls, request: Request) -> None:
        """Raises BadInput if the request cannot be scored."""

    @abc.abstractmethod
    def __init__(self, request: Request, reference: Reference): ...

    @abc.abstractmethod
    def update(self, batch: Batch) -> None:
        """Takes in further generated images."""

    @abc.abstractmethod
    def result(self) -> dict[str, float]:
        """Returns the scores by name, the main one first."""


def check_enough_images(
    told: str,
    count: int,
    metrics: Iterable[type[Metric]],
    feature_size: int,
    spatial_size: int,
) -> None:
    """Raises BadInput, which begins with `told`, if a metric needs more images."""
    for metric in metrics:
        size = spatial_size if metric.needs_spatial else feature_size
        fewest = metric.fewest_images(size)
        if count < fewest:
            raise BadInput(
                f"{told} = {count}: take {fewest} or more, which {metric.name} needs "
                f"with features of size {size}."
            )
