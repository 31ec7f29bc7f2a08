"""Feature networks, on real pictures, and the linear head."""

import gc
import importlib.util
import itertools
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from biggan_tf import data, features, metrics, process
from biggan_tf.errors import BadInput
from biggan_tf.features import efficientnet_lite, torch_file
from biggan_tf.keras import keras


@pytest.fixture(scope="module")
def lite0_32():
    return features.load("lite0_32")


@pytest.fixture
def random():
    return np.random.default_rng(0)


def pixels(random, count=4, size=32):
    return random.integers(0, 256, size=(count, size, size, 3), dtype=np.uint8)


# EfficientNet-Lite0


def test_lite0_recognises_labelled_pictures():
    """The 20 ImageNet pictures in foolbox, whose file names end in their labels."""
    folder = Path(importlib.util.find_spec("foolbox").origin).parent / "data"
    paths = sorted(folder.glob("imagenet_*.jpg"))
    labels = np.array([int(re.search(r"_(\d+)\.jpg", path.name)[1]) for path in paths])
    assert len(labels) == 20
    network = features.lite0(224)
    ranks = []
    for path, label in zip(paths, labels):
        picture = np.asarray(Image.open(path).convert("RGB"))[None]
        logits = network(picture)["logits"].numpy()[0]
        ranks.append(np.sum(logits > logits[label]))
    assert np.sum(np.array(ranks) < 1) >= 17
    assert np.sum(np.array(ranks) < 5) >= 19


def test_lite0_knows_its_classes_in_whatever_order(lite0_32):
    """By the WordNet ids that TFDS has, sorted; its ImageNet of 64 px is in another."""
    folder = Path(importlib.util.find_spec("tensorflow_datasets").origin).parent
    names = (folder / "datasets/imagenet2012/labels.txt").read_text().split()
    np.testing.assert_array_equal(lite0_32.logits_of(names), np.arange(1000))
    others = (folder / "image_classification/imagenet_resized_labels.txt").read_text()
    others = others.split()
    found = lite0_32.logits_of(others)
    assert [names[logit] for logit in found] == others != names
    assert lite0_32.logits_of(names[:100]) is None
    assert lite0_32.logits_of([*names[1:], "cat"]) is None


def test_lite0_says_what_it_is(lite0_32, random):
    assert lite0_32.name == "lite0_32"
    assert lite0_32.hash.startswith("57934424")  # PyTorch puts it in the file's name
    assert lite0_32.protocol["features"] == "lite0_32"
    assert features.load("lite0_64").protocol != lite0_32.protocol
    assert lite0_32.feature_size == 1280
    found = lite0_32(pixels(random))
    assert found["features"].shape == (4, 1280)
    assert found["logits"].shape == (4, 1000)
    assert {value.dtype for value in found.values()} == {tf.float32}


def test_lite0_is_the_same_compiled_by_xla_and_on_replicas(random):
    images = pixels(random)
    expected = features.lite0(32)(images)["features"]
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        network = features.lite0(32)

    @tf.function
    def on_replicas():
        return strategy.run(network, args=(tf.constant(images),))["features"]

    for found in strategy.experimental_local_results(on_replicas()):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    compiled = tf.function(network, jit_compile=True)(images)["features"]
    np.testing.assert_allclose(compiled, expected, rtol=1e-4, atol=1e-4)


def test_lite0_resizes_a_picture_as_pillow_does(random):
    picture = pixels(random, 1, 128)
    small = Image.fromarray(picture[0]).resize((64, 64), Image.Resampling.BILINEAR)
    network = features.lite0(64)
    found, expected = network(picture), network(np.asarray(small)[None])
    difference = found["features"] - expected["features"]
    assert tf.norm(difference) < 0.02 * tf.norm(expected["features"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), "float32 .* lite0_32: it takes uint8"),
        (np.zeros((32, 32, 3), np.uint8), r"shape \(32, 32, 3\)"),
        (np.zeros((1, 32, 32, 1), np.uint8), r"shape \(1, 32, 32, 1\)"),
    ],
)
def test_other_images_are_refused(lite0_32, images, message):
    with pytest.raises(BadInput, match=message):
        lite0_32(images)


@pytest.mark.parametrize(
    "name", ["vgg", "lite0", "lite0_x", "inceptionv3", "inception=", ""]
)
def test_unknown_networks_are_refused(name):
    with pytest.raises(BadInput, match=re.escape(repr(name))) as refused:
        features.load(name)
    assert all(form in str(refused.value) for form in features.NETWORKS)


@pytest.mark.parametrize("size", ["0", "1056", "100000", "9" * 5000])
def test_sizes_without_room_in_memory_are_refused_by_the_name(size):
    with pytest.raises(BadInput, match="take a size from 1 to 1,024 pixels"):
        features.find(f"lite0_{size}")


