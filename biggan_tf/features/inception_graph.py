"""The Inception network of 2015-12-05, the usual one for scores of GANs.

The same weights come as `classify_image_graph_def.pb` in inception-2015-12-05.tgz, as
`inceptionv1_for_inception_score.pb` in TF-GAN's frozen_inception_v1_2015_12_05.tar.gz,
and as a SavedModel on TF-Hub.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
import tensorflow_hub as hub

from biggan_tf.errors import BadInput
from biggan_tf.features.network import FeatureNetwork, feature_network

HUB_HANDLE = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"
INPUT_SIZE = 299

# Names in the frozen graphs.
_INPUT = "Mul:0"  # the resized images, scaled to [-1, 1]
_FEATURES = "pool_3:0"  # [b, 1, 1, 2048]
_LOGITS = "logits"  # TF-GAN's file alone has it
_LOGITS_MATMUL = "softmax/logits/MatMul"

_Layers = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@feature_network("inception=FILE_OR_HANDLE", "inception=(.+)")
@feature_network("inception", "inception")
def inception(source: str = HUB_HANDLE) -> FeatureNetwork:
    """Returns "inception": 2048 features (pool_3) and 1008 logits without bias.

    Resize and scale are those in the graph of 2015, which TF-GAN's `preprocess_image`
    repeats: bilinear without half-pixel centres, then (pixel - 128) / 128. TensorFlow
    2's own resize would give other scores.

    `source` is a frozen graph (.pb), a SavedModel folder, or a TF-Hub handle, which is
    downloaded unless TF-Hub's cache has it. BadInput if it is none of these.
    """
    path = _local(source)
    layers = _saved_model(path) if path.is_dir() else _frozen_graph(path)
    files = [path] if path.is_file() else sorted(filter(Path.is_file, path.rglob("*")))
    hash_ = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    @tf.function(autograph=False)
    def apply(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        bilinear = tf.raw_ops.ResizeBilinear  # by default without half-pixel centres
        images = bilinear(images=tf.cast(images, tf.float32), size=[INPUT_SIZE] * 2)
        return layers((images - 128.0) / 128.0)

    resize = f"bilinear to {INPUT_SIZE}, no half-pixel centres, not antialiased"
    return FeatureNetwork("inception", hash_, INPUT_SIZE, resize, apply)


def _local(source: str) -> Path:
    """Returns where the graph lies; downloads it if need be."""
    if os.path.exists(source):
        return Path(source)
    if "://" not in source:
        raise BadInput(
            f"the Inception graph {source!r} is not there: give a frozen graph (.pb), "
            f"a SavedModel folder or a TF-Hub handle such as {HUB_HANDLE}."
        )
    try:
        return Path(hub.resolve(source))
    except Exception as error:  # of urllib, ssl, tarfile, tf.errors or hub itself
        raise BadInput(
            f"the Inception graph {source!r} cannot be fetched ({error}): give the "
            "path of a local copy, a frozen graph (.pb) or a SavedModel folder, or use "
            "the feature network lite0_128, which needs no connection."
        ) from error


def _saved_model(path: Path) -> _Layers:
    try:
        module = hub.load(str(path))
        outputs = module(tf.zeros([1, INPUT_SIZE, INPUT_SIZE, 3]))
        missing = {"pool_3", "logits"} - set(outputs)
    except Exception as error:  # other files fail in many ways
        raise BadInput(f"{path} is no SavedModel of Inception: {error}.") from error
    if missing:
        raise BadInput(f"the SavedModel {path} has no output {sorted(missing)}.")

    def layers(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = module(images)
        return _rows(outputs["pool_3"]), _rows(outputs["logits"])

    return layers


def _frozen_graph(path: Path) -> _Layers:
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError differs between its versions
        raise BadInput(f"{path} is no frozen TensorFlow graph: {error}.") from error
    for node in graph.node:
        node.device = ""
        # The file's own shapes say batches of 1.
        node.attr.pop("_output_shapes", None)
    has_logits = any(node.name == _LOGITS for node in graph.node)
    outputs = [_FEATURES, f"{_LOGITS}:0" if has_logits else _LOGITS_MATMUL]

    def layers(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = {_INPUT: images}
        features, logits = tf.import_graph_def(graph, inputs, outputs, name="")
        features = _rows(features)
        if not has_logits:
            # That multiplication follows a reshape to a batch of 1; take its weights.
            logits = tf.matmul(features, logits.inputs[1])
        return features, _rows(logits)

    try:
        signature = [tf.TensorSpec([None, INPUT_SIZE, INPUT_SIZE, 3], tf.float32)]
        whole = tf.compat.v1.wrap_function(layers, signature)
        # Without the reader of JPEGs and that reshape, which fails on other batches.
        return whole.prune(whole.inputs[0], whole.structured_outputs)
    except (ValueError, tf.errors.OpError) as error:
        raise BadInput(
            f"{path} is not the graph of inception-2015-12-05, with {_INPUT}, "
            f"{_FEATURES} and {_LOGITS_MATMUL}: {error}."
        ) from error


def _rows(x: tf.Tensor) -> tf.Tensor:
    """Returns [b, d] of [b, 1, 1, d] or [b, d]."""
    return tf.reshape(x, [-1, x.shape[-1]])
