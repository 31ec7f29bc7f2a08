"""TFDS data sets, really prepared on the spot: splits, decoding, refusals."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from biggan_tf import config, data
from biggan_tf.api import real_images
from biggan_tf.data import tfds_source
from biggan_tf.data_json import TrainedOn
from biggan_tf.errors import BadInput


class _Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    FEATURES = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 1)),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
    )
    SPLITS = ("train",)
    COUNT = 40

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=self.FEATURES)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in self.SPLITS}

    def _generate_examples(self):
        for number in range(self.COUNT):
            yield number, self.example(number)

    def example(self, number):
        grey = np.full((30 + number, 40, 1), number * 6, np.uint8)
        return {"image": grey, "label": number % 3}


class GreyTrainOnly(_Made):
    pass


class InOrder(_Made):
    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=self.FEATURES, disable_shuffling=True
        )


class WithValidationAndTest(_Made):
    SPLITS = ("test", "train", "validation")


class WithSpareFeatures(_Made):
    """Has one feature that the program need not, and cannot, decode."""

    FEATURES = tfds.features.FeaturesDict(
        {**_Made.FEATURES, "mask": tfds.features.Image(shape=(None, None, 1))}
    )

    def example(self, number):
        return {**super().example(number), "mask": io.BytesIO(b"no image")}


class WithOneBrokenImage(_Made):
    COUNT = 12

    def example(self, number):
        broken = {"image": io.BytesIO(b"no image")} if number == 7 else {}
        return {**super().example(number), **broken}


class WithoutTestLabels(_Made):
    SPLITS = ("train", "test")

    def example(self, number):
        return {**super().example(number), "label": -1}


class OfText(_Made):
    FEATURES = tfds.features.FeaturesDict(
        {
            "text": tfds.features.Text(),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
    )


class WithoutClasses(_Made):
    FEATURES = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(None, None, 3)), "label": np.int64}
    )


class Of16Bits(_Made):
    FEATURES = tfds.features.FeaturesDict(
        {**_Made.FEATURES, "image": tfds.features.Image(dtype=np.uint16)}
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("prepared"))


def load(name, data_dir, prepare=True, **more) -> data.Data:
    if prepare:
        tfds.builder(name, data_dir=data_dir).download_and_prepare(
            download_config=tfds.download.DownloadConfig(num_shards=4)
        )
    return data.load(image_size=32, source="tfds", name=name, data_dir=data_dir, **more)


def splits(source) -> tuple:
    spec = source.spec
    return (
        (spec.train_split, spec.train_images),
        (spec.held_out_split, spec.held_out_images),
    )


def in_order(batches) -> list[int]:
    """The shades of images, each another one."""
    images = [image for image, _ in batches.as_numpy_iterator()]
    return list(np.round((np.concatenate(images)[:, 9, 9, 0] + 1) * 127.5 / 6))


def shades(batches) -> list[int]:
    return sorted(in_order(batches))


def test_held_out_split_is_found_or_made(data_dir):
    source = load("with_validation_and_test", data_dir)
    assert splits(source) == (("train", 40), ("validation", 40))
    source = load("with_validation_and_test", data_dir, split="validation")
    assert splits(source) == (("validation", 40), ("test", 40))
    source = load("with_validation_and_test", data_dir, split="train+validation")
    assert splits(source) == (("train+validation", 80), ("test", 40))
    source = load("with_validation_and_test", data_dir, held_out_fraction=0.25)
    assert splits(source) == (("train[:30]", 30), ("train[30:]", 10))
    source = load("grey_train_only", data_dir)
    assert splits(source) == (("train[:36]", 36), ("train[36:]", 4))
    source = load(
        "grey_train_only", data_dir, split="train[:50%]", held_out_split="train[90%:]"
    )
    assert splits(source) == (("train[:50%]", 20), ("train[90%:]", 4))
    numbers = "grey_train_only has no names of its classes but numbers"
    assert source.found() == ["grey_train_only: 20 to train on, 4 held out", numbers]
    assert data.load(image_size=32).found() == data.load(image_size=16).found()
    assert data.load(image_size=64).found()[1] == "enlarged to 64 px: all, from 32 px"
    same, _ = load("grey_train_only", data_dir, held_out_split="train").found()
    assert same.endswith("40 held out, which are the same")


def test_held_out_images_may_have_been_trained_on(data_dir, capsys):
    source = load("grey_train_only", data_dir)
    trained_on = source.fingerprint("train")
    config.parse([], [f"data.data_dir = {data_dir!r}"])
    capsys.readouterr()
    for images, said in (
        (trained_on, ""),
        ("", "trained on images held out of grey_t"),
    ):
        model = TrainedOn(source.spec, images)
        real_images.images_for(model, "tfds:grey_train_only", "held_out", False)
        told = capsys.readouterr().out
        assert said in told if said else not told


def test_data_that_are_not_there_are_not_said_to_be_others(data_dir, tmp_path, capsys):
    source = load("grey_train_only", data_dir)
    bound = {"source": "tfds", "name": "grey_train_only", "data_dir": str(tmp_path)}
    bound["image_size"] = source.spec.image_size
    config.parse([], [f"data.{name} = {value!r}" for name, value in bound.items()])
    capsys.readouterr()
    model = TrainedOn(source.spec, source.fingerprint("train"))
    real = real_images.images_for(model, None, "train", False)
    assert real.fingerprint("train") == ""
    assert not capsys.readouterr().out


def test_slices_of_files_are_disjoint_and_whole_while_they_are_shuffled(data_dir):
    source = load("grey_train_only", data_dir)
    train = shades(source.train_batches(36, seed=1).take(1))
    assert train == shades(source.batches("train", 36))
    assert sorted(train + shades(source.batches("held_out", 36))) == list(range(40))


def test_images_spread_over_the_files_are_as_many_as_were_asked_for(data_dir):
    for part in ("[3:]", "[11:38]", "[:9]"):
        held_out = f"validation{part}"
        source = load("with_validation_and_test", data_dir, held_out_split=held_out)
        whole = in_order(source.batches("held_out", 50))
        for count in (1, 5, 8, 49):
            found = in_order(source.spread("held_out", count).batch(50))
            assert len(set(found)) == len(found) == min(count, len(whole))
    whole = load("with_validation_and_test", data_dir)  # 40 images in 4 files
    order = in_order(whole.batches("held_out", 50))
    eight = in_order(whole.spread("held_out", 8).batch(50))
    np.testing.assert_array_equal(
        np.diff([order.index(shade) for shade in eight]), [1, 9] * 3 + [1]
    )


def test_files_come_in_another_order_each_epoch(data_dir, monkeypatch):
    monkeypatch.setattr(tfds_source, "SHUFFLE_BUFFER_BYTES", 0)  # one example
    source = load("grey_train_only", data_dir, held_out_split="train")
    epochs = [
        tuple(np.round((image[:, 9, 9, 0] + 1) * 127.5 / 6).astype(int))
        for image, _ in source.train_batches(40, seed=1).take(4).as_numpy_iterator()
    ]
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    assert len(set(epochs)) > 1


def test_grey_of_any_size_becomes_rgb(data_dir):
    source = load("grey_train_only", data_dir)
    image, label = next(source.batches("held_out", 4).as_numpy_iterator())
    assert image.shape == (4, 32, 32, 3)
    assert (image[..., 0] == image[..., 2]).all()
    shade = np.round((image[:, 9, 9, 0] + 1) * 127.5 / 6)
    np.testing.assert_array_equal(shade % 3, label)


def test_features_of_no_concern_are_not_decoded(data_dir):
    source = load("with_spare_features", data_dir)
    assert len(shades(source.train_batches(36, seed=1).take(1))) == 36


def test_resuming_decodes_nothing_of_what_it_skips(data_dir):
    source = load("with_one_broken_image", data_dir, held_out_split="train")

    def starts_at(position):
        try:
            next(iter(source.train_batches(1, seed=4, first_batch=position)))
        except tf.errors.InvalidArgumentError:
            return False
        return True

    assert [starts_at(position) for position in range(12)].count(False) == 1
    assert starts_at(11)


def test_labels_out_of_range_are_named(data_dir):
    source = load("without_test_labels", data_dir)
    wanted = "without_test_labels.*3 classes.*-1"
    with pytest.raises(BadInput, match=wanted), data.sentences():
        list(source.batches("held_out", 4))


@pytest.mark.parametrize("cut", ["inside a record", "between records", "all"])
def test_files_that_are_cut_off_are_counted_and_named(data_dir, tmp_path, cut):
    load("grey_train_only", data_dir)
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    path = sorted(tmp_path.glob("grey_train_only/1.0.0/*.tfrecord-*"))[2]
    whole = path.read_bytes()
    lengths = [
        len(record.numpy()) + 16 for record in tf.data.TFRecordDataset(str(path))
    ]
    end = {"inside a record": -5, "between records": -lengths[-1], "all": -len(whole)}
    path.write_bytes(whole[: len(whole) + end[cut]])
    with pytest.raises(
        BadInput, match="1 files are missing or cut off .first .*-00002-of"
    ):
        load("grey_train_only", str(tmp_path), prepare=False).check_ready()
    path.unlink()
    with pytest.raises(
        BadInput, match="1 files are missing or cut off .first .*-00002-of"
    ):
        load("grey_train_only", str(tmp_path), prepare=False).check_ready()


def test_a_set_that_was_not_shuffled_has_no_end_held_out(data_dir):
    with pytest.raises(BadInput, match="'in_order': its images lie in the order in wh"):
        load("in_order", data_dir)
    source = load("in_order", data_dir, held_out_split="train")
    assert shades(source.spread("train", 4).batch(4)) == [0, 10, 20, 30]


def test_files_that_go_while_they_are_read_end_in_one_sentence(data_dir, tmp_path):
    load("grey_train_only", data_dir)
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    source = load("grey_train_only", str(tmp_path), prepare=False)
    batches = source.train_batches(4, seed=0)
    shutil.rmtree(tmp_path / "grey_train_only")
    with pytest.raises(BadInput, match="data: a file cannot be read .*grey_train_only"):
        with data.sentences():
            list(batches.take(20))


def test_a_flipped_bit_and_a_broken_image_end_in_one_sentence(data_dir, tmp_path):
    """They are met while training, evaluating or preparing."""
    load("grey_train_only", data_dir)
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    path = sorted(tmp_path.glob("grey_train_only/1.0.0/*.tfrecord-*"))[2]
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 4
    path.write_bytes(whole)
    flipped = load("grey_train_only", str(tmp_path), prepare=False)
    broken = load("with_one_broken_image", data_dir)
    for source, sentence in (
        (flipped, r"^data.name: a file is damaged \(corrupted record at \d+\)"),
        (broken, r"^data: an image is damaged \(.*image file"),
    ):
        with pytest.raises(BadInput, match=sentence) as error, data.sentences():
            list(source.train_batches(4, 0).take(20))
        assert "\n" not in str(error.value)


def tar(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, member in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(member)
            archive.addfile(entry, io.BytesIO(member))
    return content.getvalue()


def test_imagenet_from_its_name_to_a_batch(tmp_path):
    tmp_path = tmp_path / "my $data"
    source = load("imagenet2012", str(tmp_path), prepare=False)
    assert source.spec.num_classes == 1000
    assert source.spec.class_names[1] == "n01443537"
    assert splits(source) == (("train", 0), ("", 0))
    with pytest.raises(BadInput, match="not prepared") as refused:
        source.check_ready()
    for split in ("train", "held_out"):
        with pytest.raises(BadInput, match="not prepared"):
            source.batches(split, 1)

    # Do what the message says, with archives like the real ones.
    message = str(refused.value)
    manual = tmp_path / "downloads" / "manual"
    assert str(manual) in message
    manual.mkdir(parents=True)
    jpeg = tf.io.encode_jpeg(np.zeros((40, 50, 3), np.uint8)).numpy()
    goldfish = tar({f"n01443537_{number}.JPEG": jpeg for number in range(5)})
    train = {"n01443537.tar": goldfish}
    val = {f"ILSVRC2012_val_{number:08}.JPEG": jpeg for number in (1, 2)}
    for name, members in (("train", train), ("val", val)):
        assert f"ILSVRC2012_img_{name}.tar" in message
        (manual / f"ILSVRC2012_img_{name}.tar").write_bytes(tar(members))
    command = message.split("`")[1]
    subprocess.run(command, shell=True, check=True)

    source = load("imagenet2012", str(tmp_path), prepare=False)
    assert splits(source) == (("train", 5), ("validation", 2))
    image, label = next(source.train_batches(4, seed=0).as_numpy_iterator())
    assert (image < -0.9).all()
    assert label.tolist() == [1, 1, 1, 1]


def test_splits_are_known_by_what_their_files_hold(data_dir, tmp_path):
    source = load("grey_train_only", data_dir)
    prints = [source.fingerprint(split) for split in ("train", "held_out")]
    assert (
        len({*prints, load("with_validation_and_test", data_dir).fingerprint("train")})
        == 3
    )
    assert (
        load("grey_train_only", str(tmp_path), prepare=False).fingerprint("train") == ""
    )
    shutil.copytree(f"{data_dir}/grey_train_only", tmp_path / "grey_train_only")
    moved = load("grey_train_only", str(tmp_path), prepare=False)
    assert [moved.fingerprint(split) for split in ("train", "held_out")] == prints


def test_prepared_data_needs_no_builder_code(data_dir, tmp_path):
    prepared = load("grey_train_only", data_dir)
    (tmp_path / "unheard_of").symlink_to(f"{data_dir}/grey_train_only")
    source = load("unheard_of", str(tmp_path), prepare=False)
    batches = (each.batches("held_out", 4) for each in (prepared, source))
    assert shades(next(batches)) == shades(next(batches))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("imagenet2013", r"'imagenet2013': TFDS has no such data set .* imagenet2012"),
        ("qqqqqq", "'qqqqqq': TFDS has no such data set .* cifar10"),
        ("cifar10/blue", r"'cifar10/blue': .*BuilderConfig blue not found"),
        ("cifar10:1.0.0", r"'cifar10:1\.0\.0': .*only: 3\.0\.2"),
        ("huggingface:mnist", "'huggingface:mnist': community data sets"),
        ("of_text", "'of_text': take a data set of 8-bit grey or RGB images"),
        ("coco", "'coco': take a data set that gives each example a class"),
        ("without_classes", "'without_classes': .* gives each example a class"),
        ("of16_bits", "'of16_bits': take a data set of 8-bit"),
    ],
)
def test_names_that_will_not_do(tmp_path, name, said):
    with pytest.raises(BadInput, match=rf"data\.name = {said}"):
        load(name, str(tmp_path), prepare=False)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"split": "dev"}, r"data\.split = 'dev': .* train \(40\)"),
        ({"held_out_split": "dev"}, r"data\.held_out_split = 'dev': .* train \(40\)"),
        ({"held_out_split": "train[:0]"}, r"data\.held_out_split = 'train\[:0\]'"),
        ({"split": "train[:50%]"}, r"data\.split = 'train\[:50%\]': .*held_out_split"),
        (
            {"split": "train+train[:9]"},
            r"'train\+train\[:9\]': with a .* or a sum, give",
        ),
        (
            {"split": "train[5:30]", "held_out_split": "train[:6]"},
            r"data\.held_out_split = 'train\[:6\]': take .* shares no image with data",
        ),
        ({"split": "train[oops]"}, r"data\.split = 'train\[oops\]': it holds nothing"),
        *(
            ({name: text}, rf"data\.{name} = '{re.escape(text)}': it holds nothing")
            for name in ("split", "held_out_split")
            for text in ("train[80%:20%]", "train[3:2]+train[10:14]", "all[:9]")
        ),
    ],
)
def test_splits_that_will_not_do(data_dir, wrong, said):
    with pytest.raises(BadInput, match=said):
        load("grey_train_only", data_dir, **wrong)


def test_a_format_without_sequential_reading_is_refused(tmp_path):
    pytest.importorskip("array_record")
    tfds.builder(
        "grey_train_only", data_dir=tmp_path, file_format="array_record"
    ).download_and_prepare()
    source = load("grey_train_only", str(tmp_path), prepare=False)
    with pytest.raises(
        BadInput, match="it is prepared as array_record .*; take tfrecord"
    ):
        source.check_ready()
