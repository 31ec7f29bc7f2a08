"""`import biggan_tf` as in a notebook: several runs in one process, and in threads."""

import dataclasses
import logging
import math
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager.polymorphic_function import polymorphic_function as tracing

import biggan_tf
from biggan_tf import config, data_json, features, files, plan
from biggan_tf.api.arguments import bind
from biggan_tf.config.options import current

QUICK = {
    "train.total_steps": 2,
    "train.checkpoint_every_steps": 2,
    "train.tick_steps": 2,
    "monitor.spectra_every_steps": 0,
    "monitor.samples_every_steps": 0,
    "monitor.held_out_every_steps": 0,
    "gan.discriminator_steps": 1,
    "generator.attention": (),
    "discriminator.attention": (),
    "export.passes": 1,
}


def journey(folder, **changes):
    """Trains, exports, loads, samples and scores; returns what the calls returned."""
    bindings = {
        **QUICK,
        **{name.replace("_", ".", 1): v for name, v in changes.items()},
    }
    run = biggan_tf.train("test.gin", folder / "run", bindings)
    module = biggan_tf.export(run)
    sampler = biggan_tf.load(module)
    images = biggan_tf.sample(sampler, "Bag,0-1", 2, output=folder / "sheet.PNG")
    opened = {"module": sampler, "output_dir": run}
    scores = biggan_tf.evaluate(
        **(opened if changes else {"module": module}),
        data="embedded",
        network="lite0_32",
        metrics=["ms_ssim"],
        truncation=np.float32(2),
        num_images=np.int64(40),
        seed=np.int64(0),
        neighbours=np.False_,
    )
    return run, sampler, images, scores


@pytest.fixture(scope="module")
def journeys(tmp_path_factory):
    """Two with different settings at once, one of them in a thread; then both again."""
    config.parse([], ["train.seed = 7"])  # which is nobody's business but ours
    found, folders = {}, {name: tmp_path_factory.mktemp(name) for name in "ab"}
    heard = []

    class Listener(logging.Handler):
        def emit(self, record):
            heard.append(record.getMessage())

    listener = Listener(logging.WARNING)
    logging.getLogger("tensorflow").addHandler(listener)

    def first():
        found["a"] = journey(folders["a"])

    thread = threading.Thread(target=first)
    with pytest.MonkeyPatch.context() as patch:
        # What earlier tests in this process have traced does not count.
        fresh = tracing._FrequentTracingDetectorManager()
        patch.setattr(tracing, "_frequent_tracing_detector_manager", fresh)
        thread.start()
        found["b"] = journey(folders["b"], generator_width=6, discriminator_width=6)
        thread.join()
    logging.getLogger("tensorflow").removeHandler(listener)
    assert current().bound == {"train.seed": 7}
    config.clear()
    return found, heard


def test_each_call_returns_what_it_made(journeys):
    found, _ = journeys
    for run, sampler, images, scores in found.values():
        assert (run / "export" / "saved_model.pb").is_file()
        assert (run.parent / "sheet.PNG").is_file()
        assert sampler.step == 2
        assert (images.dtype, images.shape) == (np.uint8, (3, 2, 32, 32, 3))
        assert 0 < scores["ms_ssim"] < 1
        assert (run / "metrics.jsonl").is_file()


def test_calls_keep_their_settings_apart(journeys):
    found, heard = journeys
    configs = {
        name: (run / "config.gin").read_text() for name, (run, *_) in found.items()
    }
    assert "generator.width = 6" in configs["b"]
    assert "generator.width = 6" not in configs["a"]
    assert "train.seed = 7" not in configs["a"] + configs["b"]
    assert np.any(found["a"][2] != found["b"][2])
    assert not [text for text in heard if "retracing" in text]


