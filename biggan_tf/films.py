"""Films of a generator: a walk through latents and classes that ends where it began."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from biggan_tf import files, images
from biggan_tf.errors import BadInput
from biggan_tf.sampling import Sampler
from biggan_tf.sheets import great_circle

# Frames a second: browsers slow frames of 1/100 s down.
FASTEST = {".gif": 50, ".webp": 90}
_AT_ONCE = 8  # frames


class Walk(NamedTuple):
    """What a film shows, frame after frame."""

    z: np.ndarray  # float32 [frames, tiles, latent_size]
    y: np.ndarray  # float32 [frames, tiles, num_classes], soft between two classes
    truncation: float


def make_walk(
    sampler: Sampler,
    labels: Sequence[int],
    tiles: int,
    truncation: float,
    seed: int,
    frames: int,
) -> Walk:
    """Returns a walk from each label to the next, and from the last to the first.

    Every tile has latents of its own, and begins one label later than the tile before
    it. A single label is walked in four latents. The last frame is the first one again.

    Args:
        frames: from one label to the next.
    """
    stops = len(labels) if len(labels) > 1 else 4
    z = sampler.latents(stops * tiles, truncation, seed)
    z = z.reshape([stops, tiles, -1])
    order = np.add.outer(np.arange(stops), np.arange(tiles)) % len(labels)
    y = np.eye(sampler.num_classes, dtype=np.float32)[np.asarray(labels)[order]]
    return walk_through(z, y, truncation, frames)


def walk_through(z: np.ndarray, y: np.ndarray, truncation: float, frames: int) -> Walk:
    """Returns a walk from each stop to the next, and from the last to the first.

    Args:
        z: float32 [stops, tiles, latent_size]; great circles lead from one to the next.
        y: float32 [stops, tiles, num_classes].
        frames: from one stop to the next.
    """
    stops, shares = len(z), np.arange(frames) / frames
    ways = [(stop, (stop + 1) % stops) for stop in range(stops)]
    all_z = [great_circle(z[a], z[b], shares) for a, b in ways]
    part = np.float32(shares)[:, None, None]
    all_y = [y[a] + part * (y[b] - y[a]) for a, b in ways]
    return Walk(
        np.concatenate([*all_z, z[:1]]), np.concatenate([*all_y, y[:1]]), truncation
    )


def draw(sampler: Sampler, walk: Walk, columns: int) -> Iterator[np.ndarray]:
    """Yields the frames, uint8 [height, width, 3], with `columns` tiles in a row."""
    count, tiles = walk.z.shape[:2]
    for start in tqdm(range(0, count, _AT_ONCE), "frames", unit=f"x{_AT_ONCE}"):
        z, y = (x[start : start + _AT_ONCE] for x in (walk.z, walk.y))
        flat = [x.reshape([-1, x.shape[-1]]) for x in (z, y)]
        drawn = images.to_uint8(sampler.images(*flat, walk.truncation))
        for frame in drawn.reshape([-1, tiles, *drawn.shape[1:]]):
            yield images.sheet(frame, columns)


def write(
    path: str | os.PathLike[str], frames: Iterator[np.ndarray], rate: int
) -> None:
    """Writes frames as a film that plays for ever, whole or not at all.

    Args:
        path: ends in one of `images.FILM_FORMATS`.
        frames: uint8 [height, width, 3], all of one size.
        rate: frames a second.
    """
    kind = Path(path).suffix[1:].upper()
    with files.replacing(path) as temporary:
        if kind == "MP4":
            _write_mp4(temporary, frames, rate)
        else:
            _write_animation(temporary, kind, frames, rate)


def memory_of(path: str | os.PathLike[str], frames: int, pixels: int) -> int:
    """Returns how many bytes Pillow, which writes .gif and .webp, keeps of a film."""
    return frames * pixels * {".gif": 1, ".webp": 4}.get(Path(path).suffix.lower(), 0)


def check_writer(path: str | os.PathLike[str], rate: int) -> None:
    """Raises BadInput if what writes MP4 is not installed, or another is too fast."""
    kind = Path(path).suffix.lower()
    if kind == ".mp4":
        _ffmpeg()
    if rate > (most := FASTEST.get(kind, rate)):
        raise BadInput(
            f"rate = {rate}: take 1 to {most} frames a second for a {kind}, which "
            "browsers play slowly otherwise, or write an .mp4."
        )


def _ffmpeg() -> ModuleType:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise BadInput(
            "--output: an .mp4 needs the extra: pip install 'biggan-tf[film]'; or take "
            ".webp or .gif."
        ) from None
    return imageio_ffmpeg


def _write_mp4(path: Path, frames: Iterator[np.ndarray], rate: int) -> None:
    first = next(frames)
    # The common pixel format of players has even sides.
    height, width = (side + side % 2 for side in first.shape[:2])
    writer = _ffmpeg().write_frames(
        str(path),
        (width, height),
        fps=rate,
        macro_block_size=1,
        quality=8,
        output_params=["-f", "mp4", "-movflags", "+faststart"],
    )
    count = written = 0
    with contextlib.closing(writer):
        writer.send(None)
        for frame in itertools.chain([first], frames):
            below, right = height - frame.shape[0], width - frame.shape[1]
            padded = np.pad(frame, [[0, below], [0, right], [0, 0]], mode="edge")
            count += 1
            try:
                writer.send(padded.tobytes())
            except (OSError, StopIteration):  # it has ended
                break
    # ffmpeg does not tell of a full disk: it ends, or leaves frames out.
    with contextlib.suppress(RuntimeError):
        written, _ = _ffmpeg().count_frames_and_secs(str(path))
    if written != count:
        told = f"{written} of {count} frames could be written"
        raise OSError(errno.ENOSPC, told, str(path))


def _write_animation(
    path: Path, kind: str, frames: Iterator[np.ndarray], rate: int
) -> None:
    def pictures() -> Iterator[Image.Image]:
        for index, frame in enumerate(frames):
            picture = Image.fromarray(frame)
            if kind == "GIF":  # in 1/100 s, so that no error adds up
                start, end = (round(100 * i / rate) for i in (index, index + 1))
                picture.info["duration"] = 10 * (end - start)
            yield picture

    made = pictures()
    next(made).save(
        path,
        kind,
        save_all=True,
        append_images=made,
        loop=0,
        **({"quality": 85, "duration": 1000 / rate} if kind == "WEBP" else {}),
    )
