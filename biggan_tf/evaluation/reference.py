"""Files of reference statistics: whether they are of the images and network at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biggan_tf.errors import BadInput
from biggan_tf.metrics import FeatureStatistics, Metric


def given(
    path: Path, protocol: Mapping[str, Any], metrics: Sequence[type[Metric]]
) -> FeatureStatistics:
    """Reads a file that somebody named; BadInput, with what differs, if it is unfit."""
    statistics = FeatureStatistics.load(path)
    if problem := _problem(statistics, protocol, metrics):
        raise BadInput(
            f"{path} {problem}; make it anew with tools/make_reference.py, or take "
            "another file or none."
        )
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
    is_there = bool(protocol["images_sha256"])
    left_out = "data" if is_there else "images_sha256"
    wanted = {key: value for key, value in protocol.items() if key != left_out}
    if told := statistics.differences(wanted):
        return f"was made with another protocol: {told}"
    needing = [one.name for one in metrics if one.needs_features]
    if needing and not len(statistics.features):
        return f"keeps no features, which {', '.join(needing)} needs"
    return ""
