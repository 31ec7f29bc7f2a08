"""The door `export`, on a model directory that training wrote."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_hub as hub
from doors import ENVIRONMENT, ROOT, called
from PIL import Image

import biggan_tf
from biggan_tf import config, images, loop, model_card, run, saved_model
from biggan_tf.checkpoints import read_weights
from biggan_tf.errors import BadInput
from biggan_tf.layers import path_of

FAST = ("--gin_param=export.passes = 1", "--gin_param=export.batch_size = 4")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    params = [
        "gan.discriminator_steps = 1",
        "gan.ema_decay = 0.5",
        "gan.ema_start_step = 0",
        "monitor.samples_every_steps = 0",
        "monitor.spectra_every_steps = 0",
        "train.deterministic = False",
        "train.total_steps = 4",
    ]
    config.parse(["test.gin"], params)
    loop.train(folder)
    return folder


def test_what_is_exported(model_dir, tmp_path):
    run_dir, scaled = f"--model_dir={model_dir}", f"--export_dir={tmp_path / 'scaled'}"
    convention = "--gin_param=export.truncation_convention = 'scaled'"
    first, again, other, taken = called(
        "biggan_tf.export",
        [run_dir, *FAST],
        [run_dir, *FAST, "--with_discriminator"],
        [run_dir, *FAST, scaled, convention],
        [run_dir, *FAST, scaled],
    )
    assert [first.complaint, again.complaint, other.complaint] == [""] * 3
    assert "--export_dir" in taken.complaint
    assert "name a new folder" in taken.complaint
    assert "its batch-norm statistics are moments over" in first.printed
    measured = called(
        "measure_samples",
        [f"--module={model_dir / 'export'}", "--truncation=-1"],
        [f"--module={tmp_path / 'scaled'}", "--truncation=0.5"],
    )
    assert "--truncation" in measured[0].complaint
    assert "diversity needs truncation" in measured[1].complaint

    module = saved_model.load(model_dir / "export")
    raw = hub.load(str(model_dir / "export"))
    assert hasattr(raw, "discriminator")
    assert (module.step, module.convention) == (4, "resample")
    assert module.class_names[9] == "Ankle boot"
    assert "passes=1" in (model_dir / "export" / "README.md").read_text()
    classes = np.linspace(0, 9, model_card.MOST_ROWS).astype(int)
    drawn = module.generate(classes.repeat(model_card.COLUMNS), 0.5, seed=0)
    with Image.open(model_dir / "export" / "samples.png") as sheet:
        last_tile = np.asarray(sheet)[-64:, -64:]
    tile = images.to_uint8(drawn[-1]).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(np.int32(last_tile), tile, atol=1)
    assert not [name for name in os.listdir(model_dir) if "export." in name]
    other = saved_model.load(tmp_path / "scaled")
    assert other.convention == "scaled"
    assert not hasattr(hub.load(str(tmp_path / "scaled")), "discriminator")

    config.read_back(model_dir)
    restored = run.restore(model_dir)
    trained = read_weights(restored.checkpoint, "generator")
    exported = {path_of(v): v.numpy() for v in raw.trainable_variables}
    biases = [path for path in trained if path.endswith("/bias")]
    assert len(biases) > 5
    for path in biases:  # kernels are divided by their sigma
        np.testing.assert_array_equal(exported[path], restored.weights[path])
        assert np.any(restored.weights[path] != trained[path])


def test_a_discriminator_is_of_a_whole_checkpoint(model_dir, tmp_path, capsys):
    folder = shutil.copytree(model_dir, tmp_path / "run")
    checkpoint = folder / "checkpoints" / "ckpt-4"
    for earlier in checkpoint.parent.rglob("ckpt-0.*"):
        earlier.unlink()
    weights = read_weights(checkpoint, "discriminator")
    largest = max(weights.values(), key=lambda value: value.size).tobytes()
    [file] = checkpoint.parent.glob("ckpt-4.data-*")
    whole = file.read_bytes()
    assert whole.count(largest) == 1
    file.write_bytes(whole.replace(largest, largest[:-1] + bytes([largest[-1] ^ 1])))
    with config.apart():
        config.read_back(folder)
        assert run.restore(folder).step == 4  # G's average is whole
    with pytest.raises(BadInput, match="all 1 checkpoints in it are damaged"):
        biggan_tf.export(folder, tmp_path / "new", with_discriminator=True)
    assert f"{checkpoint} is damaged: " in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


def test_bad_command_lines_get_one_sentence(model_dir, tmp_path):
    run_dir = f"--model_dir={model_dir}"
    (tmp_path / "export").mkdir()
    shutil.copy(model_dir / "config.gin", tmp_path)
    (tmp_path / "file").touch()
    cases = {
        (): "--model_dir is missing",
        ("--model_dir=/no/such/run",): "/no/such/run: there is no config.gin",
        (run_dir, "--gin_param=export.pases = 1"): "take passes",
        (run_dir, "--gin_param=export.passes = 0"): "export.passes = 0",
        (run_dir, f"--export_dir={tmp_path}"): f"--export_dir={tmp_path}: name a new",
        (run_dir, f"--export_dir={tmp_path / 'file' / 'x'}"): "cannot be written to",
        (f"--model_dir={tmp_path}",): "it is no exported module",
    }
    outcomes = called("biggan_tf.export", *map(list, cases))
    for (_, complaint), expected in zip(outcomes, cases.values()):
        assert expected in complaint
        assert "\n" not in complaint


def test_the_program_itself(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "biggan_tf.export", f"--model_dir={tmp_path}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(f"error: --model_dir={tmp_path}")
    assert "Traceback" not in result.stderr
