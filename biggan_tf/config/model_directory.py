"""`config.gin` in a model directory: which config the directory belongs to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gin import config_parser

from biggan_tf.config import bindings, parsing
from biggan_tf.errors import BadInput


def claim(model_dir: str | os.PathLike[str], free: Sequence[str] = ()) -> None:
    """Makes `model_dir` belong to the operative config, or checks that it does.

    Args:
      model_dir: the folder; its `config.gin` is written if it has none.
      free: patterns such as "monitor.*" of bindings that may change between runs; if
        only such differ, `config.gin` is brought up to date.

    Raises:
      BadInput: `config.gin` has other values, which are listed; or `model_dir` cannot
        be written.
    """
    path = Path(model_dir) / "config.gin"
    text = bindings.operative()
    if path.is_file():
        changed = _changed(
            _values(parsing.read(path), str(path)), _values(text, "operative")
        )
        refused = [
            f"`{name}` is {there} there and {here} here"
            for name, (there, here) in changed.items()
            if not any(fnmatchcase(name, pattern) for pattern in free)
        ]
        if refused:
            raise BadInput(
                f"--model_dir={model_dir} belongs to another config: "
                f"{', '.join(refused)}; choose another --model_dir or the values there"
            )
        if not changed:
            return
    _write(path, text)


def _changed(there: dict, here: dict) -> dict[str, tuple[str, str]]:
    """Returns {name: (value there, value here)} as text, where they differ."""
    return {
        name: (
            repr(there[name]) if name in there else "absent",
            repr(here[name]) if name in here else "absent",
        )
        for name in sorted(there.keys() | here.keys())
        if name not in there or name not in here or there[name] != here[name]
    }


def read_back(model_dir: str | os.PathLike[str]) -> None:
    """Binds the values of the `config.gin` that `claim` wrote into `model_dir`.

    Raises:
      BadInput: there is none, or it does not fit this version of the program.
    """
    path = Path(model_dir) / "config.gin"
    if not path.is_file():
        raise BadInput(
            f"--model_dir={model_dir}: there is no config.gin in it; give the "
            "directory of a run of biggan_tf.train"
        )
    _values(parsing.read(path), str(path))
    parsing.bind_file(path)
    bindings.check_references()


def _values(text: str, source: str) -> dict[str, Any]:
    """Reads {"room.parameter": value} without binding anything.

    Raises:
      BadInput: an `import` or `include`, which `claim` never writes.
    """
    values = {}
    for where, s in parsing.statements(text, source):
        if isinstance(
            s, (config_parser.ImportStatement, config_parser.IncludeStatement)
        ):
            raise BadInput(
                f"{where}: a model directory's config.gin holds values alone, and this "
                "is none; take a directory that you trust"
            )
        if isinstance(s, config_parser.BindingStatement):
            values[f"{s.scope}/{s.selector}.{s.arg_name}".lstrip("/")] = s.value
    return values


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise BadInput(
            f"--model_dir={path.parent}: cannot be written: {error.strerror}"
        ) from error
