"""Which classes a person means by a text such as "Bag,3" or "0-4"."""

from __future__ import annotations

import contextlib
import csv
import re
import unicodedata
from collections.abc import Sequence

from biggan_tf.checks import is_whole
from biggan_tf.errors import BadInput


def parse(text: str, class_names: Sequence[str], flag: str) -> list[int]:
    """Returns the indices of the classes that a text names, in its order.

    An index counts the classes from 0, in the order of `class_names`. The text is
    "all", or words with commas between: names, indices, and ranges such as "0-4", of
    indices or of names that are numbers. A name that holds a comma stands in double
    quotes. "name:" before exactly the name of a class means that class; "index:2" means
    the class of that index, and "index:0-4" those of all five, whatever classes are
    called, unless one is called just so, "index:2".

    Letters with accents may be written in either of Unicode's two ways.

    Raises BadInput, which names `flag`, if a word means no class, or may mean several.
    """
    composed = [unicodedata.normalize("NFC", name) for name in class_names]
    if len({*composed}) == len({*class_names}):
        text, class_names = unicodedata.normalize("NFC", text), composed
    try:
        words = next(csv.reader([text], skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration):
        words = []
    explicit = _explicit(text, class_names)
    if explicit or not words or (text in class_names and text.lstrip() == words[0]):
        words = [text]
    meanings = [_meanings(word, class_names) for word in words]
    if text in class_names and words != [text]:
        if all(meanings):
            raise BadInput(
                f"{flag}={text}: this is the name of one class, and a list of others; "
                f"write name:{text} for that one, or name: before each of the others."
            )
        return [class_names.index(text)]
    found = []
    for word, meant in zip(words, meanings):
        if len({*map(tuple, meant.values())}) > 1:
            raise BadInput(
                f"{flag}={word}: this means one class or another; write "
                f"{' or '.join(meant)}."
            )
        if not meant:
            last = len(class_names) - 1
            shown = ", ".join(class_names[:10]) + (", ..." if last > 9 else "")
            raise BadInput(
                f"{flag}={word}: there is no such class; take indices from 0 to "
                f"{last}, names ({shown}) or all."
            )
        found += next(iter(meant.values()))
    return found


def spell(labels: Sequence[int], class_names: Sequence[str]) -> str:
    """Returns a text that `parse` takes for these indices: their names if that does."""
    names = [class_names[label] for label in labels]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    for text in (",".join(names), ",".join(quoted)):
        with contextlib.suppress(BadInput):
            if parse(text, class_names, "") == list(labels):
                return text
    return ",".join(_by_index([label], class_names) for label in labels)


def is_index(label: object, num_classes: int) -> bool:
    """Returns whether a label is a whole number from 0 to num_classes - 1."""
    return is_whole(label, 0, num_classes - 1)


def _explicit(word: str, class_names: Sequence[str]) -> list[int]:
    """Returns the classes that "name:..." or "index:..." means; [] if it means none."""
    kind, _, rest = word.partition(":")
    if kind == "name" and rest in class_names:
        return [class_names.index(rest)]
    return _span(rest, len(class_names)) if kind == "index" else []


def _meanings(word: str, class_names: Sequence[str]) -> dict[str, list[int]]:
    """Returns the classes that a word may mean, by how to say it without doubt."""
    exact = _explicit(word, class_names) or word in class_names
    word = word if exact else word.strip()
    meant = []
    if word in class_names:
        meant.append((f"name:{word}", [class_names.index(word)]))
    if explicit := _explicit(word, class_names):
        meant.append((word, explicit))
    elif span := _span(word, len(class_names)):
        meant.append((f"index:{word}", span))
    if called := _called(word, class_names):
        names = [f"name:{class_names[label]}" for label in called]
        names[2:-1] = ["..."] * (len(names) > 3)
        meant.append((",".join(names), called))
    return {
        _by_index(found, class_names) if said in class_names else said: found
        for said, found in meant
    }


def _by_index(span: Sequence[int], class_names: Sequence[str]) -> str:
    """Returns how to say indices in sequence, with zeros if a class has that name."""
    ends = [span[0], span[-1]] if len(span) > 1 else span
    said = (f"index:{'-'.join(f'{i:0{n}}' for i in ends)}" for n in range(1, 10))
    return next(text for text in said if text not in class_names)


def _span(text: str, num_classes: int) -> list[int]:
    """Returns the indices in "2", "0-4" or "all"; [] if it is none of them."""
    if text == "all":
        return list(range(num_classes))
    numbers = _numbers(text)
    return list(numbers) if numbers.stop <= num_classes else []


def _called(text: str, class_names: Sequence[str]) -> list[int]:
    """Returns the classes called 1, 2 and 3 if the text is "1-3"; 01 to 03 of "01-03".

    [] if there is no class of one of these names.
    """
    digits = len(text.partition("-")[0].strip()) if text.startswith("0") else 1
    labels = {name: label for label, name in enumerate(class_names)}
    numbers = _numbers(text)[: len(labels) + 1]
    found = [labels.get(f"{number:0{digits}}") for number in numbers]
    return [] if None in found else found


def _numbers(text: str) -> range:
    """Returns the numbers in "2" or "0-4"; none if it is neither."""
    match = re.fullmatch(r"(\d{1,9})(?: *- *(\d{1,9}))?", text, re.ASCII)
    return range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
