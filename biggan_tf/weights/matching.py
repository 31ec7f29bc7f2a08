"""From the tensors of a file to values of our variables, or a list of what is wrong."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow.errors import OpError

from biggan_tf import networks
from biggan_tf.architecture import CHANNELS, Channels, NetworkSpec
from biggan_tf.errors import BadInput

Shape = tuple[int, ...]
Tensors = Mapping[str, np.ndarray]  # of a file, by name
Values = dict[str, np.ndarray]  # of a network's variables, by path
# Takes a variable's path and number of axes; returns the name of its tensor, or "", and
# `axes`: tensor.transpose(axes) is laid out as the variable. None: so is the tensor.
Rule = Callable[[str, int], "tuple[str, Shape | None]"]

# PyTorch's [out, in, height, width] and [out, in], by the number of axes.
PYTORCH_AXES = {4: (2, 3, 1, 0), 2: (1, 0)}
# What code raises that explores a file of another kind.
_STRANGE = (LookupError, ValueError, TypeError, ArithmeticError, RecursionError)
_STRANGE += (OpError, DecodeError)
MOMENTS = ("/moving_mean", "/moving_variance")  # how the paths of batch norm's end


def rename(path: str, words: Mapping[str, str], separator: str = ".") -> str:
    """Returns the name of a variable, "block0/norm1/gain/u" say, in another code base.

    `words` maps our words to theirs, or to "" for none; other words stay. A key may be
    several words, as "norm1/norm"; the longest that fits counts.
    """
    keys = "|".join(sorted(words, key=len, reverse=True))
    renamed = re.sub(rf"(?<![^/])({keys})(?![^/])", lambda m: words[m[1]], path)
    return separator.join(filter(None, renamed.split("/")))


def match(
    file: str,
    tensors: Tensors,
    spec: NetworkSpec,
    rule: Rule,
    problems: list[str],
    trained: bool = False,
) -> Values:
    """Returns the values of a network's variables, float32, in the variables' shapes.

    Batch norm's moments are [sets, channels] instead, even of one set.

    Args:
        file: its name in messages.
        tensors: its content.
        spec: of the network.
        rule: which tensor belongs to which variable.
        problems: gets a sentence for each tensor that is missing, mis-shaped (axes of
            length 1 aside), not finite, a variance below 0, zeros where the kernel is
            divided by its sigma, or left over. (Rounding may put a variance below 0,
            but by less than what is added before its root is taken.)
        trained: whether the tensors are for the trained variables alone.
    """
    values, used, sets = {}, set(), None
    variables = networks.variables(spec)
    divided = set() if trained else _divided_by_sigma(variables)
    for path, (shape, is_trained) in variables.items():
        name, axes = rule(path, len(shape))
        if not name or (trained and not is_trained):
            continue
        used.add(name)
        tensor = tensors.get(name)
        if path.endswith(MOMENTS):
            sets = sets or (len(tensor) if np.ndim(tensor) == 2 else 1)
            shape = (sets, *shape)
        wanted = shape_in_file(shape, axes)
        needed = f"{path} takes {list(wanted)}"
        if tensor is None:
            problems.append(f"{file}: {name} is missing ({needed})")
        elif [n for n in tensor.shape if n > 1] != [n for n in wanted if n > 1]:
            problems.append(f"{file}: {name} is {list(tensor.shape)} ({needed})")
        elif not np.all(np.isfinite(tensor)):
            problems.append(f"{file}: {name} holds NaN or infinity")
        elif path in divided and not np.any(tensor):
            problems.append(f"{file}: {name} holds zeros alone, so sigma is 0")
        elif path.endswith("/moving_variance") and np.min(tensor) <= -spec.bn_epsilon:
            least = f"{np.min(tensor):.3g}, a variance below 0"
            problems.append(f"{file}: {name} holds {least}")
        else:
            value = np.asarray(tensor, np.float32).reshape(wanted)
            values[path] = value if axes is None else value.transpose(axes)
    for name, tensor in tensors.items():
        if name not in used:
            problems.append(f"{file}: {name} {list(tensor.shape)} is left over")
    return values


def _divided_by_sigma(variables: Iterable[str]) -> set[str]:
    """Returns the paths of the kernels, and of their u, that have spectral norm."""
    layers = {path.removesuffix("/u") for path in variables if path.endswith("/u")}
    return {f"{layer}/{leaf}" for layer in layers for leaf in ("kernel", "u")}


def sizes(tensors: Tensors, name: str, axes: int) -> Shape:
    """Returns the shape of a tensor; LookupError or ValueError if it has other axes."""
    shape = np.shape(tensors[name])
    if len(shape) != axes:
        raise ValueError(f"{name} is {list(shape)} and should have {axes} axes")
    return shape


def shape_in_file(shape: Shape, axes: Shape | None) -> Shape:
    """Returns the shape of a variable's tensor; `axes` as in `Rule`."""
    return shape if axes is None else tuple(shape[i] for i in np.argsort(axes))


def refuse(problems: Sequence[str]) -> None:
    """Raises BadInput that lists all problems, if there are any."""
    if problems:
        raise BadInput(
            f"{len(problems)} tensors do not fit the network that the others describe: "
            f"{'; '.join(problems)}."
        )


@contextlib.contextmanager
def recognising(file: str, what: str, content: Iterable[str] = ()) -> Iterator[None]:
    """Turns errors of code that explores a file into a BadInput.

    The message names the file, what it should be ("a G of BigGAN-PyTorch") and, if
    something is missing, what its `content` is.
    """
    try:
        yield
    except _STRANGE as error:
        reason = str(error).partition("\n")[0].removesuffix(".")
        if isinstance(error, KeyError):
            reason = f"{error} is not among {', '.join(list(content)[:3])} ..."
        if isinstance(error, IndexError):
            reason = f"{', '.join(list(content)[:3])} ... are no such tensors"
        raise BadInput(f"{file}: give {what}; {reason}.") from error


def channels_of(resolution: int) -> Channels:
    """Returns the width multipliers; BadInput if there are none for a resolution."""
    if resolution not in CHANNELS:
        sides = ", ".join(map(str, CHANNELS))
        raise BadInput(f"there are networks for {sides} px, not for {resolution} px")
    return CHANNELS[resolution]


def indices(names: Iterable[str], pattern: str) -> list[int]:
    """Returns the different numbers, ascending, that a pattern's group has in names."""
    matches = (re.fullmatch(pattern, name) for name in names)
    return sorted({int(match[1]) for match in matches if match})