def test_resolutions_that_pad_otherwise_are_refused():
    with pytest.raises(BadInput, match="lite0_100"):
        features.load("lite0_100")


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "_PACKAGE", "no_such_package")
    with pytest.raises(BadInput, match=r"pip install biggan-tf\[offline-eval\]"):
        features.load("lite0_128")


# The reader of PyTorch's files


def write_pickles(path, tensors, values):
    """Writes a file as PyTorch before 1.6 did: `tensors` is the fourth pickle."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    stored = len(values).to_bytes(8, "little") + np.asarray(values, "<f4").tobytes()
    parts = [pickle.dumps(part, 2) for part in head]
    path.write_bytes(b"".join([*parts, tensors, pickle.dumps(["0"], 2), stored]))
    return str(path)


def state_dict(offset, shape, strides, count=6):
    """The pickle of {"w": tensor}, by hand: it names things of PyTorch's."""

    def numbers(values):
        return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"

    storage = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI%d\nNtQ" % count
    tensor = b"I%d\n" % offset + numbers(shape) + numbers(strides) + b"I00\n"
    tensor += b"ccollections\nOrderedDict\n)R"
    return b"(dVw\nctorch._utils\n_rebuild_tensor_v2\n(" + storage + tensor + b"tRs."


def test_tensors_are_read_through_their_strides(tmp_path):
    path = write_pickles(tmp_path / "x.pth", state_dict(1, (2, 2), (1, 3)), range(6))
    np.testing.assert_array_equal(torch_file.read(path)["w"], [[1, 4], [2, 5]])


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (2, (2, 2), (1, 4)), (6, (1,), (1,)), (3, (2,), (-1,))],
)
def test_tensors_outside_their_storage_are_refused(tmp_path, offset, shape, strides):
    path = write_pickles(
        tmp_path / "x.pth", state_dict(offset, shape, strides), range(6)
    )
    with pytest.raises(BadInput, match=r"x\.pth .* outside its storage"):
        torch_file.read(path)


class Planted:
    def __reduce__(self):
        return os.mkdir, ("planted",)


def test_a_file_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_pickles(
        tmp_path / "x.pth", pickle.dumps({"w": Planted()}, 2), range(6)
    )
    with pytest.raises(BadInput, match=rf"x\.pth .* asks for {os.mkdir.__module__}"):
        torch_file.read(path)
    assert not (tmp_path / "planted").exists()


def test_files_cut_short_or_of_another_kind_are_refused(tmp_path):
    whole = state_dict(0, (2, 3), (3, 1))
    path = tmp_path / "x.pth"
    content = Path(write_pickles(path, whole, range(6))).read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(BadInput, match=r"x\.pth is no file of PyTorch's tensors"):
            torch_file.read(path)
    numbers = len(content) - 6 * 4 - 8  # where the length of the storage begins
    for cut in (
        b"PK\x03\x04 as PyTorch writes since 1.6",
        *(content[:length] for length in (numbers, numbers + 3, len(content) - 1)),
    ):
        path.write_bytes(cut)
        with pytest.raises(BadInput, match=r"x\.pth is no .*: it is cut short; down"):
            torch_file.read(path)


# Inception


