"""What people have where a file should be: archives, and downloads that failed."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from biggan_tf import files
from biggan_tf.errors import BadInput


@contextlib.contextmanager
def unpacked(path: str, *endings: str) -> Iterator[Path]:
    """Gives the folder with the files whose names have these endings.

    That is `path`; or, if it is one of these files, its folder; or, if it is a tar or
    zip archive, a temporary folder. BadInput if it is another file.
    """
    file = Path(path)
    if not file.is_file():
        yield file
    elif file.name.endswith(endings):
        yield file.parent
    else:
        files.refuse_failed(file, f"--path={file}")
        with tempfile.TemporaryDirectory() as folder:
            try:
                _unpack(file, Path(folder))
            except Exception as error:  # a broken archive can raise anything
                reason = str(error).partition(":\n")[0]
                raise BadInput(
                    f"--path={path}: give a folder, or a whole .tar.gz or .zip of one; "
                    f"this file cannot be unpacked: {reason}."
                ) from error
            found = [f for f in Path(folder).rglob("*") if f.name.endswith(endings)]
            found.sort(key=lambda f: (len(f.parts), f))
            places = {f.parent for f in found if f.name.endswith(endings[0])}
            if len(places) > 1:
                names = ", ".join(sorted(str(p.relative_to(folder)) for p in places))
                raise BadInput(f"--path={path}: unpack it, and give one of {names}.")
            try:
                yield found[0].parent if found else Path(folder)
            except BadInput as error:
                raise BadInput(str(error).replace(folder, path)) from error


def _unpack(archive: Path, folder: Path) -> None:
    """Writes the files of an archive below a folder; ValueError if it holds others."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for item in opened.infolist():
                if not item.is_dir():
                    with opened.open(item) as content:
                        _write(folder, item.filename, content)
        return
    with tarfile.open(archive) as opened:
        for item in opened:
            if item.isdir():
                continue
            if not item.isfile():
                raise ValueError(f"{item.name} in it is a link or a device")
            _write(folder, item.name, opened.extractfile(item))


def _write(folder: Path, name: str, content: IO[bytes]) -> None:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{name} in it leads to another place")
    if parts.name.startswith("._"):  # what macOS adds to each file
        return
    target = folder / parts
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "xb") as file:
        shutil.copyfileobj(content, file)
