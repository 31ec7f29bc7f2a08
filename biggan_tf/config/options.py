"""Options, each declared once: its default, type, range or choices, and meaning.

A room of options is a frozen dataclass. Gin files know it by the name of the room:

    @options("train")
    class TrainOptions:
        total_steps: int = option(150_000, "steps of the whole training", low=1)

`train.total_steps = 0` is then refused where it stands in a gin file, and so is
`TrainOptions(total_steps=0)`. A room has a method `check` for what a declaration cannot
say, such as that two options contradict each other.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gin

from biggan_tf.errors import BadInput

ROOMS: dict[str, type] = {}  # every room of options, by its name
_LARGEST = 2**31 - 1  # integers become int32 tensors
# Control characters, such as \n in quotes is, and what is no valid Unicode.
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_TYPES = {"int": (int,), "float": (float, int), "bool": (bool,), "str": (str,)}
# "int", "tuple[int, ...]", "tuple[int, int]", and each of them with " | None".
_ANNOTATION = re.compile(r"(tuple\[)?(\w+)(.*?)\]?( \| None)?")


class Settings:
    """The bindings of one program, or of one call of the Python API."""

    def __init__(self) -> None:
        self.bound: dict[str, Any] = {}  # values of gin files and flags, by option
        self.taken: dict[str, Any] = {}  # those that rooms took, defaults included
        self.places: dict[str, str] = {}  # "file:line" of each value that is bound


_OF_PROGRAM = Settings()
_SETTINGS = contextvars.ContextVar("settings", default=_OF_PROGRAM)
current = _SETTINGS.get


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Inside, in this thread, nothing is bound yet; afterwards all is as before."""
    before = _SETTINGS.set(Settings())
    try:
        yield
    finally:
        _SETTINGS.reset(before)


@dataclasses.dataclass(frozen=True)
class Option:
    """What is declared of one option beside its default and its type."""

    meaning: str  # one line that says what it is, with its unit
    low: float  # the range of a number, both ends included
    high: float
    choices: tuple  # the values that it, or each element of a tuple, may have
    free: bool  # two runs in one model directory may differ in it
    path: bool  # it names a file or folder: a leading ~ is the home folder

    def problem(self, value: Any, annotation: str) -> str | None:
        """Returns what would be right, or None if `value` is."""
        many, kind, others, or_none = _ANNOTATION.fullmatch(annotation).groups()
        wanted, right = self._wanted(kind), self._fits(value, kind)
        if many:
            size = 1 + others.count(",") if others != ", ..." else None
            wanted = f"a tuple{f' of {size}' if size else ''}, each element {wanted},"
            right = isinstance(value, (list, tuple)) and size in (None, len(value))
            right = right and all(self._fits(element, kind) for element in value)
        if right and many and size is None and len({*value}) < len(value):
            return f"take each element once ({self.meaning})."
        if right or (or_none and value is None):
            return None
        if isinstance(value, str) and _UNFIT.search(value):
            return (
                "write / or two \\ for each \\ in quotes, for \\n and \\t are control "
                f"characters ({self.meaning})."
            )
        return f"take {wanted}{' or None' if or_none else ''} ({self.meaning})."

    def _fits(self, value: Any, kind: str) -> bool:
        if type(value) not in _TYPES[kind]:
            return False
        if self.choices:
            return value in self.choices
        if kind == "str":
            return bool(value.strip()) and not _UNFIT.search(value)
        return kind == "bool" or self.low <= value <= self.high

    def _wanted(self, kind: str) -> str:
        if self.choices:
            return f"one of {', '.join(map(repr, self.choices))}"
        if kind in ("bool", "str"):
            return {"bool": "True or False", "str": "some text in quotes"}[kind]
        number = "a whole number" if kind == "int" else "a number"
        return f"{number} from {self.low:,} to {self.high:,}"


def option(
    default: Any,
    meaning: str,
    low: float = 0,
    high: float = _LARGEST,
    choices: Sequence = (),
    free: bool = False,
    path: bool = False,
) -> Any:
    """Declares an option of a room; see `Option`. `gin.REQUIRED`: no default."""
    declared = Option(meaning, low, high, tuple(choices), free, path)
    return dataclasses.field(default=default, metadata={"option": declared})


def options(room: str, free: bool = False) -> Callable[[type], type]:
    """Makes a class a room of options: a frozen dataclass that gin files configure.

    Options that the caller leaves out take the values that are bound, or else their
    defaults. Fields without `option` cannot be bound: the caller passes them. With
    `free`, two runs in one model directory may differ in all of its options.
    """

    def decorate(cls: type) -> type:
        cls.__post_init__ = _check
        cls = ROOMS[room] = dataclasses.dataclass(frozen=True)(cls)
        cls.room, cls.all_free, cls.__init__ = room, free, _filled(cls.__init__)
        return cls

    return decorate


def _filled(make: Callable) -> Callable:
    """Returns a room's `__init__`, filled by bindings where the caller leaves gaps."""

    @functools.wraps(make)
    def init(self: Any, *args: Any, **given: Any) -> None:
        names = [field.name for field in dataclasses.fields(self)]
        handed_over = {*names[: len(args)], *given}
        taken = {
            name: current().bound.get(f"{self.room}.{name}", field.default)
            for name, field in declared(type(self)).items()
            if name not in handed_over
        }
        named = {f"{self.room}.{name}": value for name, value in taken.items()}
        current().taken.update(named)
        make(self, *args, **given, **taken)

    return init


def _check(self: Any) -> None:
    for name, field in declared(type(self)).items():
        value = getattr(self, name)
        check_value(self.room, name, value)
        if isinstance(value, list):
            object.__setattr__(self, name, tuple(value))
        if "float" in field.type and type(value) is int:
            object.__setattr__(self, name, float(value))
        if value and field.metadata["option"].path:
            object.__setattr__(self, name, os.path.expanduser(value))
    if hasattr(self, "check"):
        self.check()


def settle(room: Any, name: str, value: Any) -> None:
    """Gives an option of a room, if it is None, the value that follows from others.

    Call it in the method `check`. `config.gin` records the value.
    """
    if getattr(room, name) is None:
        object.__setattr__(room, name, value)
        current().taken[f"{room.room}.{name}"] = value


def declared(room: type) -> dict[str, dataclasses.Field]:
    """Returns the options of a room by name, as fields of its dataclass."""
    fields = dataclasses.fields(room)
    return {field.name: field for field in fields if "option" in field.metadata}


def check_value(room: str, name: str, value: Any, where: str = "") -> None:
    """Raises BadInput, which begins with `where`, unless the option takes `value`."""
    field = declared(ROOMS[room])[name]
    if value is gin.REQUIRED:
        how = f'--gin_param="{room}.{name} = ..."'
        told = f"{room}.{name} has no value: bind it in a gin file, or with {how}."
        raise BadInput(where + told)
    problem = field.metadata["option"].problem(value, field.type)
    if problem:
        raise BadInput(f"{where}{room}.{name} = {value!r}: {problem}")


def free_bindings() -> set[str]:
    """Returns the bindings that may differ between two runs in one model directory."""
    return _bindings(lambda room, option: room.all_free or option.free)


def path_bindings() -> set[str]:
    """Returns the bindings that name a file or folder."""
    return _bindings(lambda _, option: option.path)


def _bindings(chosen: Callable[[type, Option], bool]) -> set[str]:
    return {
        f"{name}.{option}"
        for name, room in ROOMS.items()
        for option, field in declared(room).items()
        if chosen(room, field.metadata["option"])
    }
