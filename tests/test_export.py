"""The door `export`, on a model directory that training wrote."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from doors import ENVIRONMENT, ROOT, called

from biggan_tf import config, loop, saved_model

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
    run, scaled = f"--model_dir={model_dir}", f"--export_dir={tmp_path / 'scaled'}"
    convention = "--gin_param=export.truncation_convention = 'scaled'"
    first, again, other, taken = called(
        "biggan_tf.export",
        [run, *FAST],
        [run, *FAST, "--with_discriminator"],
        [run, *FAST, scaled, convention],
        [run, *FAST, scaled],
    )
    assert [first.complaint, again.complaint, other.complaint] == [""] * 3
    assert "--export_dir" in taken.complaint
    assert "is there already" in taken.complaint

    module = saved_model.load(model_dir / "export")
    assert hasattr(module.module, "discriminator")
    assert (module.step, module.truncation_convention) == (4, "resample")
    assert module.class_names[9] == "Ankle boot"
    assert "passes=1" in (model_dir / "export" / "README.md").read_text()
    assert not [name for name in os.listdir(model_dir) if "export." in name]
    other = saved_model.load(tmp_path / "scaled")
    assert other.truncation_convention == "scaled"
    assert not hasattr(other.module, "discriminator")

    config.read_back(model_dir)
    gan = loop.restore(model_dir).gan
    exported = {v.name: v.numpy() for v in module.module.trainable_variables}
    for trained, average in zip(
        gan.generator.trainable_variables, gan.averaged_weights()
    ):
        if "bias" in trained.name:  # kernels are divided by their sigma
            np.testing.assert_array_equal(exported[trained.name], average)
            assert np.any(average != trained)


def test_bad_command_lines_get_one_sentence(model_dir, tmp_path):
    run = f"--model_dir={model_dir}"
    (tmp_path / "export").mkdir()
    (tmp_path / "config.gin").write_text("")
    (tmp_path / "file").touch()
    cases = {
        (): "--model_dir is missing",
        ("--model_dir=/no/such/run",): "/no/such/run: there is no config.gin",
        (run, "--gin_param=export.pases = 1"): "did you mean `passes`",
        (run, "--gin_param=export.passes = 0"): "export.passes = 0",
        (run, f"--export_dir={tmp_path}"): f"--export_dir={tmp_path} is there already",
        (run, f"--export_dir={tmp_path / 'file' / 'x'}"): "cannot be written to",
        (f"--model_dir={tmp_path}",): "is in the way",
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
