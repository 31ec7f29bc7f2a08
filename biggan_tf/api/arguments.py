"""What the arguments of the functions may be."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

from biggan_tf import config, files
from biggan_tf.checks import check_text, listed
from biggan_tf.errors import BadInput

PathLike = Union[str, os.PathLike]
Files = Union[PathLike, Sequence[PathLike]]
Bindings = Union[Mapping[str, Any], str, Sequence[str]]
# The layouts between two ends, and what is said of their pictures.
PATHS = {
    "z": "z on a straight line",
    "great_circle": "z on a great circle",
    "class": "classes on a straight line",
    "direction": "z by up to 3 along the strongest directions",
}


def as_path(given: PathLike, flag: str) -> Path:
    """Returns a path as it is meant; a leading ~ is the home folder.

    BadInput if no file can have it: it is empty, a name too long, ~name no user, or
    there is no folder before a `..`; or if it is an address, such as gs://bucket/file.
    """
    try:
        if given == "":
            raise ValueError("it is empty")
        if files.is_address(given):
            raise ValueError("it is an address, no file of this machine")
        path = Path(given).expanduser()
        os.fspath(path).encode()
        files.true_path(path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()
            if stat.S_ISFIFO(path.stat().st_mode):
                raise ValueError("it is a pipe, which cannot be read twice")
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        told = f"{flag}={given!r} is no path of a file ({reason})."
        raise BadInput(told) from error
    return path


def as_folder(given: PathLike, flag: str) -> Path:
    """Returns the path of a run or of a module; BadInput if TensorFlow cannot use it.

    It takes [ and \\ in a path for a pattern, and does not find what it wrote there.
    """
    path, text = as_path(given, flag), os.fspath(given)
    if wrong := [part for part in ("[", "\\") if part in text]:
        raise BadInput(
            f"{flag}={text}: name a folder of this machine's file system without "
            f"{wrong[0]} in its path."
        )
    return path


def check_apart(output: Path, source: object, flag: str) -> None:
    """Raises BadInput if a file is to be written that `flag` says to read."""
    if not isinstance(source, (str, os.PathLike)):
        return
    source = os.path.expanduser(source)
    if os.path.exists(source) and output.exists() and output.samefile(source):
        raise BadInput(f"--output={output}: take another name; {flag} is that file.")


def file_names(files: Files) -> list[str]:
    """Returns the names of one file or of several."""
    given = listed(files)
    found = [os.fspath(f) if isinstance(f, os.PathLike) else f for f in given]
    for name in found:
        check_text("gin_files", name)
        if not name:
            raise BadInput(f"gin_files = {given!r}: one of the names is empty.")
    return [*map(os.path.expanduser, found)]


def bind(
    gin_files: Files, bindings: Bindings, rooms: Collection[str] = config.ROOMS
) -> None:
    """Binds {"room.option": value}, or lines as `--gin_param` takes them.

    BadInput on an option of another room than `rooms`.
    """
    names = file_names(gin_files)
    values = bindings if isinstance(bindings, Mapping) else listed(bindings)
    for text in values:
        check_text("bindings", text)
    if isinstance(values, Mapping):
        values = {name: _plain(value) for name, value in values.items()}
    config.parse(names, values, rooms)


def _plain(value: Any) -> Any:
    """Returns the Python value of a path, an array or a tensor; of several, each."""
    if hasattr(value, "numpy"):
        value = value.numpy()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def check_checkpoint(checkpoint: str) -> None:
    """Raises BadInput unless it is "latest", or "best" by its score."""
    if checkpoint not in ("latest", "best"):
        raise BadInput(f"checkpoint = {checkpoint!r}: take 'latest' or 'best'.")