def test_the_same_call_goes_on_and_draws_the_same(journeys):
    run, sampler, images, _ = journeys[0]["a"]
    more = {**QUICK, "train.total_steps": np.int64(4)}
    assert biggan_tf.train([Path("test.gin")], str(run), more) == run
    of_others = {**files.read_json(run / "data.json"), "content_sha256": "of others"}
    files.write_json(run / "data.json", of_others)
    biggan_tf.train("test.gin", run, more)  # which has nothing left to train on them
    assert files.read_json(run / "data.json") == of_others
    further = run.parent / "further"
    params = "train.total_steps = 6"
    assert biggan_tf.train((), further, params, continue_from=run) == further
    module = biggan_tf.export(run, run / "later", ["export.passes = 1"])
    assert biggan_tf.load(module).step == 4
    np.testing.assert_array_equal(biggan_tf.sample(sampler, [8, 0, 1], 2), images)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: biggan_tf.train("test.gin", "x", {"train.sead": 1}), "train.sead"),
        (
            lambda: biggan_tf.train("test.gin", "x", {"train.seed": -1}),
            "bindings: train",
        ),
        (lambda: biggan_tf.train(model_dir="x"), "--gin_file is missing"),
        (lambda: biggan_tf.train("none.gin", "x"), "no file none.gin"),
        (lambda: biggan_tf.export("nowhere"), "no config.gin"),
        (
            lambda: biggan_tf.export("nowhere", checkpoint="worst"),
            "checkpoint = 'worst'",
        ),
        (lambda: biggan_tf.load("nowhere"), "no saved_model.pb"),
        (lambda: biggan_tf.evaluate("nowhere"), "--data is missing"),
        (lambda: biggan_tf.evaluate(), "name what to score"),
        (
            lambda: biggan_tf.evaluate("m", data="embedded", split="held"),
            "--split=held",
        ),
        (lambda: biggan_tf.train("test.gin", "run[lr=1]"), r"without \[ in its path"),
        (lambda: biggan_tf.load("m[1]"), r"--module=m\[1\]: .*without \[ in its path"),
        (
            lambda: biggan_tf.evaluate(None, "r\\x"),
            "without .* in its path",
        ),
        (lambda: biggan_tf.dry_run("test.gin", "x", {5: 3}), "bindings = 5: take text"),
        (lambda: biggan_tf.report(module="m\udc80"), "--module=.*is no path of a file"),
        (
            lambda: biggan_tf.project("x", "y.png", rate="24"),
            "rate = '24': take a whol",
        ),
        (
            lambda: biggan_tf.project("x", "y.png", "z.npz", rate=0),
            "rate = 0: take a w",
        ),
        (lambda: biggan_tf.report("x", rate=101), "rate = 101: take a whole number"),
        (lambda: biggan_tf.train("test.gin", "no/../run"), "there is no folder no"),
        (lambda: biggan_tf.train("test.gin", "gs://b/run"), "it is an address, no"),
        (lambda: biggan_tf.export("run", "back\\slash"), "without .* in its path"),
        (lambda: biggan_tf.train("test.gin", "x", {"gan.beta2": 1}), "gan.beta2 = 1"),
        (lambda: biggan_tf.train("test.gin", "n" * 256), "n' is no .*name too long"),
        (
            lambda: biggan_tf.train("test.gin", "a\0b"),
            r"'a\\x00b' is .*null (byte|char)",
        ),
        *(
            (call, "--output.*it is an address, no file of this machine")
            for call in (
                lambda: biggan_tf.sample("x", output="gs://bucket/a.png"),
                lambda: biggan_tf.sample_files("x", "s3://bucket/a", 5),
                lambda: biggan_tf.film("x", "file:///a.gif"),
            )
        ),
        (
            lambda: biggan_tf.evaluate("x", data="embedded", reference="gs://b/r.npz"),
            "--reference='gs://b/r.npz' is no path",
        ),
        (lambda: biggan_tf.train("n" * 256, "x"), "there is no file n"),
        (lambda: biggan_tf.export("~no-such-user/x"), "'~no-such-user/x' is no path"),
        (lambda: biggan_tf.export(5), "--model_dir=5 is no path"),
        (lambda: biggan_tf.load("~no-such-user/x"), "'~no-such-user/x' is no path"),
        (lambda: biggan_tf.sample("x", output="a\0.png"), "is no path"),
        (lambda: biggan_tf.sample("x", output=""), "--output='' is no path.*is empty"),
        (lambda: biggan_tf.train("test.gin", ""), "'' is no path.*is empty"),
        (lambda: biggan_tf.train("test.gin", "x", continue_from=""), "'' is no path"),
        (lambda: biggan_tf.export("x", ""), "'' is no path"),
        (lambda: biggan_tf.dry_run([""], "x"), "one of the names is empty"),
        (
            lambda: biggan_tf.dry_run("test.gin", f"{__file__}/x"),
            "test_api.py is there",
        ),
    ],
)
def test_what_is_wrong_is_bad_input(tmp_path, monkeypatch, call, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(biggan_tf.BadInput, match=sentence):
        call()
    assert not list(tmp_path.iterdir())
    assert not current().bound


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        *(("evaluate", {"num_images": each}) for each in (1300.5, "1300", True)),
        *(("evaluate", {"seed": each}) for each in ("x", True, -1)),
        *(("evaluate", {"truncation": each}) for each in ("0.5", [], True, [1, "2"])),
        *(("evaluate", {"metrics": each}) for each in ("fidd", "fid,", 5, [5], [])),
        *(("evaluate", {name: 5}) for name in ("network", "data", "split")),
        ("evaluate", {"network": "lite0_100000"}),
        *(("evaluate", {"neighbours": each}) for each in ("no", 1, None)),
        *(("export", {"with_discriminator": each}) for each in ("False", 0)),
        *(("evaluate", {"reference": each}) for each in (5, Path("."))),
        *(("sample", {"truncation": each}) for each in ("0.5", [], True, None)),
        *(("sample", {"columns": each}) for each in (2.5, "2", True)),
        ("sample", {"layout": ["z"]}),
        *(("sample_files", {"count": each}) for each in (2.5, "2", 0)),
        ("sample_files", {"per_class": True}),
        *(("film", {"seconds": each}) for each in ("1", True)),
        ("film", {"truncation": [1, 2]}),
    ],
)
def test_arguments_of_other_types_are_refused_first(tmp_path, call, wrong):
    first = {"evaluate": [], "sample": [], "film": [tmp_path / "x.gif"]}
    name = next(iter(wrong))
    given = {"data": "embedded", **wrong} if call == "evaluate" else wrong
    with pytest.raises(biggan_tf.BadInput, match=f"{name}|Is a directory"):
        getattr(biggan_tf, call)("nowhere", *first.get(call, [tmp_path]), **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        *({"gin_files": each} for each in (5, [5], b"test.gin")),
        *({"bindings": each} for each in (5, [5])),
    ],
)
def test_no_recipe_is_refused(wrong):
    with pytest.raises(biggan_tf.BadInput, match=f"{next(iter(wrong))} = "):
        biggan_tf.train(**{"gin_files": "test.gin", "model_dir": "x", **wrong})


