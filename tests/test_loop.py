"""The loop in one process: plan, periods, resume, divergence."""

import json
import os
import random
import re
import resource
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorflow.python.framework import config as framework
from test_survival import full_disk

from biggan_tf import config, data, data_json, logs, loop, monitor, plan, run
from biggan_tf.checkpoints import Checkpoints, read_weights
from biggan_tf.errors import BadInput, Diverged
from biggan_tf.keras import keras
from biggan_tf.layers import spectral_layers
from biggan_tf.sampling import InferenceGenerator

pytestmark = pytest.mark.usefixtures("traced_once")

# Most of a short run is tracing: what the loop does is the same with less to trace.
FAST = [
    "gan.discriminator_steps = 1",
    "generator.attention = ()",
    "discriminator.attention = ()",
    "monitor.samples_every_steps = 0",
    "monitor.spectra_every_steps = 0",
    "train.deterministic = False",
]


def start(model_dir, *params):
    config.parse(["test.gin"], [*FAST, *params])
    loop.train(model_dir)


def lines(model_dir):
    text = (model_dir / "scalars.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_due():
    fired = [step for step in range(1, 11) if logs.due(step, 4, 10)]
    assert fired == [4, 8, 10]
    assert not any(logs.due(step, 0, 10) for step in range(11))


@pytest.mark.parametrize(
    ("binding", "complaint"),
    [
        ("train.total_steps = 0", "train.total_steps = 0"),
        ("train.batch_size = 2.5", "train.batch_size = 2.5"),
        ("train.checkpoint_every_steps = 3", "take a multiple of train.tick_steps = 2"),
        ("monitor.samples_every_steps = 5", "take a multiple of train.tick_steps = 2"),
        ("gan.loss = 'minimax'", "gan.loss = 'minimax'"),
        ("gan.discriminator_steps = 0", "gan.discriminator_steps = 0"),
        ("gan.beta1 = 'a'", "gan.beta1 = 'a'"),
        ("gan.adam_epsilon = 0", "gan.adam_epsilon = 0"),  # Keras would take its own
        ("gan.augment_images = 5", "gan.augment_images = 5 with gan.augment_target ="),
        ("generator.latent_size = 15", "multiple of 4"),
        ("generator.width = 2; generator.released_rgb = True", "take 3 or more, for"),
        ("generator.attention = (64,)", "generator.attention = (64,): at 32 px"),
        ("generator.family = 'stylegan'", "generator.family = 'stylegan'"),
        ("monitor.sample_columns = 0", "monitor.sample_columns = 0"),
        ("monitor.sample_columns = 2147483647", "from 1 to 1,000 "),
        ("train.batch_size = 2147483647", "from 1 to 1,000,000 "),
        ("generator.width = 2147483647", "from 1 to 4,096 "),
        ("export.batch_size = 2147483647", "from 2 to 100,000 "),
        *(
            (f"evaluation.every_steps = 2; evaluation.{binding}", complaint)
            for binding, complaint in {
                "network = 'resnet'": "'resnet'",
                "network = 'lite0_50'": "lite0_50",
                "network = 'lite0_32'; evaluation.num_images = 500": "1281",
                "metrics = ('fid', 'best')": "evaluation.metrics",
                "network = 'lite0_32'; evaluation.metrics = ('fid', 'cas')": (
                    "evaluation.split = train: take held_out"
                ),
            }.items()
        ),
    ],
)
def test_bad_value_is_named_before_anything_is_written(tmp_path, binding, complaint):
    with pytest.raises(BadInput, match=re.escape(complaint)) as error:
        start(tmp_path / "run", *binding.split("; "))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_workers_that_would_train_apart_are_told(monkeypatch):
    config.parse(["test.gin"], [])
    made = plan.make_plan()
    for workers in (["a:1"], ["a:1", "b:2"], ["a:1", "b:2", "c:3"]):
        task = {"type": "worker", "index": 0}
        cluster = {"cluster": {"worker": workers}, "task": task}
        monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
        told = f"TF_CONFIG names {len(workers)} workers; with distribution.kind = 'one"
        assert (told in " ".join(made.remarks())) == (len(workers) > 1)


def test_options_that_decide_nothing_are_told():
    chunks = "generator.chunk_size = 5", "generator.latent_size = 16"
    bound = "discriminator.sn_epsilon = 0.1", "discriminator.spectral_norm = False"
    config.parse(["test.gin"], [*chunks, *bound, "gan.ema_start_step = 99"])
    told = " ".join(plan.make_plan().remarks())
    assert "generator.chunk_size = 5 decides nothing here" in told
    assert "discriminator.sn_epsilon = 0.1 decides nothing here" in told
    assert "gan.ema_start_step = 99: up to train.total_steps" in told
    for family, decides in (("biggan", False), ("biggan_deep", True)):
        config.clear()
        bound = "generator.skip_z = False", "generator.condition_order = 'zy'"
        families = [f"{g}.family = '{family}'" for g in ("generator", "discriminator")]
        config.parse(["test.gin"], [*bound, *families])
        told = " ".join(plan.make_plan().remarks())
        assert ("condition_order = 'zy' decides nothing here" in told) != decides
    config.clear()
    config.parse(["test.gin"], ["gan.ema_start_step = 7"])
    assert len(plan.make_plan().remarks()) == 1  # of the labels


@pytest.mark.parametrize("make", [np.zeros, tf.zeros])
def test_what_has_no_room_in_memory_is_one_sentence(make):
    with pytest.raises(BadInput, match="no room in memory: take a smaller train"):
        with loop.sentences():
            make([2**31 - 1, 2**20])


def test_batch_that_does_not_divide_names_both_numbers(tmp_path):
    two = "distribution.kind = 'virtual_cpus'"
    with pytest.raises(BadInput, match="= 7: .* of 2, the number of replicas"):
        start(tmp_path, "train.batch_size = 7", two)


def test_sheets_and_scores_have_their_generator_on_every_replica(tmp_path, monkeypatch):
    made = []

    class Noted(InferenceGenerator):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(logs, "InferenceGenerator", Noted)
    config.parse(["test.gin"], ["distribution.kind = 'virtual_cpus'"])
    plan = loop.make_plan()
    logs.Logs(plan, plan.build(), tmp_path, None, lambda *_: None)
    [inference] = made
    inference.measure(passes=1, seed=0)
    for variable in [*inference.network.variables, *inference.statistics.variables]:
        one, two = plan.strategy.experimental_local_results(variable)
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(inference.statistics.means[0][0], np.zeros(16))


def assert_same_weights(*model_dirs):
    weights = [tf.train.load_checkpoint(str(d / "checkpoints")) for d in model_dirs]
    names = weights[0].get_variable_to_shape_map()
    assert any("average" in name for name in names)
    for name in names:
        if name == "_CHECKPOINTABLE_OBJECT_GRAPH" or "save_counter" in name:
            continue
        np.testing.assert_array_equal(
            weights[0].get_tensor(name), weights[1].get_tensor(name), name
        )


def test_resumed_run_equals_uninterrupted_one(tmp_path):
    """Two runs of 4 steps in one model directory are one run of 8, to the bit."""
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    start(whole)
    start(halves, "train.total_steps = 4")
    start(halves)
    assert_same_weights(whole, halves)
    assert [line["step"] for line in lines(halves)] == [2, 4, 6, 8]
    for one, other in zip(lines(whole), lines(halves)):
        one = {k: v for k, v in one.items() if not k.startswith("speed")}
        assert one.items() <= other.items()


def test_memory_changes_no_bit_of_a_run(tmp_path, monkeypatch):
    """Half of a run decodes its images in every epoch, and half keeps them."""
    rng, images = np.random.default_rng(0), tmp_path / "images"
    for index in range(20):
        path = images / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, [45, 45, 3], np.uint8)).save(path)
    kept, keep_in_memory = [], data.Data.keep_in_memory

    def noted(self, stop):
        keep_in_memory(self, stop)
        kept.append(self.in_memory)

    monkeypatch.setattr(data.Data, "keep_in_memory", noted)
    of_folder = "data.source = 'folder'", f"data.path = '{images}'"
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    start(whole, *of_folder)
    start(halves, "train.total_steps = 4", "data.memory_share = 0.0", *of_folder)
    start(halves, *of_folder)
    assert_same_weights(whole, halves)
    start(halves, "train.total_steps = 9", *of_folder)  # it needs less than an epoch
    assert kept == [True, False, True]


