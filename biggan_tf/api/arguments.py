"""What the arguments of the functions may be."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

from biggan_tf import config
from biggan_tf.errors import BadInput

PathLike = Union[str, os.PathLike]
Files = Union[str, Sequence[str]]
Bindings = Union[Mapping[str, Any], Sequence[str]]


def as_path(given: PathLike) -> Path:
    """Returns a path as it is meant; a leading ~ is the home folder."""
    return Path(given).expanduser()


def bind(gin_files: Files, bindings: Bindings) -> None:
    """Binds {"room.option": value}, or lines as `--gin_param` takes them."""
    files = [gin_files] if isinstance(gin_files, str) else list(gin_files)
    if isinstance(bindings, Mapping):
        config.parse(files, ())
        config.bind_values(bindings)
    else:
        config.parse(files, bindings)


def check_checkpoint(checkpoint: str) -> None:
    """Raises BadInput unless it is "latest", or "best" by its score."""
    if checkpoint not in ("latest", "best"):
        raise BadInput(f"checkpoint = {checkpoint!r}: take 'latest' or 'best'.")