@pytest.mark.parametrize("kind", [np.array, iter, str])
def test_recipes_are_what_can_be_meant(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.gin").write_text("include 'test.gin'")
    biggan_tf.dry_run("~/own.gin" if kind is str else kind(["test.gin"]))
    assert "train.batch_size" in capsys.readouterr().out


def test_a_network_s_file_may_lie_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert features.find("inception=~/x.pb").args[-1] == str(tmp_path / "x.pb")


def test_values_go_where_a_recipe_requires_them(tmp_path):
    with config.apart():
        bind("folder.gin", {"data.path": tmp_path})
        assert current().bound["data.path"] == str(tmp_path)


@pytest.mark.parametrize(
    "band",
    [
        (np.float64(1), 2),
        [1, np.float32(2)],
        np.array([1.0, 2.0]),
        (tf.constant(1.0), 2),
    ],
)
def test_numbers_of_arrays_and_tensors_are_bound_as_those_of_python(band):
    with config.apart():
        bind("test.gin", {"alarms.real_loss_band": band})
        bound = current().bound["alarms.real_loss_band"]
    assert bound == (1, 2)
    assert {*map(type, bound)} <= {int, float}


def test_a_dry_run_refuses_what_training_would(tmp_path):
    with config.apart():
        config.parse(["test.gin"], [])
        spec = plan.make_plan().data.spec
        config.claim(tmp_path)
    data_json.write(tmp_path, spec)
    kept = files.read_json(tmp_path / "data.json")
    checkpoint = tf.train.Checkpoint(step=tf.Variable(8))
    checkpoint.write(str(tmp_path / "checkpoints" / "ckpt-8"))
    reset, new = "train.keep_moments = False", tmp_path / "new"
    ema = {"train.keep_moments": False, "gan.ema_start_step": 9}
    for complaint, model_dir, *others in (
        ("gan.loss is 'hinge' there", tmp_path, "gan.loss = 'wasserstein'"),
        ("False without --continue_from", new, reset),
        ("gan.ema_start_step = 9 with train.keep_moments", new, ema, tmp_path),
        ("ckpt-8 does not fit the networks", new, (), tmp_path),
        ("feature network 'lite1': take", new, "evaluation.network = 'lite1'"),
    ):
        with pytest.raises(biggan_tf.BadInput, match=complaint):
            biggan_tf.dry_run("test.gin", model_dir, *others)
    names = ("Boot", *spec.class_names[1:])
    data_json.write(tmp_path, dataclasses.replace(spec, class_names=names))
    with pytest.raises(biggan_tf.BadInput, match="give the 10 classes of"):
        biggan_tf.dry_run("test.gin", tmp_path)
    names = spec.class_names[::-1]
    data_json.write(tmp_path, dataclasses.replace(spec, class_names=names))
    with pytest.raises(biggan_tf.BadInput, match="is number 9 there and 0 in embedded"):
        biggan_tf.dry_run("test.gin", new, continue_from=tmp_path)
    # A run whose checkpoints are elsewhere, such as on a disk that is not mounted.
    there = tmp_path / "checkpoints"
    away, log = there.rename(tmp_path / "away"), tmp_path / "scalars.jsonl"
    files.write_json(tmp_path / "data.json", kept)
    log.write_text('{"step": 0}\n')
    biggan_tf.dry_run("test.gin", tmp_path)
    log.write_text('{"step": 0}\n{"step": 4}\n')
    with pytest.raises(biggan_tf.BadInput, match="its scalars.jsonl goes to step 4"):
        biggan_tf.dry_run("test.gin", tmp_path)
    away.rename(there)
    for name in ("data.json", "config.gin"):
        (tmp_path / name).unlink()
        with pytest.raises(biggan_tf.BadInput, match=f"but the {name} that they were"):
            biggan_tf.dry_run("test.gin", tmp_path)
    assert not new.exists()


def test_a_dry_run_says_what_a_step_updates(capsys):
    for bindings, updates in (
        ("gan.discriminator_steps = 3", "3 of D and 1 of G"),
        ("gan.freeze_discriminator = True", "1 of G"),
        ("gan.freeze_generator = True", "2 of D"),
    ):
        biggan_tf.dry_run("test.gin", bindings=bindings)
        assert f", each {updates}\n" in capsys.readouterr().out


def test_a_run_is_exported_and_scored_as_it_was_trained(tmp_path):
    with config.apart():
        config.parse(["test.gin"], [])
        plan.make_plan()
        config.claim(tmp_path)

    def refused(call, what, **wrong):
        with pytest.raises(biggan_tf.BadInput, match=f"{what}: leave it out; here on"):
            call(model_dir=tmp_path, **wrong)

    for call in (biggan_tf.export, biggan_tf.evaluate):
        refused(call, "generator.bn_epsilon", bindings={"generator.bn_epsilon": 0.9})
        refused(call, "train.seed", bindings=["export.passes = 1", "train.seed = 1"])
        refused(call, r"\.gin:\d+: \w+\.\w+", gin_files="test.gin")
    refused(biggan_tf.export, "data.path", bindings={"data.path": "/x"})


def test_wrong_samples_are_refused(journeys, tmp_path):
    sampler = journeys[0]["a"][1]
    for wrong, sentence in (
        ({"labels": "Bag,10"}, "10: there is no such class"),
        ({"labels": [10]}, "labels=10: take"),
        ({"labels": [1.9]}, "labels=1.9: take"),
        ({"labels": [True]}, "labels=True: take"),
        ({"labels": []}, "name one class"),
        ({"labels": ["Bog"]}, "Bog: there is no such class"),
        ({"labels": 2.0}, "labels=2.0: take"),
        ({"seed": 1.5}, "seed = 1.5"),
        ({"labels": [0], "layout": "class"}, "name two"),
        ({"layout": "z", "truncation": [1, 2]}, "several truncations"),
        ({"layout": "spiral"}, "layout = 'spiral'"),
        ({"truncation": -1}, "--truncation=-1"),
        ({"columns": 0}, "columns = 0"),
        ({"seed": 2**63}, "seed = "),
        ({"output": tmp_path / "x.bmp"}, "x.bmp"),
        ({"labels": [0, 1], "mix": [1, math.inf]}, "--mix=1,inf: give shares of 0"),
        ({"labels": [0, 1], "mix": [1, math.nan]}, "--mix=1,nan: give shares of 0"),
        ({"labels": [0, 1], "mix": [0, 0]}, "--mix=0,0: give shares of 0"),
        # What has no order, or values beside what is iterated.
        ({"labels": [0, 1], "mix": {0: 0.7, 1: 0.3}}, "mix = {0: 0.7, 1: 0.3}: take"),
        ({"labels": [0, 1], "mix": {0.7, 0.3}}, "mix = {.*}: take a number"),
        ({"labels": {"Bag": 0.7, "Coat": 0.3}}, "labels={'Bag': 0.7, .*: take"),
        ({"labels": frozenset([1, 0])}, "labels=frozenset.*: take indices"),
        ({"truncation": {0.5: "low"}}, "truncation = {0.5: 'low'}: take a number"),
    ):
        with pytest.raises(biggan_tf.BadInput, match=sentence):
            biggan_tf.sample(sampler, **wrong)
    given = {"data": "embedded", "network": "lite0_32"}
    for folder, told in ((None, " is missing: the module"), ("", "='' is no path")):
        with pytest.raises(biggan_tf.BadInput, match=f"--output_dir{told}"):
            biggan_tf.evaluate(sampler, output_dir=folder, **given)
    drawn = [
        biggan_tf.sample(sampler, [0, 1], 1, mix=[share] * 2) for share in (1, 1e308)
    ]
    np.testing.assert_array_equal(*drawn)


def test_a_sampler_draws_no_class_that_is_not_there(journeys):
    sampler = journeys[0]["a"][1]
    for label in (-1, 10, 1.0, True, "Bag"):
        with pytest.raises(biggan_tf.BadInput, match="labels = "):
            sampler.generate([label], 0.5, 0)
    for wrong in ((2.0, 0.5, 0), ([0], "0.5", 0), ([0], -1, 0), ([0], 0.5, "x")):
        with pytest.raises(biggan_tf.BadInput):
            sampler.generate(*wrong)
    images = biggan_tf.sample(sampler, ["Bag", 0], 1)
    np.testing.assert_array_equal(images, biggan_tf.sample(sampler, [8, 0], 1))


def test_the_package_is_light_until_it_is_used():
    assert "train" in biggan_tf.__all__
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = biggan_tf.trian


def test_a_run_says_that_it_goes_on_with_other_images(tmp_path, capsys):
    with config.apart():
        config.parse(["test.gin"], [])
        spec = plan.make_plan().data.spec
        config.claim(tmp_path)
    others = "was trained on other images"
    for sha256, said in (("a", ""), ("a", ""), ("b", others), ("b", "")):
        data_json.write(tmp_path, spec, sha256)
        told = capsys.readouterr().out
        assert said in told if said else not told
        found = data_json.read(tmp_path)
        assert (found.spec, found.content_sha256) == (spec, sha256)
        assert found.others_before == (sha256 == "b")
    checkpoint = tf.train.Checkpoint(step=tf.Variable(8))
    checkpoint.write(str(tmp_path / "checkpoints" / "ckpt-8"))
    none_out = dataclasses.replace(spec, held_out_images=0)
    for sha256, data, said in (
        ("b", spec, ""),
        ("c", none_out, ""),
        ("d", spec, "other images or labels, and may have seen those held out now"),
    ):
        new = tmp_path / sha256
        new.mkdir()
        data_json.write(new, data, sha256, continue_from=tmp_path)
        told = capsys.readouterr().out
        assert said in told if said else not told
        assert data_json.read(new).others_before
