"""Our variables by name, and the tensors of a file that belong in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from biggan_tf.errors import BadInput
from biggan_tf.layers import path_of

Tensors = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the value of one of our variables comes from.

    Attributes:
        name: of the tensor in the file.
        axes: which of the tensor's axes is our first, our second and so on; None if it
            is laid out as ours.
        channels_first: our last axis holds 4x4 features that the file keeps as
            [channels, 4, 4] and we as [4, 4, channels].
    """

    name: str
    axes: tuple[int, ...] | None = None
    channels_first: bool = False

    def shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that the tensor must have, given our variable's."""
        if self.axes is None:
            return ours
        return tuple(ours[self.axes.index(axis)] for axis in range(len(ours)))

    def fits(self, tensor: np.ndarray, ours: tuple[int, ...]) -> bool:
        """Whether the shapes agree; axes of length 1 count in kernels only."""
        if len(ours) > 1:
            return tensor.shape == self.shape(ours)
        return [n for n in tensor.shape if n > 1] == [n for n in ours if n > 1]

    def value(self, tensor: np.ndarray, ours: tuple[int, ...]) -> np.ndarray:
        """A fitting tensor as the value, float32, of our variable of that shape."""
        value = np.asarray(tensor, np.float32).reshape(self.shape(ours))
        if self.axes is not None:
            value = value.transpose(self.axes)
        if self.channels_first:
            value = value.reshape([*ours[:-1], ours[-1] // 16, 16])
            value = np.moveaxis(value, -1, -2).reshape(ours)
        return value


# Our variable's path and shape -> where its value comes from; None: it keeps its own.
Rule = Callable[[str, "tuple[int, ...]"], "Origin | None"]


@dataclasses.dataclass(frozen=True)
class Part:
    """The published weights of one network.

    Attributes:
        file: its name in messages.
        arguments: what names and shapes say about the network: of `networks.specs`.
        tensors: by the names that `rule` speaks of, and no others.
        rule: which tensor belongs in which of our variables.
    """

    file: str
    arguments: Mapping[str, Any]
    tensors: Tensors
    rule: Rule

    def describe(self) -> str:
        """Family, resolution, width and classes, for messages."""
        family = {"biggan": "BigGAN", "biggan_deep": "BigGAN-deep"}
        arguments = self.arguments
        width = arguments.get("generator_width", arguments.get("discriminator_width"))
        return (
            f"{family[arguments['family']]}, {arguments['resolution']} px, width "
            f"{width}, {arguments['num_classes']} classes"
        )


def match(
    variables: Iterable[tf.Variable], part: Part, fresh: Container[str] = ()
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The values of a network's variables, and every reason why they do not fit.

    Args:
        variables: all, or those that the part has tensors for.
        part: weights of that architecture.
        fresh: paths of variables to leave as they are.

    Returns:
        {path: value, float32, of the variable's shape}, and sentences, none if it fits.
    """
    values, problems, used = {}, [], set()
    for variable in variables:
        path, ours = path_of(variable), tuple(variable.shape)
        origin = part.rule(path, ours)
        if origin is None:
            continue
        used.add(origin.name)
        tensor = part.tensors.get(origin.name)
        if path in fresh:
            continue
        wanted = f"{list(origin.shape(ours))} is what {path} takes"
        if tensor is None:
            problems.append(f"{origin.name} is missing; {wanted}")
        elif not origin.fits(tensor, ours):
            problems.append(f"{origin.name} is {list(tensor.shape)}; {wanted}")
        elif not np.all(np.isfinite(tensor)):
            problems.append(f"{origin.name} holds NaN or infinity")
        else:
            values[path] = origin.value(tensor, ours)
    for name, tensor in part.tensors.items():
        if name not in used:
            problems.append(f"{name} {list(tensor.shape)} is left over")
    return values, [f"{part.file}: {problem}" for problem in problems]


def refuse(problems: Sequence[str]) -> None:
    """BadInput that lists all problems, if there are any."""
    if problems:
        raise BadInput(
            f"{len(problems)} tensors do not fit the network that the others describe:"
            + "".join(f"\n  {problem}" for problem in problems)
        )


def assign(variables: Iterable[tf.Variable], values: Mapping[str, np.ndarray]) -> None:
    """Assigns to each variable the value of its path, if there is one."""
    for variable in variables:
        if path_of(variable) in values:
            variable.assign(values[path_of(variable)])
