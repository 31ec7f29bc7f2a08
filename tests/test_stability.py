"""A run that collapses, its alarm, its rescue; and interventions on a checkpoint."""

from __future__ import annotations

import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import biggan_tf
from biggan_tf import config, data, files, loop, losses, monitor, plan
from biggan_tf.alarms import AlarmOptions, Watch
from biggan_tf.errors import BadInput, Diverged
from biggan_tf.gan import Gan
from biggan_tf.layers import spectral_layers
from biggan_tf.monitor import Spectra, diversity

pytestmark = pytest.mark.usefixtures("traced_once")

# Without spectral norm in D nothing bounds a Wasserstein loss.
UNSTABLE = [
    "generator.attention = ()",
    "discriminator.attention = ()",
    "discriminator.spectral_norm = False",
    "gan.loss = 'wasserstein'",
    "gan.discriminator_steps = 1",
    "gan.generator_learning_rate = 1e-3",
    "gan.discriminator_learning_rate = 0.1",
    "gan.ema_start_step = 0",
    "monitor.spectra_every_steps = 2",
    "monitor.samples_every_steps = 0",
    "train.total_steps = 60",
    "train.checkpoint_every_steps = 2",
    "train.keep_checkpoints = 4",
    "train.deterministic = False",
]
RESCUE = [
    "alarms.real_loss_band = (-1e3, 1e3)",
    "alarms.sigma0_growth = 10.0",
    "alarms.reaction = 'rewind'",
    "alarms.rewind_steps = 4",
    "alarms.generator_rate_factor = 0.01",
    "alarms.discriminator_rate_factor = 0.001",
]


def start(model_dir: Path, *params: str, source: Path | None = None) -> None:
    files = [str(source / "config.gin")] if source else ["test.gin"]
    config.parse(files, [*([] if source else UNSTABLE), *params])
    loop.train(model_dir, source)


def lines(model_dir: Path, name: str = "scalars.jsonl") -> list[dict]:
    return [json.loads(line) for line in (model_dir / name).read_text().splitlines()]


