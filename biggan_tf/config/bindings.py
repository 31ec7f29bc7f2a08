"""The bindings in force, and which of them were used so far."""

import difflib
import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from biggan_tf.config.options import ROOMS, check_value, current, declared
from biggan_tf.errors import BadInput


class Macro(str):
    """The name of a macro, which stands as `%name` in the place of a value."""


class Bound(NamedTuple):
    """A value, in which macros may stand, and the "file:line" that binds it."""

    value: Any
    where: str


def bind(
    found: Mapping[str, Bound],
    rooms: Collection[str] = ROOMS,
    used: Collection[str] = (),
) -> None:
    """Binds {"room.option": value} of `rooms`; a name without a room is a macro's.

    Macros of files are `used` too by values that others have replaced.

    Raises:
      BadInput: an unknown room or option, or one of another room; a macro that is not
        defined, stands for itself or is never used (as `batch_sise = 64` would be); a
        value that is left at `%gin.REQUIRED`, or that its declaration refuses. Nothing
        is bound then.
    """
    macros, read = [name for name in found if "." not in name], set()

    def filled(value: Any, where: str, within: tuple[str, ...]) -> Any:
        """Replaces macros by their values; `within` are the macros being replaced."""
        if isinstance(value, (list, tuple)):
            return tuple(filled(item, where, within) for item in value)
        if not isinstance(value, Macro):
            return value
        if value not in macros:
            there = suggestion(value, macros)
            raise BadInput(f"{where}: %{value}: no macro has this name; {there}")
        if value in within:
            raise BadInput(f"{where}: %{value} stands for itself; give it a value.")
        read.add(value)
        return filled(found[value].value, where, (*within, value))

    try:
        values = {name: filled(*bound, (name,)) for name, bound in found.items()}
    except RecursionError:
        told = "the macros stand for one another too many times over; name values"
        raise BadInput(f"{next(iter(found.values())).where}: {told}.") from None
    for name, (_, where) in found.items():
        room, _, option = name.rpartition(".")
        if room:
            _check_name(room, option, where)
            if room not in rooms:
                raise BadInput(
                    f"{where}: {name}: leave it out; here only options of "
                    f"{', '.join(sorted(rooms))} can be changed."
                )
            check_value(room, option, values[name], f"{where}: ")
        elif name not in read:
            of_file = not where.startswith(("--", "bindings"))
            if not (of_file and name in used):
                told = f"nothing uses this macro; {_meant(name)}"
                raise BadInput(f"{where}: {name}: {told}")
    here = current()
    for name in found.keys() - macros:
        here.bound[name], here.places[name] = values[name], found[name].where


def clear() -> None:
    """Unbinds everything, and forgets what was used."""
    current().__init__()


def forget(name: str) -> None:
    """Unbinds a "room.option", or all options of a room, as of a run's own config."""
    bound = current().bound
    for each in [each for each in bound if f"{each}.".startswith(f"{name}.")]:
        del bound[each]


def place_of(name: str) -> str:
    """Returns where an option was bound, a "file:line" or a flag; "" if nowhere."""
    here = current()
    return here.places[name] if name in here.bound else ""


def refuse_dead_bindings(rooms: Iterable[str], place: str = "") -> None:
    """Raises BadInput, which lists `dead_bindings`, if there are any."""
    if dead := dead_bindings(rooms, place):
        raise BadInput(f"{', '.join(dead)}: nothing in this run uses it; remove it.")


def dead_bindings(rooms: Iterable[str], place: str = "") -> list[str]:
    """Returns the bindings of `rooms` that nothing has used, and where they are.

    Only those that were bound in a `place` that begins so: "--gin_param", or a file.
    """
    options = {f"{room}.{name}" for room in rooms for name in declared(ROOMS[room])}
    here = current()
    dead = sorted(options & here.bound.keys() - here.taken.keys())
    dead = [name for name in dead if here.places[name].startswith(place)]
    return [f"{name} ({here.places[name]})" for name in dead]


def taken() -> dict[str, Any]:
    """Returns {"room.option": value} of what rooms have taken, defaults too."""
    return dict(current().taken)


def operative() -> str:
    """Returns what rooms have taken, defaults too, as lines that `parse` reads back."""
    lines = [f"{name} = {value!r}\n" for name, value in sorted(current().taken.items())]
    rooms = itertools.groupby(lines, lambda line: line.partition(".")[0])
    return "\n".join("".join(of_room) for _, of_room in rooms)


def suggestion(name: str, known: Collection[str]) -> str:
    """Returns which of the `known` names may have been meant, or else all of them."""
    close = difflib.get_close_matches(name, known, n=3) or sorted(known)
    return f"take {' or '.join(close)}." if close else "there is none."


def _check_name(room: str, option: str, where: str) -> None:
    """Raises BadInput unless the room declares the option."""
    known = declared(ROOMS[room]) if room in ROOMS else {}
    if option not in known:
        kind, wrong = ("option", option) if known else ("room", room)
        there = suggestion(wrong, known or ROOMS)
        raise BadInput(f"{where}: {room}.{option}: there is no {kind} {wrong}; {there}")


def _meant(name: str) -> str:
    """Returns what someone who wrote `name = value` without a room may have meant."""
    if name in ROOMS:
        return f"an option of {name} reads {name}.{next(iter(declared(ROOMS[name])))}."
    options = {f"{room}.{o}": o for room in ROOMS for o in declared(ROOMS[room])}
    close = difflib.get_close_matches(name, options.values(), n=1)
    meant = [full for full, option in options.items() if option in close]
    return suggestion("", meant) if meant else "a binding reads room.option = value."
