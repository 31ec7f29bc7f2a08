"""Finding what makes an exported module draw a given picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from biggan_tf import features, films, images, projection, sheets
from biggan_tf.api.arguments import PathLike, as_path, check_apart
from biggan_tf.api.samples import as_classes, as_truncation, opened
from biggan_tf.api.walks import film_path
from biggan_tf.checks import LARGEST_SEED, as_number, as_whole, check_text
from biggan_tf.data import folder, memory
from biggan_tf.sampling import Sampler
from biggan_tf.sheets import Row


def project(
    module: PathLike | Sampler,
    picture: PathLike,
    output: PathLike | None = None,
    labels: str | Sequence[int] | None = None,
    truncation: float | None = None,
    seed: int = 0,
    steps: int = 200,
    starts: int = 4,
    network: str | None = None,
    rate: int = 24,
) -> dict[str, np.ndarray]:
    """Finds the z and the soft label whose image is most like a picture.

    Gradient descent from several starts, of which the one that ends best is taken. The
    same arguments find the same.

    Args:
        module: an exported module, or what `load` returned.
        picture: an image file, cropped to its central square and resized.
        output: a file, .npz for arrays, as in `sample`; or the search: a sheet of the
            picture and what was found after 0, 1, 2, 4, ... steps, or a film (.mp4,
            .webp or .gif) of the picture beside what was found after each step.
        labels: classes that the label mixes, as in `sample`; None: all.
        truncation: of the starts, whose norms z keeps, and of the batch-norm
            statistics; None: the largest of the module's convention.
        seed: of the starts, 0 to 2^63 - 1.
        steps: of the descent, 1 to 10,000.
        starts: searches side by side, 1 to 64.
        network: also compares features of this one, such as "lite0_64"; see
            `features.NETWORKS`. None: pixels alone.
        rate: frames a second of a film; at most 50 of a .gif, 90 of a .webp.

    Returns what `redraw` takes: z, float32 [1, latent_size]; labels, float32
    [1, num_classes]; truncation, float32 [1].
    """
    rate = as_whole("rate", rate, 1, 100)  # frames a second
    path = None if output is None else _output(output, rate)
    seed = as_whole("seed", seed, 0, LARGEST_SEED)
    steps = as_whole("steps", steps, 1, 10_000)
    starts = as_whole("starts", starts, 1, projection.DRAWN)
    if truncation is not None:
        truncation = as_number("truncation", truncation)
    if network is not None:
        check_text("network", network)
        features.find(network)
    file = as_path(picture, "--picture")
    if path:
        check_apart(path, file, "--picture")
    sampler = opened(module)
    truncation = as_truncation(truncation, sampler)
    classes = as_classes(labels, sampler)
    target = folder.read(str(file), sampler.image_size, "--picture")
    moments = _shown(steps)
    if path:
        is_film = path.suffix.lower() in images.FILM_FORMATS
        images.check_size(path, sampler.image_size, 1, 1 + (is_film or len(moments)))
    _check_memory(sampler, path, steps + 1, starts, rate)
    states = projection.search(
        *(sampler, target, classes, truncation),
        **{"steps": steps, "starts": starts, "seed": seed},
        network=None if network is None else features.load(network),
    )
    bar = tqdm(states, "projection", total=steps + 1, unit=" steps")
    rows = projection.best([*bar], truncation)
    found = rows[-1]
    if path:
        _write(path, sampler, target, rows, moments, rate)
    arrays = {"z": found.z, "labels": found.y}
    return {**arrays, "truncation": np.float32([found.truncation])}


def _output(output: PathLike, rate: int) -> Path:
    """Returns the path; BadInput if it cannot be written, a film not at this rate."""
    path = as_path(output, "--output")
    if path.suffix.lower() in images.FILM_FORMATS:
        return film_path(output, rate)[0]
    formats = (*images.FORMATS, ".npz", *images.FILM_FORMATS)
    images.check_output(str(path), "--output", formats)
    return path


def _check_memory(
    sampler: Sampler, path: Path | None, states: int, starts: int, rate: int
) -> None:
    """Raises BadInput if the search, or a film of it, would have no room in memory."""
    needed = 4 * states * starts * (sampler.latent_size + sampler.num_classes)
    if path:
        pixels = 2 * images.side_in_sheet(sampler.image_size) ** 2
        needed += films.memory_of(path, states + rate, pixels)
    memory.check_room(needed, f"steps: {states:,} states", "take fewer")


def _shown(steps: int) -> list[int]:
    """Returns after how many steps a sheet shows what is found: 0, 1, 2, 4, ..."""
    doubled = [2**power for power in range(math.ceil(math.log2(steps)))]
    return [0, *doubled, steps]


def _write(
    path: Path,
    sampler: Sampler,
    picture: np.ndarray,
    rows: Sequence[Row],
    moments: Sequence[int],
    rate: int,
) -> None:
    found = rows[-1]
    [drawn] = sheets.draw(sampler, [found])
    if path.suffix.lower() in images.FILM_FORMATS:
        films.write(path, _frames(sampler, picture, rows, rate), rate)
    elif path.suffix.lower() == ".npz":
        sheets.save(path, sampler, [found], [drawn])
    else:
        on_the_way = np.concatenate(sheets.draw(sampler, [rows[n] for n in moments]))
        tiles = np.concatenate([picture[None], images.to_uint8(on_the_way)])
        images.write(path, images.sheet(tiles, len(tiles)))
    apart = images.to_uint8(drawn[0]) - np.float64(picture)
    told = "of 255 between the pixels of what is found and of the picture"
    print(f"{path}: {np.sqrt(np.square(apart).mean()):.1f} {told} (root mean square)")


def _frames(
    sampler: Sampler, picture: np.ndarray, rows: Sequence[Row], rate: int
) -> Iterator[np.ndarray]:
    """Yields the picture beside what each step finds; the last for a second more."""
    z, y = (np.stack(arrays) for arrays in zip(*((row.z, row.y) for row in rows)))
    walk = films.Walk(z, y, rows[-1].truncation)
    beside = images.sheet(picture[None], 1)
    for frame in films.draw(sampler, walk, 1):
        both = np.concatenate([beside, frame], axis=1)
        yield both
    for _ in range(rate):
        yield both
