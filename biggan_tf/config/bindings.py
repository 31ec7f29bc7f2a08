"""What may be bound, what is bound, and what the calls so far have consumed.

gin has no public view of its bindings and of those that were consumed, so this module,
and no other, reads `gin.config`'s internals (unchanged for years, and pinned).
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gin import config as gin_config
from gin import config_parser

from biggan_tf.errors import BadInput

# (scope, selector, parameter) -> "file:line" of the binding now in force.
_where: dict[tuple[str, str, str], str] = {}


def bind(statement: config_parser.BindingStatement, where: str) -> None:
    """Binds one parsed `room.parameter = value` or macro `name = value`.

    Raises:
      BadInput: unknown or ambiguous room, or unknown parameter.
    """
    scope, selector, parameter, value, _ = statement
    if not parameter:  # the macro %name
        scope = f"{scope}/{selector}" if scope else selector
        selector, parameter = "gin.macro", "value"
    else:
        check(selector_problem(selector), where)
        check(_parameter_problem(selector, parameter), where)
        selector = gin_config._REGISTRY.get_match(selector).selector
    gin_config.bind_parameter((scope, selector, parameter), value)
    _where[scope, selector, parameter] = where


def check_references() -> None:
    """Checks what only the sum of all files shows.

    Raises:
      BadInput: a macro that is not defined, stands for itself or is never used (as
        `batch_sise = 64` would be); a value left at `%gin.REQUIRED`.
    """
    bound = [
        (key, parameter, value)
        for key, values in gin_config._CONFIG.items()
        for parameter, value in values.items()
    ]
    macros = {scope for (scope, selector), _, _ in bound if selector == "gin.macro"}
    used = set()
    for (scope, selector), parameter, value in bound:
        where = _place(scope, selector, parameter)
        if _is_required(value):
            check(no_value(f"{_room(selector)}.{parameter}"), where)
        for name in sorted(_macros_in(value)):
            if name not in macros:
                check(f"no macro `%{name}`; " + suggestion(name, macros), where)
            used.add(name)
    for name in sorted(macros):
        where = _place(name, "gin.macro", "value")
        if name not in used:
            check(
                f"`{name} = ...` defines a macro that nothing uses; "
                + _full_name(name),
                where,
            )
        try:
            _resolve(gin_config._CONFIG[name, "gin.macro"])
        except RecursionError:
            check(f"the macro `%{name}` stands for itself", where)
    for (scope, selector), parameter, value in bound:
        if selector != "gin.macro":
            problem = _type_problem(selector, parameter, _resolve(value))
            check(problem, _place(scope, selector, parameter))


def forget(room: str) -> None:
    """Unbinds what is bound of a configurable so far, as by a run's own config."""
    for key in [key for key in gin_config._CONFIG if _room(key[1]) == room]:
        del gin_config._CONFIG[key]


def refuse_dead_bindings(configurables: Sequence[str]) -> None:
    """Refuses bindings of `configurables` that no call so far has consumed.

    Args:
      configurables: names of the rooms that the calling program may consume; bindings
        of other rooms are no concern of it.

    Raises:
      BadInput: lists each dead binding with its place.
      KeyError: a name that is not registered, which is our mistake.
    """
    for name in configurables:
        if name not in _configurables():
            raise KeyError(name)
    dead = [
        f"`{_scoped(scope, _room(selector))}.{parameter}` "
        f"({_place(scope, selector, parameter)})"
        for (scope, selector), values in gin_config._CONFIG.items()
        if _room(selector) in configurables
        for parameter in values
        if parameter not in _consumed(scope, selector)
    ]
    if dead:
        raise BadInput(f"nothing in this run uses {', '.join(dead)}; remove or mend it")


def operative() -> str:
    """Returns all values that calls have consumed so far, defaults included.

    One sorted line a binding, macros replaced by their values; `parse` reads it back.
    """
    rooms = {}
    for (scope, selector), values in gin_config._OPERATIVE_CONFIG.items():
        if selector.startswith("gin."):
            continue
        name = _scoped(scope, gin_config._REGISTRY.minimal_selector(selector))
        resolved = {key: _resolve(value) for key, value in values.items()}
        rooms[name] = "".join(
            f"{name}.{parameter} = {value!r}\n"
            for parameter, value in sorted(resolved.items())
            if gin_config._is_literally_representable(value)
        )
    return "\n".join(text for _, text in sorted(rooms.items()) if text)


def check(problem: str | None, where: str) -> None:
    """Raises BadInput if there is a problem."""
    if problem:
        raise BadInput(f"{where}: {problem}")


