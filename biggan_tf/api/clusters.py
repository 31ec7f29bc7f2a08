"""Classes for a folder of images that has none."""

from __future__ import annotations

import multiprocessing.pool
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from biggan_tf import features, images
from biggan_tf.api.arguments import PathLike, as_path
from biggan_tf.checks import LARGEST_SEED, as_whole, check_text
from biggan_tf.data import folder, labelled, listing, memory
from biggan_tf.errors import BadInput
from biggan_tf.metrics import k_means

_BATCH = 64
_STARTS = 5  # of k-means; the tightest clusters are kept
_COLUMNS = 10  # images of each cluster on the sheet


def cluster(
    path: PathLike,
    count: int = 10,
    output: PathLike = "clusters.csv",
    network: str = "lite0_128",
    seed: int = 0,
) -> Path:
    """Sorts the images below a folder into clusters of those that look alike.

    They are found by k-means of the features' directions. A training takes them for
    classes by the option `data.labels`.

    Args:
        path: the folder; its own sub-folders do not matter.
        count: of clusters, 2 to 1,000.
        output: a new .csv file outside the folder; each line has a file and its
            cluster. A sheet beside it, a .png of the same name, shows the most typical
            images of each.
        network: of features, see `features.NETWORKS`.
        seed: of k-means, 0 to 2^63 - 1.

    Returns the path of the file. Raises BadInput if something is wrong, before it reads
    an image; and if it can read none.
    """
    count = as_whole("count", count, 2, 1000)
    seed = as_whole("seed", seed, 0, LARGEST_SEED)
    check_text("network", network)
    features.find(network)
    root, output = as_path(path, "--path"), as_path(output, "--output")
    if not root.is_dir():
        raise BadInput(f"--path={root}: there is no such folder.")
    images.check_output(str(output), "--output", [".csv"])
    picture = output.with_suffix(".png")
    if root.resolve() in output.resolve().parents:
        raise BadInput(
            f"--output={output}: take a place outside --path={root}, where its sheet "
            "would count as an image."
        )
    for file in (output, picture):
        if file.exists():
            raise BadInput(f"--output={output}: take another name; {file} is there.")
    names, left_out = listing.every_image(os.fspath(root))
    if len(names) < count:
        raise BadInput(
            f"--path={root}: give {count} images or more for as many clusters, or a "
            f"smaller --count; it holds {len(names)} (left out: "
            f"{left_out or 'nothing'})."
        )
    looked_at_by = features.load(network)
    side = images.side_in_sheet(looked_at_by.input_size)
    sheet = 6 * 3 * count * _COLUMNS * side**2
    right = "take fewer, or a --network of smaller images"
    memory.check_room(sheet, f"--count={count}: images of its sheet", right)
    if left_out:
        print(f"left out: {left_out}", flush=True)
    with memory.room_or("give fewer images, or a --network of fewer features"):
        names, rows = _features(root, names, looked_at_by)
        found = _groups(rows, count, seed)
    groups = [[names[index] for index in group] for group in found]
    clusters = {
        name: f"cluster {index}" for index, group in enumerate(groups) for name in group
    }
    labelled.write(output, {name: clusters[name] for name in names})
    _draw(picture, root, groups, looked_at_by.input_size)
    if len(groups) < count:
        few = f"only {len(names)} images can be read"
        reason = few if len(names) < count else "the images differ too little"
        print(f"--count={count}: {reason} for so many clusters")
    sizes = [len(group) for group in groups]
    print(
        f"{output}: {len(names):,} images in {len(groups)} clusters of {min(sizes):,} "
        f"to {max(sizes):,}; {picture} shows the most typical ones"
    )
    return output


def _features(
    root: Path, names: Sequence[str], network: features.FeatureNetwork
) -> tuple[list[str], np.ndarray]:
    """Returns the images that can be read, and their features' directions, [n, d]."""
    found, kept = [], []
    for some, tiles in _read(root, names, network.input_size):
        kept += some
        found.append(network(tiles)["features"].numpy().astype(np.float64))
    rows = np.concatenate(found)
    return kept, rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _read(
    root: Path, names: Sequence[str], side: int
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yields names and their images, uint8 [n, side, side, 3]; BadInput if none is one.

    Prints which files cannot be read.
    """

    def read(name: str) -> np.ndarray | None:
        try:
            return folder.read(os.path.join(root, name), side, "--path")
        except BadInput:
            return None

    unreadable = []
    with (
        multiprocessing.pool.ThreadPool() as threads,
        tqdm(total=len(names), desc="looking", unit=" images", disable=None) as bar,
    ):
        for start in range(0, len(names), _BATCH):
            some = names[start : start + _BATCH]
            tiles = dict(zip(some, threads.map(read, some)))
            unreadable += [name for name, tile in tiles.items() if tile is None]
            bar.update(len(some))
            if kept := [name for name, tile in tiles.items() if tile is not None]:
                yield kept, np.stack([tiles[name] for name in kept])
    if unreadable:
        told = f"{len(unreadable):,} that cannot be read ({listing.shown(unreadable)})"
        if len(unreadable) == len(names):
            raise BadInput(f"--path={root}: give images; it holds {told}.")
        print(f"left out: {told}")


def _groups(rows: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Returns the indices of the rows of each cluster, the most typical first.

    The largest cluster is the first.
    """
    random, best = np.random.default_rng(seed), (np.inf, [])
    for _ in range(_STARTS):
        labels = k_means(rows, count, random)
        groups, total = [], 0.0
        for label in np.unique(labels):
            (group,) = np.nonzero(labels == label)
            distances = ((rows[group] - rows[group].mean(0)) ** 2).sum(1)
            groups.append(group[np.argsort(distances, kind="stable")])
            total += distances.sum()
        best = min(best, (total, groups), key=lambda each: each[0])
    return sorted(best[1], key=len, reverse=True)


def _draw(path: Path, root: Path, groups: Sequence[Sequence[str]], side: int) -> None:
    """Writes a sheet with the first images of each group in a row."""
    white = np.full([side, side, 3], 255, np.uint8)
    tiles = []
    for group in groups:
        row = [
            folder.read(os.path.join(root, name), side, "--path")
            for name in group[:_COLUMNS]
        ]
        tiles += row + [white] * (_COLUMNS - len(row))
    titles = [f"cluster {i}: {len(group):,}" for i, group in enumerate(groups)]
    images.write(path, images.sheet(np.stack(tiles), _COLUMNS, titles))
