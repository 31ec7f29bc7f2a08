"""Diversity within a class: MS-SSIM of pairs of images (Odena et al. 2017)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.metrics.metric import Batch, Metric, Reference, Request

_PAIRS = 1000  # over all classes; each class has one at least
_WINDOW = 11  # pixels
_SCALES = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])  # Wang et al. 2003


def ms_ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the multi-scale structural similarity of pairs of images, float64 [n].

    Takes uint8 [n, s, s, 3], s a power of 2 and 16 or more. There are as many scales as
    a window of 11 pixels fits: 2 of 32 px, 3 of 64 px, 4 of 128 px, 5 of more. Their
    weights are the first of Wang et al., with the sum 1. Channels are averaged.
    """
    x, y = (np.moveaxis(np.float64(images), 3, 1) for images in (x, y))
    weights = _SCALES[: (x.shape[2] // _WINDOW).bit_length()]
    factors = []
    for _ in weights:
        similarity, contrast = _ssim(x, y)
        factors.append(contrast)
        x, y = _halved(x), _halved(y)
    factors[-1] = similarity
    weights = (weights / weights.sum())[:, None, None]
    return np.prod(np.maximum(factors, 0.0) ** weights, 0).mean(1)


def _ssim(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns SSIM and its factor without luminance, [n, 3], of [n, 3, s, s]."""
    rows = _window(x.shape[2])

    def mean(values: np.ndarray) -> np.ndarray:
        return rows @ values @ rows.T

    of_x, of_y = mean(x), mean(y)
    products, squares = of_x * of_y, of_x**2 + of_y**2
    for_mean, for_contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = 2 * (mean(x * y) - products) + for_contrast
    contrast /= mean(x**2 + y**2) - squares + for_contrast
    luminance = (2 * products + for_mean) / (squares + for_mean)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


@functools.lru_cache
def _window(side: int) -> np.ndarray:
    """Returns Gaussian weights, sigma 1.5, at all places that fit, [places, side]."""
    bell = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * 1.5**2))
    places = np.zeros((side - _WINDOW + 1, side))
    for place, row in enumerate(places):
        row[place : place + _WINDOW] = bell / bell.sum()
    return places


def _halved(x: np.ndarray) -> np.ndarray:
    n, channels, side, _ = x.shape
    return x.reshape(n, channels, side // 2, 2, side // 2, 2).mean((3, 5))


class _Pairs:
    """Disjoint pairs of images of a class, chosen at random from a stream."""

    def __init__(self, request: Request, seed: int):
        classes = len(request.class_names)
        self._each = 2 * max(1, _PAIRS // classes)  # images of a class
        self._random = np.random.default_rng(seed)
        self._images: list[dict[int, np.ndarray]] = [{} for _ in range(classes)]
        self._counts = np.zeros(classes, int)

    def update(self, batch: Batch) -> None:
        for image, label in zip(batch.images, batch.labels):
            # Vitter (1985): all images that came so far are in as likely.
            place = self._counts[label]
            if place >= self._each:
                place = self._random.integers(place + 1)
            if place < self._each:
                self._images[label][place] = image.copy()
            self._counts[label] += 1

    @functools.cached_property
    def similarities(self) -> np.ndarray:
        """MS-SSIM of each pair, float64 [pairs]."""
        found = []
        for images in self._images:
            order = self._random.permutation(len(images))
            for x, y in zip(order[::2], order[1::2]):
                found.append(ms_ssim(images[x][None], images[y][None]))
        if not found:
            raise BadInput("ms_ssim: no class has 2 images; take more.")
        return np.concatenate(found)


class MsSsim(Metric):
    """Mean MS-SSIM of pairs of generated images of a class, and of real ones.

    The less alike, the more diverse: a class that collapsed nears 1. A generator that
    is as diverse as the data has the value of the real images.
    """

    name = "ms_ssim"
    compares_classes = True
    is_one_number = False  # the lowest is noise's
    needs_statistics = False
    is_of_features = False

    @classmethod
    def observer(cls, request: Request, seed: int) -> _Pairs:
        return _Pairs(request, seed)

    @classmethod
    def scores(cls, request: Request) -> Sequence[str]:
        return ("ms_ssim", "ms_ssim_se", "ms_ssim_real")

    @classmethod
    def check(cls, request: Request) -> None:
        if (request.drawn() // 2).sum() < 2:  # a standard error needs two
            raise BadInput(
                f"num_images = {request.num_images}: take more, for ms_ssim needs two "
                "pairs of images of a class."
            )
        if request.real and max(request.real) < 2:
            raise BadInput(
                f"ms_ssim: leave it out of the metrics, for no class has two real "
                f"images in the split {request.split}."
            )

    def __init__(self, request: Request, reference: Reference):
        self._real = float(reference.seen[self.name].similarities.mean())
        self._fake = _Pairs(request, reference.seed)

    def update(self, batch: Batch) -> None:
        self._fake.update(batch)

    def result(self) -> dict[str, float]:
        found = self._fake.similarities
        return {
            "ms_ssim": float(found.mean()),
            "ms_ssim_se": float(found.std() / len(found) ** 0.5),
            "ms_ssim_real": self._real,
        }
