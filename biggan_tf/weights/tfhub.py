"""A local copy of DeepMind's modules in the TF1 Hub format.

`biggan-{128,256,512}` and `biggan-deep-{128,256,512}`: generators only. Variables are
read by name from `variables/`, moving averages preferred. The batch-norm statistics
that belong to each truncation are constants of the graph in `saved_model.pb`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from biggan_tf.errors import BadInput
from biggan_tf.weights.matching import Origin, Part, Rule, Tensors
from biggan_tf.weights.published import Published
from biggan_tf.weights.shapes import check_resolution, indices, seed_width

LEAVES = {
    "kernel": "w",
    "bias": "b",
    "gamma": "gamma",
    "u": "u0",
    "moving_mean": "accumulated_mean",
    "moving_variance": "accumulated_var",
}
# Batch norm's projections, and its gain and offset before the last convolution.
PARTS = {"gain": "gamma", "offset": "beta"}
DEEP_PARTS = {"gain": "scale", "offset": "offset"}
# The graph's tensors stack_k:0 with these k, plus 10 for every two batch norms, are
# the means and variances, [51, channels], of one batch norm and then of the next.
STACKS = ((1, 3), (6, 8))
# How such a tensor may be computed: by nothing that touches files or the network.
HARMLESS = {"Const", "Pack", "Identity", "Reshape", "ExpandDims", "Cast", "ConcatV2"}


def read(path: str) -> Published:
    """The generator of a module.

    Args:
        path: the module's folder.

    Raises:
        BadInput: it holds no such module.
    """
    folder = Path(path)
    if not (folder / "saved_model.pb").is_file():
        raise BadInput(f"--path={path}: there is no saved_model.pb in it.")
    tensors = _variables(folder)
    deep = "Generator/GenZ/G_linear/w" in tensors
    arguments = _arguments(path, tensors, deep)
    tables = _statistics(folder, _norms(tensors, deep))
    if deep and not tables:
        raise BadInput(
            f"--path={path}: its graph has no constants stack_1:0, stack_3:0, ... of "
            "batch norm, which a BigGAN-deep module keeps there."
        )
    # G's running averages are the last set's, of truncation 1.
    tensors |= {name: table[-1] for name, table in tables.items()}
    kept_as = "constants of the graph" if tables else "the accumulated variables"
    return Published(
        generator=Part(path, arguments, tensors, _rule(deep)),
        convention="scaled",
        tables=tables,
        note=f" Its batch-norm statistics are {kept_as}.",
    )


def _variables(folder: Path) -> dict[str, np.ndarray]:
    """The variables by name, without "module/" and the averages' suffix."""
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        names = sorted(reader.get_variable_to_shape_map())
        plain, averaged = {}, {}
        for name in names:
            short = name.removeprefix("module/")
            base, ema, _ = short.partition("/ema_")
            leaf = base.rpartition("/")[2]
            # Singular vectors after the first are not used; counters count.
            if not re.fullmatch(r"u[1-9]\d*|accumulation_counter|global_step", leaf):
                (averaged if ema else plain)[base] = reader.get_tensor(name)
    except (tf.errors.OpError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"--path={folder}: its variables cannot be read: {reason}."
        ) from error
    return plain | averaged


def _arguments(file: str, tensors: Tensors, deep: bool) -> dict[str, Any]:
    seed = tensors.get(_layer("seed", deep) + "/w")
    if seed is None or "linear/w" not in tensors:
        raise BadInput(
            f"--path={file} is no BigGAN of DeepMind: there is no linear/w and "
            f"Generator/G_Z/G_linear/w (or GenZ) among its {len(tensors)} variables, "
            f"{', '.join(list(tensors)[:3])}, ..."
        )
    blocks = len(_blocks(tensors))
    doublings = blocks // 2 if deep else blocks
    resolution = check_resolution(file, 4 * 2**doublings)
    inputs, units = seed.shape
    classes, embedding_size = tensors["linear/w"].shape
    rgb = tensors.get(_layer("to_image/conv", deep) + "/w", np.zeros([3])).shape[-1]
    return {
        "family": "biggan_deep" if deep else "biggan",
        "resolution": resolution,
        "num_classes": classes,
        "generator_width": seed_width(units, resolution),
        "latent_size": inputs - embedding_size if deep else inputs * (doublings + 1),
        "embedding_size": embedding_size,
        "generator_attention": _attention(file, tensors, deep, doublings),
        "condition_order": "zy",
        "released_rgb": rgb != 3,
        "bn_epsilon": 1e-4,
        "sn_epsilon": 1e-4,
    }


def _blocks(tensors: Tensors) -> list[int]:
    """The numbers of the blocks; the first has none in its name."""
    return [0, *indices(tensors, r"Generator/GBlock_(\d+)/.*")]


