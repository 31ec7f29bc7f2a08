"""The real programs in processes of their own, killed with real signals."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from doors import ENVIRONMENT, ROOT, Door, last_step, log_lines
from PIL import Image

from biggan_tf.keras import IN_TENSORFLOW

PLAIN = ("monitor.samples_every_steps = 0", "monitor.spectra_every_steps = 0")


def test_killed_runs_end_bitwise_like_the_uninterrupted_one(tmp_path):
    """A few kills of the campaign whose summary is in docs/reliability.md."""
    # With as many threads as there are cores, whose order must not matter.
    result = subprocess.run(
        [sys.executable, "tools/torture.py", "--kills=2", f"--folder={tmp_path}"],
        cwd=ROOT,
        env={k: v for k, v in ENVIRONMENT.items() if not k.endswith("_THREADS")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 kills in" in result.stdout
    assert ", 0 different" in result.stdout


def test_train_export_load_and_sample_on_two_devices(tmp_path):
    """The whole path, each part a process; the module's reader knows nothing of us."""
    model_dir = tmp_path / "run"

    process = Door(
        "train",
        "--gin_file=test.gin",
        f"--model_dir={model_dir}",
        params=(
            "distribution.kind = 'virtual_cpus'",
            "distribution.virtual_cpus = 2",
            "gan.discriminator_steps = 1",
            "discriminator.attention = ()",
            *PLAIN,
        ),
        folder=tmp_path,
    )
    assert process.wait() == 0, process.output()
    assert [line["step"] for line in log_lines(model_dir)] == [2, 4, 6, 8]
    assert re.search(r"step 8/8, .* steps/s, .* left", process.output())

    process = Door("export", f"--model_dir={model_dir}", folder=tmp_path)
    assert process.wait() == 0, process.output()
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
    process = Door(
        "sample",
        f"--module={model_dir / 'export'}",
        "--labels=0,3",
        "--truncation=0.5",
        f"--output={sheet}",
        folder=tmp_path,
    )
    assert process.wait() == 0, process.output()
    assert np.asarray(Image.open(sheet)).std() > 0


def test_paper_recipe_trains_on_a_folder(tmp_path):
    """biggan128.gin, pointed at images of the user's without classes, made small."""
    (tmp_path / "images").mkdir()
    for index in range(24):
        pixels = np.random.default_rng(index).integers(0, 256, [140, 150, 3])
        picture = Image.fromarray(pixels.astype(np.uint8))
        picture.save(tmp_path / "images" / f"{index}.png")
    (tmp_path / "images" / "notes.txt").touch()
    process = Door(
        "train",
        "--gin_file=gin/biggan128.gin",
        f"--model_dir={tmp_path / 'run'}",
        folder=tmp_path,
        params=(
            *PLAIN,
            "data.source = 'folder'",
            "data.name = None",
            f"data.path = '{tmp_path / 'images'}'",
            "generator.width = 4",
            "discriminator.width = 4",
            "train.batch_size = 4",
            "train.total_steps = 2",
            "train.tick_steps = 1",
        ),
    )
    assert process.wait() == 0, process.output()
    assert last_step(tmp_path / "run") == 2
    found, counts, left_out = process.output().splitlines()[:3]
    assert found.endswith("one class, unconditional")
    assert (counts, left_out) == ("24 images: all to train on", "left out: 1 .txt")


def test_dry_run_states_sizes_plan_and_what_is_missing(tmp_path):
    process = Door(
        "train",
        "--gin_file=gin/biggan128.gin",
        "--dry_run",
        params=(f"data.data_dir = '{tmp_path}'",),
        folder=tmp_path,
    )
    assert process.wait() == 2, process.output()
    output = process.output()
    assert "G: 70,433,988 parameters" in output
    assert "D: 87,982,370 parameters" in output
    assert "labels of generated images: each class as often as any other" in output
    assert "batch: 2048" in output
    assert "orthogonal.weight = 0.0001" in output
    assert "ILSVRC2012_img_train.tar" in output
    assert output.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--gin_file=tset.gin",), "take test.gin"),
        (
            ("--gin_file=test.gin", "--gin_param=gan.los = 'hinge'"),
            "there is no option los",
        ),
        (
            (
                "--gin_file=demo.gin",
                "--gin_param=evaluation.num_images = 1280",
                "--dry_run",
            ),
            "evaluation.num_images = 1280: take 1281 or more, which fid needs",
        ),
        (("--gin_file=test.gin", "--model_dir=/proc/run"), "--model_dir=/proc/run"),
    ],
)
def test_bad_command_lines_get_one_sentence(tmp_path, arguments, complaint):
    process = Door("train", *arguments, folder=tmp_path)
    assert process.wait() == 2
    last = process.output().strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert complaint in last
    assert "Traceback" not in process.output()


def test_a_process_of_its_own_says_what_is_missing():
    result = subprocess.run(
        [sys.executable, "-m", "biggan_tf.train"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    *before, last = result.stderr.splitlines()
    assert last.startswith("error: --gin_file is missing"), result.stderr
    # TensorFlow 2.21 has lines of its own to say, and no variable that stops it.
    assert not before or not IN_TENSORFLOW
