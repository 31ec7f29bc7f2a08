"""Checkpoints of BigGAN-PyTorch: G.pth, D.pth, G_ema.pth and the optimisers' states.

Convolutions are [out, in, height, width], linear layers [out, in], embeddings
[classes, width]. `u0` is the power-iteration vector, on the output side (an embedding's
classes), `sv0` the last sigma.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec, NetworkSpec
from biggan_tf.errors import BadInput
from biggan_tf.weights import matching
from biggan_tf.weights.matching import PYTORCH_AXES, Rule, Tensors, Values, indices
from biggan_tf.weights.published import Published, describe
from biggan_tf.weights.state_dicts import StateDicts

# What a state dict holds beside parameters.
BUFFER = re.compile(r"\.(u0|sv0|stored_mean|stored_var)$")
# Our words -> the repository's, but for the numbers of layers.
ENDS = {
    "condition/embedding": "shared",
    "seed": "linear",
    "to_image/norm": "output_layer.0",
    "to_image/conv": "output_layer.2",
    "stem": "input_conv",
    "head/linear": "linear",
    "head/embedding": "embed",
}
LEVELS = {"norm": "", "shortcut": "conv_sc"}  # batch norm's moments are one level up
LEAVES = {"kernel": "weight", "offset": "bias", "u": "u0", "sigma": "sv0"}
MOMENTS = {"moving_mean": "stored_mean", "moving_variance": "stored_var"}


def read(
    generator: str | None = None,
    generator_ema: str | None = None,
    discriminator: str | None = None,
    optimizers: Sequence[str] = (),
) -> Published:
    """Returns the model in these state dicts; BadInput if one is not of such a model.

    Takes files, `.pth`, `.safetensors` or `.npz`; one of G's is enough. A file may hold
    several networks. `optimizers` are the states of G's Adam and then, if given, of
    D's, `.pth`.
    """
    files = {"generator_ema": generator_ema, "generator": generator}
    files = {name: path for name, path in files.items() if path}
    if not files:
        raise BadInput("--generator is missing: give it, or --generator_ema, or both.")
    first = next(iter(files))
    if discriminator:
        files["discriminator"] = discriminator
    if len(optimizers) > 2:
        told = ",".join(map(str, optimizers))
        raise BadInput(f"--optimizers={told}: give G's state, or G's and D's.")
    states = dict(zip(("generator", "discriminator"), optimizers))
    for name, path in states.items():
        if name not in files:
            raise BadInput(f"--optimizers={path}: give its network too, by --{name}.")
    held: dict[str, StateDicts] = {}
    flags = [(f"--{name}", path) for name, path in files.items()]
    for flag, path in [*flags, *(("--optimizers", path) for path in optimizers)]:
        held[path] = held.get(path) or StateDicts(path, flag)
    arguments, weights, adam, problems = {}, {}, {}, []
    for name, path in files.items():
        file, of_generator = f"--{name}={path}", name != "discriminator"
        tensors = _canonical(held[path].tensors(f"--{name}", name))
        what = f"a {'G' if of_generator else 'D'} of BigGAN-PyTorch"
        with matching.recognising(file, what, tensors):
            here = _arguments(tensors, of_generator)
            spec = GeneratorSpec(**here) if of_generator else DiscriminatorSpec(**here)
        there = arguments.get(first, here)
        for option in here if of_generator else ("family", "resolution", "num_classes"):
            if here[option] != there[option]:
                raise BadInput(
                    f"{file}: give a file of the same model as --{first}; these are of "
                    f"different models, with {option} = {here[option]!r} "
                    f"({describe(here)}) and {there[option]!r} ({describe(there)})."
                )
        arguments[name] = here
        weights[name] = translate(file, tensors, spec, problems)
        if name in states:
            file = f"--optimizers={states[name]}"
            state = held[states[name]].optimizer("--optimizers", name)
            updates, *moments = _adam(file, state, tensors)
            moments = [translate(file, m, spec, problems, True) for m in moments]
            adam[name] = (updates, *moments)
    matching.refuse(problems)
    return Published(
        arguments[first],
        weights[first],
        weights.get("generator", {}),
        arguments.get("discriminator", {}),
        weights.get("discriminator", {}),
        adam,
        note=_unread(held),
    )


def _unread(held: Mapping[str, StateDicts]) -> str:
    """Says what files hold beside what was read of them; "" if nothing."""
    return "\n".join(
        f"{path} also holds {', '.join(names)}: not read, for each network, and each "
        "optimiser, needs its flag."
        for path, opened in held.items()
        if (names := opened.unread())
    )


def translate(
    file: str,
    tensors: Tensors,
    spec: NetworkSpec,
    problems: list,
    trained: bool = False,
) -> Values:
    """Returns the values of a network's variables; see `matching.match`."""
    values = matching.match(file, tensors, spec, rule(spec), problems, trained)
    for path in {"seed/kernel", "seed/bias", "seed/u"} & values.keys():
        # The last axis of theirs is [channels, 4, 4], and of ours [4, 4, channels].
        value = values[path]
        by_channel = value.reshape(*value.shape[:-1], -1, 16)
        values[path] = by_channel.swapaxes(-1, -2).reshape(value.shape)
    return values


