"""A folder of `pytorch-pretrained-biggan`: config.json and pytorch_model.bin.

DeepMind's BigGAN-deep generators with their 51 sets of batch-norm statistics, as
torch.nn.utils.spectral_norm keeps them: W, u and v, with sigma = u^T W v.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from biggan_tf.errors import BadInput
from biggan_tf.weights.files import read_tensors
from biggan_tf.weights.matching import Origin, Part, Rule
from biggan_tf.weights.published import Published

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


def read(path: str) -> Published:
    """The generator in a folder.

    Raises:
        BadInput: the folder lacks a file, or what is in them is no such generator.
    """
    folder = Path(path)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise BadInput(f"--path={path}: there is no {name} in it.")
    arguments, attention = _arguments(folder / CONFIG)
    tensors = read_tensors(folder / WEIGHTS, "--path")
    tables: dict[str, np.ndarray] = {}
    weights = {}
    for name, tensor in tensors.items():
        if name.endswith((".running_means", ".running_vars")) and tensor.ndim == 2:
            tables[name] = tensor
            weights[name] = tensor[-1]  # G's running averages: truncation 1
        elif name.endswith(".weight_v"):
            layer = name.removesuffix(".weight_v")
            matrix = tensors.get(f"{layer}.weight_orig")
            u = tensors.get(f"{layer}.weight_u")
            if matrix is not None and u is not None:
                matrix = matrix.reshape(len(matrix), -1)
                sigma = u @ matrix @ tensor
                weights[f"{layer}.sigma"] = np.float32(sigma)
                weights[f"{layer}.weight_u"] = u_with_sigma(
                    matrix, sigma, f"{folder / WEIGHTS}: {layer}"
                )
        else:
            weights.setdefault(name, tensor)
    part = Part(str(folder / WEIGHTS), arguments, weights, _rule(attention))
    return Published(generator=part, convention="scaled", tables=tables)


def _arguments(path: Path) -> tuple[dict[str, Any], int]:
    """Arguments of `networks.specs` from config.json, and the attention's index."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        width, eps = config["channel_width"], config["eps"]
        layers, attention = config["layers"], config["attention_layer_position"]
        arguments = {
            "family": "biggan_deep",
            "resolution": config["output_dim"],
            "num_classes": config["num_classes"],
            "generator_width": width,
            "latent_size": config["z_dim"],
            "embedding_size": config["z_dim"],
            "generator_attention": (4 * 2 ** (attention // 2),),
            "condition_order": "zy",
            "released_rgb": True,
            "bn_epsilon": eps,
            "sn_epsilon": eps,
        }
        upsampling = [layer[0] for layer in layers]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput(
            f"--path: {path} is no config of a BigGAN ({error!r})."
        ) from None
    if upsampling != [False, True] * (len(layers) // 2) or attention % 2:
        raise BadInput(
            f"--path: {path} has upsampling or attention inside a pair of blocks, "
            "which no released BigGAN-deep has."
        )
    if arguments["resolution"] != 4 * 2 ** (len(layers) // 2):
        raise BadInput(
            f"--path: {path} says output_dim {arguments['resolution']}, but its "
            f"{len(layers)} layers make {4 * 2 ** (len(layers) // 2)} px."
        )
    return arguments, attention


def u_with_sigma(matrix: np.ndarray, sigma: float, name: str) -> np.ndarray:
    """A vector from which one power iteration finds a given sigma.

    The published sigma is that of stored vectors, while our layers iterate once from u.
    With singular values s1 >= sigma >= sj and their vectors q1 and qj, the iteration
    from cos(t) q1 + sin(t) qj gives sigma^2 = (cos^2 s1^4 + sin^2 sj^4) / (cos^2 s1^2 +
    sin^2 sj^2); j is chosen for the smallest t.

    Args:
        matrix: float [units, rest], W.
        sigma: at most W's largest singular value, as that of any unit vectors.
        name: for messages.

    Returns:
        u, float32 [units].
    """
    matrix = np.asarray(matrix, np.float64)
    wide = matrix.shape[0] <= matrix.shape[1]
    squares, vectors = np.linalg.eigh(matrix @ matrix.T if wide else matrix.T @ matrix)
    # Descending; zeros, of which rounding makes tiny numbers of either sign, left out.
    squares, vectors = squares[::-1], vectors[:, ::-1]
    known = squares > 1e-12 * squares[0]
    squares, vectors = squares[known], vectors[:, known]
    if not wide:
        vectors = matrix @ vectors / np.sqrt(squares)
    square = float(sigma) ** 2
    below = squares < square
    slack = 1e-6 if np.any(below) else 1e-4  # of one singular value there is no mixing
    if sigma > 0 and 1 - slack < square / squares[0] < 1 + 1e-4:
        return vectors[:, 0].astype(np.float32)
    if sigma <= 0 or square > squares[0] or not np.any(below):
        raise BadInput(
            f"{name}: u^T W v of the stored vectors is {sigma:.3g}, but the singular "
            f"values of W are {np.sqrt(squares[-1]):.3g} to {np.sqrt(squares[0]):.3g}: "
            "these are no vectors of a power iteration."
        )
    tangents = (squares[0] * (squares[0] - square)) / (
        squares[below] * (square - squares[below])
    )
    best = np.argmin(tangents)
    angle = np.arctan(np.sqrt(tangents[best]))
    other = vectors[:, np.flatnonzero(below)[best]]
    u = np.cos(angle) * vectors[:, 0] + np.sin(angle) * other
    return u.astype(np.float32)


def _rule(attention: int) -> Rule:
    def rule(path: str, shape: tuple[int, ...]) -> Origin:
        layer, _, leaf = path.rpartition("/")
        if layer == "condition/embedding":
            return Origin("embeddings.weight", LINEAR)
        axes = {4: CONV, 2: LINEAR}.get(len(shape))
        return Origin(f"generator.{_layer(layer, attention)}.{LEAVES[leaf]}", axes)

    return rule


def _layer(layer: str, attention: int) -> str:
    ends = {
        "seed": "gen_z",
        "to_image/norm": "bn",
        "to_image/norm/norm": "bn",
        "to_image/conv": "conv_to_rgb",
    }
    if layer in ends:
        return ends[layer]
    first, *rest = layer.split("/")
    if first.startswith("attention"):
        names = {"o": "snconv1x1_o_conv"}
        rest = [names.get(name, f"snconv1x1_{name}") for name in rest]
        return ".".join([f"layers.{attention}", *rest])
    block = int(first.removeprefix("block"))
    names = {"gain": ["scale"], "offset": ["offset"], "norm": []}
    parts = [f"layers.{block + (block >= attention)}"]
    for name in rest:
        if name.startswith("conv"):
            parts.append(f"conv_{name.removeprefix('conv')}")
        elif name in names:
            parts += names[name]
        else:
            parts.append(f"bn_{name.removeprefix('norm')}")
    return ".".join(parts)
