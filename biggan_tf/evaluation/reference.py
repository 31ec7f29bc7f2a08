"""Files of reference statistics: whether they are of the images and network at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.features import FeatureNetwork
from biggan_tf.files import check_writable, refuse_failed
from biggan_tf.metrics import FeatureStatistics, Metric

KEPT = 10_000  # images that a metric keeps, or that a linear head is fitted to


def check(path: Path) -> None:
    """Raises BadInput if a file that somebody named can neither be read nor be made."""
    try:
        if path.exists():
            refuse_failed(path, str(path))
        else:
            check_writable(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror}.") from error


def given(
    path: Path, protocol: Mapping[str, Any], metrics: Sequence[type[Metric]]
) -> FeatureStatistics:
    """Reads a file that somebody named; BadInput, with what differs, if it is unfit."""
    statistics = FeatureStatistics.load(path)
    if problem := _problem(statistics, protocol, metrics):
        raise BadInput(
            f"{path} {problem}; make it anew with biggan_tf.make_reference, or take "
            "another file or none."
        )
    kept, most = len(statistics.features), min(statistics.count, KEPT)
    if single := [one.name for one in metrics if one.needs_features and kept < most]:
        told = f"the features of {kept:,} of its {statistics.count:,} images"
        print(f"{path} keeps, for {' and '.join(single)}, {told}", flush=True)
    return statistics


def cached(
    path: Path, protocol: Mapping[str, Any], metrics: Sequence[type[Metric]]
) -> FeatureStatistics | None:
    """Reads the file of a run; None, with one line that says why, if it is unfit."""
    try:
        statistics = FeatureStatistics.load(path)
        problem = _problem(statistics, protocol, metrics)
    except BadInput:
        problem = "cannot be read"
    if not problem:
        return statistics
    print(f"{path} {problem}; it is made anew.", flush=True)
    return None


def _problem(
    statistics: FeatureStatistics,
    protocol: Mapping[str, Any],
    metrics: Sequence[type[Metric]],
) -> str:
    """Says in what statistics are unfit for a protocol and metrics, or ""."""
    # Real images are known by what they are. Without them only their name is left.
    is_there = bool(protocol["content_sha256"])
    left_out = "data" if is_there else "content_sha256"
    wanted = {key: value for key, value in protocol.items() if key != left_out}
    if told := statistics.differences(wanted):
        return f"was made with another protocol: {told}"
    kept = len(statistics.features)
    single = [one for one in metrics if one.needs_features]
    if few := [one.name for one in single if kept < one.fewest_images(0)]:
        return f"keeps the features of {kept} images, too few for {', '.join(few)}"
    if not statistics.spatial and any(one.needs_spatial for one in metrics):
        return "keeps no spatial features, which sfid needs"
    return ""


def names(path: Path) -> set[str]:
    """Returns the names of the arrays in an .npz; BadInput if it is another file."""
    refuse_failed(path, str(path))
    with _opened(path) as file:
        return set(file.files)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens an .npz; BadInput if it, or what is read of it inside, is broken."""
    try:
        opened = np.load(path)
        if isinstance(opened, np.ndarray):
            raise ValueError("it is one array, of a .npy")
        with opened as file:
            yield file
    except BadInput:
        raise
    except Exception as error:  # a broken archive can raise anything
        told = f"is no .npz of reference statistics ({error})"
        raise BadInput(f"{path} {told}.") from error


def moments(
    path: Path, network: FeatureNetwork, metrics: Sequence[type[Metric]]
) -> FeatureStatistics:
    """Reads `mu` and `sigma`, of pytorch-fid, StudioGAN or ADM; BadInput if unfit.

    Such a file says neither of which images it is nor which network made it.
    """
    protocol = {"images": "mu and sigma, of images that the file does not name"}
    pairs = [("mu", "sigma", network.feature_size)]
    for metric in metrics:
        if metric.needs_spatial:
            pairs.append(("mu_s", "sigma_s", network.spatial_size))
        if metric.needs_features:
            raise BadInput(
                f"{path} holds mu and sigma alone: leave out {metric.name}, which "
                "needs features of single images, or take another file."
            )
    found = []
    with _opened(path) as file:
        for mean, covariance, size in pairs:
            if not {mean, covariance} <= set(file.files):
                raise BadInput(f"{path} has no {mean}: leave out sfid, which needs it.")
            if file[mean].shape != (size,) or file[covariance].shape != (size, size):
                raise BadInput(
                    f"{path}: {mean} has shape {file[mean].shape} and {covariance} "
                    f"{file[covariance].shape}; {network.name} has features of size "
                    f"{size}."
                )
            given = file[mean], file[covariance], protocol, (mean, covariance)
            found.append(FeatureStatistics.of_moments(*given))
    found[0].spatial = found[1] if len(found) > 1 else None
    return found[0]


def images(path: Path, names: Iterable[str]) -> np.ndarray:
    """Reads `arr_0`, uint8 [n, h, w, 3], of ADM's evaluator; BadInput if it is not."""
    if "arr_0" not in names:
        raise BadInput(
            f"{path} is no file of reference statistics: it holds "
            f"{', '.join(sorted(names))} instead of protocol, mu and sigma, or arr_0."
        )
    with _opened(path) as file:
        found = file["arr_0"]
    if found.dtype != np.uint8 or found.shape[3:] != (3,) or not found.size:
        raise BadInput(
            f"{path}: arr_0 is {found.dtype} {list(found.shape)}; take images, uint8 "
            "[n, height, width, 3]."
        )
    return found