def test_a_run_on_unbalanced_data_says_so_and_resumes(tmp_path, capfd):
    for name, count in (("many", 5), ("few", 1)):
        (tmp_path / name).mkdir()
        for index in range(count):
            image = Image.new("RGB", (32, 32), (40 * index, 0, 90))
            image.save(tmp_path / name / f"{index}.png")
    images = ["data.source = 'folder'", f"data.path = {str(tmp_path)!r}"]
    whole, halves = tmp_path / ".whole", tmp_path / ".halves"
    start(whole, *images, "train.total_steps = 4")
    assert (
        "each class as often as in the data, which has 1 to 5" in capfd.readouterr().out
    )
    start(halves, *images, "train.total_steps = 2")
    start(halves, *images, "train.total_steps = 4")
    assert_same_weights(whole, halves)
    assert json.loads((halves / "data.json").read_text())["class_counts"] == [1, 5]
    assert "latents.labels = 'data'\n" in (halves / "config.gin").read_text()


def test_what_is_of_the_whole_process_is_as_it_was(tmp_path):
    """Random numbers of Python, NumPy, TensorFlow and Keras, and determinism."""

    def drawn() -> list[float]:
        layer = keras.layers.Dense(1)
        layer(tf.ones([1, 1]))
        some = tf.random.uniform([]).numpy(), layer.kernel.numpy().item()
        return [random.random(), np.random.rand(), *map(float, some)]

    found = []
    for trains in (False, True):
        keras.utils.set_random_seed(9)
        numbers = drawn()
        if trains:  # `test.gin` trains deterministically
            start(tmp_path, "train.total_steps = 2")
        found.append([numbers, drawn(), drawn()])
    assert found[0] == found[1]
    assert not framework.is_op_determinism_enabled()


