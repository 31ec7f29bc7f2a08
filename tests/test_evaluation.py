"""Scores with their protocol: of a module, of a run, and while training."""

import contextlib
import copy
import dataclasses
import functools
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from doors import ENVIRONMENT, ROOT, Door, called
from nobody import as_nobody
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from biggan_tf import config, data, evaluation, features, files, latents, loop, metrics
from biggan_tf.api import real_images, scores
from biggan_tf.checkpoints import Checkpoints, every, read_average, read_best, sha256
from biggan_tf.data_json import TrainedOn
from biggan_tf.distribution import make_strategy
from biggan_tf.errors import BadInput
from biggan_tf.sample_folder import SampleFolder
from biggan_tf.sampling import Sampler

IMAGES = 1281  # the fewest for 1280 features
ALL = ("fid", "is", "kid", "prdc", "intra_fid", "accuracy", "ms_ssim", "prd", "cas")


@pytest.fixture(scope="module", autouse=True)
def less_work():
    """Fewer images for linear heads; one network of each kind on one device."""
    fresh, cached = features.load, functools.lru_cache(features.load)

    def load(name):
        several = tf.distribute.get_strategy().num_replicas_in_sync > 1
        return fresh(name) if several else cached(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation.scoring, "KEPT", 2000)
        patch.setattr(metrics.clusters, "_RUNS", 2)
        patch.setattr(features, "load", load)
        yield


@pytest.fixture(scope="module")
def fashion():
    return data.load(image_size=32)


def subject(draw=None, **changes):
    """Smooth pictures that depend on z and y."""
    kernel = tf.random.stateless_normal([18, 32 * 32 * 3], [1, 2], stddev=0.5)

    def images(z, y, truncation):
        del truncation
        flat = tf.tanh(tf.concat([z, y], 1) @ kernel)
        return tf.reshape(flat, [-1, 32, 32, 3])

    sizes, names = (10, 8, 32), tuple("abcdefghij")
    about = (), 7, "standing", latents.uniform(10)
    made = Sampler(draw or images, *sizes, names, "resample", *about)
    return dataclasses.replace(made, **changes)


def evaluator(fashion, names=("fid",), kind="one_device", **changes):
    strategy = make_strategy(kind=kind, virtual_cpus=2)
    options = {"num_images": IMAGES, "split": "held_out", **changes}
    with strategy.scope():
        network = features.load("lite0_32")
    return evaluation.Evaluator(strategy, network, fashion, names, **options)


@pytest.fixture(scope="module")
def scored(fashion, tmp_path_factory):
    """All metrics of a subject, and the evaluator that made them."""
    path = tmp_path_factory.mktemp("reference") / "reference.npz"
    made = evaluator(fashion, ALL, reference=path)
    picture = subject()
    return made, picture, made.score(picture, 0.7), path


def test_every_score_carries_its_network_and_head(scored):
    _, _, scores, _ = scored
    names = ["fid", "fid_se", "is_linear", "is_linear_std", "is_linear_se", "kid"]
    names += ["kid_std", "kid_se", "precision", "recall", "density", "coverage"]
    names += ["precision_se", "recall_se", "density_se", "coverage_se", "intra_fid"]
    names += ["intra_fid_se", "accuracy_linear", "accuracy_linear_se"]
    names = [f"{name}_lite0_32" for name in names]
    names += ["ms_ssim", "ms_ssim_se", "ms_ssim_real"]
    names += [f"prd_{name}_lite0_32" for name in ("f8", "f1_8", "f8_se", "f1_8_se")]
    names += ["cas_linear_lite0_32", "cas_linear_real_lite0_32"]
    assert list(scores) == names
    assert set(metrics.METRICS) == {*ALL, "sfid", "fid_infinity", "topk"}
    assert all(math.isfinite(value) for value in scores.values())


def test_the_same_seed_gives_the_same_digits_and_replicas_hardly_others(
    scored, fashion
):
    made, picture, scores, path = scored
    assert made.score(picture, 0.7) == scores
    two = evaluator(fashion, ALL, "virtual_cpus", reference=path)
    for name, value in two.score(picture, 0.7).items():
        assert value == pytest.approx(scores[name], rel=1e-3, abs=1e-6), name
    other = evaluator(fashion, seed=1, reference=path)
    assert other.score(picture, 0.7)["fid_lite0_32"] != scores["fid_lite0_32"]


def test_scores_are_made_without_tf32(fashion):
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    found = []

    def draw(z, y, truncation):
        del y, truncation
        with tf.control_dependencies(
            [tf.py_function(lambda: found.append(enabled()), [], [])]
        ):
            return tf.tanh(
                tf.random.stateless_normal([tf.shape(z)[0], 32, 32, 3], [1, 2])
            )

    assert enabled()
    made = evaluator(fashion)
    assert made.reference_protocol["tf32"] is False
    made.score(subject(draw))
    assert found
    assert not any(found)
    assert enabled()
    real = made.real()
    next(real)
    assert enabled()  # while somebody computes with what was seen


def test_classes_as_frequent_as_in_the_data_score_better(fashion):
    """With a perfect generator: real images of the classes asked for."""
    sizes = [800] + 9 * [100]
    images, labels = fashion._splits["train"]
    kept = np.concatenate([800 * c + np.arange(n) for c, n in enumerate(sizes)])
    unbalanced = copy.copy(fashion)
    unbalanced._splits = {"train": (tf.gather(images, kept), tf.gather(labels, kept))}
    unbalanced.spec = dataclasses.replace(
        fashion.spec, train_images=len(kept), class_counts=tuple(sizes)
    )

    def draw(z, y, truncation):
        del truncation
        label = tf.argmax(y, 1, tf.int32)
        among = tf.gather(tf.constant(sizes), label)
        which = tf.cast(tf.math.floormod(tf.abs(z[:, 0]) * 1e4, 1.0), tf.float32)
        index = 800 * label + tf.cast(which * tf.cast(among, tf.float32), tf.int32)
        x = tf.cast(tf.gather(images, index), tf.float32) / 127.5 - 1
        return tf.image.grayscale_to_rgb(x)

    frequencies = latents.shares(sizes)
    made = evaluator(unbalanced, split="train", frequencies=frequencies)
    evenly, as_data = subject(draw), subject(draw, class_frequencies=frequencies)
    far, near = (made.score(one)["fid_lite0_32"] for one in (evenly, as_data))
    assert near < far / 3
    assert made.record(as_data, math.inf, {})["protocol"]["labels"] == "data"
    drawn = made.generated(as_data, math.inf, IMAGES).labels
    counts = evaluation.scoring.drawn_counts(IMAGES, frequencies, 0)
    np.testing.assert_array_equal(counts, np.bincount(drawn))


