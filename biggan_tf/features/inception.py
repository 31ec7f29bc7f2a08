"""The Inception network of 2015-12-05, the usual one for scores of GANs.

One set of weights, in several files; and the resizes of four programs. Two of them are
the same; the others give other scores. A score carries the name of the program.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
import tensorflow_hub as hub

from biggan_tf import files
from biggan_tf.errors import BadInput
from biggan_tf.features.inception_graph import Layers, frozen_graph, saved_model
from biggan_tf.features.inception_torch import INPUT_SIZE, torch_layers
from biggan_tf.features.network import FeatureNetwork, feature_network

HUB_HANDLE = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"

# How the two files of PyTorch are called, which hold the same.
_PROGRAMS = {"pt_inception": "pytorch_fid", "weights-inception": "torch_fidelity"}
_SIZE = [INPUT_SIZE, INPUT_SIZE]


def _of_2015(images: tf.Tensor) -> tf.Tensor:
    # By default without half-pixel centres. TensorFlow 2's own resize has them.
    return tf.raw_ops.ResizeBilinear(images=images, size=_SIZE) / 128.0 - 1.0


def _of_pytorch_fid(images: tf.Tensor) -> tf.Tensor:
    images = tf.raw_ops.ResizeBilinear(
        images=images, size=_SIZE, half_pixel_centers=True
    )
    return images / 127.5 - 1.0


def _of_clean_fid(images: tf.Tensor) -> tf.Tensor:
    rows, columns = (_bicubic(tf.shape(images)[axis]) for axis in (1, 2))
    images = tf.einsum("qw,bhwc->bhqc", columns, images)
    images = tf.einsum("ph,bhqc->bpqc", rows, images)
    return tf.clip_by_value(images, 0.0, 255.0) / 128.0 - 1.0


def _bicubic(side: tf.Tensor) -> tf.Tensor:
    """Returns Pillow's weights of `side` pixels for each of 299, float32 [299, side].

    Its filter (a = -1/2) widens where an image shrinks, and ends at the border.
    """
    scale = tf.cast(side, tf.float64) / INPUT_SIZE
    centres = (tf.range(INPUT_SIZE, dtype=tf.float64) + 0.5) * scale
    pixels = tf.cast(tf.range(side), tf.float64) + 0.5
    x = tf.abs(pixels - centres[:, None]) / tf.maximum(scale, 1.0)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((2.5 - 0.5 * x) * x - 4) * x + 2
    weights = tf.where(x < 1, near, tf.where(x < 2, far, tf.zeros_like(x)))
    weights /= tf.reduce_sum(weights, 1, keepdims=True)
    return tf.cast(weights, tf.float32)


_AS_IN_2015 = _of_2015, "bilinear to 299, no half-pixel centres, not antialiased"

# Program -> its resize and scale, float32 [b, h, w, 3] in [0, 255] -> [-1, 1]; and what
# the protocol says of it.
RESIZES: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], str]] = {
    "inception": _AS_IN_2015,
    "torch_fidelity": _AS_IN_2015,
    "pytorch_fid": (
        _of_pytorch_fid,
        "bilinear to 299, half-pixel centres, not antialiased, / 127.5 - 1",
    ),
    "clean_fid": (
        _of_clean_fid,
        "bicubic to 299, half-pixel centres, antialiased as Pillow does, not rounded",
    ),
}


@feature_network("inception=FILE_OR_HANDLE", "(inception)=(.+)")
@feature_network("inception", "(inception)")
@feature_network("pytorch_fid=FILE", "(pytorch_fid)=(.+)")
@feature_network("torch_fidelity=FILE", "(torch_fidelity)=(.+)")
@feature_network("clean_fid=FILE", "(clean_fid)=(.+)")
def inception(program: str, source: str = HUB_HANDLE) -> FeatureNetwork:
    """Returns 2048 features (pool_3) and 1008 logits without bias, of four programs.

    "inception" is the graph of 2015 with the resize in it, which TF-GAN repeats: the
    one of most papers. "torch_fidelity" does the same, "pytorch_fid" and "clean_fid"
    resize otherwise. All take any file:

    `source` is a frozen graph (.pb), a SavedModel folder, a file of pytorch-fid or
    torch-fidelity (.pth), or a TF-Hub handle, which is downloaded unless TF-Hub's cache
    has it. With "inception" a .pth is resized as by the program that its name tells.
    BadInput if it is none of these.
    """
    path = _local(source)
    layers, is_torch = _layers(path)
    if is_torch and program == "inception":
        program = _program_of(path)
    resize, told = RESIZES[program]

    @tf.function(autograph=False)
    def apply(images: tf.Tensor) -> dict[str, tf.Tensor]:
        found = layers(resize(tf.cast(images, tf.float32)))
        return dict(zip(("features", "logits", "spatial"), found))

    return FeatureNetwork(program, files.sha256(path), INPUT_SIZE, told, apply)


def _layers(path: Path) -> tuple[Layers, bool]:
    """Returns what a file or folder holds, and whether PyTorch wrote it."""
    if path.is_dir():
        return saved_model(path), False
    files.refuse_failed(path, str(path))
    with path.open("rb") as file:
        start = file.read(2)
    if start in (b"PK", b"\x80\x02"):  # since PyTorch 1.6, and before
        return torch_layers(path), True
    return frozen_graph(path), False


def _program_of(path: Path) -> str:
    for start, program in _PROGRAMS.items():
        if path.name.startswith(start):
            return program
    raise BadInput(
        f"inception={path}: write pytorch_fid={path} or torch_fidelity={path}, for two "
        "programs resize images otherwise for this file."
    )


def _local(source: str) -> Path:
    """Returns where the graph lies; downloads it if need be."""
    if os.path.exists(source):
        return Path(source)
    if not files.is_address(source):
        raise BadInput(
            f"the Inception graph {source!r} is not there: give a frozen graph (.pb), "
            "a file of pytorch-fid or torch-fidelity (.pth), a SavedModel folder or a "
            f"TF-Hub handle such as {HUB_HANDLE}."
        )
    try:
        return Path(hub.resolve(source))
    except Exception as error:  # of urllib, ssl, tarfile, tf.errors or hub itself
        raise BadInput(
            f"the Inception graph {source!r} cannot be fetched ({error}): give the "
            "path of a local copy, a frozen graph (.pb) or a SavedModel folder, or use "
            "the feature network lite0_128, which needs no connection."
        ) from error
