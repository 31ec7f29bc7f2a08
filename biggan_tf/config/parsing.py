"""From gin files and --gin_param to bindings; every mistake is named with its line."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

from gin import config as gin_config
from gin import config_parser

from biggan_tf.config import bindings
from biggan_tf.errors import BadInput

# Installed, the gin files lie inside the package (setup.py); in a checkout beside it.
_PACKAGE = Path(__file__).resolve().parent.parent
GIN_FOLDER = next(
    (path for path in (_PACKAGE / "gin", _PACKAGE.parent / "gin") if path.is_dir()),
    _PACKAGE / "gin",
)


def parse(gin_files: Sequence[str], gin_params: Sequence[str]) -> None:
    """Binds the values of `gin_files`, then of `gin_params`, on top of what is bound.

    A file is looked for at its path and then in GIN_FOLDER; an `include` in the folder
    of the file that has it and then in GIN_FOLDER.

    Raises:
      BadInput: a file that is missing, unreadable or includes itself; a syntax error;
        an unknown or ambiguous configurable, parameter, reference or macro; a macro
        that nothing uses; a required value that was not given; an `import`.
    """
    for name in gin_files:
        bind_file(_find(name, Path(), f"--gin_file={name}"))
    for param in gin_params:
        _bind_text(param, f'--gin_param="{param}"', Path())
    bindings.check_references()


def bind_file(path: Path, including: tuple[Path, ...] = ()) -> None:
    """Binds the values of one file; `including` are the files that led to it."""
    _bind_text(read(path), str(path), path.parent, (*including, path.resolve()))


def read(path: Path) -> str:
    """Returns the text of a file, which exists."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as text: {error}") from error


def statements(text: str, source: str) -> Iterator[tuple[str, tuple]]:
    """Yields ("file:line", statement) for each statement of a gin text.

    Args:
      text: what `source` holds.
      source: a path, or the flag that the text comes from.

    Raises:
      BadInput: a syntax error, or a reference to an unknown configurable.
    """

    def where(line: int) -> str:
        return source if source.startswith("--") else f"{source}:{line}"

    parser = None
    try:
        parser = config_parser.ConfigParser(text, _Delegate())
        for statement in parser:
            yield where(statement.location.line_num), statement
    except SyntaxError as error:
        line = error.lineno or parser.current_token.start[0]
        raise BadInput(f"{where(line)}: {_syntax_problem(error)}") from error
    except tokenize.TokenError as error:  # the text ends inside brackets or quotes
        line = len(text.splitlines())
        raise BadInput(
            f"{where(line)}: the text ends inside a value: {error.args[0]}"
        ) from error
    except TypeError as error:  # a dict with a list for a key
        line = parser.current_token.start[0]
        raise BadInput(f"{where(line)}: not a value: {error}") from error


class _UnknownReference(SyntaxError):
    """A SyntaxError, because those alone pass gin's parser unchanged."""


class _Delegate(gin_config.ParserDelegate):
    """Refuses a reference to an unknown configurable where it stands."""

    def configurable_reference(
        self, scoped_selector: str, evaluate: bool
    ) -> gin_config.ConfigurableReference:
        problem = bindings.selector_problem(scoped_selector.rpartition("/")[2])
        if problem:
            raise _UnknownReference(problem)
        return super().configurable_reference(scoped_selector, evaluate)


def _syntax_problem(error: SyntaxError) -> str:
    if isinstance(error, _UnknownReference):
        return error.msg
    word = re.search(r"Failed to parse token '(.*)'", error.msg, re.DOTALL)
    if word:
        return f"`{word[1]}` is not a value; text needs quotes, a macro a leading %"
    problem = error.msg[:1].lower() + error.msg[1:].rstrip(".")
    return (
        f"{problem} in `{(error.text or '').strip()}`; a line reads "
        "`room.parameter = value`, `name = value` or `include 'file.gin'`"
    )


def _find(name: str, folder: Path, origin: str) -> Path:
    paths = [folder / name, GIN_FOLDER / name]
    for path in paths:
        if path.is_file():
            return path
    sought = dict.fromkeys(path.parent.resolve() for path in paths)
    known = {path.name for place in sought for path in place.glob("*.gin")}
    raise BadInput(
        f"{origin}: there is no file {paths[0].name} in {' or '.join(map(str, sought))}"
        "; " + bindings.suggestion(paths[0].name, known)
    )


def _bind_text(
    text: str, source: str, folder: Path, including: tuple[Path, ...] = ()
) -> None:
    for where, statement in statements(text, source):
        if isinstance(statement, config_parser.ImportStatement):
            raise BadInput(
                f"{where}: `{statement.format()}` is refused, because a gin file here "
                "binds values and runs no code; remove the line"
            )
        if isinstance(statement, config_parser.IncludeStatement):
            path = _find(statement.filename, folder, where)
            if path.resolve() in including:
                raise BadInput(f"{where}: {path} includes itself; remove the include")
            bind_file(path, including)
        elif isinstance(statement, config_parser.BlockDeclaration):
            bindings.check(bindings.selector_problem(statement.selector), where)
        else:
            bindings.bind(statement, where)