def test_the_record_says_how_a_score_was_made(scored, tmp_path, capsys):
    made, picture, scores, path = scored
    path_ = tmp_path / "metrics.jsonl"
    record = made.record(picture, 0.7, scores)
    evaluation.write_record(path_, {**record, "fid_lite0_32": 0.0})
    odd = '\ufeff{"name": "\u2028", "protocol": {"step": 5}}\r\n'.encode()
    odd += b"{\n" + "a note in UTF-16\n".encode("utf-16-be")
    path_.write_bytes(odd + path_.read_bytes())
    evaluation.write_record(path_, {"other": 1.0, "protocol": {"step": 6}})
    with path_.open("a") as file:
        file.write('{"step": 7, "fi')  # and then it was killed
    assert [one["protocol"]["step"] for one in evaluation.read_records(path_)] == [
        *(5, 7, 6)
    ]
    assert re.search(r"\.jsonl: [2-9] of \d lines cannot be", capsys.readouterr().out)
    evaluation.write_record(path_, record)
    whole = path_.read_bytes()
    assert whole.startswith(odd)
    other, line = whole.removeprefix(odd).splitlines()
    assert json.loads(other)["other"] == 1.0
    record = json.loads(line)
    assert record["step"] == 7
    assert record["fid_lite0_32"] == scores["fid_lite0_32"]
    assert record["protocol"] == {
        "step": 7,
        "weights": "ema",
        "weights_sha256": "",
        "statistics": "standing",
        "truncation": 0.7,
        "convention": "resample",
        "num_images": IMAGES,
        "seed": 0,
        "labels": "uniform",
        "tf32": False,
        **made.reference_protocol,
        "reference": str(path),
        "reference_images": 2000,
        "reference_features": 2000,
        "reference_sha256": files.sha256(path),
        "head_fitted_to_sha256": made._data.fingerprint("train"),
        "biggan_tf": record["protocol"]["biggan_tf"],
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
    assert len(record["protocol"]["features_sha256"]) == 64
    without_head = evaluator(made._data).record(picture, 0.7, {})["protocol"]
    assert "head_fitted_to_sha256" not in without_head


def test_real_images_score_best_and_are_their_own_neighbours(scored, fashion):
    made, _, scores, _ = scored
    (real, _), *_ = fashion.train_batches(evaluation.scoring.BATCH_SIZE, 0).take(1)
    copying = subject(lambda z, y, truncation: tf.constant(real))
    assert made.score(copying)["fid_lite0_32"] < scores["fid_lite0_32"] / 2
    sheets = evaluation.nearest_neighbours(made, copying, math.inf, rows=3, columns=2)
    for sheet in sheets.values():
        named = sheet[:, :-196]  # by the class, to the left of three tiles
        assert named.min() < 100
        sample, nearest = sheet[:64, -196:-132], sheet[:64, -130:-66]
        np.testing.assert_array_equal(sample, nearest)


def test_few_training_images_have_fewer_neighbours(scored, monkeypatch):
    made, picture, _, _ = scored
    monkeypatch.setattr(made, "real_count", lambda split: 3)
    for sheet in evaluation.nearest_neighbours(made, picture, math.inf).values():
        assert sheet.shape[0] == 10 * 66 - 2


def test_a_folder_of_samples_holds_what_is_scored(scored, tmp_path):
    made, picture, _, _ = scored
    folder = SampleFolder("module", range(10), None, 0.7, seed=0)
    folder.write(tmp_path, picture, 140)
    scored = made.generated(picture, 0.7, 140)
    files = sorted(tmp_path.glob("*.png"), key=lambda file: file.stem[-6:])
    np.testing.assert_array_equal([int(file.name[:4]) for file in files], scored.labels)
    for file, expected in zip(files, scored.images):
        found = np.asarray(Image.open(file))
        np.testing.assert_allclose(found, expected.astype(float), atol=1)


@pytest.mark.parametrize("value", [float("nan"), 1.5])
def test_broken_images_stop_at_the_first_batch(scored, value):
    made, _, _, _ = scored
    broken = subject(lambda z, y, t: tf.fill([*z.shape[:1], 32, 32, 3], value))
    with pytest.raises(BadInput, match=r"NaN or not in \[-1, 1\]"):
        made.score(broken)


def test_what_cannot_be_scored_is_refused_first(scored, fashion):
    made, _, _, path = scored
    with pytest.raises(BadInput, match="num_images = 1280: take 1281 .* fid needs"):
        evaluator(fashion, num_images=1280)
    with pytest.raises(BadInput, match="num_classes = 11 of .* has 10"):
        made.score(subject(num_classes=11))
    with pytest.raises(BadInput, match="image_size = 64 of .* has 32"):
        made.score(subject(image_size=64))
    with pytest.raises(BadInput, match="truncation=-1"):
        made.score(subject(), -1.0)
    with pytest.raises(
        BadInput, match=r"another protocol.*image_size = 32 instead of 64"
    ):
        evaluator(data.load(image_size=64), reference=path)
    with pytest.raises(
        BadInput, match="another protocol.*test split.*training split.*make it anew"
    ):
        evaluator(fashion, reference=path, split="train")
    with pytest.raises(BadInput, match="topk: .* have the 10 classes of the data"):
        evaluator(fashion, ("topk",))
    with pytest.raises(BadInput, match="take some of .*fid"):
        evaluation.parse_metrics(["fidd"], "--metrics")
    assert evaluation.parse_metrics("fid, is", "--metrics") == ("fid", "is")


def test_a_score_that_is_no_number_is_none(tmp_path):
    path, protocol = tmp_path / "metrics.jsonl", {"seed": 0}
    for damaged in ("x", None, 10**400):
        evaluation.write_record(path, {"fid": damaged, "is": 2.0, "protocol": protocol})
        records = evaluation.read_records(path)
        assert evaluation.known_scores(records, protocol, ["fid", "is"]) is None
    with path.open("a") as file:
        file.write(f'{{"fid": {"9" * 5000}, "protocol": {{"seed": 0}}}}\n')
    evaluation.write_record(path, {"fid": 1.0, "protocol": protocol})
    records = evaluation.read_records(path)
    found = evaluation.known_scores(records, protocol, ["fid", "is"])
    assert found == {"fid": 1.0, "is": 2.0}


@pytest.mark.parametrize("metric", sorted(metrics.METRICS))
def test_classes_of_other_names_are_not_compared(fashion, capsys, metric):
    spec, by_class = fashion.spec, ("accuracy", "cas", "intra_fid", "ms_ssim", "topk")
    numbers = tuple(map(str, range(10)))
    for fine in (spec.class_names, numbers, numbers[1:]):
        evaluation.check_classes(fine, spec, [metric])
    numbered = dataclasses.replace(spec, class_names=numbers)
    evaluation.check_classes(spec.class_names, numbered, [metric])
    assert not capsys.readouterr().out
    names = ("Shirt", *spec.class_names[1:])
    told = "1 of 10 classes are others in .*, such as class 0, 'T-shirt"
    if metric in by_class:
        with pytest.raises(BadInput, match=f"leave out {metric}, for {told}"):
            evaluation.check_classes(names, spec, ["fid", metric])
    else:
        evaluation.check_classes(names, spec, [metric])
        assert re.match(told, capsys.readouterr().out)


def test_classes_that_will_have_too_few_samples_are_refused_first(scored, fashion):
    made, picture, _, _ = scored
    labels = made.generated(picture, math.inf, IMAGES).labels
    counts = evaluation.scoring.drawn_counts(IMAGES, latents.uniform(10), 0)
    np.testing.assert_array_equal(counts, np.bincount(labels))
    spec = dataclasses.replace(
        fashion.spec, num_classes=300, class_names=tuple(map(str, range(300)))
    )
    many = copy.copy(fashion)
    many.spec = spec
    with pytest.raises(BadInput, match="intra_fid with [01] generated images of "):
        evaluator(many, ("intra_fid",))
    counts = 9, 1, *[700] * 8
    many.spec = dataclasses.replace(fashion.spec, class_counts=counts)
    evaluator(many, ("intra_fid",))  # held-out images are counted when they are read
    many.class_counts = {"train": counts, "held_out": counts[::-1]}.get
    for split, lacks in (("train", "Trouser"), ("held_out", "Bag")):
        with pytest.raises(BadInput, match=f"intra_fid with 1 real images of {lacks}"):
            evaluator(many, ("intra_fid",), split=split)


@pytest.mark.parametrize("metric", ["accuracy", "cas"])
def test_what_is_1_of_any_images_of_one_class_is_refused(fashion, metric):
    one = copy.copy(fashion)
    one.spec = dataclasses.replace(fashion.spec, num_classes=1, class_names=("a",))
    with pytest.raises(BadInput, match=f"^{metric}: leave it out .* has one class"):
        evaluator(one, ("fid", metric))
    evaluator(one, ("fid", "prdc"))


def test_a_run_says_that_its_scores_are_never_made():
    options = evaluation.EvaluationOptions
    assert options().remark() == options(every_steps=2, num_images=9).remark() == ""
    told = options(num_images=9).remark()
    assert told == "evaluation.every_steps = 0: nothing is scored in training"


def test_a_perfect_generator_is_precise_on_a_split_larger_than_what_is_kept(
    fashion, monkeypatch
):
    """The held-out images come class by class."""
    monkeypatch.setattr(evaluation.scoring, "KEPT", 300)
    images, _ = next(iter(fashion.batches("held_out", 2000)))

    def draw(z, y, truncation):
        del y, truncation
        return tf.gather(images, tf.cast(tf.abs(z[:, 0]) * 1e6, tf.int32) % 2000)

    made = evaluator(fashion, ("prdc", "kid"), num_images=300)
    scores = made.score(subject(draw))
    assert scores["precision_lite0_32"] > 0.8
    assert scores["coverage_lite0_32"] > 0.8


def test_scores_without_fid_take_few_images_and_those_without_reference_no_images(
    fashion,
):
    made = evaluator(fashion, ("kid", "prdc"), num_images=50)
    scores = made.score(subject())
    assert scores["kid_lite0_32"] > 0
    labels = np.random.default_rng(0).integers(0, 10, 5)
    own = dataclasses.replace(fashion.spec, own_classes=False, name=str(labels))
    nothing = copy.copy(fashion)
    nothing.spec, nothing._splits = own, {}
    alone = evaluator(nothing, ("is",), num_images=50)
    assert alone.score(subject())["is_lite0_32"] > 1
    with pytest.raises(BadInput, match=r"reference=x.npz: leave it out, for none of"):
        evaluator(nothing, ("is",), num_images=50, reference="x.npz")


@pytest.fixture
def garments(fashion, tmp_path):
    """Some images of two classes in a folder."""
    images, labels = next(iter(fashion.batches("held_out", 2000)))
    pixels = np.uint8((images.numpy() + 1) * 127.5)
    for label in (0, 1):
        folder = tmp_path / "images" / str(label)
        folder.mkdir(parents=True)
        for index, picture in enumerate(pixels[labels == label][:20]):
            Image.fromarray(picture).save(folder / f"{index}.png")
    return tmp_path / "images"


def test_real_images_are_known_by_what_they_are(garments, tmp_path, capsys):
    def made(folder, **files):
        source = data.load(image_size=32, source="folder", path=str(folder))
        kid = ("kid",)
        return evaluator(source, kid, num_images=20, split="train", **files)

    def mean(path):
        return metrics.FeatureStatistics.load(path).mean

    given, own = tmp_path / "given.npz", tmp_path / "own.npz"
    assert made(garments, reference=given).reference
    assert made(garments, cache=own).reference
    before = mean(own)
    # The same images elsewhere are the same images.
    moved = garments.rename(tmp_path / "moved")
    made(moved, reference=given)
    made(moved, cache=own)
    assert not capsys.readouterr().out
    # Others under the same names are not.
    for path in (moved / "1").glob("*.png"):
        picture = np.asarray(Image.open(path))
        Image.fromarray(255 - picture).save(path)
    told = r"given\.npz .*content_sha256 = .* make it anew"
    with pytest.raises(BadInput, match=told):
        made(moved, reference=given)
    assert made(moved, cache=own).reference
    (line,) = capsys.readouterr().out.splitlines()
    assert "own.npz was made with another protocol: content_sha256" in line
    assert line.endswith("; it is made anew.")
    assert np.abs(mean(own) - before).max() > 1e-3
    np.testing.assert_array_equal(mean(given), before)
    own.write_bytes(b"cut off")
    assert made(moved, cache=own).reference
    assert "own.npz cannot be read; it is made anew." in capsys.readouterr().out
    with np.load(own) as file:
        arrays = dict(file)
    for name, rows in (("mean", 5), ("covariance", 5), ("features", 20)):
        arrays[name] = arrays[name][:rows][..., :5]
    np.savez(own, **arrays)
    with pytest.raises(BadInput, match=r"own\.npz has features of size 5: take a file"):
        made(moved, reference=own)


def test_the_columns_of_the_paper_and_the_curve(tmp_path):
    rows = [
        {"truncation": t, "fid": fid, "is": score}
        for t, fid, score in [(math.inf, 9, 2), (1, 7, 3), (0.5, 8, 4), (0.1, 20, 5)]
    ]
    text = evaluation.paper_columns(rows, "fid", "is", 4.2)
    assert [line.split(": ")[1] for line in text.splitlines()] == [
        "9.00 / 2.00 at truncation inf",
        "7.00 / 3.00 at truncation 1",
        "8.00 / 4.00 at truncation 0.5",
        "20.00 / 5.00 at truncation 0.1",
    ]
    assert text.startswith("no truncation: ")
    text = evaluation.paper_columns(rows[1:], "fid", "is", 4.2)
    assert text.startswith("largest truncation: 7.00")
    evaluation.write_csv(tmp_path / "curve.csv", rows)
    lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert lines[:2] == ["truncation,fid,is", "inf,9,2"]
    picture = evaluation.picture(rows, "fid", "is", "folder:$a_{$ x")
    assert picture.dtype == np.uint8
    assert picture.std() > 5


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "truncation_curve.png", "neighbours_pixels.png"]
)
def test_what_cannot_be_written_is_said_before_anything_is_scored(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(BadInput, match=f"{name} in it cannot be written .Is a dir"):
        scores._folder(tmp_path, None, curve=True, neighbours=True)
    if name != "metrics.jsonl":
        assert scores._folder(tmp_path, None, False, False) == tmp_path
    (tmp_path / name).rmdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(BadInput, match=f"{name} in it cannot be written .it is a pip"):
        scores._folder(tmp_path, None, curve=True, neighbours=True)


def test_a_reference_is_no_file_that_is_written_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("metrics.jsonl", "truncation_curve.csv"):
        with pytest.raises(BadInput, match=f"--reference=out/{name}: take another"):
            scores._folder(tmp_path / "out", None, True, False, Path("out") / name)
    scores._folder(tmp_path / "out", None, False, False, Path("out/real.npz"))


def test_pictures_do_not_come_among_the_real_images(fashion, tmp_path):
    spec = dataclasses.replace(fashion.spec, source="folder", name=str(tmp_path))
    for inside in (tmp_path, tmp_path / "a" / "b", tmp_path / "a" / ".."):
        with pytest.raises(BadInput, match="pictures would count as images"):
            scores._check_outside(inside, spec)
    scores._check_outside(tmp_path.parent, spec)
    scores._check_outside(tmp_path, fashion.spec)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.gin").touch()  # a run, which is left out
    scores._check_outside(tmp_path / "a" / "b", spec)


def test_a_sweep_takes_real_images_for_their_own_score(scored):
    made, spec = scored[0], scored[0]._data.spec
    few = dataclasses.replace(spec, train_images=19, held_out_images=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made._data, "spec", few)
        with pytest.raises(BadInput, match="--sweep: .* 20 real images .* has 19"):
            made.real_for_inception_score()
        enough = dataclasses.replace(few, train_images=20)
        patch.setattr(made._data, "spec", enough)
        assert made.real_for_inception_score() == ("train", 20)


def test_the_best_checkpoint_survives_a_restart(tmp_path, capsys):
    module = tf.Module()
    module.value = tf.Variable(0.0)
    (tmp_path / "best" / "ckpt-1_temp").mkdir(parents=True)  # of a killed process
    for step, score in [(1, 5.0), (2, 3.0), (3, 4.0)]:  # a process each
        module.value.assign(step)
        Checkpoints(tmp_path, module).keep_best(step, "fid", score, True, {"a": 1})

    def restore(path):
        tf.train.Checkpoint(gan=module).read(str(path)).assert_consumed()

    (tmp_path / "best" / "ckpt-2.tar.gz").touch()  # of the user
    read_best(tmp_path, restore)
    assert module.value == 2
    assert len(list((tmp_path / "best").glob("*.index"))) == 1
    # A score of another name or protocol does not push it out.
    module.value.assign(4)
    Checkpoints(tmp_path, module).keep_best(4, "fid", 1.0, True, {"a": 2})
    read_best(tmp_path, restore)
    assert module.value == 4
    restore(tmp_path / "best-2" / "ckpt-2")
    assert module.value == 2
    assert "best is now best-2" in capsys.readouterr().out
    Checkpoints(tmp_path, module).keep_best(5, "is", 1.0, False, {"a": 2})
    assert (tmp_path / "best-4" / "ckpt-4.index").exists()
    # What is kept of the first name and protocol comes back, and is beaten.
    for step, score, best in [(6, 3.5, 2), (7, 2.5, 7)]:
        Checkpoints(tmp_path, module).keep_best(step, "fid", score, True, {"a": 1})
        assert (tmp_path / "best" / f"ckpt-{best}.index").exists()
        assert not (tmp_path / "best-2").exists()
    assert (tmp_path / "best" / "ckpt-2.tar.gz").exists()
    assert len(list((tmp_path / "best").glob("ckpt-2.*"))) == 1
    assert "best-2 is best again" in capsys.readouterr().out
    # And a name that is taken stays.
    (tmp_path / "best-7").mkdir()
    Checkpoints(tmp_path, module).keep_best(8, "is", 2.0, False, {"a": 3})
    assert (tmp_path / "best-7-2" / "ckpt-7.index").exists()
    with pytest.raises(BadInput, match="no best checkpoint"):
        read_best(tmp_path / "other", restore)
    # One whose best.json is lost stays, unless a kill came between the two: its step
    # is then scored once more.
    (tmp_path / "best" / "best.json").unlink()
    Checkpoints(tmp_path, module).keep_best(8, "is", 1.0, False, {"a": 3})
    assert (tmp_path / "best" / "ckpt-8.index").exists()
    (tmp_path / "best" / "best.json").unlink()
    capsys.readouterr()
    Checkpoints(tmp_path, module).keep_best(9, "is", 1.0, False, {"a": 3})
    assert "best is now best-8, for its best.json is lost\n" in capsys.readouterr().out
    assert (tmp_path / "best-8" / "ckpt-8.index").exists()
    assert (tmp_path / "best" / "ckpt-9.index").exists()
    # One whose checkpoint is lost does not keep later ones out.
    for file in (tmp_path / "best").glob("ckpt-9.*"):
        file.unlink()
    Checkpoints(tmp_path, module).keep_best(10, "is", 0.5, False, {"a": 3})
    assert "ckpt-9 is lost; the best is sought from now on" in capsys.readouterr().out
    assert (tmp_path / "best" / "ckpt-10.index").exists()
    # Days before a score.
    (tmp_path / "best" / "best.json").write_text("{")
    with pytest.raises(BadInput, match="best.json is damaged"):
        Checkpoints(tmp_path, module).restore_latest()


def test_checkpoints_that_may_not_be_listed_are_not_none(open_path):
    Checkpoints(open_path / "run", tf.Module()).save(1)
    (open_path / "run").chmod(0o333)
    with as_nobody(), pytest.raises(PermissionError):
        every(open_path / "run")
    (open_path / "run").chmod(0o755)


def test_the_best_compares_with_scores_of_the_same_images_elsewhere(tmp_path):
    checkpoints, best = Checkpoints(tmp_path, tf.Module()), tmp_path / "best/best.json"
    protocol = {"a": 1, "data": "/here", "content_sha256": "b", "step": 7}
    checkpoints.keep_best(7, "fid", 2.0, True, protocol)
    record = json.loads(best.read_text())  # an earlier version kept the place, too
    record["protocol"]["data"] = "/here"
    best.write_text(json.dumps(record))
    checkpoints.keep_best(8, "fid", 99.0, True, {**protocol, "data": "/there"})
    assert json.loads(best.read_text())["value"] == 2.0
    more = {"reference_images": 9, "head_fitted_to_sha256": "d"}  # what else is scored
    checkpoints.keep_best(8, "fid", 99.0, True, {**protocol, **more})
    assert json.loads(best.read_text())["value"] == 2.0
    checkpoints.keep_best(8, "is_linear", 1.0, False, {**protocol, **more})
    checkpoints.keep_best(9, "is_linear", 0.5, False, protocol)  # another head
    assert json.loads(best.read_text())["value"] == 0.5
    file = {**protocol, "reference_holds": "mu and sigma"}
    checkpoints.keep_best(8, "fid", 3.0, True, file)
    file["reference_holds"] += "; arr_0"
    checkpoints.keep_best(9, "fid", 4.0, True, file)
    assert json.loads(best.read_text())["value"] == 3.0
    others = {**protocol, "content_sha256": "c"}
    checkpoints.keep_best(9, "fid", 98.0, True, others)
    assert json.loads(best.read_text())["value"] == 98.0


def test_the_program_itself(tmp_path):
    """In a process of its own, which has imported nothing but the program."""
    shutil.unpack_archive(ROOT / "tests" / "data" / "tensorflow215.zip", tmp_path)
    arguments = [f"--model_dir={tmp_path / 'run'}", "--network=none"]
    result = subprocess.run(
        [sys.executable, "-m", "biggan_tf.evaluate", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: feature network 'none': take "), result.stderr


def quarters(folder):
    """Returns the flag of a network whose features are mean colours of quarters."""
    module = tf.Module()
    module.__call__ = tf.function(
        lambda images: tf.reshape(tf.nn.avg_pool(images, 16, 16, "SAME"), [-1, 12]),
        [tf.TensorSpec([None, 32, 32, 3])],
    )
    tf.saved_model.save(module, folder / "quarters")
    return f"--network=keras={folder / 'quarters'},32,-1:1"


def test_what_is_left_out_of_the_real_images_is_told(tmp_path):
    shutil.unpack_archive(ROOT / "tests" / "data" / "tensorflow215.zip", tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, [40, 16, 16, 3], np.uint8)
    for index, pixels in enumerate(noise):
        path = tmp_path / "real" / str(index % 10) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (tmp_path / "real" / "0" / "notes.txt").touch()
    real, network = f"--data=folder:{tmp_path / 'real'}", quarters(tmp_path)
    made = [real, network, "--image_size=32", f"--output={tmp_path / 'real.npz'}"]
    scored = [real, network, "--metrics=fid", "--num_images=20"]
    scored += [f"--model_dir={tmp_path / 'run'}", "--gin_param=export.passes = 1"]
    for program, line in (("make_reference", made), ("evaluate", scored)):
        [outcome] = called(f"biggan_tf.{program}", line)
        assert not outcome.complaint
        assert "40 images: all to train on\nleft out: 1 .txt\n" in outcome.printed
        told = "enlarged to 32 px: 40 of 40 images, down to 16 px\n"
        assert told in outcome.printed


def test_a_sweep_killed_at_any_time_goes_on_and_ends_the_same(tmp_path):
    """The features are mean colours of quarters, so scores cost next to nothing."""
    shutil.unpack_archive(ROOT / "tests" / "data" / "tensorflow215.zip", tmp_path)
    network = quarters(tmp_path)
    truncations = ("inf", "1", "0.7", "0.5")

    def sweep(output):
        words = (
            f"--model_dir={tmp_path / 'run'}",
            network,
            f"--sweep={','.join(truncations)}",
            "--num_images=500",
            "--split=held_out",
            "--gin_param=export.passes = 1",
            f"--output_dir={tmp_path / output}",
        )
        return Door("evaluate", *words, folder=tmp_path)

    def lines(output):
        path = tmp_path / output / "metrics.jsonl"
        return path.read_text().splitlines(True) if path.exists() else []

    whole = sweep("whole")
    whole.until(lambda: lines("whole"))
    start = time.monotonic()
    whole.until(lambda: len(lines("whole")) > 2)
    most = (time.monotonic() - start) / 2  # seconds for a threshold
    assert whole.wait() == 0, whole.output()
    seed = time.time_ns()
    drawn = random.Random(seed)
    scored, seconds = drawn.randrange(1, 4), drawn.uniform(0, most)
    print(f"killed {seconds:.2f} s after score {scored}, drawn from the seed {seed}")
    killed = sweep("killed")
    killed.until(lambda: len(lines("killed")) >= scored)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):  # it was faster
        killed.signal(signal.SIGKILL)
    killed.wait()
    before = [line for line in lines("killed") if line.endswith("\n")]
    again = sweep("killed")
    assert again.wait() == 0, again.output()
    assert again.output().count(": known") == len(before)
    after = lines("killed")
    assert after[: len(before)] == before
    found = [json.loads(line)["protocol"]["truncation"] for line in after]
    assert found == ["inf", *map(float, truncations[1:])]
    curves = [tmp_path / name / "truncation_curve.csv" for name in ("whole", "killed")]
    assert curves[0].read_bytes() == curves[1].read_bytes()


def test_records_that_are_written_at_once_are_all_there(tmp_path):
    path, protocol = tmp_path / "metrics.jsonl", {"step": 1}
    path.write_text("")

    def write(name):
        for index in range(20):
            record = {f"{name}{index}": 1.0, "protocol": protocol}
            evaluation.write_record(path, record)

    threads = [threading.Thread(target=write, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (record,) = evaluation.read_records(path)
    assert len(record) == 41


def test_bindings_that_a_reference_does_not_read_are_refused(tmp_path):
    arguments = ["--data=embedded", "--image_size=32", "--network=lite0_32"]
    arguments.append(f"--output={tmp_path / 'x.npz'}")
    flip = [*arguments, "--gin_param=data.flip = True"]
    recipe = tmp_path / "own.gin"
    recipe.write_text("data.image_size = 64\n")
    overruled = [*arguments, f"--gin_file={recipe}", "--split=held_out"]
    # A recipe may say more than is read, but what is typed beside it may not.
    lines = flip, [*flip, "--gin_file=demo.gin"], overruled
    *refused, made = called("biggan_tf.make_reference", *lines)
    for each in refused:
        assert "nothing in this run uses it; remove it" in each.complaint
        assert each.complaint.startswith("data.flip ")
        assert "gan.loss" not in each.complaint
    assert f"flags decide instead of data.image_size ({recipe}:1)\n" in made.printed
    assert "x.npz: 2,000 images" in made.printed
    assert {*os.listdir(tmp_path)} == {"own.gin", "x.npz"}


def test_a_score_has_no_use_for_mirroring(tmp_path):
    shutil.unpack_archive(ROOT / "tests" / "data" / "tensorflow215.zip", tmp_path)
    assert "data.flip = " in (tmp_path / "run" / "config.gin").read_text()
    arguments = [f"--model_dir={tmp_path / 'run'}", "--network=lite0_32"]
    arguments.append("--num_images=1")
    mirrored = [*arguments, "--gin_param=data.flip = True"]
    as_before, refused = called("biggan_tf.evaluate", arguments, mirrored)
    assert refused.complaint.startswith("data.flip (--gin_param=")
    assert "nothing in this run uses it; remove it" in refused.complaint
    assert as_before.complaint.startswith("num_images = 1: ")


def test_a_reference_of_few_features_is_told_and_recorded(fashion, tmp_path, capsys):
    path = tmp_path / "few.npz"
    evaluator(fashion, ("fid",), reference=path).make_reference(30)
    for names, told in ((("fid",), ""), (("kid", "prdc"), "30 of its 2,000 images")):
        capsys.readouterr()
        made = evaluator(fashion, names, reference=path)
        assert told in capsys.readouterr().out
        protocol = made.record(subject(), 1.0, {})["protocol"]
        assert protocol.get("reference_features") == (30 if told else None)
        assert protocol["reference_images"] == 2000
    of_the_data = evaluator(fashion, ("kid",))
    before = of_the_data.record(subject(), 1.0, {})["protocol"]
    assert before["reference_features"] == before["reference_images"] == 2000


def test_one_process_makes_all_scores_and_references(tmp_path):
    bound = "--gin_param=distribution.kind = 'multi_worker'"
    data = "--data=embedded", "--network=lite0_32"
    scored = [f"--module={tmp_path}", *data, bound]
    made = [*data, "--image_size=32", f"--output={tmp_path / 'x.npz'}", bound]
    for command, line in (("evaluate", scored), ("make_reference", made)):
        [outcome] = called(f"biggan_tf.{command}", line)
        assert "'multi_worker': take another kind; one process" in outcome.complaint


def test_a_run_on_all_images_of_a_folder_has_none_held_out(tmp_path):
    shutil.unpack_archive(ROOT / "tests" / "data" / "tensorflow215.zip", tmp_path)
    path = tmp_path / "run" / "data.json"
    changed = {"source": "folder", "name": "/my/images", "held_out_images": 0}
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    arguments = [f"--model_dir={tmp_path / 'run'}", "--split=held_out"]
    other = [*arguments, "--data=folder:/nowhere"]
    same = [*arguments, "--data=folder:/my/../my/images/"]
    both = [arguments[0], "--sweep=1,inf", "--truncation=1"]
    lines = arguments, same, other, both
    refused, likewise, looked_for, decided = called("biggan_tf.evaluate", *lines)
    assert likewise.complaint == refused.complaint
    assert "--sweep=1,inf: leave out --truncation; the sweep" in decided.complaint
    assert "--split=held_out: take --split=train, or" in refused.complaint
    assert "/nowhere is no folder" in looked_for.complaint


def test_images_that_a_run_was_trained_on_are_not_held_out(
    tmp_path, capsys, monkeypatch
):
    ours, copy = tmp_path / "ours", tmp_path / "copy"
    for index in range(40):
        path = ours / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (index, 0, 0)).save(path)
    shutil.copytree(ours, copy)

    def model(**options):
        found = data.load(image_size=32, source="folder", path=str(ours), **options)
        return TrainedOn(found.spec, found.fingerprint("train"))

    def look(model, folder, split):
        return real_images.images_for(model, f"folder:{folder}", split, False).spec

    all_of_them, some = model(held_out_for=""), model(held_out_for="x")
    assert look(all_of_them, copy, "train").train_images == 40
    first_rules = dataclasses.replace(all_of_them.spec, listing=1)
    early = dataclasses.replace(all_of_them, spec=first_rules)
    deeper = shutil.copytree(copy / "a", copy / "a" / "deeper")  # not by those rules
    assert look(early, copy, "train").train_images == 40
    (copy / "a" / "0.png").rename(tmp_path / "0.png")
    assert look(early, copy, "train").train_images == 59  # it is another folder now
    (tmp_path / "0.png").rename(copy / "a" / "0.png")
    shutil.rmtree(deeper)
    assert look(some, copy, "train").train_images == 36
    assert look(some, copy, "held_out").held_out_images == 4
    assert look(some, ours, "held_out").held_out_images == 4
    (copy / "a" / "0.png").rename(tmp_path / "0.png")
    assert look(some, copy, "train").train_images == 39  # it is another folder now
    for unknown in (all_of_them, some, dataclasses.replace(some, content_sha256="")):
        look(unknown, copy, "train")
        assert not capsys.readouterr().out
        look(unknown, copy, "held_out")
        assert f"trained on images held out of {copy}" in capsys.readouterr().out
    monkeypatch.chdir(copy)  # which no module has for its own
    unnamed = data.DataSpec("", "", 32, 2, ("a", "b"), 0, 0, "", "")
    module = TrainedOn(unnamed)
    look(module, ".", "held_out")
    assert "may have been trained on images held out of" in capsys.readouterr().out
    (tmp_path / "0.png").rename(copy / "a" / "0.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder, end in (
        (ours, ours),
        ("~/ours", ours),
        (copy, f"{ours}, which are those of --data=folder:{copy}"),
    ):
        told = f"held_out: take .*trained on all of {end}\\.$"
        with pytest.raises(BadInput, match=told):
            look(all_of_them, folder, "held_out")
    assert not capsys.readouterr().out
    look(dataclasses.replace(some, others_before=True), ours, "held_out")
    assert "may have seen some of those held out now" in capsys.readouterr().out
    Image.new("RGB", (32, 32), "blue").save(ours / "a" / "new.png")
    look(all_of_them, ours, "train")
    assert "the run was trained on other images than" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"held_out: .*was trained on other images"):
        look(some, ours, "held_out")


def check_the_door(model_dir):
    """Of a run: the curve and all its files; and a refusal. The untruncated record."""
    common = (f"--model_dir={model_dir}", "--network=lite0_32", "--checkpoint=best")
    common = (*common, "--data=embedded")
    output = model_dir / "out"
    few = Door("evaluate", *common, "--num_images=10", folder=model_dir)
    sweep = (
        *common,
        "--split=held_out",
        "--metrics=fid,is",
        f"--num_images={IMAGES}",
        "--sweep=inf,1",
        f"--output_dir={output}",
        "--gin_param=export.passes = 10",
        "--neighbours",
    )
    curve = Door("evaluate", *sweep, folder=model_dir)
    assert few.wait() == 2
    assert "take 1281 or more, which fid needs" in few.output().splitlines()[-1]
    jsonl = output / "metrics.jsonl"
    # Killed as soon as a threshold is scored, and run again.
    curve.until(lambda: jsonl.exists() and jsonl.read_text().endswith("\n"))
    curve.signal(signal.SIGKILL)
    curve.wait()
    first = jsonl.read_text()
    assert first.count("\n") == 1
    jsonl.write_text("{}\n" + first)
    curve = Door("evaluate", *sweep, folder=model_dir)
    assert curve.wait() == 0, curve.output()
    assert jsonl.read_text().startswith("{}\n" + first)
    assert curve.output().count("metrics.jsonl: 1 of 2 lines cannot be read") == 1
    jsonl.write_text(jsonl.read_text().removeprefix("{}\n"))
    assert curve.output().count(": known") == 1
    rows = (output / "truncation_curve.csv").read_text().splitlines()
    records = [json.loads(line) for line in jsonl.read_text().splitlines()]
    assert len(rows) == 1 + len(records) == 3
    for row, record in zip(rows[1:], records):
        names = rows[0].split(",")[1:]
        assert row.split(",")[1:] == [str(record[name]) for name in names]
    assert "best FID: " in curve.output()
    names = ["metrics.jsonl", "truncation_curve.csv", "truncation_curve.png"]
    names += ["neighbours_features.png", "neighbours_pixels.png"]
    assert {*names} <= {path.name for path in output.iterdir()}
    for name in names[2:]:
        with Image.open(output / name) as picture:
            assert f" of step {records[0]['step']}" in picture.info["Description"]
    # And no text "config", which would hide that of the training.
    newest = max(output.glob("events.*"), key=os.path.getmtime)
    assert EventAccumulator(str(newest)).Reload().Tags()["tensors"] == [
        "truncation_curve"
    ]
    lines = (output / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["protocol"]["truncation"] for r in records] == ["inf", 1.0]
    return records[0]


def test_training_scores_and_keeps_the_best(tmp_path):
    params = [
        "gan.discriminator_steps = 1",
        "monitor.samples_every_steps = 0",
        "monitor.spectra_every_steps = 0",
        "train.deterministic = False",
        "train.total_steps = 4",
        "evaluation.every_steps = 2",
        "evaluation.network = 'lite0_32'",
        f"evaluation.num_images = {IMAGES}",
        "evaluation.split = 'held_out'",
    ]
    config.parse(["test.gin"], params)
    loop.train(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [2, 4]
    best = json.loads((tmp_path / "checkpoints/best/best.json").read_text())
    assert best["value"] == min(record["fid_lite0_32"] for record in records)
    # Its protocols say which weights these are, and how statistics were measured.
    weights = read_average(tmp_path / f"checkpoints/best/ckpt-{best['step']}")
    [of_best] = [r["protocol"] for r in records if r["step"] == best["step"]]
    assert of_best["weights_sha256"] == sha256(weights)
    assert of_best["statistics"].startswith("moments over 640 samples each, in b")
    # What training scored is what the door scores of that checkpoint.
    # Wherever and with whatever data the run was trained, one device scores it here.
    path = tmp_path / "config.gin"
    text = path.read_text().replace("kind = 'one_device'", "kind = 'multi_worker'")
    path.write_text(text.replace("data.path = None", "data.path = '/elsewhere'"))
    record = check_the_door(tmp_path)
    assert record["step"] == best["step"]
    assert record["fid_lite0_32"] == pytest.approx(best["value"], 1e-4)


def test_reference_files_of_other_programs(fashion, tmp_path):
    network = features.load("lite0_32")
    images, _ = next(iter(fashion.batches("held_out", 1300)))
    pixels = np.uint8(np.round((images.numpy() + 1) * 127.5))
    rows = np.concatenate(
        [network(pixels[i : i + 100])["features"] for i in range(0, 1300, 100)]
    )
    moments = {"mu": rows.mean(0), "sigma": np.cov(rows, rowvar=False)}
    files = {
        "pytorch_fid.npz": moments,
        "adm.npz": {**moments, "mu_s": np.zeros(3), "sigma_s": np.eye(3)},
        "images.npz": {"arr_0": pixels},
    }
    scores = []
    for name, arrays in files.items():
        np.savez(tmp_path / name, **arrays)
        made = evaluator(fashion, reference=tmp_path / name)
        scores.append(made.score(subject())["fid_lite0_32"])
        protocol = made.record(subject(), math.inf, {})["protocol"]
        assert protocol["reference_holds"].startswith(
            ("mu and sigma", "arr_0, 1300 of")
        )
        assert protocol["reference"].endswith(name)
        np.savez(tmp_path / name, **arrays, more=np.zeros(1))
        if "mu" in arrays:  # it does not tell how many images there were
            few = copy.copy(fashion)
            few.spec = dataclasses.replace(fashion.spec, held_out_images=30)
            evaluator(few, ("fid", "accuracy"), reference=tmp_path / name)
        replaced = evaluator(fashion, reference=tmp_path / name)
        assert replaced.record(subject(), math.inf, {})["protocol"] != protocol
    # As ADM's: moments of more images than those that are there, for single features.
    np.savez(tmp_path / "both.npz", **moments, arr_0=pixels[:100])
    both = evaluator(fashion, ("fid", "kid"), reference=tmp_path / "both.npz")
    scores.append(both.score(subject())["fid_lite0_32"])
    told = both.record(subject(), math.inf, {})["protocol"]["reference_holds"]
    assert told.startswith("mu and sigma")
    assert told.endswith("arr_0, 100 of 32 px")
    expected = metrics.FeatureStatistics()
    expected.update(rows)
    fake = metrics.FeatureStatistics()
    fake.update(made.generated(subject(), math.inf, IMAGES).features)
    distance = metrics.frechet_distance(expected, fake)
    np.testing.assert_allclose(scores, distance, rtol=1e-3)

    def refused(arrays, message, names=("fid",)):
        np.savez(tmp_path / "other.npz", **arrays)
        with pytest.raises(BadInput, match=rf"other\.npz.*{message}"):
            evaluator(fashion, names, reference=tmp_path / "other.npz")

    refused({"mu": np.zeros(768), "sigma": np.eye(768)}, "768.* size 1280")
    refused({"mu": np.zeros(1280), "sigma": np.eye(768)}, r"\(768, 768\).* size 1280")
    refused(moments, "leave out prdc", ("fid", "prdc"))
    refused({"x": np.zeros(3)}, "it holds x instead of")
    refused({"arr_0": np.zeros(3)}, "float64 .* uint8")
    refused({"arr_0": pixels[:, :0]}, r"\[1300, 0, 32, 3\]; take images")
    refused({"arr_0": pixels[:1000]}, "= 1000: take 1281 or more, which fid needs")
    refused({"mu": np.array([None]), "sigma": np.eye(2)}, "no .npz .*allow_pickle")
    refused({**moments, "sigma": -moments["sigma"]}, "sigma has the variance -")
    beyond = np.eye(1280)
    beyond[0, 1] = beyond[1, 0] = 2  # a correlation of 2
    refused({**moments, "sigma": beyond}, "sigma has the eigenvalue -1, so it is no")
    refused({**moments, "mu": moments["mu"] * np.nan}, "mu holds NaN or infinity")
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, moments["sigma"])
    with pytest.raises(BadInput, match=r"array\.npz is no .* \(it is one array, of a"):
        evaluator(fashion, reference=tmp_path / "array.npz")
    pointer = tmp_path / "pointer.npz"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(BadInput, match="pointer of Git LFS"):
        evaluator(fashion, reference=pointer)
    with pytest.raises(BadInput, match="sfid: .* take an Inception"):
        evaluator(fashion, ("sfid",))
