"""The real programs in processes of their own, killed with real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONUNBUFFERED": "1",
}
PLAIN = ("monitor.samples_every_steps = 0", "monitor.spectra_every_steps = 0")


def command(door: str, *arguments: str, params: tuple[str, ...] = ()) -> list[str]:
    bindings = [f"--gin_param={param}" for param in params]
    return [sys.executable, "-m", f"biggan_tf.{door}", *arguments, *bindings]


def run(*args, cwd=ROOT, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*args, **kwargs),
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=500,
    )


def lines(model_dir: Path) -> list[dict]:
    path = model_dir / "scalars.jsonl"
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def state(model_dir: Path) -> dict[str, np.ndarray]:
    """All numbers of the newest checkpoint, optimisers and average included."""
    reader = tf.train.load_checkpoint(str(model_dir / "checkpoints"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE") and "save_counter" not in name
    }


def started(*args, until: int, model_dir: Path, **kwargs) -> subprocess.Popen:
    """A process that has just logged its step `until`."""
    process = subprocess.Popen(
        command(*args, **kwargs),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 200
    while not lines(model_dir) or lines(model_dir)[-1]["step"] < until:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    model_dir = tmp_path_factory.mktemp("uninterrupted")
    result = run(
        "train", "--gin_file=test.gin", f"--model_dir={model_dir}", params=KILLED
    )
    assert result.returncode == 0, result.stderr
    return model_dir


KILLED = (*PLAIN, "train.total_steps = 60", "train.checkpoint_every_steps = 2")


def test_killed_run_ends_bitwise_like_the_uninterrupted_one(tmp_path, uninterrupted):
    """SIGKILL at a random moment, then SIGTERM, then to the end."""
    arguments = ("train", "--gin_file=test.gin", f"--model_dir={tmp_path}")
    process = started(*arguments, until=4, model_dir=tmp_path, params=KILLED)
    time.sleep(np.random.default_rng().uniform(0, 0.5))
    process.kill()
    process.communicate()

    step = lines(tmp_path)[-1]["step"]
    process = started(*arguments, until=step + 4, model_dir=tmp_path, params=KILLED)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "stopped by SIGTERM at step" in output
    assert "run the same command to go on" in output

    result = run(*arguments, params=KILLED)
    assert result.returncode == 0, result.stderr
    expected, found = state(uninterrupted), state(tmp_path)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, found[name], name)
    assert [line["step"] for line in lines(tmp_path)] == list(range(2, 61, 2))


def test_train_export_load_and_sample_on_two_devices(tmp_path):
    """The whole path, each part a process; the module's reader knows nothing of us."""
    model_dir = tmp_path / "run"
    two = ("distribution.kind = 'virtual_cpus'", "distribution.virtual_cpus = 2")
    arguments = ("train", "--gin_file=gin/test.gin", f"--model_dir={model_dir}")
    process = started(*arguments, until=4, model_dir=model_dir, params=two)
    process.kill()
    process.communicate()
    result = run(*arguments, params=two)
    assert result.returncode == 0, result.stderr
    assert "going on from" in result.stdout
    assert [line["step"] for line in lines(model_dir)] == [2, 4, 6, 8]
    assert re.search(r"step 8/8, .* steps/s, .* left", result.stdout)

    result = run("export", f"--model_dir={model_dir}")
    assert result.returncode == 0, result.stderr
    reader = """
import sys, numpy as np, tensorflow as tf, tensorflow_hub as hub
m = hub.load(sys.argv[1])
z = m.sample_latents(3, 0.5, 0)
x = m(dict(z=z, y=tf.one_hot([0, 3, 9], 10), truncation=0.5))
assert x.shape == (3, 32, 32, 3) and x.dtype == tf.float32
assert np.isfinite(x).all() and np.abs(x).max() <= 1 and np.std(x) > 0
assert not any(name.startswith('biggan_tf') for name in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", reader, str(model_dir / "export")],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr

    sheet = tmp_path / "sheet.png"
    result = run(
        "sample",
        f"--module={model_dir / 'export'}",
        "--labels=0,3",
        "--truncation=0.5",
        f"--output={sheet}",
    )
    assert result.returncode == 0, result.stderr
    assert np.asarray(Image.open(sheet)).std() > 0


def test_paper_recipe_trains_on_a_folder(tmp_path):
    """biggan128.gin, pointed at images of the user's, made small."""
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(12):
            pixels = np.random.default_rng(index).integers(0, 256, [140, 150, 3])
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(tmp_path / "images" / name / f"{index}.png")
    result = run(
        "train",
        "--gin_file=gin/biggan128.gin",
        f"--model_dir={tmp_path / 'run'}",
        params=(
            *PLAIN,
            "data.source = 'folder'",
            "data.name = None",
            f"data.path = '{tmp_path / 'images'}'",
            "networks.generator_width = 4",
            "networks.discriminator_width = 4",
            "train.batch_size = 4",
            "train.total_steps = 2",
            "train.tick_steps = 1",
        ),
    )
    assert result.returncode == 0, result.stderr
    assert lines(tmp_path / "run")[-1]["step"] == 2


def test_dry_run_states_sizes_plan_and_what_is_missing(tmp_path):
    result = run(
        "train",
        "--gin_file=gin/biggan128.gin",
        "--dry_run",
        params=(f"data.data_dir = '{tmp_path}'",),
    )
    assert "G: 70,433,988 parameters" in result.stdout
    assert "D: 87,982,370 parameters" in result.stdout
    assert "batch: 2048" in result.stdout
    assert "gan.orthogonal_penalty = 0.0001" in result.stdout
    complaint = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 2, result.stderr
    assert "ILSVRC2012_img_train.tar" in result.stderr
    assert complaint.startswith("error: "), result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--gin_file is missing"),
        (("--gin_file=tset.gin",), "did you mean `test.gin`"),
        (
            ("--gin_file=test.gin", "--gin_param=gan.los = 'hinge'"),
            "`gan` has no parameter `los`",
        ),
        (("--gin_file=test.gin", "--model_dir=/proc/run"), "--model_dir=/proc/run"),
    ],
)
def test_bad_command_lines_get_one_sentence(arguments, complaint):
    result = run("train", *arguments)
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert complaint in last
    assert "Traceback" not in result.stderr