def _attention(
    file: str, tensors: Tensors, deep: bool, doublings: int
) -> tuple[int, ...]:
    """The side at which attention stands: where features have as many channels."""
    theta = tensors.get("Generator/attention/theta/w")
    if theta is None:
        return ()
    last = "conv3" if deep else "conv1"
    sides = []
    for doubling in range(doublings):
        block = f"block{2 * doubling + 1 if deep else doubling}/{last}"
        kernel = tensors.get(_layer(block, deep) + "/w")
        if kernel is not None and kernel.shape[-1] == theta.shape[2]:
            sides.append(8 * 2**doubling)
    if len(sides) != 1:
        raise BadInput(
            f"--path={file}: attention has {theta.shape[2]} channels, as the features "
            f"at {sides or 'no'} px have; it cannot be told where it stands."
        )
    return tuple(sides)


def _rule(deep: bool) -> Rule:
    def rule(path: str, shape: tuple[int, ...]) -> Origin | None:
        layer, _, leaf = path.rpartition("/")
        if leaf == "sigma":  # not stored; only the monitor reads ours
            return None
        if layer == "to_image/norm":
            leaf = (DEEP_PARTS if deep else PARTS)[leaf]
        return Origin(f"{_layer(layer, deep)}/{LEAVES.get(leaf, leaf)}")

    return rule


def _layer(layer: str, deep: bool) -> str:
    """The module's name of one of our layers; axes are as ours everywhere."""
    norm = "BatchNorm" if deep else "ScaledCrossReplicaBN"
    ends = {
        "condition/embedding": "linear",
        "seed": "Generator/GenZ/G_linear" if deep else "Generator/G_Z/G_linear",
        "to_image/norm": f"Generator/{norm}",
        "to_image/norm/norm": f"Generator/{norm}" if deep else f"Generator/{norm}bn",
        "to_image/conv": "Generator/conv_to_rgb" if deep else "Generator/conv_2d",
    }
    if layer in ends:
        return ends[layer]
    first, *rest = layer.split("/")
    if first.startswith("attention"):
        rest = [{"o": "o_conv"}.get(name, name) for name in rest]
        return "/".join(["Generator/attention", *rest])
    block = f"Generator/{_numbered('GBlock', int(first.removeprefix('block')))}"
    if len(rest) == 1:
        return f"{block}/{_conv(rest[0], deep)}"
    number, part = int(rest[0].removeprefix("norm")), rest[1]
    if deep:
        norm = f"{block}/{_numbered('BatchNorm', number)}"
        return norm if part == "norm" else f"{norm}/{DEEP_PARTS[part]}"
    if part == "norm":
        return f"{block}/{_numbered('CrossReplicaBN', number - 1)}"
    return f"{block}/{_numbered('HyperBN', number - 1)}/{PARTS[part]}"


def _conv(name: str, deep: bool) -> str:
    """BigGAN's convolutions count from 0 there, from 1 here; BigGAN-deep's agree."""
    if deep:
        return name
    return {"conv1": "conv0", "conv2": "conv1", "shortcut": "conv_sc"}[name]


def _numbered(name: str, number: int) -> str:
    """TF1's names: the first has no number."""
    return f"{name}_{number}" if number else name


def _norms(tensors: Tensors, deep: bool) -> list[str]:
    """The names of all batch norms, in the order in which the graph makes them."""
    numbers = range(4) if deep else range(1, 3)
    blocks = [
        _layer(f"block{block}/norm{number}/norm", deep)
        for block in _blocks(tensors)
        for number in numbers
    ]
    return [*blocks, _layer("to_image/norm/norm", deep)]


def _statistics(folder: Path, norms: Sequence[str]) -> dict[str, np.ndarray]:
    """Each norm's [sets, channels] means and variances in the graph; {} if it has none.

    Returns:
        By the names under which single sets are variables, NORM/accumulated_mean and
        NORM/accumulated_var.
    """
    wanted = {
        f"{norm}/{LEAVES[leaf]}": f"stack_{10 * (index // 2) + number}"
        for index, norm in enumerate(norms)
        for leaf, number in zip(("moving_mean", "moving_variance"), STACKS[index % 2])
    }
    saved = SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise BadInput(f"--path={folder}: saved_model.pb is damaged.") from error
    for meta in saved.meta_graphs:
        nodes = {node.name for node in meta.graph_def.node}
        for scope in ("", "module_apply_default/"):
            if all(scope + name in nodes for name in wanted.values()):
                values = _run(
                    meta.graph_def, [scope + name for name in wanted.values()], folder
                )
                return {
                    name: value.reshape([len(value), -1])
                    for name, value in zip(wanted, values)
                }
    return {}


def _run(graph: GraphDef, names: Sequence[str], folder: Path) -> list[np.ndarray]:
    """The values of constant nodes of a graph, of which only harmless ops run."""
    nodes = {node.name: node for node in graph.node}
    needed, queue = {}, list(names)
    while queue:
        name = queue.pop().lstrip("^").partition(":")[0]
        if name not in needed:
            needed[name] = nodes[name]
            queue += nodes[name].input
    strange = sorted({node.op for node in needed.values()} - HARMLESS)
    if strange:
        raise BadInput(
            f"--path={folder}: its batch-norm statistics are no constants: computing "
            f"them would run {', '.join(strange)}."
        )
    part = GraphDef(node=needed.values(), versions=graph.versions)
    with tf.Graph().as_default() as small:
        tf.import_graph_def(part, name="")
        with tf.compat.v1.Session(graph=small) as session:
            return session.run([f"{name}:0" for name in names])
