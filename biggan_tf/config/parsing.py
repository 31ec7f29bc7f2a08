"""From gin files and --gin_param to bindings; every mistake is named with its line."""

import os
import re
import tokenize
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import gin
from gin import config_parser

from biggan_tf.config.bindings import Bound, Macro, bind, suggestion
from biggan_tf.config.options import ROOMS, declared
from biggan_tf.errors import BadInput

# Installed, the gin files lie inside the package (setup.py); in a checkout beside it.
_INSTALLED = Path(__file__).resolve().parents[1] / "gin"
GIN_FOLDER = _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[1] / "gin"

# What gin's parser raises on a text that is none of its own.
_NO_GIN = (
    *(SyntaxError, tokenize.TokenError, TypeError, ValueError),
    *(RecursionError, MemoryError),
)


def parse(
    gin_files: Sequence[str],
    bindings: Union[Sequence[str], Mapping[str, Any]],
    rooms: Collection[str] = ROOMS,
) -> None:
    """Binds the values of `gin_files`, then of `bindings`, on top of what is bound.

    `bindings` are lines, as of --gin_param, or plain Python values by "room.option".
    A file is looked for at its path and then in GIN_FOLDER; an `include` in the folder
    of its file and then in GIN_FOLDER.

    Raises:
      BadInput: a file that is missing, unreadable or includes itself; an `include` that
        would replace what stands above it; a syntax error or an `import`; what
        `bindings.bind` refuses.
    """
    found: dict[str, Bound] = {}
    delegate = _Delegate()
    for name in gin_files:
        found |= _of_file(name, Path(), f"--gin_file={name}", delegate)
    if isinstance(bindings, Mapping):
        found |= {name: Bound(x, "bindings") for name, x in bindings.items()}
    else:
        for line in bindings:
            found |= _of_text(line, f'--gin_param="{line}"', Path(), delegate)
    bind(found, rooms, delegate.macros)


def read(path: Path) -> str:
    """Returns the text of an existing file, without the mark of Windows editors."""
    try:
        if path.is_char_device() and not path.samefile(os.devnull):
            raise OSError("it is a device, which may never end")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: it cannot be read as text ({error}).") from error


def _of_file(
    name: str,
    folder: Path,
    origin: str,
    delegate: "_Delegate",
    including: tuple[Path, ...] = (),
) -> dict[str, Bound]:
    """Returns what a file binds; `origin` names it, files `including` include it."""
    paths = [folder / name]
    if not name.startswith("."):  # ./name is a path alone
        paths.append(GIN_FOLDER / name)
    if Path(name).parent == Path("gin"):  # where recipes are in a checkout
        paths.append(GIN_FOLDER / Path(name).name)
    path = next((path for path in paths if os.path.exists(path)), None)
    if path is None:
        folders = dict.fromkeys(path.parent.resolve() for path in paths)
        known = {path.name for folder in folders for path in folder.glob("*.gin")}
        raise BadInput(
            f"{origin}: there is no file {paths[0].name} in "
            f"{' or '.join(map(str, folders))}; {suggestion(paths[0].name, known)}"
        )
    if path.resolve() in including:
        raise BadInput(f"{origin}: {path} includes itself; remove the include.")
    text = read(path)
    if not text:
        raise BadInput(f"{origin}: the file is empty; take one that binds options.")
    return _of_text(
        text, str(path), path.parent, delegate, (*including, path.resolve())
    )


def _of_text(
    text: str,
    source: str,
    folder: Path,
    delegate: "_Delegate",
    including: tuple[Path, ...] = (),
) -> dict[str, Bound]:
    """Returns {"room.option" or macro: value}; `source` is the text's path or flag."""

    def place(line: int) -> str:
        return source if source.startswith("--") else f"{source}:{line}"

    parser, found, own = None, {}, {}  # own: where the text itself binds a name
    try:
        parser = config_parser.ConfigParser(text, delegate)
        statements = list(parser)
    except _NO_GIN as error:
        line = parser.current_token.start[0] if parser else 1
        line = getattr(error, "lineno", None) or line
        typed = [*text.splitlines(), ""][line - 1].strip()
        raise BadInput(f"{place(line)}: {_problem(error, typed)}") from error
    for statement in statements:
        where = place(statement.location.line_num)
        if isinstance(statement, config_parser.ImportStatement):
            told = "a gin file here binds values and runs no code; remove the line"
            raise BadInput(f"{where}: {statement.format()}: {told}.")
        if isinstance(statement, config_parser.IncludeStatement):
            included = _of_file(statement.filename, folder, where, delegate, including)
            if lost := [name for name in included if name in own]:
                raise BadInput(
                    f"{where}: include {statement.filename!r}: put it above "
                    f"{own[lost[0]]}, for it binds {lost[0]} too, and would win."
                )
            found |= included
        elif isinstance(statement, config_parser.BindingStatement):
            scope, selector, option, value, _ = statement
            name = f"{scope}/{selector}.{option}".strip("/.")
            found[name], own[name] = Bound(value, where), where
    return found


class _Delegate(config_parser.ParserDelegate):
    """Tells gin's parser what `@name` and `%name` are in the place of a value."""

    def __init__(self) -> None:
        self.macros: set[str] = set()  # that stood so far in the place of values

    def configurable_reference(self, scoped_selector: str, evaluate: bool) -> None:
        raise SyntaxError(f"Failed to parse token '@{scoped_selector}'")

    def macro(self, macro_name: str) -> Any:
        if macro_name == "gin.REQUIRED":
            return gin.REQUIRED
        self.macros.add(macro_name)
        return Macro(macro_name)


def _problem(error: Exception, typed: str) -> str:
    """Returns what is wrong with a typed line that gin's parser does not take."""
    if isinstance(error, tokenize.TokenError):
        return "the text ends inside a value; close its brackets or quotes."
    if isinstance(error, (RecursionError, MemoryError)):
        return "a value is nested too deeply."
    if not isinstance(error, SyntaxError):  # a dict with a list for a key
        return f"this is not a value ({error})."
    name, _, value = (part.strip() for part in typed.partition("="))
    if file := re.fullmatch(r"include\s+(\S+)", typed):
        return f"{typed}: a name needs quotes (include {file[1]!r})."
    if value.lower() in ("true", "false"):
        return f"{value} is not a value; write {name} = {value.capitalize()}."
    if "\\" in value:
        right = value.strip("'\"").replace("\\", "/")
        return f"{typed}: write {name} = '{right}', or two \\ for each one."
    if re.fullmatch(r"[\w.]+", name) and re.match(r"[^\W\d]|[/~.@]", value):
        room, _, option = name.rpartition(".")
        field = declared(ROOMS[room]).get(option) if room in ROOMS else None
        if field and "str" not in field.type:
            right = field.metadata["option"].problem(value, field.type)
            return f"{value} is not a value; {right}"
        macro = ", and a macro a leading %" if value.isidentifier() else ""
        told = f"text needs quotes ({name} = {value!r}){macro}"
        return f"{value} is not a value; {told}."
    return (
        f"{typed}: a line reads room.option = value, name = value or "
        f"include 'file.gin' ({error.msg.rstrip('.')})."
    )