def test_scalars_written_after_the_checkpoint_are_dropped(tmp_path, capsys):
    start(tmp_path, "train.total_steps = 3")  # within a tick, which then ends at 4
    with open(tmp_path / "scalars.jsonl", "a") as file:
        file.write('{"step": 6, "loss/generator": 1.0}\n{"step": 8, "lo')
    logged = (tmp_path / "scalars.jsonl").read_bytes()
    start(tmp_path, "train.total_steps = 3")
    assert (tmp_path / "scalars.jsonl").read_bytes() == logged
    told = capsys.readouterr().out
    assert "are dropped" not in told  # where nothing is trained
    assert told.endswith("has its 3 steps: raise train.total_steps.\n")
    start(tmp_path, "train.total_steps = 3", "export.license = 'MIT'")
    assert "total_steps; its config.gin stays as it is.\n" in capsys.readouterr().out
    start(tmp_path)
    assert "of steps 4 to 6 are dropped" in capsys.readouterr().out
    assert [line["step"] for line in lines(tmp_path)] == [2, 3, 4, 6, 8]
    logged = (tmp_path / "scalars.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "scalars.jsonl").write_text("".join(logged[:3])[:-9])
    start(tmp_path, "train.total_steps = 10", "monitor.spectra_every_steps = 6")
    told = capsys.readouterr().out
    for name, last in (("scalars.jsonl", 3), ("spectra.jsonl", 0)):
        assert f"{name} ends at step {last}; the run goes on from step 8\n" in told


def test_a_disk_that_is_full_at_a_resume_is_one_sentence(tmp_path, capsys):
    spectra = "monitor.spectra_every_steps = 4"
    start(tmp_path, spectra, "train.total_steps = 4")
    saved = sorted((tmp_path / "checkpoints").iterdir())
    before = [path.read_bytes() for path in saved]
    first_that_does_not_fit = {
        0: "run.lock",
        100: "config.gin",
        20_000: "spectra.jsonl",
        100_000: "ckpt-8",
    }
    for most_bytes, name in first_that_does_not_fit.items():
        told = re.escape(name) + " cannot be written .*File too large"
        with full_disk(most_bytes), pytest.raises(BadInput, match=told) as error:
            start(tmp_path, spectra)
        assert str(tmp_path) in str(error.value)
        assert "\n" not in str(error.value)
        assert [path.read_bytes() for path in saved] == before
    capsys.readouterr()
    start(tmp_path, spectra)
    assert "going on from" in capsys.readouterr().out
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 6, 8]


