"""A folder of single samples, for other people's evaluators."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from biggan_tf import files, images
from biggan_tf.errors import BadInput
from biggan_tf.sampling import STREAM_BATCH, Sampler, stream_labels

_SETTINGS = ".samples.json"  # of the folder: what its images depend on


@dataclasses.dataclass(frozen=True)
class SampleFolder:
    """PNG files `CLASS_NAME_NUMBER.png`, 8 bits, of a module; a run of it can be cut.

    Image number n is a function of n and the fields. With labels of all classes, drawn
    at random, the first `count` are those that `evaluate` scores with the same seed.
    """

    module: str
    labels: Sequence[int]  # of which classes
    per_class: int | None  # images of each, class after class; None: labels at random
    truncation: float
    seed: int

    def write(self, path: str | os.PathLike[str], sampler: Sampler, count: int) -> int:
        """Writes the first `count` images that are not there; returns how many.

        BadInput if the folder holds other images.
        """
        path, settings = Path(path), self._settings(sampler)
        wanted = [
            self._names(sampler, start, min(count, start + STREAM_BATCH))
            for start in range(0, count, STREAM_BATCH)
        ]
        there = self._check(path, settings, {n for names in wanted for n in names})
        files.write_json(path / _SETTINGS, settings)
        for index, names in enumerate(tqdm(wanted, unit=" batches", disable=None)):
            missing = [i for i, name in enumerate(names) if name not in there]
            if not missing:
                continue
            z, _ = sampler.batch(index, self.truncation, self.seed)
            y = self._labels(sampler, index * STREAM_BATCH, len(names))
            # All of them, for in another batch numbers round otherwise.
            drawn = sampler.images(z.numpy()[: len(y)], y, self.truncation)
            pixels = images.to_uint8(drawn)
            for i in missing:
                images.write(path / names[i], pixels[i])
        return count - len(there)

    def _settings(self, sampler: Sampler) -> dict[str, Any]:
        truncation = f"{self.truncation:g}"
        settings = {**dataclasses.asdict(self), "truncation": truncation}
        return {**settings, "labels": list(self.labels), "step": sampler.step}

    def _labels(self, sampler: Sampler, start: int, count: int) -> np.ndarray:
        if self.per_class:
            places = np.arange(start, start + count) // self.per_class
        else:
            index = start // STREAM_BATCH
            often = [sampler.class_frequencies[label] for label in self.labels]
            places = stream_labels(index, often, self.seed)[:count].numpy()
        return np.asarray(self.labels)[places]

    def _names(self, sampler: Sampler, start: int, end: int) -> list[str]:
        labels = self._labels(sampler, start, end - start)
        words = [re.sub(r"[^\w.-]+", "_", sampler.class_names[y])[:50] for y in labels]
        return [
            f"{label:04}_{word}_{number:06}.png"
            for label, word, number in zip(labels, words, range(start, end))
        ]

    def _check(
        self, path: Path, settings: dict[str, Any], wanted: set[str]
    ) -> set[str]:
        """Makes the folder; returns which images are there; BadInput on others."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            before = files.read_json(path / _SETTINGS)
            there = {each.name for each in os.scandir(path) if each.name[0] != "."}
        except FileNotFoundError:
            before, there = {}, set(os.listdir(path))
        except (OSError, ValueError) as error:
            raise BadInput(f"--output={path}: it cannot be used ({error}).") from error
        for name, old in before.items():
            if settings.get(name) != old and there:
                raise BadInput(
                    f"--output={path}: take an empty folder, or the same command, for "
                    f"its images have {name} = {old}, not {settings.get(name)}."
                )
        if others := sorted(there - wanted):
            raise BadInput(
                f"--output={path}: take an empty folder, for it holds {len(others)} "
                f"other files ({others[0]})."
            )
        return there
