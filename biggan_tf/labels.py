"""Which classes a person means by a text such as "Bag,3" or "0-4"."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Sequence

import numpy as np

from biggan_tf.errors import BadInput


def parse(text: str, class_names: Sequence[str], flag: str) -> list[int]:
    """Returns the indices of the classes that a text names, in its order.

    An index counts the classes from 0, in the order of `class_names`. The text is
    "all", or words with commas between: names, indices, and ranges of indices such as
    "0-4". A name that holds a comma stands in double quotes. "name:2" is the class of
    that name, "index:2" the one of that index.

    Raises BadInput, which names `flag`, if a word means no class, or may mean several.
    """
    try:
        words = next(csv.reader([text], skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration):
        words = [text]
    if text in class_names or not words:
        if len(words) > 1 and all(word in class_names for word in words):
            raise BadInput(
                f"{flag}={text}: this is the name of one class, and a list of others; "
                f'write "{text}" in double quotes, or name: before each.'
            )
        words = [text]
    return [index for word in words for index in _parse_word(word, class_names, flag)]


def spell(labels: Sequence[int], class_names: Sequence[str]) -> str:
    """Returns a text that `parse` takes for these indices: their names if that does."""
    names = [class_names[label] for label in labels]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    for text in (",".join(names), ",".join(quoted)):
        with contextlib.suppress(BadInput):
            if parse(text, class_names, "") == list(labels):
                return text
    return ",".join(f"index:{label}" for label in labels)


def is_index(label: object, num_classes: int) -> bool:
    """Returns whether a label is a whole number from 0 to num_classes - 1."""
    whole = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
    return whole and 0 <= label < num_classes


def _parse_word(word: str, class_names: Sequence[str], flag: str) -> list[int]:
    if word not in class_names and word.partition(":")[2] not in class_names:
        word = word.strip()
    kind, _, rest = word.partition(":")
    last = len(class_names) - 1
    meant = {}  # how to say it without doubt, and the indices
    for name in [word, *([rest] if kind == "name" else [])]:
        if name in class_names:
            meant[f"name:{name}"] = [class_names.index(name)]
    span = rest if kind == "index" else word
    span = f"0-{last}" if span == "all" else span
    if match := re.fullmatch(r"(\d+)(?: *- *(\d+))?", span, re.ASCII):
        first, end = int(match[1]), int(match[2] or match[1])
        if first <= end <= last:
            meant[f"index:{span}"] = list(range(first, end + 1))
    if len({*map(tuple, meant.values())}) > 1:
        raise BadInput(
            f"{flag}={word}: this is both a name and an index; write "
            f"{' or '.join(meant)}."
        )
    if not meant:
        shown = ", ".join(class_names[:10]) + (", ..." if last > 9 else "")
        raise BadInput(
            f"{flag}={word}: there is no such class; take indices from 0 to {last}, "
            f"names ({shown}) or all."
        )
    return next(iter(meant.values()))
