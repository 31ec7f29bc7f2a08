"""A folder of `pytorch-pretrained-biggan`: config.json and pytorch_model.bin.

DeepMind's BigGAN-deep generators with their 51 sets of batch-norm statistics, as
torch.nn.utils.spectral_norm keeps them: W, u and v, with sigma = u^T W v.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from biggan_tf.errors import BadInput
from biggan_tf.weights.files import read_tensors
from biggan_tf.weights.matching import Origin, Part, Rule
from biggan_tf.weights.published import Published
from biggan_tf.weights.shapes import check_resolution

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
CONV, LINEAR = (2, 3, 1, 0), (1, 0)
LEAVES = {
    "kernel": "weight_orig",
    "bias": "bias",
    "gamma": "gamma",
    "gain": "weight",
    "offset": "bias",
    "u": "weight_u",
    "sigma": "sigma",
    "moving_mean": "running_means",
    "moving_variance": "running_vars",
}
LAYERS = {
    "condition/embedding": "embeddings",
    "seed": "generator.gen_z",
    "to_image/norm": "generator.bn",
    "to_image/norm/norm": "generator.bn",
    "to_image/conv": "generator.conv_to_rgb",
}


def read(path: str) -> Published:
    """The generator in a folder.

    Raises:
        BadInput: the folder lacks a file, or what is in them is no such generator.
    """
    for name in (CONFIG, WEIGHTS):
        if not (Path(path) / name).is_file():
            raise BadInput(f"--path={path}: there is no {name} in it.")
    file = str(Path(path) / WEIGHTS)
    arguments, attention = _arguments(Path(path) / CONFIG)
    tensors = read_tensors(file, "--path")
    tables = {
        name: tensor
        for name, tensor in tensors.items()
        if name.endswith((".running_means", ".running_vars")) and tensor.ndim == 2
    }
    # G's running averages are those of truncation 1.
    tensors |= {name: table[-1] for name, table in tables.items()}
    for name in [name for name in tensors if name.endswith(".weight_v")]:
        layer, v = name.removesuffix(".weight_v"), tensors.pop(name)
        u, matrix = (
            tensors.get(f"{layer}.{leaf}") for leaf in ("weight_u", "weight_orig")
        )
        if u is not None and matrix is not None and v.size * u.size == matrix.size:
            tensors[f"{layer}.sigma"] = u @ matrix.reshape(u.size, v.size) @ v
        tensors.pop(f"{layer}.weight", None)  # W / sigma, in files of PyTorch 0.4
    part = Part(file, arguments, tensors, _rule(attention))
    return Published(
        generator=part, convention="scaled", tables=tables, sigmas_are_final=True
    )


def _arguments(path: Path) -> tuple[dict[str, Any], int]:
    """Arguments of `networks.specs` from config.json, and the attention's index."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        layers, attention = config["layers"], config["attention_layer_position"]
        upsampling = [layer[0] for layer in layers]
        arguments = {
            "family": "biggan_deep",
            "resolution": config["output_dim"],
            "num_classes": config["num_classes"],
            "generator_width": config["channel_width"],
            "latent_size": config["z_dim"],
            "embedding_size": config["z_dim"],
            "generator_attention": (4 * 2 ** (attention // 2),),
            "condition_order": "zy",
            "released_rgb": True,
            "bn_epsilon": config["eps"],
            "sn_epsilon": config["eps"],
        }
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput(
            f"--path: {path} is no config of a BigGAN ({error!r})."
        ) from error
    check_resolution(str(path), arguments["resolution"])
    pairs = arguments["resolution"].bit_length() - 3
    if upsampling != [False, True] * pairs or attention % 2:
        raise BadInput(
            f"--path: {path} names {len(layers)} layers; a released BigGAN-deep for "
            f"{arguments['resolution']} px has {2 * pairs}, every second one "
            "upsampling, and attention between two pairs."
        )
    return arguments, attention


def _rule(attention: int) -> Rule:
    def rule(path: str, shape: tuple[int, ...]) -> Origin:
        layer, _, leaf = path.rpartition("/")
        axes = {4: CONV, 2: LINEAR}.get(len(shape))
        if layer == "condition/embedding":  # without spectral norm
            return Origin("embeddings.weight", axes)
        return Origin(f"{_layer(layer, attention)}.{LEAVES[leaf]}", axes)

    return rule


def _layer(layer: str, attention: int) -> str:
    if layer in LAYERS:
        return LAYERS[layer]
    first, *rest = layer.split("/")
    if first.startswith("attention"):
        name = {"o": "o_conv"}.get("".join(rest), "".join(rest))
        return f"generator.layers.{attention}" + (name and f".snconv1x1_{name}")
    block = int(first.removeprefix("block"))
    parts = [f"generator.layers.{block + (block >= attention)}"]
    for name in rest:
        if name != "norm":  # batch norm's own level, which holds its averages
            name = {"gain": "scale"}.get(name, name)
            parts.append(name.replace("norm", "bn_").replace("conv", "conv_"))
    return ".".join(parts)
