"""A local copy of DeepMind's modules in the TF1 Hub format.

`biggan-{128,256,512}` and `biggan-deep-{128,256,512}`: generators only. Variables are
read by name from `variables/`, moving averages preferred. The batch-norm statistics
that belong to each truncation are constants of the graph in `saved_model.pb`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from biggan_tf import files, networks
from biggan_tf.architecture import GeneratorSpec
from biggan_tf.errors import BadInput
from biggan_tf.weights import downloads, matching
from biggan_tf.weights.matching import Rule, Tensors
from biggan_tf.weights.published import Published

MODEL = "saved_model.pb"
# Our words -> the modules', but for the numbers of blocks; then those of one family.
WORDS = {"condition/embedding": "linear", "shortcut": "conv_sc", "o": "o_conv"}
LEAVES = {"kernel": "w", "bias": "b", "u": "u0"}
MOMENTS = {"moving_mean": "accumulated_mean", "moving_variance": "accumulated_var"}
PLAIN_WORDS = {
    "seed": "Generator/G_Z/G_linear",
    "to_image/norm/norm": "Generator/ScaledCrossReplicaBNbn",
    "to_image/norm": "Generator/ScaledCrossReplicaBN",
    "to_image/conv": "Generator/conv_2d",
    **{"conv1": "conv0", "conv2": "conv1", "gain": "gamma", "offset": "beta"},
    **{"norm1/norm": "CrossReplicaBN", "norm2/norm": "CrossReplicaBN_1"},
    **{"norm1": "HyperBN", "norm2": "HyperBN_1"},
}
DEEP_WORDS = {
    "seed": "Generator/GenZ/G_linear",
    "to_image/norm": "Generator/BatchNorm",
    "to_image/conv": "Generator/conv_to_rgb",
    **{"norm": "", "gain": "scale", "norm0": "BatchNorm", "norm1": "BatchNorm_1"},
    **{"norm2": "BatchNorm_2", "norm3": "BatchNorm_3"},
}
# The graph's tensors stack_k:0 with these k, plus 10 for every two batch norms, are
# the means and variances, [51, channels], of one batch norm and then of the next.
STACKS = ((1, 3), (6, 8))
# How such a tensor may be computed: by nothing that touches files or the network.
HARMLESS = {"Const", "Pack", "Identity", "Reshape", "ExpandDims", "Cast", "ConcatV2"}


def read(path: str) -> Published:
    """Returns the generator of a module; BadInput if there is none.

    `path` is its folder, a `.tar.gz` or `.zip` of that, or its `saved_model.pb`.
    """
    with downloads.unpacked(path, MODEL) as folder:
        return _read(path, folder)


def _read(path: str, folder: Path) -> Published:
    if not (folder / MODEL).is_file():
        raise BadInput(f"--path={path}: give a folder with {MODEL} in it.")
    for file in (folder / MODEL, *folder.glob("variables/*")):
        files.refuse_failed(file, f"--path={file}")
    with matching.recognising(f"--path={path}", "variables that can be read"):
        tensors = _variables(folder)
    with matching.recognising(f"--path={path}", "a BigGAN of DeepMind", tensors):
        arguments = _arguments(tensors)
        spec = GeneratorSpec(**arguments)
    with matching.recognising(f"--path={folder / MODEL}", "an undamaged file"):
        model = SavedModel.FromString((folder / MODEL).read_bytes())
    rule, problems = _rule(spec), []
    tables = _statistics(path, model, spec, rule)
    if spec.family == "biggan_deep" and not tables:
        raise BadInput(
            f"--path={path}: give a BigGAN-deep with its statistics; the graph of this "
            "one has no constants stack_1:0, stack_3:0, ..."
        )
    tensors |= tables
    average = matching.match(f"--path={path}", tensors, spec, rule, problems)
    matching.refuse(problems)
    kept_as = "constants of the graph" if tables else "the accumulated variables"
    note = f"Its batch-norm statistics are {kept_as}."
    return Published(arguments, average, convention="scaled", note=note)


def _variables(folder: Path) -> dict[str, np.ndarray]:
    """Returns the variables by name, without "module/" and the averages' suffix."""
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    plain, averaged = {}, {}
    for name in sorted(reader.get_variable_to_shape_map()):
        base, ema, _ = name.removeprefix("module/").partition("/ema_")
        leaf = base.rpartition("/")[2]
        # Singular vectors after the first are not used; counters count.
        if not re.fullmatch(r"u[1-9]\d*|accumulation_counter|global_step", leaf):
            (averaged if ema else plain)[base] = reader.get_tensor(name)
    return plain | averaged


