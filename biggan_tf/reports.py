"""A run or a module as one HTML page, which needs neither a server nor a network."""

from __future__ import annotations

import base64
import collections
import contextlib
import html
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from biggan_tf import (
    alarms,
    checkpoints,
    config,
    data_json,
    evaluation,
    files,
    images,
    saved_model,
)
from biggan_tf.errors import BadInput
from biggan_tf.monitor import CHARTS, SPECTRA

MOST_PIXELS = 1600  # the longer side of a picture in the page
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; color: #222; background: #fff; }
img { max-width: 100%; height: auto; }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; }
figcaption, footer { color: #666; font-size: 0.85rem; }
pre { background: #f4f4f4; padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; }
table { border-collapse: collapse; font-size: 0.85rem; display: block;
        overflow-x: auto; }
td, th { border: 1px solid #ccc; padding: 0.2rem 0.5rem; text-align: left; }
"""
# Of a score's protocol: what to compare it by.
PROTOCOL = ("step", "truncation", "num_images", "features", "features_resize")
PROTOCOL += ("statistics",)


def of_run(folder: Path) -> str:
    """Returns the page of a model directory: curves, sheets, scores, configuration."""
    trained_on = data_json.read(folder)
    spec = trained_on.spec
    curves = [*points(folder / "scalars.jsonl")]
    step = logged = int(max([0, *(step for step, _ in curves)]))
    curves += points(folder / "spectra.jsonl", f"{SPECTRA}/")
    lacks = []
    try:
        with config.apart():
            config.read_back(folder)
    except BadInput as error:  # it is damaged
        lacks.append(str(error))
    try:
        kept = folder / "checkpoints"
        if found := checkpoints.read_latest(kept, checkpoints.read_average):
            step = max(step, checkpoints.step_of(found[0]))
    except BadInput as error:  # all checkpoints are damaged
        lacks.append(str(error))
    if logged < step:
        lacks.append(f"scalars.jsonl ends at step {logged:,}.")
    samples = folder / "samples"
    if samples.exists() and not os.access(samples, os.R_OK | os.X_OK):
        lacks.append("samples/ cannot be read.")
    facts = (
        f"{spec.name}: {spec.train_images:,} images, {spec.num_classes:,} classes, "
        f"{spec.image_size} px. Step {step:,}. TensorFlow "
        f"{trained_on.tensorflow}."
    )
    parts = [_line(facts), *map(_line, lacks)]
    for name in ("average", "generator"):
        if sheets := sample_sheets(folder, name):
            told = {"average": "the moving average of G", "generator": "G"}[name]
            caption = f"Samples of {told}, untruncated, step {max(sheets):,}"
            parts.append(_picture_of(sheets[max(sheets)], caption))
    parts += ["<h2>Curves</h2>", *_charts(curves)]
    if alarms.was_rewound(folder):
        parts += ["<h2>Rewound by an alarm</h2>", _text_of(folder / alarms.REWOUND)]
    if scores := _scores(folder / "metrics.jsonl"):
        parts += ["<h2>Scores</h2>", scores]
    for path in (folder / "truncation_curve.png", *folder.glob("neighbours_*.png")):
        if path.is_file():
            parts.append(_picture_of(path))
    if (folder / "export" / "README.md").is_file():
        parts += ["<h2>The module</h2>", *_card(folder / "export")]
    parts += ["<h2>Configuration</h2>", _text_of(folder / "config.gin")]
    return _page(folder.resolve().name, parts)


def of_module(folder: Path) -> str:
    """Returns the page of an exported module: samples, and how to call it."""
    if not (folder / "README.md").is_file():
        raise BadInput(
            f"--module={folder}: name a folder that biggan_tf.export wrote; this one "
            "has no README.md."
        )
    if lacks := saved_model.missing_files(folder):
        raise BadInput(f"--module={folder}: export it again; it lacks {lacks[0]}.")
    return _page(folder.resolve().name, _card(folder))


def sample_sheets(folder: Path, name: str) -> dict[int, Path]:
    """Returns a run's sheets of "average" or "generator", by step."""
    paths = (folder / "samples").glob(f"*_{name}.png")
    ours = rf"([0-9]+)_{name}\.png"
    found = ((re.fullmatch(ours, path.name), path) for path in paths)
    return {int(match[1]): path for match, path in found if match}


class TrainingFilm(NamedTuple):
    """A run's sheets of G's average: the same latents in all."""

    sheets: list[Path]
    height: int  # pixels
    width: int

    def frames(self) -> Iterator[np.ndarray]:
        """Yields uint8 [height, width, 3]; BadInput if a sheet is damaged."""
        for path in self.sheets:
            with _naming(path):
                yield _read(path)


def training_film(folder: Path) -> TrainingFilm:
    """Raises BadInput if a run has no two sheets, or some of another size."""
    paths = [path for _, path in sorted(sample_sheets(folder, "average").items())]
    sizes: collections.Counter[tuple[int, int]] = collections.Counter()
    for path in paths:
        with _naming(path), _opened(path) as image:
            sizes[image.size] += 1
    if len(sizes) != 1 or len(paths) < 2:
        there = (f"{n} of {w} x {h} px" for (w, h), n in sizes.items())
        raise BadInput(
            f"--model_dir={folder}: a film needs two sheets or more of one size in its "
            "samples/, which monitor.samples_every_steps writes; it has "
            f"{' and '.join(there) or 'none'}."
        )
    [(width, height)] = sizes
    return TrainingFilm(paths, height, width)


@contextlib.contextmanager
def _naming(sheet: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        run = sheet.parent.parent
        raise BadInput(f"--model_dir={run}: {error}; remove that sheet.") from error


def points(path: Path, prefix: str = "") -> Iterator[tuple[float, dict[str, float]]]:
    """Yields (step, numbers by name) of each line that has a step.

    Then prints a line if some have none, but for one that is being written.
    """
    lines, damaged = [*files.json_lines(path)], 0
    for text, line in lines:
        numbers = {}
        for name, value in line.items():
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                numbers[name] = float(value)
        if math.isfinite(step := numbers.pop("step", math.nan)):
            yield step, {f"{prefix}{name}": value for name, value in numbers.items()}
        else:
            damaged += files.is_whole(text)
    files.tell_damaged(path, damaged, len(lines))


def _charts(points: Sequence[tuple[float, dict[str, float]]]) -> Iterator[str]:
    """Yields a picture for each of TensorBoard's charts that has any values."""
    from matplotlib.figure import Figure  # a slow import

    for title, patterns in CHARTS.items():
        curves: dict[str, list[tuple[float, float]]] = {}
        for step, numbers in points:
            for name, value in numbers.items():
                known = any(re.fullmatch(pattern, name) for pattern in patterns)
                if known and math.isfinite(value):
                    curves.setdefault(name, []).append((step, value))
        if not curves:
            continue
        figure = Figure((5.6, 3.4), dpi=110, layout="constrained")
        axes = figure.add_subplot(xlabel="step")
        for name, curve in curves.items():
            style = {"linewidth": 1, "marker": "." if len(curve) == 1 else ""}
            axes.plot(*zip(*curve), label=name.partition("/")[2] or name, **style)
        if len(curves) <= 8:
            axes.legend(fontsize=8)
        if "singular" in title:
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
        yield _picture(images.of_figure(figure), title)


def _scores(path: Path) -> str:
    """Returns the records of `metrics.jsonl` as a table; "" without any."""
    rows = []
    for record in evaluation.read_records(path):
        protocol = record["protocol"]
        of = [str(protocol.get(key, "")) for key in PROTOCOL]
        weights = protocol.get("generator_sha256") or protocol.get("weights_sha256", "")
        of.append(str(weights)[:8])
        of.append(evaluation.compared_with(protocol))
        rows += [[*cells, *of] for cells in evaluation.told(record)]
    names = ("score", "value ± se", *PROTOCOL, "weights", "compared with")
    head = "".join(f"<th>{name}</th>" for name in names)
    body = (
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{''.join(body)}</table>" if rows else ""


def _card(folder: Path) -> list[str]:
    """Returns the picture and the README of an exported module.

    Before them stands a line for each of its files that is not as it was exported.
    """
    missing, changed = saved_model.missing_files, saved_model.changed_files
    lacks = [f"{name} is missing." for name in missing(folder)]
    lacks += [f"{name} is not the file that was exported." for name in changed(folder)]
    lines = [_line(f"{folder}: {told}") for told in lacks]
    picture = folder / "samples.png"  # earlier modules have none
    shown = [_picture_of(picture, "Samples")] if picture.is_file() else []
    return [*lines, *shown, _text_of(folder / "README.md")]


def _picture_of(path: Path, caption: str = "") -> str:
    """Returns a figure of a picture file, or a line if it cannot be read.

    Without a `caption`, it is what the file tells of itself.
    """
    try:
        with _opened(path) as image:
            pixels = np.asarray(image.convert("RGB"))
            told = image.info.get("Description", path.stem.replace("_", " "))
        return _picture(pixels, caption or told)
    except OSError as error:
        return _line(f"{error}.")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Opens a picture; OSError, which names it, if it is damaged or too large."""
    try:
        with Image.open(path) as image:
            yield image
    except Exception as error:  # a broken picture can raise anything
        raise OSError(f"{path} cannot be read ({error})") from error


def _read(path: Path) -> np.ndarray:
    with _opened(path) as image:
        return np.asarray(image.convert("RGB"))


def _picture(pixels: np.ndarray, caption: str) -> str:
    """Returns a figure with the picture inside: a PNG, or a JPEG if it is large."""
    image, encoded, kind = Image.fromarray(pixels), io.BytesIO(), "PNG"
    if max(image.size) > MOST_PIXELS // 2:
        image.thumbnail((MOST_PIXELS, MOST_PIXELS))
        kind = "JPEG"
    image.save(encoded, kind, quality=85)
    data = base64.b64encode(encoded.getvalue()).decode()
    told = html.escape(caption)
    source = f"data:image/{kind.lower()};base64,{data}"
    return (
        f'<figure><img src="{source}" alt="{told}">'
        f"<figcaption>{told}</figcaption></figure>"
    )


def _text_of(path: Path) -> str:
    """Returns a text file as it is; a line if there is none, or nothing in it."""
    if not path.is_file():
        return _line(f"{path} is missing.")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if not text.strip():
        return _line(f"{path} is empty.")
    return f"<pre>{html.escape(text)}</pre>"


def _line(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _page(title: str, parts: Sequence[str]) -> str:
    title = html.escape(title)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>"
        f"<body><h1>{title}</h1>{''.join(parts)}</body></html>\n"
    )