def rule(spec: NetworkSpec) -> Rule:
    """Returns where in a state dict the variables of a network are."""
    deep = spec.family == "biggan_deep"
    of_generator = isinstance(spec, GeneratorSpec)
    words = {**ENDS, **LEVELS, **LEAVES, **MOMENTS}
    # In BigGAN-deep, theirs count from 1, ours from 0.
    words |= {f"conv{number}": f"conv{number + deep}" for number in range(4)}
    words |= {f"norm{number}": f"bn{number + deep}" for number in range(4)}
    # A number stands for a pair of blocks in BigGAN-deep's D, else for one block.
    pairs = deep and not of_generator
    for n in range(2 * len(spec.channels.generator)):
        words[f"block{n}"] = f"blocks.{n // 2}.{n % 2}" if pairs else f"blocks.{n}.0"
    # Attention stands behind the block, or the pair of blocks, that puts out its side.
    for n, side in enumerate(spec.attention_sides):
        last = 2 * n + 1 if deep and of_generator else n
        words[f"attention{side}"] = f"blocks.{last}.{2 if pairs else 1}"
    embeddings = ("embedding/kernel",)  # laid out as ours
    if getattr(spec, "embedding_size", None) is None:  # without --G_shared
        embeddings += ("gain/kernel", "offset/kernel")
    return lambda path, rank: (
        matching.rename(path, words),
        None if path.endswith(embeddings) else PYTORCH_AXES.get(rank),
    )


def _arguments(tensors: Tensors, of_generator: bool) -> dict[str, Any]:
    """Returns the arguments of G's or D's spec that a state dict tells."""
    deep = any(".conv4." in name for name in tensors)
    blocks = 1 + indices(tensors, r"blocks\.(\d+)\..*")[-1]  # pairs, in the deep D
    attention = indices(tensors, r"blocks\.(\d+)\.\d\.gamma")
    family = "biggan_deep" if deep else "biggan"
    both = {"family": family, "spectral_norm": "linear.u0" in tensors}
    if not of_generator:
        stem = "input_conv.weight" if deep else "blocks.0.0.conv1.weight"
        width = matching.sizes(tensors, stem, 4)[0]
        resolution = 4 * 2 ** (blocks if deep else blocks - 1)
        return {
            **both,
            "resolution": resolution,
            "num_classes": matching.sizes(tensors, "embed.weight", 2)[0],
            "width": width // matching.channels_of(resolution).discriminator[0],
            "attention": tuple(resolution // 2 ** (b + 1) for b in attention),
        }
    gain = "blocks.0.0.bn1.gain.weight"
    gains, condition_size = matching.sizes(tensors, gain, 2)
    units, inputs = matching.sizes(tensors, "linear.weight", 2)
    doublings = blocks // 2 if deep else blocks
    classes, embedding_size, skip_z = gains, None, False
    if "shared.weight" in tensors:
        classes, embedding_size = matching.sizes(tensors, "shared.weight", 2)
        skip_z = condition_size > embedding_size
    latent_size = inputs * (doublings + 1 if skip_z else 1)  # BigGAN's chunks of z
    if deep:
        latent_size = inputs - (embedding_size or classes)
    return {
        **both,
        "resolution": 4 * 2**doublings,
        "num_classes": classes,
        "width": units // 16 // matching.channels_of(4 * 2**doublings).generator[0],
        "latent_size": latent_size,
        "embedding_size": embedding_size,
        "skip_z": skip_z,
        "attention": tuple(8 * 2 ** (b // 2 if deep else b) for b in attention),
        "condition_order": "yz",
        "released_rgb": False,
    }


def _canonical(tensors: Tensors) -> dict[str, np.ndarray]:
    """Returns tensors by one set of names, whatever switches the repository had."""
    result = {}
    for name, tensor in tensors.items():
        # Standing statistics are sums, which a counter beside them divides.
        layer, _, leaf = name.rpartition(".")
        counter = tensors.get(f"{layer}.accumulation_counter")
        if leaf.startswith("stored_") and counter is not None:
            tensor = tensor / max(1, np.max(counter))
        # --cross_replica and --mybn keep batch norm's averages one level down.
        name = re.sub(r"\.bn\.(running|stored)_", ".stored_", name)
        # Counters, and singular vectors after the first, which are only logged.
        if not re.search(r"\.(num_batches_tracked|.*_counter|(u|sv)[1-9]\d*)$", name):
            result[name] = tensor
    return result


def _adam(
    file: str, content: dict[str, Any], tensors: Tensors
) -> tuple[int, Tensors, Tensors]:
    """Returns the number of updates, and first and second moments, of torch's Adam."""
    # It numbers parameters in the order of the network's state dict.
    names = [name for name in tensors if not BUFFER.search(name)]
    with matching.recognising(file, "the state of torch's Adam", content):
        order = content["param_groups"][0]["params"]
        states = dict(zip(names, (content["state"][index] for index in order)))
        updates = {int(state["step"]) for state in states.values()}
        if not all(0 <= count < 2**63 for count in updates):
            raise ValueError(f"step is {updates}")
        first, second = (
            {name: np.asarray(state[moment]) for name, state in states.items()}
            for moment in ("exp_avg", "exp_avg_sq")
        )
        for name, squares in second.items():
            if (squares < 0).any():
                raise ValueError(f"exp_avg_sq of {name} holds {squares.min():.3g}")
    if len(order) != len(names) or len(updates) != 1:
        raise BadInput(
            f"{file}: give the Adam of this network of {len(names)} parameters; this "
            f"one has {len(order)} after {sorted(updates)} updates."
        )
    return updates.pop(), first, second
