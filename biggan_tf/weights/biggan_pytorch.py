"""Checkpoints of BigGAN-PyTorch: G.pth, D.pth, G_ema.pth and the optimisers' states.

Convolutions are [out, in, height, width], linear layers [out, in], embeddings
[classes, width]. `u0` is the power-iteration vector, on the output side (an embedding's
classes), `sv0` the last sigma.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.weights import files
from biggan_tf.weights.matching import Origin, Part, Rule, Tensors
from biggan_tf.weights.published import Adam, Published
from biggan_tf.weights.shapes import check_resolution, indices, seed_width

# What a state dict holds beside parameters.
BUFFER = re.compile(r"\.(u0|sv0|stored_mean|stored_var)$")
CONV, LINEAR = (2, 3, 1, 0), (1, 0)
LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "gamma",
    "gain": "gain",
    "offset": "bias",
    "u": "u0",
    "sigma": "sv0",
    "moving_mean": "stored_mean",
    "moving_variance": "stored_var",
}


def read(
    generator: str | None = None,
    generator_ema: str | None = None,
    discriminator: str | None = None,
    optimizers: Sequence[str] = (),
) -> Published:
    """The model whose state dicts are in these files, each `.pth` or `.npz`.

    Args:
        generator, generator_ema, discriminator: the files; of the generators, one is
            enough.
        optimizers: files of torch, of G's Adam and then, if given, of D's.

    Raises:
        BadInput: a file cannot be read, or is none of BigGAN-PyTorch's.
    """
    if not generator and not generator_ema:
        raise BadInput(
            "--source=biggan_pytorch needs --generator=G.pth or "
            "--generator_ema=G_ema.pth, or both."
        )

    def part(make: Callable[[str, Tensors], Part], flag: str, path: str | None) -> Any:
        return make(f"{flag}={path}", files.read_tensors(path, flag)) if path else None

    weights = {
        "generator": part(_generator, "--generator", generator),
        "discriminator": part(_discriminator, "--discriminator", discriminator),
    }
    states = {}
    for (name, network), path in zip(weights.items(), optimizers):
        if network is None:
            raise BadInput(f"--optimizers: {path} is of no use without --{name}.")
        states[f"{name}_adam"] = _adam(path, files.read(path, "--optimizers"), network)
    ema = part(_generator, "--generator_ema", generator_ema)
    return Published(**weights, **states, generator_ema=ema)


def _adam(path: str, content: Mapping[str, Any], network: Part) -> Adam:
    """The state of torch's Adam, which numbers the parameters in the module's order."""
    names = [name for name in network.tensors if not BUFFER.search(name)]
    file = f"--optimizers={path}"
    try:
        order = content["param_groups"][0]["params"]
        states = [content["state"][index] for index in order]
        steps = {int(state["step"]) for state in states}
        moments = [
            {name: state[key] for name, state in zip(names, states)}
            for key in ("exp_avg", "exp_avg_sq")
        ]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadInput(f"{file} holds no state of torch's Adam ({error!r}).") from error
    if len(order) != len(names) or len(steps) != 1:
        raise BadInput(
            f"{file} is of {len(order)} parameters after {sorted(steps)} steps; "
            f"{network.file} has {len(names)} parameters."
        )
    first, second = (
        dataclasses.replace(network, file=file, tensors=tensors) for tensors in moments
    )
    return Adam(steps.pop(), first, second)


def _generator(file: str, tensors: Tensors) -> Part:
    """G's weights, from its state dict.

    Args:
        file: its name in messages.
        tensors: the state dict.

    Raises:
        BadInput: these are no weights of a G.
    """
    tensors = _canonical(tensors)
    gain = "blocks.0.0.bn1.gain.weight"
    _expect(file, tensors, "G", {"linear.weight": 2, gain: 2, "output_layer.0.gain": 1})
    deep = any(".conv4." in name for name in tensors)
    blocks = 1 + indices(tensors, r"blocks\.(\d+)\..*")[-1]
    doublings = blocks // 2 if deep else blocks
    resolution = check_resolution(file, 4 * 2**doublings)
    units, inputs = tensors["linear.weight"].shape
    shared = "shared.weight" in tensors
    if shared:
        _expect(file, tensors, "G", {"shared.weight": 2})
        classes, embedding_size = tensors["shared.weight"].shape
    else:
        classes, embedding_size = len(tensors[gain]), None
    skip_z = shared and tensors[gain].shape[1] > embedding_size
    if deep:
        latent_size = inputs - (embedding_size or classes)
    else:
        latent_size = inputs * (doublings + 1 if skip_z else 1)
    attention = indices(tensors, r"blocks\.(\d+)\.1\.gamma")
    arguments = {
        "family": "biggan_deep" if deep else "biggan",
        "resolution": resolution,
        "num_classes": classes,
        "generator_width": seed_width(units, resolution),
        "latent_size": latent_size,
        "embedding_size": embedding_size,
        "skip_z": skip_z,
        "generator_attention": tuple(
            8 * 2 ** (block // 2 if deep else block) for block in attention
        ),
        "generator_spectral_norm": "linear.u0" in tensors,
    }
    return Part(file, arguments, tensors, generator_rule(deep, shared))


def _discriminator(file: str, tensors: Tensors) -> Part:
    """D's weights, from its state dict; as `_generator`."""
    tensors = _canonical(tensors)
    deep = any(".conv4." in name for name in tensors)
    stem = "input_conv.weight" if deep else "blocks.0.0.conv1.weight"
    _expect(file, tensors, "D", {stem: 4, "embed.weight": 2})
    halvings = indices(tensors, r"blocks\.(\d+)\..*")[-1] + (1 if deep else 0)
    resolution = check_resolution(file, 4 * 2**halvings)
    attention = indices(tensors, r"blocks\.(\d+)\.\d+\.gamma")
    arguments = {
        "family": "biggan_deep" if deep else "biggan",
        "resolution": resolution,
        "num_classes": len(tensors["embed.weight"]),
        "discriminator_width": len(tensors[stem]) // (4 if resolution == 32 else 1),
        "discriminator_attention": tuple(
            resolution // 2 ** (block + 1) for block in attention
        ),
        "discriminator_spectral_norm": "linear.u0" in tensors,
    }
    return Part(file, arguments, tensors, discriminator_rule(deep, resolution))


