"""`config.gin` in a model directory: which config the directory belongs to."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

from biggan_tf import files
from biggan_tf.config import bindings, parsing
from biggan_tf.config.options import ROOMS, current, declared, free_bindings
from biggan_tf.errors import BadInput

# Names of bindings in earlier versions, and their names today. The first match counts.
_BOTH = r"networks\.(family|initializer|sn_epsilon|recompute)"
_RENAMED = {
    _BOTH: r"generator.\1 discriminator.\1",
    r"networks\.(generator|discriminator)_(.+)": r"\1.\2",
    r"networks\.(.+)": r"generator.\1",
    r"gan\.(orthogonal|sigma0|r1|consistency|lecam)_penalty": r"\1.weight",
    r"gan\.(orthogonal|sigma0|r1|lecam)_(.+)": r"\1.\2",
    r"gan\.embedding_decay": "embedding_decay.weight",
}
# Options that earlier versions lacked in their rooms, and what these did.
_ADDED = {
    "gan.augment_images": 100_000,
    "gan.augment_target": None,
    "generator.chunk_size": 20,
    "latents.labels": "uniform",
}
_LAST = "train.total_steps"  # by which every file ends that training wrote


def claim(model_dir: str | os.PathLike[str]) -> None:
    """Makes `model_dir` belong to the operative config; BadInput as `check_claim`.

    Writes the folder's `config.gin`, unless it says the same already.
    """
    if not check_claim(model_dir):
        return
    path = Path(model_dir) / "config.gin"
    try:
        files.write_text(path, bindings.operative())
    except OSError as error:
        problem = f"its config.gin cannot be written ({error.strerror})"
        raise BadInput(f"--model_dir={model_dir}: {problem}.") from error


def check_claim(model_dir: str | os.PathLike[str]) -> bool:
    """Returns whether the `config.gin` there is missing, or not the operative config.

    Raises BadInput, which lists the options, if some differ that may not change between
    two runs there.
    """
    if (Path(model_dir) / "config.gin").is_file():
        changed = differences(model_dir)
        if not changed:
            return False
        refused = [
            f"{name} is {old} there and {new} here"
            for name, (old, new) in changed.items()
            if name not in free_bindings()
        ]
        if refused:
            raise BadInput(
                f"--model_dir={model_dir} belongs to another config "
                f"({', '.join(refused[:3])}{', ...' * (len(refused) > 3)}): take the "
                "values there, or name another --model_dir, which takes over networks "
                f"of the same architecture with --continue_from={model_dir}."
            )
    return True


def differences(model_dir: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Returns the options of other values: those in the `config.gin` there, and here.

    Values are as gin writes them, or "absent".
    """
    path, here = Path(model_dir) / "config.gin", current().taken
    there = {name: bound.value for name, bound in _bindings(path).items()}
    return {
        name: [repr(of[name]) if name in of else "absent" for of in (there, here)]
        for name in sorted(there.keys() | here.keys())
        if name not in there or name not in here or there[name] != here[name]
    }


def read_back(model_dir: str | os.PathLike[str]) -> None:
    """Binds the values in the `config.gin` of `model_dir`, but not of unknown rooms.

    Raises BadInput if there is none, or it does not fit this version of the program.
    """
    path = Path(model_dir) / "config.gin"
    if not path.is_file():
        raise BadInput(
            f"--model_dir={model_dir}: there is no config.gin in it; give the "
            "directory of a run of biggan_tf.train."
        )
    found = _bindings(path)
    _check_whole(path, {_LAST} - found.keys())
    bindings.bind({n: b for n, b in found.items() if n.partition(".")[0] in ROOMS})


def keep(model_dir: str | os.PathLike[str], name: str) -> None:
    """Binds an option, unless it is bound, to its value in `config.gin`, if any.

    So a run that goes on keeps what it chose when it began.
    """
    path = Path(model_dir) / "config.gin"
    there = _bindings(path) if path.is_file() else {}
    if name in there and current().bound.get(name) is None:
        bindings.bind({name: there[name]})


def _bindings(path: Path) -> dict[str, bindings.Bound]:
    """Returns what a `config.gin` binds, by the names that options have today."""
    found, lines = {}, parsing.read(path).splitlines()
    if not any(line.strip() for line in lines):
        raise BadInput(f"{path}: it is empty; take the file as training wrote it.")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        name, _, text = line.partition(" = ")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise BadInput(
                f"{path}:{number}: {line}: a model directory's config.gin holds plain "
                "values only; take a directory that you trust."
            ) from None
        value = tuple(value) if isinstance(value, list) else value
        matches = ((re.fullmatch(old, name), new) for old, new in _RENAMED.items())
        today = next((match.expand(new) for match, new in matches if match), name)
        for name in today.split():
            found[name] = bindings.Bound(value, f"{path}:{number}")
    rooms = {name.partition(".")[0] for name in found}
    for name, value in _ADDED.items():
        if name.partition(".")[0] in rooms:
            found.setdefault(name, bindings.Bound(value, str(path)))
    rooms &= ROOMS.keys()
    options = {f"{room}.{name}" for room in rooms for name in declared(ROOMS[room])}
    _check_whole(path, options - free_bindings() - found.keys())
    return found


def _check_whole(path: Path, missing: set[str]) -> None:
    """Raises BadInput, which lists them, if options are missing in a `config.gin`."""
    if missing:
        raise BadInput(
            f"{path}: it lacks {', '.join(sorted(missing))}; take the whole file, as "
            "training wrote it."
        )