def test_sigterm_saves_and_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    tmp_path = tmp_path / "a run"

    def terminate():
        while not (tmp_path / "scalars.jsonl").is_file() or not lines(tmp_path):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate, daemon=True)
    thread.start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        start(tmp_path, "train.total_steps = 100000")
    thread.join()
    assert stop.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    step = lines(tmp_path)[-1]["step"]
    output = capsys.readouterr().out
    assert f"stopped by SIGTERM at step {step}, which is saved" in output
    assert "run the same command to go on" in output
    end = loop._Loop.end

    def terminated(self):
        os.kill(os.getpid(), signal.SIGTERM)
        end(self)

    monkeypatch.setattr(loop._Loop, "end", terminated)
    with pytest.raises(SystemExit) as stop:
        start(tmp_path, f"train.total_steps = {step + 2}")
    assert stop.value.code == 128 + signal.SIGTERM
    output = capsys.readouterr().out
    assert f"going on from {tmp_path}/checkpoints/ckpt-{step}" in output
    assert output.endswith(f"biggan_tf.export --model_dir='{tmp_path}'\n")
    assert [line["step"] for line in lines(tmp_path)] == list(range(2, step + 3, 2))


def test_a_folder_that_was_moved_while_it_trains_ends_the_run(tmp_path, monkeypatch):
    tick = logs.Logs.tick

    def move_after(*arguments):
        tick(*arguments)
        if not (tmp_path / "moved").exists():
            (tmp_path / "run").rename(tmp_path / "moved")

    monkeypatch.setattr(logs.Logs, "tick", move_after)
    with pytest.raises(BadInput, match="its config.gin is gone"):
        start(tmp_path / "run", "train.total_steps = 100000")
    assert (tmp_path / "moved" / "config.gin").is_file()


def test_other_config_in_the_same_directory_is_refused(tmp_path):
    start(tmp_path, "train.total_steps = 2")
    with pytest.raises(BadInput, match=r"gan.loss.*'hinge'.*'wasserstein'"):
        start(tmp_path, "gan.loss = 'wasserstein'")
    path = tmp_path / "data.json"
    text = path.read_text()
    path.write_text(text.replace("Ankle boot", "Boot"))
    with pytest.raises(BadInput, match="give the 10 classes of .* has other classes"):
        start(tmp_path)


def test_asked_learning_rate_wins_over_the_saved_one(tmp_path):
    start(tmp_path, "train.total_steps = 2")
    config.parse([], ["gan.generator_learning_rate = 0.125", "gan.beta1 = 0.5"])
    plan = loop.make_plan()
    gan = plan.build()
    Checkpoints(tmp_path / "checkpoints", gan).restore_latest()
    gan.set_rates()
    adam = gan.generator_optimizer._optimizer
    assert float(adam.learning_rate) == 0.125
    assert float(adam._get_hyper("beta_1")) == 0.5


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    start(tmp_path, "train.total_steps = 4")
    path = tf.train.latest_checkpoint(str(tmp_path / "checkpoints"))
    plan = loop.make_plan()
    gan = plan.build()
    checkpoints = Checkpoints(tmp_path / "checkpoints", gan)
    checkpoints.restore_latest()
    kernel = gan.discriminator.head.linear.kernel
    kernel.assign(kernel * np.nan)
    checkpoints._checkpoint.write(path)
    with pytest.raises(Diverged, match="step 5"):
        start(tmp_path)
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")) == path