def variables(model_dir: Path) -> dict[str, np.ndarray]:
    """Those of the newest checkpoint, networks and optimisers."""
    reader = tf.train.load_checkpoint(str(model_dir / "checkpoints"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("gan/")
    }


def test_an_unstable_run_collapses_and_a_rewind_saves_it(tmp_path, monkeypatch, capsys):
    collapsed, saved = tmp_path / "collapsed", tmp_path / "saved"
    with pytest.raises(Diverged, match="NaN"):
        start(collapsed, *RESCUE[:2])
    rung = [line["step"] for line in lines(collapsed) if "alarm/real_loss" in line]
    assert rung  # at a step that was logged, which the one of NaN is not

    start(saved, *RESCUE)
    rewind = json.loads((saved / "rewind.json").read_text())
    assert rewind["at_step"] <= rung[0]
    assert rewind["to_step"] <= max(0, rewind["at_step"] - 4)
    steps = [line["step"] for line in lines(saved)]
    assert steps == list(range(2, 62, 2))
    assert not [line for line in lines(saved) if "alarm/real_loss" in line]

    # Killed within the rewind it goes on as if nothing had happened.
    write_json = files.write_json

    def killed(path, value):
        if path.name == "rewind.json":
            raise KeyboardInterrupt
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            start(tmp_path / "killed", *RESCUE)
    last = rewind["at_step"] + 2
    capsys.readouterr()
    start(tmp_path / "killed", *RESCUE, f"train.total_steps = {last}")
    told = capsys.readouterr().out
    assert told.index("rewound from step") < told.index("going on from")
    assert json.loads((tmp_path / "killed" / "rewind.json").read_text()) == rewind
    logged = [line["step"] for line in lines(tmp_path / "killed")]
    assert logged == list(range(2, last + 2, 2))
    assert not list((tmp_path / "killed").glob("*asked*"))

    # What is logged before the rewind is dropped, and the new rates hold after it,
    # after a restart too.
    start(saved, *RESCUE, "train.total_steps = 62")
    rates = {
        name.split("/")[1]: value
        for name, value in variables(saved).items()
        if "learning_rate" in name
    }
    assert rates["discriminator_optimizer"] == np.float32(1e-4)
    assert rates["generator_optimizer"] == np.float32(1e-5)
    (saved / "rewind.json").unlink()
    (saved / "rewind.asked.json").write_text('{"at_step": 9}')
    with pytest.raises(BadInput, match="rewind.asked.json: it is damaged; remove it"):
        start(saved, *RESCUE, "train.total_steps = 62")
    (saved / "rewind.asked.json").unlink()
    capsys.readouterr()
    start(saved, *RESCUE, "train.total_steps = 62")
    told = "learning_rate/generator is 0.001 from here on; it was 1e-05"
    assert told in capsys.readouterr().out


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    start(folder, "gan.discriminator_learning_rate = 1e-4", "train.total_steps = 2")
    return folder


def test_going_on_otherwise_in_a_new_model_directory(trained, tmp_path, capsys):
    """Frozen G, another rate for D, its moments reset: what was asked for wins."""
    params = (
        "gan.freeze_generator = True",
        "gan.discriminator_learning_rate = 3e-4",
        "train.keep_moments = False",
        "train.total_steps = 4",
    )
    (tmp_path / "rewind.json").write_text("{}")  # of a run that is no longer there
    sheet = tmp_path / "samples" / "0000009_average.png"  # so is this
    for trains in (True, False):  # the same command again goes on here, and says so
        assert "is not read" not in capsys.readouterr().out
        files.write_text(sheet, "")
        start(tmp_path, *params, source=trained)
        assert sheet.exists() != trains
        told = "train.keep_moments = False, so Adam's moments begin at zero"
        out = capsys.readouterr().out
        assert (told in out) == trains
    told = f"checkpoints/ckpt-4 is there, so --continue_from={trained} is not read"
    assert told in out
    before, after = variables(trained), variables(tmp_path)
    assert before.keys() == after.keys()
    assert after["gan/step/.ATTRIBUTES/VARIABLE_VALUE"] == 4
    for name, value in before.items():
        if name.startswith("gan/generator/") and ".OPTIMIZER_SLOT/gan/gen" not in name:
            np.testing.assert_array_equal(after[name], value, name)
        if name.endswith("discriminator_optimizer/learning_rate/" + VALUE):
            assert after[name] == np.float32(3e-4)
        if name.endswith("discriminator_optimizer/iter/" + VALUE):
            assert (value, after[name]) == (2, 2)  # of 4 updates, from zero again
    assert [line["step"] for line in lines(tmp_path)] == [4]
    start(tmp_path, *params)  # it has begun, and does without the source
    again = ["gan.freeze_generator = False", "train.keep_moments = True"]
    again.append("gan.ema_start_step = 1")
    with pytest.raises(BadInput, match="ema_start_step = 1: take 0 or less, the upd"):
        start(tmp_path / "new", *again, source=tmp_path)


def test_what_differs_from_the_source_is_told(trained, tmp_path, capsys):
    source = shutil.copytree(trained, tmp_path / "source")
    (source / "rewind.json").write_text("{}")
    options = {"discriminator.sn_epsilon": 1e-3, "generator.bn_epsilon": 1e-4}
    options["train.total_steps"] = 3
    biggan_tf.dry_run((), tmp_path / "new", options, source)
    told = capsys.readouterr().out
    assert told.count(f"; in {source} it was") == 3
    assert f"discriminator.sn_epsilon = 0.001; in {source} it was 1e-06" in told
    assert f"generator.bn_epsilon = 0.0001; in {source} it was 1e-05" in told
    assert f"{source} was rewound, and its learning rates were changed then" in told
    # The recipe, given again, brings its own values.
    biggan_tf.dry_run("test.gin", tmp_path / "new", UNSTABLE, source)
    told = capsys.readouterr().out
    rate = "gan.discriminator_learning_rate = 0.1"
    assert f"{rate}; in {source} it was 0.0001" in told


def test_a_run_that_has_begun_does_without_its_source(trained, tmp_path):
    source, run = shutil.copytree(trained, tmp_path / "source"), tmp_path / "run"
    options = {"train.total_steps": 4, "monitor.samples_every_steps": 0}
    biggan_tf.train((), run, options, source)
    before = (run / "config.gin").read_bytes()
    shutil.rmtree(source)
    # A command that trains nothing leaves no trace.
    biggan_tf.train((), run, {**options, "train.total_steps": 2}, source)
    assert (run / "config.gin").read_bytes() == before
    biggan_tf.train((), run, {**options, "train.total_steps": 6}, source)
    assert "train.total_steps = 6" in (run / "config.gin").read_text()
    with pytest.raises(BadInput, match="name a new one with --continue_from"):
        biggan_tf.train((), run, options, run / "checkpoints" / "ckpt-6")
    with pytest.raises(BadInput, match="--model_dir is missing: name a new one"):
        biggan_tf.train((), continue_from=run)


VALUE = ".ATTRIBUTES/VARIABLE_VALUE"


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        (["generator.width = 8"], "take the configuration it was made with"),
        (["generator.condition_order = 'zy'"], "condition_order = 'yz', as there"),
        (["gan.ema_start_step = 9"], "take 2 or less, the updates .* has begun"),
        (["train.total_steps = 2"], "total_steps = 2: take more than 2, the step of"),
        (["generator.attention = (16,)"], "does not fit the networks .*attention16"),
        (
            ["train.keep_moments = False", "gan.ema_start_step = 9"],
            "set gan.ema_start_step = 0",
        ),
    ],
)
def test_what_cannot_go_on_is_refused(trained, tmp_path, params, complaint):
    with pytest.raises(BadInput, match=complaint):
        start(tmp_path, *params, source=trained)