def _canonical(tensors: Tensors) -> dict[str, np.ndarray]:
    """One set of names for what the repository's switches name in different ways."""
    result = {}
    for name, tensor in tensors.items():
        name = re.sub(r"^module\.", "", name)  # torch.nn.DataParallel
        # --cross_replica and --mybn keep batch norm's averages one level down.
        name = re.sub(r"\.bn\.(running|stored)_", ".stored_", name)
        # Counters, and singular vectors after the first, which are only logged.
        if not re.search(r"\.(num_batches_tracked|.*_counter|(u|sv)[1-9]\d*)$", name):
            result[name] = tensor
    return result


def _expect(file: str, tensors: Tensors, network: str, ranks: dict[str, int]) -> None:
    for name, rank in ranks.items():
        if name not in tensors or tensors[name].ndim != rank:
            raise BadInput(
                f"{file} is no {network} of BigGAN-PyTorch: there is no {name} with "
                f"{rank} axes among its {len(tensors)} tensors, "
                f"{', '.join(list(tensors)[:3])}, ..."
            )


def generator_rule(deep: bool, shared: bool) -> Rule:
    def rule(path: str, shape: tuple[int, ...]) -> Origin:
        layer, _, leaf = path.rpartition("/")
        name = _generator_layer(layer, deep)
        origin = f"{name}.{LEAVES[leaf]}"
        if leaf == "kernel" and len(shape) == 4:
            return Origin(origin, CONV)
        if layer == "seed" and leaf != "sigma":
            axes = LINEAR if leaf == "kernel" else None
            return Origin(origin, axes, channels_first=True)
        # Without --G_shared, gains and biases are embeddings of their own.
        if leaf == "kernel" and layer != "condition/embedding" and shared:
            return Origin(origin, LINEAR)
        return Origin(origin)

    return rule


def _generator_layer(layer: str, deep: bool) -> str:
    ends = {
        "condition/embedding": "shared",
        "seed": "linear",
        "to_image/norm": "output_layer.0",
        "to_image/norm/norm": "output_layer.0",
        "to_image/conv": "output_layer.2",
    }
    if layer in ends:
        return ends[layer]
    first, *rest = layer.split("/")
    if first.startswith("attention"):
        doublings = int(first.removeprefix("attention")).bit_length() - 4
        block = 2 * doublings + 1 if deep else doublings
        return ".".join([f"blocks.{block}.1", *rest])
    return ".".join([f"blocks.{first.removeprefix('block')}.0", *_parts(rest, deep)])


def _parts(rest: list[str], deep: bool) -> Iterator[str]:
    """Names of what is in a block; in BigGAN-deep, theirs count from 1, ours from 0."""
    names = {"shortcut": "conv_sc", "gain": "gain", "offset": "bias"}
    for name in rest:
        kind, number = name.rstrip("0123456789"), re.sub(r"\D", "", name)
        if number:
            kind = {"conv": "conv", "norm": "bn"}[kind]
            yield f"{kind}{int(number) + deep}"
        elif name != "norm":  # batch norm's own level, which holds its averages
            yield names[name]


def discriminator_rule(deep: bool, resolution: int) -> Rule:
    def rule(path: str, shape: tuple[int, ...]) -> Origin:
        layer, _, leaf = path.rpartition("/")
        origin = f"{_discriminator_layer(layer, deep, resolution)}.{LEAVES[leaf]}"
        if leaf == "kernel" and len(shape) == 4:
            return Origin(origin, CONV)
        if leaf == "kernel" and layer == "head/linear":
            return Origin(origin, LINEAR)
        return Origin(origin)

    return rule


def _discriminator_layer(layer: str, deep: bool, resolution: int) -> str:
    ends = {"stem": "input_conv", "head/linear": "linear", "head/embedding": "embed"}
    if layer in ends:
        return ends[layer]
    first, *rest = layer.split("/")
    if first.startswith("attention"):
        halvings = (resolution // int(first.removeprefix("attention"))).bit_length() - 1
        return ".".join([f"blocks.{halvings - 1}.{2 if deep else 1}", *rest])
    block = int(first.removeprefix("block"))
    block, place = divmod(block, 2) if deep else (block, 0)
    return ".".join([f"blocks.{block}.{place}", *_parts(rest, deep)])
