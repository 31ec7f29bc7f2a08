"""What a person may pass to a function in Python, where no flag has checked it."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterable

from biggan_tf.errors import BadInput

SPLITS = ("train", "held_out")  # of real images
LARGEST_SEED = 2**63 - 1  # of latents; a run's own seed is an option of 32 bits


def is_whole(value: object, low: int, high: int) -> bool:
    """Returns whether a value is a whole number in a range, both ends included."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and low <= value <= high


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raises BadInput unless a value is a whole number in a range."""
    if not is_whole(value, low, high):
        raise BadInput(f"{name} = {value!r}: take a whole number, {low:,} to {high:,}.")


def check_number(name: str, value: object) -> None:
    """Raises BadInput unless a value is a number."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            float(value)
            return
    raise BadInput(f"{name} = {value!r}: take a number.")


def check_text(name: str, value: object) -> None:
    """Raises BadInput unless a value is text."""
    if not isinstance(value, str):
        raise BadInput(f"{name} = {value!r}: take text.")


def listed(value: object) -> list:
    """Returns what a list, an array or the like holds; of anything else a list."""
    value = value.item() if getattr(value, "ndim", 1) == 0 else value
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    return [*value] if several else [value]


def as_numbers(name: str, value: object) -> list[float]:
    """Returns a number or several as a list; BadInput if it is none, or another."""
    found = listed(value)
    if not found:
        raise BadInput(f"{name} = {value!r}: take a number, or several.")
    for each in found:
        check_number(name, each)
    return found
