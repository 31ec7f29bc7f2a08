"""The Inception network of 2015-12-05 from a graph of TensorFlow.

The same weights come as `classify_image_graph_def.pb` in inception-2015-12-05.tgz, as
`inceptionv1_for_inception_score.pb` in TF-GAN's frozen_inception_v1_2015_12_05.tar.gz,
and as a SavedModel on TF-Hub.
"""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
import tensorflow_hub as hub

from biggan_tf.errors import BadInput
from biggan_tf.features.inception_torch import INPUT_SIZE, SPATIAL_CHANNELS

# Names in the frozen graphs.
_INPUT = "Mul:0"  # the resized images, scaled to [-1, 1]
_FEATURES = "pool_3:0"  # [b, 1, 1, 2048]
_LOGITS = "logits"  # TF-GAN's file alone has it
_LOGITS_MATMUL = "softmax/logits/MatMul"
_SPATIAL = "mixed_6/conv"  # [b, 17, 17, 192]

# float32 [b, 299, 299, 3] in [-1, 1] -> features [b, 2048], logits [b, 1008] without
# bias and, if the file has them, what sFID is made of, [b, 17, 17, 7].
Layers = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


def saved_model(path: Path) -> Layers:
    """Returns the layers of a SavedModel; BadInput if it is no Inception."""
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


def frozen_graph(path: Path) -> Layers:
    """Returns the layers of a frozen graph; BadInput if it is no Inception."""
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError differs between its versions
        raise BadInput(
            f"{path} is no Inception: give a frozen TensorFlow graph (.pb), a file of "
            "pytorch-fid or torch-fidelity (.pth) or a SavedModel folder."
        ) from error
    for node in graph.node:
        node.device = ""
        # The file's own shapes say batches of 1.
        node.attr.pop("_output_shapes", None)
    has_logits = any(node.name == _LOGITS for node in graph.node)
    outputs = [_FEATURES, f"{_LOGITS}:0" if has_logits else _LOGITS_MATMUL]
    if any(node.name == _SPATIAL for node in graph.node):
        outputs.append(f"{_SPATIAL}:0")

    def layers(images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        inputs = {_INPUT: images}
        found = tf.import_graph_def(graph, inputs, outputs, name="")
        features, logits, *spatial = found
        features = _rows(features)
        if not has_logits:
            # That multiplication follows a reshape to a batch of 1; take its weights.
            logits = tf.matmul(features, logits.inputs[1])
        spatial = [each[..., :SPATIAL_CHANNELS] for each in spatial]
        return (features, _rows(logits), *spatial)

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
