"""Films of walks through latents and classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biggan_tf import films, given, images, latents, sheets
from biggan_tf.api.arguments import PathLike, as_path, check_apart
from biggan_tf.api.samples import as_classes, opened
from biggan_tf.checks import LARGEST_SEED, as_number, as_whole
from biggan_tf.data import memory
from biggan_tf.errors import BadInput
from biggan_tf.sampling import Sampler


def film(
    module: PathLike | Sampler,
    output: PathLike,
    labels: str | Sequence[int] | None = None,
    walks: int = 6,
    seconds: float = 1.5,
    rate: int = 24,
    truncation: float = 0.5,
    seed: int = 0,
) -> Path:
    """Writes a film of walks from each class to the next, which ends where it began.

    Args:
        module: an exported module, or what `load` returned.
        output: a file, .mp4 (needs the extra `film`), .webp or .gif.
        labels: as in `sample`, 100 at most; a single class is walked in four latents.
        walks: side by side, each with latents of its own.
        seconds: from one class to the next.
        rate: frames a second; at most 50 of a .gif, 90 of a .webp.
        truncation, seed: of the latents.

    Returns the path of the file.
    """
    path, rate = film_path(output, rate)
    walks = as_whole("walks", walks, 1, 100)
    seed = as_whole("seed", seed, 0, LARGEST_SEED)
    truncation = as_number("truncation", truncation)
    frames = _frames(seconds, rate)
    sampler = opened(module)
    latents.check_truncation(sampler.convention, truncation, "--truncation")
    classes = as_classes(labels, sampler)
    if len(classes) > 100:
        raise BadInput(f"labels = {labels!r}: name 100 classes at most.")
    columns = next(n for n in range(1, walks + 1) if n * n >= walks and walks % n == 0)
    images.check_size(path, sampler.image_size, walks // columns, columns)
    check_room(sampler, frames * max(4, len(classes)), walks, path)
    walk = films.make_walk(sampler, classes, walks, truncation, seed, frames)
    return _film(sampler, walk, columns, rate, path)


def walk(
    module: PathLike | Sampler,
    output: PathLike,
    latents: given.Latents,
    seconds: float = 1.5,
    rate: int = 24,
) -> Path:
    """Writes a film that walks from each of given latents to the next, and back.

    Args:
        module: an exported module, or what `load` returned.
        output: a file, as in `film`.
        latents: 2 to 100, as in `redraw`, of one truncation.
        seconds: from one to the next.
        rate: frames a second; at most 50 of a .gif, 90 of a .webp.

    Returns the path of the file.
    """
    path, rate = film_path(output, rate)
    check_apart(path, latents, "--latents")
    frames = _frames(seconds, rate)
    sampler = opened(module)
    rows = given.read(latents, sampler, "--latents").rows(sampler, 100)
    if len(rows) > 1 or len(rows[0].z) < 2:
        raise BadInput(
            "--latents: to walk, give those of 2 to 100 images at one truncation."
        )
    check_room(sampler, frames * len(rows[0].z), 1, path)
    return _film(sampler, walk_through(rows[0], frames), 1, rate, path)


def walk_through(stops: sheets.Row, frames: int) -> films.Walk:
    """Returns the walk that `walk` draws, so many frames from each stop to the next.

    The stops' labels are float32 [n, num_classes].
    """
    tile = np.s_[:, None]  # a single one in each frame
    return films.walk_through(stops.z[tile], stops.y[tile], stops.truncation, frames)


def film_path(output: PathLike, rate: int) -> tuple[Path, int]:
    """Returns the path of a film, and its rate; BadInput if it cannot be written."""
    rate = as_whole("rate", rate, 1, 100)  # frames a second
    path = as_path(output, "--output")
    images.check_output(str(path), "--output", images.FILM_FORMATS)
    films.check_writer(path, rate)
    return path, rate


def _frames(seconds: float, rate: int) -> int:
    """Returns how many frames there are from stop to stop; BadInput if none or many."""
    seconds = as_number("seconds", seconds)
    frames = round(seconds * rate) if 0 < seconds <= 600 else 0
    if not frames:
        raise BadInput(f"seconds = {seconds}: take {1 / rate:g} to 600.")
    return frames


def check_room(
    sampler: Sampler, frames: int, tiles: int, path: str | os.PathLike[str]
) -> None:
    """Raises BadInput if so many frames have no room in memory."""
    # z and y, which are made in parts
    needed = 2 * 4 * frames * tiles * (sampler.latent_size + sampler.num_classes)
    pixels = tiles * images.side_in_sheet(sampler.image_size) ** 2
    needed += films.memory_of(path, frames, pixels)
    memory.check_room(needed, f"seconds: {frames:,} frames", "take fewer, or less rate")


def _film(
    sampler: Sampler, walk: films.Walk, columns: int, rate: int, path: Path
) -> Path:
    films.write(path, films.draw(sampler, walk, columns), rate)
    print(f"{path}: {len(walk.z)} frames, z on great circles")
    return path
