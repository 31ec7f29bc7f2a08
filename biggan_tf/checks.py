"""What a person may pass to a function in Python, where no flag has checked it."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterable, Mapping

import numpy as np

from biggan_tf.errors import BadInput

SPLITS = ("train", "held_out")  # of real images
LARGEST_SEED = 2**63 - 1  # of latents; a run's own seed is an option of 32 bits


def is_whole(value: object, low: int, high: int) -> bool:
    """Returns whether a value is a whole number in a range, both ends included."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and low <= value <= high


def plain(value: object) -> object:
    """Returns what an array or tensor without axes holds; anything else as it is."""
    if getattr(value, "shape", None) != ():
        return value
    return value.item() if hasattr(value, "item") else value.numpy()


def as_whole(name: str, value: object, low: int, high: int) -> int:
    """Returns a number, an array's or tensor's too, as Python's.

    BadInput if it is not whole, or not in the range.
    """
    value = plain(value)
    if not is_whole(value, low, high):
        raise BadInput(f"{name} = {value!r}: take a whole number, {low:,} to {high:,}.")
    return int(value)


def as_number(name: str, value: object) -> float:
    """Returns a number, an array's or tensor's too, as Python's; BadInput if none."""
    value = plain(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    raise BadInput(f"{name} = {value!r}: take a number.")


def as_bool(name: str, value: object) -> bool:
    """Returns a boolean, NumPy's too, as Python's; BadInput if it is none."""
    value = plain(value)
    if not isinstance(value, bool):
        raise BadInput(f"{name} = {value!r}: take True or False.")
    return value


def check_text(name: str, value: object) -> None:
    """Raises BadInput unless a value is text."""
    if not isinstance(value, str):
        raise BadInput(f"{name} = {value!r}: take text.")


def is_several(value: object) -> bool:
    """Returns whether a value is a list, an array or the like.

    A set is not, for it has no order; nor is a dict, which holds more than its keys.
    """
    others = (str, bytes, Mapping, set, frozenset)
    value = plain(value)
    return isinstance(value, Iterable) and not isinstance(value, others)


def listed(value: object) -> list:
    """Returns what an array or the like holds, as a list; or anything else in one."""
    return [plain(each) for each in (value if is_several(value) else [value])]


def as_numbers(name: str, value: object) -> list[float]:
    """Returns one number or several as a list; BadInput if one is none, or of none."""
    found = [as_number(name, each) for each in listed(value)]
    if not found:
        raise BadInput(f"{name} = {value!r}: take a number, or several.")
    return found


def as_array(name: str, value: object) -> np.ndarray:
    """Returns an array, a tensor or nested lists as an array; BadInput of others."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # of several lengths
        raise BadInput(f"{name}: give an array ({error}).") from error
