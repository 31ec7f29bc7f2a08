"""What files hold, without where they lie: enough to see that they were changed."""

from __future__ import annotations

import hashlib
import multiprocessing.pool
import os
from collections.abc import Sequence

import tensorflow as tf

from biggan_tf.files import is_address

WHOLE = 2**31  # bytes of all files together, up to which they are read whole
_PIECE = 2**14  # bytes of each of the three pieces that are read of a file otherwise
_CHUNK = 2**20  # bytes that are read at a time


def fingerprint(files: Sequence[tuple[str, str]]) -> str:
    """Returns a sha256 of files: of what is told of each, its size and its bytes.

    If they are more than `WHOLE` bytes, only the beginning of each, where its header
    lies, its middle and its end count. Takes what is told, such as its name below the
    root, and the path. A file that cannot be read counts as empty.
    """
    with multiprocessing.pool.ThreadPool(16) as threads:
        paths = [path for _, path in files]
        total = sum(threads.imap(size_of, paths, chunksize=64))
        digest = _digest_of_all if total <= WHOLE else _digest_of_pieces
        whole = hashlib.sha256()
        for each in threads.imap(digest, files, chunksize=64):
            whole.update(each)
    return whole.hexdigest()


def size_of(path: str) -> int:
    """Returns the bytes of a file, here or at an address such as gs:; 0 if none."""
    try:
        # TensorFlow takes no name that is no Unicode.
        at_address = is_address(path)
        return tf.io.gfile.stat(path).length if at_address else os.path.getsize(path)
    except (OSError, tf.errors.OpError):
        return 0


def _digest_of_all(told_and_path: tuple[str, str]) -> bytes:
    size = size_of(told_and_path[1])
    return _digest(told_and_path, size, range(0, size, _CHUNK), _CHUNK)


def _digest_of_pieces(told_and_path: tuple[str, str]) -> bytes:
    size = size_of(told_and_path[1])
    starts = [0, max(0, size - _PIECE) // 2, max(0, size - _PIECE)]
    return _digest(told_and_path, size, starts, _PIECE)


def _digest(
    told_and_path: tuple[str, str], size: int, starts: Sequence[int], length: int
) -> bytes:
    told, path = told_and_path
    held = hashlib.sha256(repr((told, size)).encode())
    try:
        opened = tf.io.gfile.GFile if is_address(path) else open
        with opened(path, "rb") as file:
            for start in starts:
                file.seek(start)
                held.update(file.read(length))
    except (OSError, tf.errors.OpError):
        pass
    return held.digest()
