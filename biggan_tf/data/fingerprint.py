"""What files hold, without where they lie: enough to see that they were replaced."""

import hashlib
import multiprocessing.pool
import re
from collections.abc import Sequence

_BYTES = 4096  # that are read of a compressed file, where a change moves all after it
_UNCOMPRESSED = (".bmp", ".pgm", ".pnm", ".ppm", ".tif", ".tiff")  # as a rule
# Where a PNG's pixels begin: the header of zlib, and of a block that is only stored.
_STORED_PNG = re.compile(rb"\x89PNG.*?IDAT\x78.[\x00\x01]", re.DOTALL)


def fingerprint(files: Sequence[tuple[str, str]]) -> str:
    """Returns a sha256 of files: of what is told of each, its size and its middle.

    A file that is not compressed, in which a pixel may change alone, is read whole. Of
    such a PNG the end is read too: it has a checksum of all pixels. Takes what is told,
    such as its name below the root, and the path. A file that cannot be read counts as
    empty.
    """
    whole = hashlib.sha256()
    with multiprocessing.pool.ThreadPool(16) as threads:
        for digest in threads.imap(_digest, files, chunksize=64):
            whole.update(digest)
    return whole.hexdigest()


def _digest(told_and_path: tuple[str, str]) -> bytes:
    told, path = told_and_path
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            count = size if path.lower().endswith(_UNCOMPRESSED) else _BYTES
            file.seek(max(0, (size - count) // 2))
            held = file.read(count)
            file.seek(0)
            if _STORED_PNG.match(file.read(_BYTES)):
                file.seek(max(0, size - _BYTES))
                held += file.read()
    except OSError:
        size, held = 0, b""
    return hashlib.sha256(repr((told, size)).encode() + held).digest()