def resident_mebibytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def test_numbers_that_were_logged_take_no_memory(tmp_path):
    """TensorFlow keeps every Python number that it makes a tensor of, for good."""
    board = monitor.TensorBoard(tmp_path)

    def log(steps):
        for step in steps:
            board.scalars(step, {f"sigma{i}": step + i / 500 for i in range(500)})

    log(range(20))
    before = resident_mebibytes()
    log(range(20, 140))  # 60,000 numbers, which would take 60 MiB
    assert resident_mebibytes() - before < 15


def test_tensorboard_shows_scalars_images_sigmas_and_config(tmp_path):
    sheets = ["monitor.samples_every_steps = 8", "monitor.spectra_every_steps = 8"]
    # Of an export; sheets are never truncated, and do without.
    start(tmp_path, *sheets, "export.truncation_convention = 'scaled'")
    events = EventAccumulator(str(tmp_path), {"tensors": 0, "images": 0}).Reload()
    tags = events.Tags()["tensors"]
    for tag in (
        "loss/discriminator_real",
        "loss/discriminator_fake",
        "loss/generator",
        "accuracy/real",
        "accuracy/fake",
        "gradient_norm/generator",
        "gradient_norm/discriminator",
        "speed/images_per_second",
        "samples/generator",
        "samples/average",
        "config",
    ):
        assert tag in tags, tags
    assert [event.step for event in events.Tensors("loss/generator")] == [2, 4, 6, 8]
    text = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert "gan.loss = 'hinge'" in text
    # TensorBoard groups by what stands before the first slash, in alphabetical order.
    spectra = {"G.block0.conv1/sigma2", "D.head.embedding/normalized1"}
    assert {f"weight_spectra/{name}" for name in spectra} <= set(tags)
    assert max(tag.partition("/")[0] for tag in tags) == "weight_spectra"
    (rate,) = {
        float(tf.make_ndarray(e.tensor_proto))
        for e in events.Tensors("learning_rate/generator")
    }
    assert rate == pytest.approx(loop.make_plan().gan.generator_learning_rate)
    assert b"TensorFlow" in events.Tensors("environment")[0].tensor_proto.string_val[0]
    layout = layout_pb2.Layout.FromString(
        events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    )
    for chart in layout.category[0].chart:
        for pattern in chart.multiline.tag:
            quiet = "scores/", "diversity"  # this run has none of them
            matches = any(re.fullmatch(pattern, tag) for tag in tags)
            assert matches or pattern.startswith(quiet), pattern
    session = events.SummaryMetadata("_hparams_/session_start_info")
    told = plugin_data_pb2.HParamsPluginData.FromString(session.plugin_data.content)
    assert told.session_start_info.group_name == str(tmp_path)
    sigmas = [tag for tag in tags if tag.endswith("/normalized0")]
    plan = loop.make_plan()
    gan = plan.build()
    normalized = [
        layer
        for network in (gan.generator, gan.discriminator)
        for layer in spectral_layers(network)
        if layer.spectral_norm
    ]
    assert len(set(sigmas)) == len(normalized)
    assert os.listdir(tmp_path / "samples")


def test_restore_needs_no_data(tmp_path):
    start(tmp_path, "train.total_steps = 2")
    told = json.loads((tmp_path / "data.json").read_text())
    assert told["content_sha256"] == loop.make_plan().data.fingerprint("train")
    restored = run.restore(tmp_path)
    assert restored.step == 2
    assert restored.data.num_classes == 10
    assert restored.data.class_names[9] == "Ankle boot"
    trained = tf.train.load_checkpoint(str(tmp_path / "checkpoints"))
    name = "gan/generator/seed/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    weights = read_weights(restored.checkpoint, "generator")
    np.testing.assert_array_equal(weights["seed/kernel"], trained.get_tensor(name))
    average = name.replace(
        ".ATTR", ".OPTIMIZER_SLOT/gan/generator_optimizer/average/.ATTR"
    )
    found = restored.weights["seed/kernel"]
    np.testing.assert_array_equal(found, trained.get_tensor(average))