def frozen_graph(path, with_logits=False, pool_name="pool_3"):
    """A small graph with the names, shapes and old attributes of the 2015 one.

    Images come as a JPEG, one at a time, and are resized in the graph; 6 features
    instead of 2048, 4 logits instead of 1008, one pooling instead of the layers.
    """
    random = np.random.default_rng(0)
    weights = random.normal(size=(6, 4)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        jpeg = tf.constant(b"", name="DecodeJpeg/contents")
        image = tf.cast(tf.io.decode_jpeg(jpeg, channels=3, name="DecodeJpeg"), "float")
        image = tf.expand_dims(image, 0, name="ExpandDims")
        image = tf.compat.v1.image.resize_bilinear(image, [299, 299])
        image = tf.multiply(tf.subtract(image, 128.0), 1 / 128, name="Mul")
        kernel = tf.constant(
            random.normal(size=(1, 1, 3, 6)), tf.float32, name="conv/w"
        )
        image = tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME"))
        pool = tf.nn.avg_pool2d(image, 299, 1, "VALID", name=pool_name)
        row = tf.reshape(pool, [1, 6], name=f"{pool_name}/_reshape")
        tf.matmul(row, weights, name="softmax/logits/MatMul")
        if with_logits:
            logits = tf.matmul(tf.reshape(pool, [-1, 6]), weights + 1)
            tf.identity(logits, name="logits")
    graph_def = graph.as_graph_def(add_shapes=True)  # _output_shapes: batches of 1
    for node in graph_def.node:
        node.device = "/device:GPU:7"
    path.write_bytes(graph_def.SerializeToString())
    return weights + 1 if with_logits else weights


def resized(images):
    """TensorFlow 1's bilinear resize to 299, from its definition."""
    side = images.shape[1]
    position = np.arange(299) * (side / 299)
    low = position.astype(int)
    high, share = np.minimum(low + 1, side - 1), position - low
    matrix = np.zeros((299, side))
    np.add.at(matrix, (np.arange(299), low), 1 - share)
    np.add.at(matrix, (np.arange(299), high), share)
    return np.einsum("ph,qw,bhwc->bpqc", matrix, matrix, images, optimize=True)


@pytest.mark.parametrize("with_logits", [False, True])
def test_a_frozen_graph_of_inception_is_run(tmp_path, random, with_logits):
    path = tmp_path / "classify_image_graph_def.pb"
    weights = frozen_graph(path, with_logits)
    network = features.load(f"inception={path}")
    images = pixels(random, 5, 37)
    found = network(images)
    kernel = np.random.default_rng(0)
    kernel.normal(size=(6, 4))
    kernel = kernel.normal(size=(3, 6))
    rows = np.maximum((resized(images) - 128) / 128 @ kernel, 0).mean((1, 2))
    np.testing.assert_allclose(found["features"], rows, rtol=1e-4)
    np.testing.assert_allclose(found["logits"], rows @ weights, rtol=1e-4, atol=1e-4)
    assert network.name == "inception"
    assert network.input_size == 299
    assert network.feature_size == 6
    assert network.hash == features.load(f"inception={path}").hash


def test_a_saved_model_of_inception_is_run(tmp_path, random):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
        def __call__(self, images):
            pool = tf.reduce_mean(images, (1, 2))
            return {"pool_3": pool[:, None, None], "logits": 2 * pool}

    tf.saved_model.save(Module(), str(tmp_path / "inception"))
    network = features.load(f"inception={tmp_path / 'inception'}")
    images = pixels(random, 2, 16)
    found = network(images)
    expected = (resized(images).mean((1, 2)) - 128) / 128
    np.testing.assert_allclose(found["features"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["logits"], 2 * expected, rtol=1e-4, atol=1e-5)


def test_what_is_no_inception_is_refused(tmp_path):
    text, other, folder = (
        tmp_path / name for name in ("text.pb", "other.pb", "folder")
    )
    text.write_text("no graph")
    frozen_graph(other, pool_name="pool_4")
    folder.mkdir()
    for path, message in (
        (text, "is no Inception: give a frozen TensorFlow graph"),
        (other, "not the graph of inception-2015-12-05"),
        (folder, "no SavedModel of Inception"),
        (tmp_path / "none.pb", "is not there: give a frozen graph"),
    ):
        with pytest.raises(BadInput, match=rf"{path}.* {message}"):
            features.load(f"inception={path}")


def test_a_saved_model_without_the_outputs_is_refused(tmp_path):
    module = tf.Module()
    module.__call__ = tf.function(
        lambda images: {"logits": images},
        input_signature=[tf.TensorSpec([None, None, None, 3])],
    )
    tf.saved_model.save(module, str(tmp_path / "other"))
    with pytest.raises(BadInput, match="other"):
        features.load(f"inception={tmp_path / 'other'}")


def test_an_unreachable_handle_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    with pytest.raises(BadInput, match=r"127\.0\.0\.1.* cannot be fetched .* lite0"):
        features.load("inception=http://127.0.0.1:9/inception/1")


# Any model of Keras


@pytest.mark.parametrize("pooled", [True, False])
def test_a_model_of_keras_gets_the_size_and_range_that_are_declared(
    tmp_path, random, pooled
):
    layers = keras.layers
    images = layers.Input([None, None, 3])
    x = layers.AveragePooling2D(16)(images)
    model = keras.Model(images, layers.GlobalAveragePooling2D()(x) if pooled else x)
    model.save(str(tmp_path / "mean_se"), save_format="tf")
    network = features.load(f"keras={tmp_path / 'mean_se'},32,-1:3.5")
    assert network.name == "keras_mean-se_32"  # fid_se is a standard error
    assert "antialiased, -1 to 3.5" in network.protocol["features_resize"]
    pictures = pixels(random, 2, 64)
    found = network(pictures)
    expected = pictures.mean((1, 2)) / 255 * 4.5 - 1
    np.testing.assert_allclose(found["features"], expected, atol=0.02)
    assert found["logits"].shape == (2, 0)


def test_a_model_with_a_signature_alone_keeps_its_variables(tmp_path):
    module = tf.Module()
    module.scale = tf.Variable(2.0)
    spec = tf.TensorSpec([None, 32, 32, 3])
    served = tf.function(lambda x: module.scale * tf.reduce_mean(x, (1, 2)), [spec])
    tf.saved_model.save(module, str(tmp_path), served.get_concrete_function())
    network = features.load(f"keras={tmp_path},32,0:1")
    gc.collect()
    found = network(np.full([2, 32, 32, 3], 255, np.uint8))["features"]
    np.testing.assert_allclose(found, np.full([2, 3], 2.0))


def test_what_is_no_model_of_keras_is_refused(tmp_path):
    for name, told in {
        f"keras={tmp_path},32,0:1": "is no SavedModel",
        f"keras={tmp_path / 'none'},32,0:1": "is no SavedModel",
        f"keras={tmp_path},0,0:1": "take a size from 1 to 1,024 pixels instead of 0,",
        f"keras={tmp_path},9999,0:1": "take a size from 1 to 1,024 pixels",
        f"keras={tmp_path}, 32, 1:1": "a range that rises",
        f"keras={tmp_path}": "PATH,SIZE,LOW:HIGH",
    }.items():
        with pytest.raises(BadInput, match=told):
            features.load(name)


# The linear head


def test_the_linear_head_is_at_its_optimum(random):
    x = random.normal(size=(300, 5)) * [1, 10, 0.1, 1, 0] + 3
    y = (x[:, 0] + random.normal(size=300) > 3).astype(int) + (x[:, 1] > 5)
    head = features.fit_linear_head(x.astype(np.float32), y, 3, decay=0.02)

    def loss(weights):
        logits = np.pad((x - head.mean) / head.scale, [(0, 0), (0, 1)])
        logits[:, -1] = 1
        logits = logits @ weights
        right = logits[np.arange(300), y]
        cross_entropy = np.mean(np.log(np.exp(logits).sum(1)) - right)
        return cross_entropy + 0.01 * np.sum(weights**2)

    least = loss(head.weights)
    for _ in range(20):
        assert loss(head.weights + 1e-3 * random.normal(size=(6, 3))) > least
    for index in itertools.product(range(6), range(3)):
        step = np.zeros((6, 3))
        step[index] = 1e-4
        slope = (loss(head.weights + step) - loss(head.weights - step)) / 2e-4
        assert abs(slope) < 1e-3


# Fashion-MNIST


@pytest.fixture(scope="module")
def fashion(lite0_32):
    """Features and labels of the training split; pictures and labels of the other."""
    embedded = data.load(image_size=32, source="embedded")

    def batches(split):
        for images, labels in embedded.batches(split, 500):
            yield np.uint8(np.round((images.numpy() + 1) * 127.5)), labels.numpy()

    train = [(lite0_32(x)["features"], y) for x, y in batches("train")]
    held_out = list(batches("held_out"))
    return [np.concatenate(part) for pairs in (train, held_out) for part in zip(*pairs)]


def test_fid_rises_with_noise_blur_and_missing_classes(lite0_32, fashion, random):
    train, _, pictures, labels = fashion
    half = pictures[::2]  # 1,000, 100 a class, as in every series below

    def statistics(rows):
        result = metrics.FeatureStatistics()
        result.update(rows)
        return result

    def fid(images):
        return metrics.frechet_distance(
            reference, statistics(lite0_32(images)["features"])
        )

    def noisy(deviation):
        noise = random.normal(scale=deviation, size=half.shape)
        return np.uint8(np.clip(np.round(half + noise), 0, 255))

    def blurred(times):
        images = half.astype(np.float32)
        for _, axis in itertools.product(range(times), (1, 2)):
            sides = np.roll(images, 1, axis) + np.roll(images, -1, axis)
            images = images / 2 + sides / 4
        return np.uint8(np.round(images))

    def without(missing):
        """1,000 pictures, as many of each of the other classes."""
        each = 1000 // (10 - missing)
        of_class = [
            np.flatnonzero(labels == label)[:each] for label in range(missing, 10)
        ]
        return pictures[np.concatenate(of_class)]

    reference = statistics(train)
    real = fid(half)
    for series in (
        [fid(noisy(deviation)) for deviation in (5, 20, 60)],
        [fid(blurred(times)) for times in (1, 3, 9)],
        [fid(without(missing)) for missing in (1, 3, 5)],
    ):
        assert real < series[0] < series[1] < series[2], (real, series)


def test_a_linear_head_tells_garments(fashion, lite0_32):
    train, labels, pictures, held_out_labels = fashion
    some = slice(None, None, 4)
    head = features.fit_linear_head(train[some], labels[some], 10)
    rows = lite0_32(pictures)["features"].numpy()
    assert np.mean(head(rows).argmax(1) == held_out_labels) > 0.7
    again = features.fit_linear_head(train[some], labels[some], 10)
    np.testing.assert_array_equal(head.weights, again.weights)


def test_tf32_comes_back_when_the_last_user_leaves():
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    assert enabled()
    first, second = process.without_tf32(), process.without_tf32()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not enabled()
    second.__exit__(None, None, None)
    assert enabled()
