"""Files of labels: which image of a folder is of which class."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from biggan_tf import files
from biggan_tf.errors import BadInput

_HEADER = ["file", "class"]
_LONGEST = 255  # letters of a class, as of a sub-folder


def write(path: Path, classes: Mapping[str, str]) -> None:
    """Writes a CSV of paths below the folder of the images, and their classes."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerows([_HEADER, *classes.items()])
    with files.replacing(path) as temporary:
        # Names of files may be bytes that are no UTF-8.
        temporary.write_bytes(os.fsencode(text.getvalue()))


def read(path: str) -> dict[str, str]:
    """Returns the class of each file; BadInput, with the line, if something is wrong.

    The first line is `file,class`. Programs for tables may have put a mark before it.
    """
    try:
        if Path(path).is_fifo() or Path(path).is_char_device():
            raise _wrong(path, "it is a pipe or a device; give a file")
        content = os.fsdecode(Path(path).read_bytes()).removeprefix("\ufeff")
    except OSError as error:
        raise _wrong(path, f"it cannot be read ({error.strerror})") from error
    classes: dict[str, str] = {}
    lines = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        if (first := next(lines, [])) != _HEADER:
            raise _wrong(path, f"begin with a line file,class instead of {first}")
        for line in filter(None, lines):
            name = line[-1].strip()
            if len(line) != 2 or not line[0] or not 0 < len(name) <= _LONGEST:
                told = f"line {lines.line_num} is {line}: give a file and its class"
                raise _wrong(path, told)
            file = os.path.normpath(line[0])
            if classes.setdefault(file, name) != name:
                told = f"line {lines.line_num}: {file} has another class above"
                raise _wrong(path, told)
    except csv.Error as error:
        raise _wrong(path, f"line {lines.line_num} is no CSV ({error})") from error
    if not classes:
        raise _wrong(path, "it labels no file")
    return classes


def _wrong(path: str, told: str) -> BadInput:
    return BadInput(f"data.labels = {path!r}: {told}.")
