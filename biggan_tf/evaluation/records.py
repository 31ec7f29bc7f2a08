"""`metrics.jsonl`: a line of scores for each protocol."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from biggan_tf import files


def write_record(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Adds a record of `Evaluator.record`.

    Scores of the same protocol, which says the step, share a line; the last of the same
    name stays. Lines that hold something else stay as they are, but for one at the end
    that a killed process left unfinished.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.one_at_a_time(path.parent):
        protocol = json.loads(json.dumps(record["protocol"]))
        lines, kept = [*files.json_lines(path)], []
        for line, old in lines:
            if old.get("protocol") == protocol:
                scores = {key: value for key, value in old.items() if key != "protocol"}
                record = {**scores, **record}
            elif old or line.endswith(b"\n"):
                kept.append(line.removesuffix(b"\n") + b"\n")
        if kept == [line for line, _ in lines]:
            files.append_json(path, record)
        else:
            kept.append(json.dumps(record).encode() + b"\n")
            files.write_bytes(path, b"".join(kept))


def known_scores(
    records: Iterable[dict[str, Any]], protocol: dict[str, Any], names: Sequence[str]
) -> dict[str, float] | None:
    """Returns scores of exactly this protocol; None unless a record has all of them.

    A score that is no number counts as missing.
    """
    protocol = json.loads(json.dumps(protocol))
    for record in records:
        if record["protocol"] == protocol:
            with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
                return {name: float(record[name]) for name in names}
    return None


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the records in a file, which may not be there.

    Prints a line if some cannot be read.
    """
    lines = [*files.json_lines(path)]
    damaged = sum(not record and bool(line.strip()) for line, record in lines)
    files.tell_damaged(path, damaged, len(lines))
    records = [record for _, record in lines]
    return [record for record in records if isinstance(record.get("protocol"), dict)]


def compared_with(protocol: dict[str, Any]) -> str:
    """Returns for people what a score compares with: data, or a file of others."""
    if "reference_holds" in protocol:
        name = Path(str(protocol.get("reference"))).name
        return f"{name}: {protocol['reference_holds']}"
    return f"{protocol.get('data', '')}, {protocol.get('split', '')}"


def told(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the scores of a record for people: name, and value ± standard error."""
    scores, standard_error = [], re.compile(r"_se(?=_|$)")  # fid_se_lite0_64
    errors = {standard_error.sub("", n): n for n in record if standard_error.search(n)}
    for name, value in record.items():
        with contextlib.suppress(TypeError, ValueError, OverflowError):  # no number
            if name != "step" and name not in errors.values():
                error = record.get(errors.get(name))
                spread = "" if error is None else f" ± {float(error):.2g}"
                scores.append((name, f"{float(value):.5g}{spread}"))
    return scores
