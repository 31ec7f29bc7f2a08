"""Writing files so that a reader finds the old one or the new one, never half of it.

And locking one, so that one process at a time writes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

from biggan_tf.errors import BadInput

WEB_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a path to write to, which gets the name `path` if nothing goes wrong.

    It lies in the same folder, which is made if it is missing. If `path` is a symbolic
    link, the file that it leads to is replaced.

    Raises OSError if the file there may not be written, or cannot be.
    """
    target = target_of(path)
    temporary = temporary_name(target)
    try:
        with _naming(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other process or thread is inside with the same folder."""
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            opened = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, opened)
            with contextlib.suppress(OSError):  # where folders cannot be locked
                fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def is_address(path: object) -> bool:
    """Returns whether it is the path of a file elsewhere, such as gs://bucket/file."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    return re.match("[A-Za-z][A-Za-z0-9+.-]+:/", text) is not None


def true_path(path: str | os.PathLike[str]) -> Path:
    """Returns an absolute path without links and `..`.

    Raises OSError if there is no folder before a `..`: Python would drop both, while to
    the operating system there is no such path.
    """
    parts = Path(path).parts
    for place, part in enumerate(parts):
        if part == ".." and not (before := Path(*parts[:place])).is_dir():
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {before}")
    return Path(os.path.realpath(path))


def target_of(path: str | os.PathLike[str]) -> Path:
    """Returns the file that is replaced by writing to a path, links followed.

    Raises OSError if it may not be written, not even by its owner, is a folder, or is
    not on this machine; and as `true_path`.
    """
    with _naming(path):
        target = true_path(path)
        if is_address(path):
            raise OSError(errno.EREMOTE, "it is an address, no file of this machine")
        kept = target.exists() and not target.stat().st_mode & 0o222
        if kept or (target.parent.exists() and not os.access(target.parent, os.W_OK)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return target


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raises OSError if `replacing` cannot write a file; leaves nothing behind."""
    target = target_of(path)
    with _naming(path):
        above = next(folder for folder in target.parents if folder.exists())
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        tempfile.TemporaryFile(dir=above).close()  # /proc refuses even its owner
        if target.is_fifo():
            raise OSError(errno.EINVAL, "it is a pipe")


def refuse_unwritable(path: str | os.PathLike[str], told: str) -> None:
    """Raises BadInput, which begins with `told`, if `check_writable` raises."""
    try:
        check_writable(path)
    except OSError as error:
        wrong = f"it cannot be written ({error.strerror}); take another name"
        raise BadInput(f"{told}: {wrong}.") from error


def temporary_name(path: Path) -> Path:
    """Returns a hidden path that nobody else has, beside another one.

    A name has 255 bytes at most, so of a long one it keeps the end.
    """
    return path.with_name(f".{path.name[-50:]}.{secrets.token_hex(8)}")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file, UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    write_text(path, json.dumps(value, indent=1))


def append_json(path: str | os.PathLike[str], value: dict[str, Any]) -> None:
    """Adds one line of JSON to a file; makes its folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with _naming(path), open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a JSON file; ValueError if it holds anything but an object."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except RecursionError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    return found


def json_lines(path: str | os.PathLike[str]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yields the lines of a file, with their ends, and their JSON objects.

    The object is {} if a line holds none that Python can read. No file has no lines.
    """
    whole = Path(path).read_bytes() if Path(path).is_file() else b""
    for line in whole.splitlines(keepends=True):
        found = None
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line.decode("utf-8-sig"))
        yield line, found if isinstance(found, dict) else {}


def is_whole(line: bytes) -> bool:
    """Returns whether a line of a log holds something, and is not being written."""
    return bool(line.strip()) and line.endswith(b"\n")


def tell_damaged(path: str | os.PathLike[str], damaged: int, lines: int) -> None:
    """Prints a line if some lines of a file are damaged."""
    if damaged:
        print(f"{path}: {damaged} of {lines} lines cannot be read", flush=True)


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the hash of a file, or of all files of a folder by name."""
    path = Path(path)
    held = [path] if path.is_file() else sorted(filter(Path.is_file, path.rglob("*")))
    whole = hashlib.sha256()
    for file in held:
        whole.update(file.read_bytes())
    return whole.hexdigest()


def lock(path: str | os.PathLike[str]) -> BinaryIO:
    """Locks a file, which is made if it is missing; returns it: closing it unlocks.

    The file stays, and tells which process locked it last, and when. The lock is the
    operating system's: it ends with the process, whatever ends it, and no child process
    inherits it. Where files cannot be locked, a printed line says so.

    Raises BlockingIOError, its `strerror` what the file tells, if it is locked, and
    OSError if it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack, _naming(path):
        file = stack.enter_context(open(path, "a+b", buffering=0))
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "the operating system has no flock")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.register_at_fork(after_in_child=file.close)
        except BlockingIOError as error:
            file.seek(0)
            told = file.read(200).decode(errors="replace") or "another process"
            raise BlockingIOError(error.errno, told) from None
        except OSError as error:
            print(
                f"{path} cannot be locked ({error.strerror}), so a second run in this "
                "folder would not be noticed",
                flush=True,
            )
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        told = f"process {os.getpid()} on {socket.gethostname()} since {since}"
        try:
            file.truncate(0)
            file.write(told.encode())
        except OSError:  # a full disk: leave nothing behind
            path.unlink()
            with contextlib.suppress(OSError):
                path.parent.rmdir()
            raise
        stack.pop_all()
    return file


def keep_out(path: str | os.PathLike[str], told: str, does: str) -> BinaryIO:
    """Locks a file of a folder; returns it: closing it lets others in again.

    Raises BadInput if another process is in the folder, or the file cannot be written.

    Args:
        told: what the error begins with, such as "--model_dir=runs/demo".
        does: what the other one does there, such as "trains".
    """
    try:
        return lock(path)
    except BlockingIOError as error:
        raise BadInput(
            f"{told}: {error.strerror} {does} there; wait until it ends, or name "
            "another folder."
        ) from error
    except OSError as error:
        name = Path(path).name
        raise BadInput(
            f"{told}: its {name} cannot be written ({error.strerror}); it is as it was."
        ) from error


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Adds the file's name to an OSError without one, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def refuse_failed(file: Path, told: str) -> None:
    """Raises BadInput if there is something else in place of what was to be downloaded.

    Also if the file cannot be opened, or is a pipe or a device. The error begins with
    `told`, such as "--path=x.pth".
    """
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise BadInput(f"{told}: it is no regular file; save what it gives in one.")
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
