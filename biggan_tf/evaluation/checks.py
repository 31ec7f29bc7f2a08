"""Which metrics are asked for, and whether they can compare the classes."""

from __future__ import annotations

from collections.abc import Sequence

from biggan_tf.checks import listed
from biggan_tf.data import DataSpec
from biggan_tf.errors import BadInput
from biggan_tf.metrics import METRICS


def parse_metrics(names: str | Sequence[str], flag: str) -> tuple[str, ...]:
    """Returns the names, of a list or with commas between, and perhaps blanks.

    Raises BadInput unless they are of `METRICS`, one or more.
    """
    found = map(str.strip, names.split(",")) if isinstance(names, str) else names
    found = listed(found)
    if not found or any(name not in [*METRICS] for name in found):
        given = ",".join(map(str, found))
        raise BadInput(f"{flag}={given}: take some of {', '.join(METRICS)}.")
    return tuple(found)


def check_classes(ours: Sequence[str], data: DataSpec, metrics: Sequence[str]) -> None:
    """Raises BadInput if metrics compare classes that have other names in the data.

    A printed line says so if no metric does. Numbers in sequence, such as imported
    weights have, are no names.

    Args:
        ours: names of a generator's classes.
        metrics: names of `metrics.METRICS`.
    """
    theirs, numbers = data.class_names, tuple(map(str, range(len(ours))))
    if len(ours) != len(theirs) or numbers in (tuple(ours), tuple(theirs)):
        return
    others = [index for index, name in enumerate(ours) if name != theirs[index]]
    if not others:
        return
    first = others[0]
    told = (
        f"{len(others)} of {len(ours)} classes are others in {data.name}, such as "
        f"class {first}, {theirs[first]!r} and not {ours[first]!r}"
    )
    if wrong := [name for name in metrics if METRICS[name].compares_classes]:
        raise BadInput(
            f"--metrics={','.join(metrics)}: leave out {', '.join(wrong)}, for {told}."
        )
    print(f"{told}: no score compares class with class", flush=True)
