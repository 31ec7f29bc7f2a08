"""Showing a run or a module to people who do not have it."""

from __future__ import annotations

import os
from pathlib import Path

from biggan_tf import files, films, images, reports
from biggan_tf.api.arguments import PathLike, as_path
from biggan_tf.checks import as_whole
from biggan_tf.data import memory
from biggan_tf.errors import BadInput


def report(
    model_dir: PathLike | None = None,
    module: PathLike | None = None,
    output: PathLike | None = None,
    rate: int = 6,
) -> Path:
    """Writes a run or a module as one HTML page, or a run as a film of its training.

    Args:
        model_dir, module: what to show: a run, or the folder of an exported module.
        output: an .html file, by default `report.html` in the model directory, or of
            the module's name beside it; or .mp4 (needs the extra `film`), .webp or
            .gif, of a run.
        rate: sample sheets a second of a film, 1 to 100.

    Returns the path of the file.
    """
    rate = as_whole("rate", rate, 1, 100)
    if bool(model_dir) == bool(module):
        raise BadInput("--model_dir and --module: name what to show by one of them.")
    flag = "--model_dir" if model_dir else "--module"
    folder = as_path(model_dir or module, flag)
    if not folder.is_dir():
        raise BadInput(f"{flag}={folder}: there is no such folder.")
    if output is None:
        whole = Path(os.path.abspath(folder))  # of a ".." the name too
        beside = whole.parent / f"{whole.name}.html"
        output = whole / "report.html" if model_dir else beside
    path = as_path(output, "--output")
    images.check_output(str(path), "--output", (".html", *images.FILM_FORMATS))
    if path.suffix.lower() == ".html":
        text = reports.of_run(folder) if model_dir else reports.of_module(folder)
        files.write_text(path, text)
    elif module:
        raise BadInput(f"--output={path}: take .html; a film is of a --model_dir.")
    else:
        films.check_writer(path, rate)
        film = reports.training_film(folder)
        images.check_pixels(path, film.height, film.width)
        count = len(film.sheets)
        needed = films.memory_of(path, count, film.height * film.width)
        memory.check_room(needed, f"--output={path}: {count:,} sheets", "take .mp4")
        films.write(path, film.frames(), rate)
    print(path)
    return path