def selector_problem(selector: str) -> str | None:
    """Says why `selector` names no configurable, or None if it names one."""
    matches = gin_config._REGISTRY.matching_selectors(selector)
    if not matches:
        close = suggestion(selector, _configurables())
        return f"no configurable `{selector}`; {close}"
    if len(matches) > 1:
        return f"`{selector}` is ambiguous; write {_either(sorted(matches))}"
    return None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns which of the `known` names may have been meant."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {_either(close)}?"
    return f"there is {_either(known)}" if known else "there is none"


def no_value(name: str) -> str:
    """Says that the parameter `name` has no value, and how to give one."""
    return (
        f"`{name}` has no value; give it in a gin file or with "
        f'--gin_param="{name} = ..."'
    )


def _parameter_problem(selector: str, parameter: str) -> str | None:
    known = _parameters(gin_config._REGISTRY.get_match(selector).wrapped)
    if parameter in known:
        return None
    close = suggestion(parameter, known)
    return f"`{selector}` has no parameter `{parameter}`; {close}"


def _type_problem(selector: str, parameter: str, value: Any) -> str | None:
    """Says which type the parameter is annotated with, if `value` has another."""
    known = _parameters(gin_config._REGISTRY.get_match(selector).wrapped)
    kind = known[parameter].annotation
    if _fits(value, str(kind)):
        return None
    return f"{_room(selector)}.{parameter} = {value!r}: it must be {kind}"


def _fits(value: Any, kind: str) -> bool:
    """Whether a value is of a type, written as in annotations of configurables."""
    if " | " in kind:
        return any(_fits(value, one) for one in kind.split(" | "))
    if kind.startswith("tuple[") and kind.endswith(", ...]"):
        inner = kind[len("tuple[") : -len(", ...]")]
        return isinstance(value, (tuple, list)) and all(
            _fits(one, inner) for one in value
        )
    if kind == "float":
        return type(value) in (int, float)
    types = {"int": int, "bool": bool, "str": str, "None": type(None)}
    return kind not in types or type(value) is types[kind]


def _full_name(parameter: str) -> str:
    """What someone who wrote `parameter = value` without a room may have meant."""
    parameters = {
        f"{room}.{name}": name
        for room, function in _configurables().items()
        for name in _parameters(function)
    }
    close = difflib.get_close_matches(parameter, parameters.values(), n=1)
    meant = sorted(full for full, name in parameters.items() if name in close)
    if meant:
        return f"did you mean {_either(meant)}?"
    return "a binding reads `room.parameter = value`"


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Of a configurable, by name; none if it is one of those that do not tell."""
    try:
        return inspect.signature(function).parameters
    except ValueError:  # as of `dict`
        return {}


def _configurables() -> dict[str, Callable[..., Any]]:
    """Every registered function by its short name, gin's own left out."""
    return {
        _room(selector): configurable.wrapped
        for selector, configurable in gin_config._REGISTRY.items()
        if not selector.startswith("gin.")
    }


def _consumed(scope: str, selector: str) -> set[str]:
    """The parameters that calls in `scope`, or in a scope inside it, took from gin."""
    return {
        parameter
        for (used_scope, used), values in gin_config._OPERATIVE_CONFIG.items()
        if used == selector and (not scope or f"{used_scope}/".startswith(f"{scope}/"))
        for parameter in values
    }


def _is_required(value: Any) -> bool:
    return (
        isinstance(value, gin_config.ConfigurableReference)
        and value.configurable.selector == "gin.constant"
        and value.scoped_configurable_fn() is gin_config.REQUIRED
    )


def _macros_in(value: Any) -> set[str]:
    return {
        "/".join(reference.scopes)
        for reference in gin_config.iterate_references(value)
        if reference.configurable.selector == "gin.macro"
    }


def _resolve(value: Any) -> Any:
    """Returns `value` with each %macro in it replaced by what it stands for."""
    if isinstance(value, gin_config.ConfigurableReference):
        if value.configurable.selector != "gin.macro":
            return value
        return _resolve(
            gin_config._CONFIG["/".join(value.scopes), "gin.macro"]["value"]
        )
    if isinstance(value, (list, tuple)):
        return type(value)(_resolve(item) for item in value)
    if isinstance(value, dict):
        return {key: _resolve(item) for key, item in value.items()}
    return value


def _place(scope: str, selector: str, parameter: str) -> str:
    return _where.get((scope, selector, parameter), "bound in Python")


def _room(selector: str) -> str:
    return selector.rpartition(".")[2]


def _scoped(scope: str, name: str) -> str:
    return f"{scope}/{name}" if scope else name


def _either(names: Sequence[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)
