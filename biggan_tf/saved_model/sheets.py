"""What to draw from a module: rows of images, then a sheet or a file of arrays.

Every layout is a function of its arguments and the seed alone. Latents of a seed at two
truncations correspond: the same pictures, more or less alike.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biggan_tf import images
from biggan_tf.errors import BadInput
from biggan_tf.saved_model.reading import Exported


@dataclasses.dataclass(frozen=True)
class Row:
    """Images of one row.

    Attributes:
        title: what they have in common.
        z: float32 [columns, latent_size].
        y: int32 [columns], or float32 [columns, num_classes], soft.
        truncation: that `z` was drawn with, and whose statistics serve.
    """

    title: str
    z: np.ndarray
    y: np.ndarray
    truncation: float


def class_rows(
    module: Exported, labels: Sequence[int], columns: int, truncation: float, seed: int
) -> list[Row]:
    """A row of samples for each label."""
    z = module.sample_latents(len(labels) * columns, truncation, seed)
    return [
        Row(module.class_names[label], part, _repeat(label, columns), truncation)
        for label, part in zip(labels, np.split(z, len(labels)))
    ]


def latent_interpolation_rows(
    module: Exported, labels: Sequence[int], columns: int, truncation: float, seed: int
) -> list[Row]:
    """A row for each label: in equal steps from one z to another."""
    z = module.sample_latents(2 * len(labels), truncation, seed)
    return [
        Row(
            module.class_names[label],
            np.linspace(first, last, columns, dtype=np.float32),
            _repeat(label, columns),
            truncation,
        )
        for label, first, last in zip(labels, z[::2], z[1::2])
    ]


def class_interpolation_rows(
    module: Exported, labels: Sequence[int], columns: int, truncation: float, seed: int
) -> list[Row]:
    """A row for each label but the last: one z, from a class to the next one."""
    z = module.sample_latents(1, truncation, seed).repeat(columns, axis=0)
    classes = np.eye(module.num_classes, dtype=np.float32)
    return [
        Row(
            f"{module.class_names[first]} to {module.class_names[last]}",
            z,
            np.linspace(classes[first], classes[last], columns, dtype=np.float32),
            truncation,
        )
        for first, last in zip(labels[:-1], labels[1:])
    ]


def truncation_rows(
    module: Exported,
    labels: Sequence[int],
    columns: int,
    truncations: Sequence[float],
    seed: int,
) -> list[Row]:
    """A row for each truncation: `columns` samples of each label (Figure 2)."""
    y = np.concatenate([_repeat(label, columns) for label in labels])
    return [
        Row(f"{value:g}", module.sample_latents(len(y), value, seed), y, value)
        for value in truncations
    ]


LAYOUTS = {
    "samples": class_rows,
    "z": latent_interpolation_rows,
    "class": class_interpolation_rows,
}


def draw(module: Exported, rows: Sequence[Row]) -> list[np.ndarray]:
    """Each row's images, float32 [columns, side, side, 3] in [-1, 1]."""
    return [module.images(row.z, row.y, row.truncation) for row in rows]


def save(
    path: str | os.PathLike[str], rows: Sequence[Row], drawn: Sequence[np.ndarray]
) -> None:
    """Writes a sheet (`.png`) or arrays (`.npz`).

    The arrays, of all rows one after the other: `images` uint8 [n, side, side, 3], `z`
    float32 [n, latent_size], `labels` int32 [n] (soft ones float32 [n, num_classes])
    and `truncation` float32 [n].
    """
    pixels = images.to_uint8(np.concatenate(drawn))
    if Path(path).suffix == ".png":
        columns = len(pixels) // len(rows)
        titles = [row.title for row in rows]
        images.write_png(path, images.sheet(pixels, columns, titles))
        return
    temporary = Path(path).with_name(f".{Path(path).name}.{os.getpid()}")
    with temporary.open("wb") as file:
        np.savez_compressed(
            file,
            images=pixels,
            z=np.concatenate([row.z for row in rows]),
            labels=np.concatenate([row.y for row in rows]),
            truncation=np.concatenate(
                [np.full(len(row.z), row.truncation, np.float32) for row in rows]
            ),
        )
    os.replace(temporary, path)


def parse_labels(text: str, class_names: Sequence[str], flag: str) -> list[int]:
    """Labels from "0,3", "Bag,Sandal" or "all".

    Raises:
        BadInput: one is neither a number of a class nor the name of one.
    """
    if text == "all":
        return list(range(len(class_names)))
    labels = []
    for word in text.split(","):
        word = word.strip()
        if word in class_names:
            labels.append(class_names.index(word))
        elif word.isdecimal() and int(word) < len(class_names):
            labels.append(int(word))
        else:
            shown = ", ".join(class_names[:10])
            more = ", ..." if len(class_names) > 10 else ""
            raise BadInput(
                f"{flag}={text}: there is no class {word!r}; take numbers from 0 to "
                f"{len(class_names) - 1}, names ({shown}{more}) or all."
            )
    return labels


def _repeat(label: int, count: int) -> np.ndarray:
    return np.full(count, label, np.int32)