def test_a_folder_without_config_is_no_model_directory(tmp_path):
    with pytest.raises(BadInput, match=r"config\.gin"):
        config.read_back(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 10**9},
        {"num_classes": 10**9},
        {"class_names": [[]] * 10},
        {"class_names": 3},
        {"class_names": "abcdefghij"},
        {"image_size": 32.0},
        {"train_images": "many"},
        {"class_counts": [float("nan")] * 10},
        {"source": None, "surprise": 1},
    ],
)
def test_a_hostile_data_json_is_one_sentence(tmp_path, change):
    plan = planned()
    data_json.write(tmp_path, plan.data.spec)
    (tmp_path / "config.gin").write_text(config.operative())
    path = tmp_path / "data.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadInput, match="data.json cannot|data.image_size =") as error:
        run.restore(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["samples", "checkpoints", "data.json", "spectra.jsonl"]
)
def test_what_is_in_the_way_is_said_before_the_first_step(tmp_path, name):
    path = tmp_path / name
    path.mkdir() if "." in name else path.touch()
    config.parse(["test.gin"], [])
    with pytest.raises(BadInput, match=rf"--model_dir=.*: move {name} away; it is"):
        loop.make_plan(tmp_path)


def test_a_name_of_two_classes_in_data_json_is_refused(tmp_path):
    spec = data.DataSpec("folder", "pics", 32, 3, ("a", "b", "a"), 9, 0, "", "")
    data_json.write(tmp_path, spec)
    with pytest.raises(BadInput, match="class_names has a name twice"):
        data_json.read(tmp_path)


@pytest.mark.parametrize("content", ["5", "null", "[]", "{}", "[" * 5000, ""])
def test_a_damaged_data_json_is_one_sentence(tmp_path, content):
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(BadInput, match="its data.json cannot be read"):
        data_json.read(tmp_path)


@pytest.mark.parametrize(
    "line", ["import os", "include '/etc/passwd'", "include '../recipe.gin'"]
)
def test_a_hostile_config_is_not_followed(tmp_path, line):
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "recipe.gin").write_text("train.seed = 1\n")
    (folder / "config.gin").write_text(f"{line}\ntrain.seed = 0\n")
    with pytest.raises(BadInput, match=r"config\.gin:1: .*plain values only"):
        config.read_back(folder)


def test_a_hostile_checkpoint_file_reaches_nothing_elsewhere(tmp_path):
    """TensorFlow's own list of checkpoints may name files anywhere."""
    folder, elsewhere = tmp_path / "checkpoints", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        module = tf.Module()
        module.value = tf.Variable(len(place.name))
        Checkpoints(place, module).save(1)
    (folder / "checkpoint").write_text(
        "".join(
            f'{name}: "{elsewhere / "ckpt-1"}"\n'
            for name in ("model_checkpoint_path", "all_model_checkpoint_paths")
        )
    )
    module = tf.Module()
    module.value = tf.Variable(0)
    checkpoints = Checkpoints(folder, module, keep_last=1)
    assert checkpoints.restore_latest() == str(folder / "ckpt-1")
    assert int(module.value) == len("checkpoints")
    for step in (2, 3, 4):
        checkpoints.save(step)
    assert (elsewhere / "ckpt-1.index").exists()
    assert len(list(folder.glob("*.index"))) == 1


def planned():
    config.parse(["test.gin"], FAST)
    return loop.make_plan()


def test_images_that_turn_out_broken_end_in_one_sentence(tmp_path):
    """Headers are fine, pixels are cut off: seen only while training."""
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(20):
            pixels = np.random.default_rng(index).integers(
                0, 256, [40, 40, 3], np.uint8
            )
            path = tmp_path / "images" / name / f"{index}.png"
            Image.fromarray(pixels).save(path)
            if index < 5:
                path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadInput, match="data.path: .* of 40 images cannot be") as error:
        start(
            tmp_path / "run",
            "data.source = 'folder'",
            f"data.path = '{tmp_path / 'images'}'",
        )
    assert "\n" not in str(error.value)