@pytest.mark.parametrize("at", range(5, 100, 10))
def test_a_damaged_source_is_refused_before_anything_is_written(trained, tmp_path, at):
    source = shutil.copytree(trained, tmp_path / "source")
    [file] = (source / "checkpoints").glob("ckpt-2.data-*")
    content = bytearray(file.read_bytes())
    content[len(content) * at // 100] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadInput, match="checkpoints/ckpt-2: it is damaged"):
        start(tmp_path / "run", "train.total_steps = 4", source=source)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("param", "complaint"),
    [
        ("alarms.accuracy_gap = 0.3", "monitor.held_out_every_steps = 0"),
        ("alarms.diversity_fall = 0.3", "monitor.samples_every_steps = 0"),
        (
            "alarms.sigma0_growth = 2.0; alarms.sigma0_window_steps = 1",
            "alarms.sigma0_window_steps = 1: take 2 or more",
        ),
        (
            "alarms.diversity_fall = 0.3; monitor.samples_every_steps = 2; "
            "monitor.sample_columns = 1",
            "monitor.sample_columns = 1: take 2 or more",
        ),
        (
            "alarms.accuracy_gap = 0.3; monitor.held_out_every_steps = 2; "
            "gan.loss = 'wasserstein'",
            "alarms.accuracy_gap = 0.3 with gan.loss = 'wasserstein': leave it out",
        ),
        (
            "gan.augment = ('color',); gan.augment_target = 0.6; "
            "gan.loss = 'wasserstein'",
            "gan.augment_target = 0.6 with gan.loss = 'wasserstein': leave it out",
        ),
        ("alarms.reaction = 'panic'", "'report', 'stop', 'rewind'"),
        ("alarms.real_loss_band = (2.0, 1.0)", "low < high"),
        ("alarms.real_loss_band = 3", "take a tuple"),
        ("alarms.sigma0_growth = 'much'", "alarms.sigma0_growth = 'much'"),
        ("train.keep_moments = False", "--continue_from"),
        ("latents.distribution = 'cauchy'", "censored_normal"),
        ("latents.anneal_steps = 10", "'annealed' needs"),
    ],
)
def test_contradictions_stop_the_run_before_it_starts(tmp_path, param, complaint):
    with pytest.raises(BadInput, match=complaint):
        start(tmp_path / "run", *param.split("; "))
    assert not (tmp_path / "run").exists()


def test_a_rewind_needs_a_checkpoint_that_is_kept(tmp_path):
    far = "alarms.reaction = 'rewind'", "alarms.rewind_steps = 10"
    with pytest.raises(BadInput, match="raise train.keep_checkpoints"):
        start(tmp_path, *far)
    config.clear()
    config.parse(["test.gin"], [*far, "train.keep_every_steps = 20"])
    remarks = plan.make_plan().remarks()
    assert "before step 30 an alarm may go back less far" in " ".join(remarks)


# --- the signs ------------------------------------------------------------------------

CALM = {"loss/discriminator_real": 0.9}


def ringing(alarms: dict, scalars: dict, spectra: list | None = None) -> set[str]:
    watch = Watch(AlarmOptions(**alarms))
    watch.start([{"step": 2, "diversity": 0.8}], spectra or [])
    scalars = {**CALM, **scalars}
    watch(10, scalars)
    assert {f"alarm/{name}" for name in watch.ringing} == scalars.keys() - {
        name for name in scalars if not name.startswith("alarm/")
    }
    return set(watch.ringing)


def spectra(*sigmas: float) -> list[dict]:
    return [{"step": 2 * i, "G.seed/sigma0": s} for i, s in enumerate(sigmas)]