def _arguments(tensors: Tensors) -> dict[str, Any]:
    """Returns the arguments of `GeneratorSpec` that the variables tell."""
    deep = f"{DEEP_WORDS['seed']}/w" in tensors
    words = DEEP_WORDS if deep else PLAIN_WORDS
    inputs, units = matching.sizes(tensors, f"{words['seed']}/w", 2)
    classes, embedding_size = matching.sizes(tensors, "linear/w", 2)
    # The first block has no number.
    blocks = 1 + len(matching.indices(tensors, r"Generator/GBlock_(\d+)/.*"))
    doublings = blocks // 2 if deep else blocks
    channels = matching.channels_of(4 * 2**doublings).generator
    width = units // 16 // channels[0]
    attention = []
    if "Generator/attention/theta/w" in tensors:
        # It stands where features have as many channels as it takes.
        taken = matching.sizes(tensors, "Generator/attention/theta/w", 4)[2]
        outputs = [width * factor for factor in channels[1:]]
        attention = [8 * 2**index for index, n in enumerate(outputs) if n == taken]
        if len(attention) != 1:
            raise BadInput(
                f"attention has {taken} channels, as the features at "
                f"{attention or 'no'} px have, so it cannot be told where it stands"
            )
    last = f"{words['to_image/conv']}/w"
    return {
        "family": "biggan_deep" if deep else "biggan",
        "resolution": 4 * 2**doublings,
        "num_classes": classes,
        "width": width,
        "latent_size": inputs - embedding_size if deep else inputs * (doublings + 1),
        "embedding_size": embedding_size,
        "skip_z": True,
        "attention": tuple(attention),
        "condition_order": "zy",
        "released_rgb": matching.sizes(tensors, last, 4)[3] != 3,
        "spectral_norm": True,
        "bn_epsilon": 1e-4,
        "sn_epsilon": 1e-4,
    }


def _rule(spec: GeneratorSpec) -> Rule:
    """Returns which variable of a module each of ours is; all are laid out as ours."""
    family = DEEP_WORDS if spec.family == "biggan_deep" else PLAIN_WORDS
    words = {**WORDS, **LEAVES, **MOMENTS, **family, "block0": "Generator/GBlock"}
    for block in range(1, 2 * len(spec.attention_sides)):
        words[f"block{block}"] = f"Generator/GBlock_{block}"
    for side in spec.attention:
        words[f"attention{side}"] = "Generator/attention"
    # Sigmas are not stored; nothing reads ours.
    return lambda path, _: (
        "" if path.endswith("/sigma") else matching.rename(path, words, "/"),
        None,
    )


def _statistics(
    path: str, model: SavedModel, spec: GeneratorSpec, rule: Rule
) -> dict[str, np.ndarray]:
    """Returns the [sets, channels] moments in the graph, by the variables' names."""
    means = [path for path in networks.variables(spec) if path.endswith("/moving_mean")]
    wanted = {}
    for index, mean in enumerate(means):  # in the order in which the graph makes them
        variance = mean.replace("moving_mean", "moving_variance")
        for moment, number in zip((mean, variance), STACKS[index % 2]):
            wanted[rule(moment, 1)[0]] = f"stack_{10 * (index // 2) + number}"
    for meta in model.meta_graphs:
        nodes = {node.name for node in meta.graph_def.node}
        for scope in ("", "module_apply_default/"):
            names = [scope + name for name in wanted.values()]
            if nodes.issuperset(names):
                tables = dict(zip(wanted, _run(path, meta.graph_def, names)))
                return {name: t.reshape([len(t), -1]) for name, t in tables.items()}
    return {}


def _run(path: str, graph: GraphDef, names: Sequence[str]) -> list[np.ndarray]:
    """Returns the values of constant nodes of a graph; only harmless ops run."""
    needed = tf.compat.v1.graph_util.extract_sub_graph(graph, names)
    strange = sorted({node.op for node in needed.node} - HARMLESS)
    if strange:
        raise BadInput(
            f"--path={path}: give a module whose batch-norm statistics are constants; "
            f"computing those of this one would run {', '.join(strange)}."
        )
    with tf.Graph().as_default() as small:
        tf.import_graph_def(needed, name="")
        with tf.compat.v1.Session(graph=small) as session:
            return session.run([f"{name}:0" for name in names])
