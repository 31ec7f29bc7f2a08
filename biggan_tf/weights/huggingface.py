"""Models of `pytorch-pretrained-biggan`: config.json and pytorch_model.bin.

DeepMind's BigGAN-deep generators with their 51 sets of batch-norm statistics. Kernels
are as torch.nn.utils.spectral_norm keeps them: W, u and v, with sigma = u^T W v.
"""

import json
from pathlib import Path
from typing import Any

from biggan_tf import files
from biggan_tf.architecture import GeneratorSpec
from biggan_tf.errors import BadInput
from biggan_tf.weights import downloads, matching
from biggan_tf.weights.matching import PYTORCH_AXES, Rule
from biggan_tf.weights.published import Published
from biggan_tf.weights.state_dicts import read_tensors

# How the names of the files end; before it may stand, say, "biggan-deep-128-".
CONFIG, WEIGHTS = "config.json", ("pytorch_model.bin", "model.safetensors")
# Our words -> the package's, but for the numbers of layers.
ENDS = {
    "condition/embedding/kernel": "embeddings.weight",  # without spectral norm
    "seed": "generator.gen_z",
    "to_image/norm/gain": "generator.bn.weight",
    "to_image/norm/offset": "generator.bn.bias",
    "to_image/norm": "generator.bn",
    "to_image/conv": "generator.conv_to_rgb",
}
LEVELS = {"norm": "", "gain": "scale", "o": "snconv1x1_o_conv"}
LEAVES = {"kernel": "weight_orig", "u": "weight_u"}
MOMENTS = {"moving_mean": "running_means", "moving_variance": "running_vars"}


def read(path: str) -> Published:
    """Returns the generator that is published; BadInput if there is none.

    `path` is a folder, a `.tar.gz` or `.zip` of one, or one of the two files.
    """
    with downloads.unpacked(path, CONFIG, *WEIGHTS) as folder:
        return _read(*_files(path, folder))


def _files(path: str, folder: Path) -> tuple[Path, Path]:
    """Returns the config and the weights in a folder, or those of the file `path`."""
    found = sorted(f for f in folder.glob("[!.]*") if f.is_file())
    configs = [f for f in found if f.name.endswith(CONFIG)]
    weights = [f for f in found if f.name.endswith(WEIGHTS)]
    configs, weights = (
        [Path(path)] if Path(path) in files else files for files in (configs, weights)
    )
    pairs = [
        (config, file)
        for config in configs
        for file in weights
        if file.name in [config.name.replace(CONFIG, end) for end in WEIGHTS]
    ]
    if not pairs and len(configs) == len(weights) == 1:
        pairs = [(configs[0], weights[0])]
    if not pairs:
        here = ", ".join(file.name for file in configs + weights) or "neither"
        raise BadInput(
            f"--path={path}: give a folder with {CONFIG} and {WEIGHTS[0]} in it; there "
            f"is {here}."
        )
    if len(pairs) > 1:
        names = ", ".join(file.name for _, file in pairs)
        raise BadInput(
            f"--path={path}: give one of its files, not the folder: {names}."
        )
    return pairs[0]


def _read(config_file: Path, weights_file: Path) -> Published:
    file = f"--path={config_file}"
    files.refuse_failed(config_file, file)
    with matching.recognising(file, "the config of a BigGAN"):
        config = json.loads(config_file.read_text(encoding="utf-8"))
        arguments = _arguments(config)
        spec = GeneratorSpec(**arguments)
    tensors = read_tensors(str(weights_file), "--path", "generator")
    for name in [name for name in tensors if name.endswith(".weight_v")]:
        layer, v = name.removesuffix(".weight_v"), tensors.pop(name)
        u, matrix = (tensors.get(f"{layer}.weight_{end}") for end in ("u", "orig"))
        if u is not None and matrix is not None and v.size * u.size == matrix.size:
            matrix = matrix.reshape(u.size, v.size)
            tensors[f"{layer}.sigma"] = u.reshape(-1) @ matrix @ v.reshape(-1)
        tensors.pop(f"{layer}.weight", None)  # W / sigma, in files of PyTorch 0.4
    problems: list[str] = []
    file = f"--path={weights_file}"
    average = matching.match(file, tensors, spec, _rule(spec), problems)
    matching.refuse(problems)
    return Published(arguments, average, convention="scaled", sigmas_are_final=True)


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of `GeneratorSpec` that config.json tells."""
    attention, resolution = config["attention_layer_position"], config["output_dim"]
    layers = 2 * len(matching.channels_of(resolution).generator[1:])
    upsampling = [layer[0] for layer in config["layers"]]
    if upsampling != [False, True] * (layers // 2) or attention % 2:
        raise BadInput(
            f"this one names {len(upsampling)} layers, but a released one for "
            f"{resolution} px has {layers}, every second one upsampling, and attention "
            "between two pairs"
        )
    return {
        "family": "biggan_deep",
        "resolution": resolution,
        "num_classes": config["num_classes"],
        "width": config["channel_width"],
        "latent_size": config["z_dim"],
        "embedding_size": config["z_dim"],
        "skip_z": True,
        "attention": (4 * 2 ** (attention // 2),),
        "condition_order": "zy",
        "released_rgb": True,
        "spectral_norm": True,
        "bn_epsilon": config["eps"],
        "sn_epsilon": config["eps"],
    }


def _rule(spec: GeneratorSpec) -> Rule:
    """Returns where in the package's state dict the variables of G are."""
    words = {**ENDS, **LEVELS, **LEAVES, **MOMENTS}
    words |= {name: f"snconv1x1_{name}" for name in ("theta", "phi", "g")}
    words |= {f"norm{number}": f"bn_{number}" for number in range(4)}
    words |= {f"conv{number}": f"conv_{number}" for number in range(4)}
    [side] = spec.attention
    attention = 2 * (spec.attention_sides.index(side) + 1)  # its number as a layer
    words[f"attention{side}"] = f"generator.layers.{attention}"
    for block in range(2 * len(spec.attention_sides)):
        words[f"block{block}"] = f"generator.layers.{block + (block >= attention)}"
    return lambda path, rank: (matching.rename(path, words), PYTORCH_AXES.get(rank))