def test_signs():
    band = {"real_loss_band": (0.5, 1.5)}
    assert not ringing(band, {})
    assert ringing(band, {"loss/discriminator_real": 1.6}) == {"real_loss"}
    assert ringing(band, {"loss/discriminator_real": 0.4}) == {"real_loss"}
    growth = {"sigma0_growth": 2.0, "sigma0_window_steps": 4}
    assert ringing(growth, {}, spectra(1, 1, 1, 1, 1.5, 2.1)) == {"sigma0"}
    assert not ringing(growth, {}, spectra(0.1, 1, 1, 1.1, 1.5, 2.1))  # before it
    assert not ringing(growth, {}, spectra(1, 1, 3))  # an old line
    kept = spectra(1, 1, 1, 1, 1.5, 1.6)
    ringing(growth, {}, kept)
    assert [line["step"] for line in kept] == [6, 8, 10]  # those of the window
    gap = {"accuracy_gap": 0.3}
    assert not ringing(gap, {"accuracy/train": 0.9, "accuracy/held_out": 0.7})
    scalars = {"accuracy/train": 0.98, "accuracy/held_out": 0.52}
    assert ringing(gap, scalars) == {"accuracy_gap"}
    fall = {"diversity_fall": 0.5}
    assert not ringing(fall, {"diversity": 0.5})
    assert ringing(fall, {"diversity": 0.3}) == {"diversity"}


def test_diversity_is_that_within_a_class():
    a, b = np.zeros((4, 4, 3)), np.ones((4, 4, 3))
    assert diversity(np.float32([a, a, b, b]), 2) == 0
    assert diversity(np.float32([a, b, b, a]), 2) == 1
    x = np.random.default_rng(0).uniform(-1, 1, [6, 2, 2, 3]).astype(np.float32)
    pairs = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]  # two rows of three
    distances = [np.sqrt(np.mean((x[a] - x[b]) ** 2)) for a, b in pairs]
    assert diversity(x, 3) == pytest.approx(np.mean(distances))


# --- spectra --------------------------------------------------------------------------


@pytest.mark.parametrize("trained", [False, True])
def test_spectra_of_every_weight_of_the_demo_model(tmp_path, trained):
    config.parse(["demo.gin"], [])
    gan = loop.make_plan().build()
    if trained:
        move(gan)
    networks = {"G": gan.generator, "D": gan.discriminator}
    values = Spectra(gan, tmp_path, None).values()
    count = 0
    for letter, network in networks.items():
        for layer in spectral_layers(network):
            path = layer.kernel.name.partition("/")[2].replace("/", ".")[
                : -len(".kernel:0")
            ]
            for name, matrix in (
                ("sigma", layer.kernel.numpy()),
                ("normalized", layer.normalized_kernel().numpy()),
            ):
                if name == "normalized" and not layer.spectral_norm:
                    continue
                matrix = matrix.astype("float64").reshape(-1, matrix.shape[-1])
                right = np.linalg.svd(matrix, compute_uv=False)[:3]
                ours = [values[f"{letter}.{path}/{name}{i}"] for i in range(len(right))]
                np.testing.assert_allclose(ours, right, rtol=1e-4, err_msg=path)
                count += len(right)
    assert count == len(values)


def move(gan: Gan) -> None:
    """Some updates as training does, one by one, untraced."""
    gan.set_rates(10, 10)
    batches = iter(data.load().train_batches(32, seed=0))
    for _ in range(3):
        gan.train_step(types.SimpleNamespace(get_next=lambda: next(batches)))
        gan.step.assign_add(1)


def test_held_out_images_are_of_all_classes():
    """The embedded ones come class after class."""

    def hinge(x, y):
        return tf.cast(y % 2 == 0, tf.float32)[:, None] - 0.5

    def least_squares(x, y):
        return hinge(x, y) + 0.5

    for even in (hinge, least_squares):
        loss, scalars = losses.ADVERSARIAL[even.__name__], {}
        gan = types.SimpleNamespace(discriminator=even, loss=loss)
        monitor.HeldOut(gan, data.load(image_size=32), 101)(1, scalars)
        for split in ("train", "held_out"):  # neither fewer nor more
            right = scalars[f"accuracy/{split}"] * 101
            assert right == pytest.approx(round(right), abs=1e-3)
        assert 0.35 < scalars["accuracy/train"] < 0.65
        assert 0.35 < scalars["accuracy/held_out"] < 0.65
