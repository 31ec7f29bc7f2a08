"""Writing files so that a reader finds the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biggan_tf.errors import BadInput

WEB_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a path to write to, which gets the name `path` if nothing goes wrong.

    It lies in the same folder, which is made if it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file, UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    write_text(path, json.dumps(value, indent=1))


def append_json(path: str | os.PathLike[str], value: dict[str, Any]) -> None:
    """Adds one line of JSON to a file."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the hash of a file, or of all files of a folder by name."""
    path = Path(path)
    held = [path] if path.is_file() else sorted(filter(Path.is_file, path.rglob("*")))
    whole = hashlib.sha256()
    for file in held:
        whole.update(file.read_bytes())
    return whole.hexdigest()


def refuse_failed(file: Path, told: str) -> None:
    """Raises BadInput if there is something else in place of what was to be downloaded.

    So if the file cannot be opened. The error begins with what it is `told` as, such as
    "--path=x.pth".
    """
    try:
        with open(file, "rb") as opened:
            start = opened.read(1024).lower()
    except OSError as error:
        raise BadInput(f"{told}: cannot be read: {error.strerror}.") from error
    if not start:
        problem = "it is empty; download it again"
    elif start.startswith(b"version https://git-lfs"):
        problem = (
            "it is a pointer of Git LFS, not the file itself; run `git lfs pull` where "
            "it was cloned, or download the file"
        )
    elif start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(WEB_PAGES):
        problem = (
            "it is a web page, so the download failed; see in a browser what it says, "
            "and download the file again"
        )
    else:
        return
    raise BadInput(f"{told}: {problem}.")
