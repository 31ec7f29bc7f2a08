"""`metrics.jsonl`: a line of scores for each protocol."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from biggan_tf import files


def write_record(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Adds a record of `Evaluator.record`.

    Scores of the same protocol, which says the step, share a line; the last of the same
    name stays. A line that a killed process left unfinished goes.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines, protocol = [], json.loads(json.dumps(record["protocol"]))
    for line in text.splitlines():
        try:
            old = json.loads(line)
        except json.JSONDecodeError:
            continue
        if old.get("protocol") == protocol:
            scores = {key: value for key, value in old.items() if key != "protocol"}
            record = {**scores, **record}
        else:
            lines.append(line)
    if text == "".join(f"{line}\n" for line in lines):  # another process may add one
        files.append_json(path, record)
        return
    lines.append(json.dumps(record))
    files.write_text(path, "".join(f"{line}\n" for line in lines))
