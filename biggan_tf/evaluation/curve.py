"""The truncation curve: fidelity against variety (Section 4.2, Figure 17, Table 2)."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from biggan_tf.evaluation.scoring import Evaluator, Subject

Row = dict[str, float]


def sweep(
    evaluator: Evaluator,
    subject: Subject,
    truncations: Sequence[float],
    keep: Callable[[float, Row], None],
) -> list[Row]:
    """Scores at each truncation, the largest first.

    Args:
        evaluator: of "fid" and "is", at least.
        subject: has statistics of its own for each.
        truncations: thresholds.
        keep: is called with each truncation's scores, as soon as they are there.
    """
    rows = []
    for truncation in sorted(truncations, reverse=True):
        scores = evaluator.score(subject, truncation)
        keep(truncation, scores)
        rows.append({"truncation": truncation, **scores})
    return rows


def paper_columns(rows: Sequence[Row], fid: str, score: str, real: float) -> str:
    """The four columns of Table 2, FID / IS each, and where they were found.

    Args:
        rows: of `sweep`.
        fid, score: the names of FID and IS in them.
        real: IS of real images.
    """
    columns = {
        "no truncation": max(rows, key=lambda row: row["truncation"]),
        "best FID": min(rows, key=lambda row: row[fid]),
        f"IS of real images ({real:.2f})": min(
            rows, key=lambda row: abs(row[score] - real)
        ),
        "best IS": max(rows, key=lambda row: row[score]),
    }
    return "\n".join(
        f"{name}: {row[fid]:.2f} / {row[score]:.2f} at truncation {row['truncation']:g}"
        for name, row in columns.items()
    )


def write_csv(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    """A line for each truncation."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text.getvalue())
    os.replace(temporary, path)


def picture(rows: Sequence[Row], fid: str, score: str, title: str) -> np.ndarray:
    """FID against IS, a point for each truncation, uint8 [h, w, 3]."""
    # A slow import; the canvas needs no screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((6.4, 4.4), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=title, xlabel=score, ylabel=fid)
    x, y = [row[score] for row in rows], [row[fid] for row in rows]
    axes.plot(x, y, "o-")
    for row, *point in zip(rows, x, y):
        text = "∞" if math.isinf(row["truncation"]) else f"{row['truncation']:g}"
        axes.annotate(text, point, (4, 5), textcoords="offset points")
    axes.grid(alpha=0.3)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
