"""A folder of single samples, for other people's evaluators."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from biggan_tf import files, images
from biggan_tf.data import memory
from biggan_tf.errors import BadInput
from biggan_tf.sampling import STREAM_BATCH, Sampler, stream_labels

_BYTES_OF_A_NAME = 200  # while a folder is written
_SETTINGS = ".samples.json"  # of the folder: what its images depend on
_LOCK = ".samples.lock"
_PNG_END = b"IEND\xaeB`\x82"


@dataclasses.dataclass(frozen=True)
class SampleFolder:
    """8-bit PNG files of a module, such as `0003_Dress_000017.png`.

    Writing them goes on where it was killed.

    Image number n is a function of n and the fields. With labels of all classes, drawn
    at random, the first `count` are those that `evaluate` scores with the same seed.
    """

    module: str
    labels: Sequence[int]  # of which classes
    per_class: int | None  # images of each, class after class; None: labels at random
    truncation: float
    seed: int

    def write(self, path: str | os.PathLike[str], sampler: Sampler, count: int) -> int:
        """Writes those of the first `count` images that are missing; returns how many.

        One that was cut short is drawn again. BadInput if the folder holds others, or
        another process writes there.
        """
        memory.check_room(
            _BYTES_OF_A_NAME * count, f"count: {count:,} files", "draw fewer"
        )
        path, settings = Path(path), self._settings(sampler)
        starts = range(0, count, STREAM_BATCH)
        wanted = [
            self._names(sampler, start, min(count, start + STREAM_BATCH))
            for start in tqdm(starts, "names", unit=" batches", delay=2, disable=None)
        ]
        names = {name for batch in wanted for name in batch}
        self._check(path, settings, names)  # leaves no lock in a folder of others
        with files.keep_out(path / _LOCK, f"--output={path}", "draws"):
            there = _whole(path, self._check(path, settings, names))
            files.write_json(path / _SETTINGS, settings)
            for index, batch in enumerate(tqdm(wanted, unit=" batches", disable=None)):
                if not there.issuperset(batch):
                    self._draw(path, sampler, index, batch, there)
        return count - len(there)

    def _draw(
        self,
        path: Path,
        sampler: Sampler,
        index: int,
        names: Sequence[str],
        there: Collection[str],
    ) -> None:
        """Writes the images of a batch that are not there."""
        z, _ = sampler.batch(index, self.truncation, self.seed)
        y = self._labels(sampler, index * STREAM_BATCH, len(names))
        # All of them, for in another batch numbers round otherwise.
        drawn = sampler.images(z.numpy()[: len(y)], y, self.truncation)
        for name, pixels in zip(names, images.to_uint8(drawn)):
            if name not in there:
                images.write(path / name, pixels)

    def _settings(self, sampler: Sampler) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "labels": list(self.labels),
            "truncation": repr(self.truncation),
            "step": sampler.step,
            "module_sha256": sampler.weights_sha256
            or f"{sampler.generator_sha256} {sampler.statistics}",
        }

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
        """Returns which images are there; BadInput on others."""
        try:
            held = os.scandir(path) if path.exists() else ()
            there = {each.name for each in held if each.name[0] != "."}
            before = files.read_json(path / _SETTINGS) if there else settings
        except FileNotFoundError:
            before = {}
        except (OSError, ValueError) as error:
            raise BadInput(f"--output={path}: it cannot be used ({error}).") from error
        if "module_sha256" not in before:  # of an earlier version
            settings = {k: v for k, v in settings.items() if k != "module_sha256"}
            if "weights_sha256" not in before:  # of an earlier one still
                settings["truncation"] = f"{self.truncation:g}"
        known = settings.get("module_sha256") and before.get("module_sha256")
        if known and not files.is_address(self.module):
            settings = {**settings, "module": before.get("module")}  # it may have moved
        for name, now in settings.items():
            if name not in before:
                raise BadInput(
                    f"--output={path}: take an empty folder, for this one holds "
                    f"{len(there)} files, and no {_SETTINGS} with their {name}."
                )
            if before[name] != now:
                raise BadInput(
                    f"--output={path}: take an empty folder, or the same command, for "
                    f"its images have {name} = {before[name]}, not {now}."
                )
        if others := sorted(there - wanted):
            raise BadInput(
                f"--output={path}: take an empty folder, for it holds {len(others)} "
                f"other files ({others[0]})."
            )
        return there


def _whole(path: Path, names: Collection[str]) -> set[str]:
    """Returns which files end as a PNG does; BadInput if one cannot be read."""

    def is_whole(png: Path) -> bool:
        with open(png, "rb") as file:
            file.seek(max(0, png.stat().st_size - len(_PNG_END)))
            return file.read() == _PNG_END

    try:
        return {name for name in names if is_whole(path / name)}
    except OSError as error:
        raise BadInput(f"--output={path}: it cannot be used ({error}).") from error
