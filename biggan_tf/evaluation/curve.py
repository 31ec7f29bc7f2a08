"""The truncation curve: fidelity against variety (Section 4.2, Figure 17, Table 2)."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence

import numpy as np

from biggan_tf import files, images

Row = dict[str, float]  # a truncation and its scores


def paper_columns(rows: Sequence[Row], fid: str, score: str, real: float) -> str:
    """Returns the four columns of Table 2, each FID / IS and its truncation.

    `fid` and `score` are the names of FID and IS in the rows, `real` is the IS of real
    images.
    """
    largest = max(rows, key=lambda row: row["truncation"])
    none = math.isinf(largest["truncation"])
    like_real = min(rows, key=lambda row: abs(row[score] - real))
    columns = {
        "no truncation" if none else "largest truncation": largest,
        "best FID": min(rows, key=lambda row: row[fid]),
        f"IS of real images ({real:.2f})": like_real,
        "best IS": max(rows, key=lambda row: row[score]),
    }
    return "\n".join(
        f"{name}: {row[fid]:.2f} / {row[score]:.2f} at truncation {row['truncation']:g}"
        for name, row in columns.items()
    )


def write_csv(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    """Writes a line for each truncation."""
    with files.replacing(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def picture(rows: Sequence[Row], fid: str, score: str, title: str) -> np.ndarray:
    """Returns FID against IS, a point for each truncation, uint8 [h, w, 3]."""
    from matplotlib.figure import Figure  # a slow import

    figure = Figure((6.4, 4.4), dpi=110, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=score, ylabel=fid)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_parse_math(False)  # a path may hold $
    x, y = [row[score] for row in rows], [row[fid] for row in rows]
    axes.plot(x, y, "o-")
    for row, *point in zip(rows, x, y):
        text = "∞" if math.isinf(row["truncation"]) else f"{row['truncation']:g}"
        axes.annotate(text, point, (4, 5), textcoords="offset points")
    axes.grid(alpha=0.3)
    return images.of_figure(figure)
