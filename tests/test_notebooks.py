"""The notebooks of docs/notebooks, run in kernels of their own with few steps."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from doors import ENVIRONMENT, ROOT, log_lines
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

NOTEBOOKS = ROOT / "docs" / "notebooks"
# The graph optimiser takes longer than what is computed here.
UNOPTIMISED = """
import tensorflow as tf
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
"""
QUICK = {
    "train.batch_size": 8,
    "generator.width": 4,
    "discriminator.width": 4,
    "generator.attention": (),
    "discriminator.attention": (),
    "evaluation.every_steps": 0,
    "monitor.samples_every_steps": 0,
    "monitor.sample_passes": 1,
    "export.passes": 1,
}


def executed(name: str, folder: Path, **parameters: object) -> list[NotebookNode]:
    """Runs a notebook in a folder, with other values than its parameters cell has.

    Returns the outputs of all its cells.
    """
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    tags = [cell.metadata.get("tags") for cell in notebook.cells]
    values = [f"{name} = {value!r}" for name, value in parameters.items()]
    cell = nbformat.v4.new_code_cell("\n".join([UNOPTIMISED, *values]))
    notebook.cells.insert(tags.index(["parameters"]) + 1, cell)
    there = {"metadata": {"path": str(folder)}}
    limits = {"iopub_timeout": 300, "startup_timeout": 600}  # of seconds
    client = NotebookClient(notebook, kernel_name="python3", resources=there, **limits)
    client.execute(env=ENVIRONMENT)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output for cell in code for output in cell.outputs]


def printed(outputs: list[NotebookNode]) -> str:
    return "".join(each.text for each in outputs if each.get("name") == "stdout")


def pictures(outputs: list[NotebookNode], kind: str = "png") -> list[np.ndarray]:
    """Returns the pictures of a kind that are shown, uint8 [height, width, 3]."""
    shown = [each.get("data", {}).get(f"image/{kind}") for each in outputs]
    files = [io.BytesIO(base64.b64decode(text)) for text in shown if text]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


@pytest.fixture(scope="module")
def own_pictures(tmp_path_factory) -> tuple[Path, list[NotebookNode]]:
    folder = tmp_path_factory.mktemp("own_pictures")
    steps = {"train.total_steps": 4, "train.tick_steps": 2}
    periods = {"train.checkpoint_every_steps": 4, "monitor.samples_every_steps": 4}
    options = {**QUICK, "data.image_size": 32, **steps, **periods}
    return folder, executed("your_own_pictures", folder, options=options)


def test_a_folder_of_pictures_becomes_a_module(own_pictures):
    folder, outputs = own_pictures
    run = folder / "runs" / "pictures"
    assert "3 classes (Bag, Sandal, Trouser), 100 images each" in printed(outputs)
    assert log_lines(run)[-1]["step"] == 4
    assert (run / "export" / "saved_model.pb").is_file()
    assert (run / "report.html").read_text().count("data:image/png") >= 1
    real, sheet, samples = pictures(outputs)
    for picture, rows in ((real, 2), (sheet, 3), (samples, 3)):
        assert picture.shape[0] == 66 * rows - 2
        assert np.std(picture) > 10
    with Image.open(folder / "samples.png") as written:
        np.testing.assert_array_equal(samples, written)


def test_a_module_draws_and_learns(own_pictures, tmp_path):
    given = {"model_dir": str(own_pictures[0] / "runs" / "pictures")}
    given |= {"first": 0, "second": 2, "seconds": 0.2, "tuning_steps": 4}
    outputs = executed("use_a_module", tmp_path, **given)
    assert "{0: 'Bag', 1: 'Sandal', 2: 'Trouser'}" in str(outputs)
    truncations, mixed, directions, _, tuned = pictures(outputs)
    assert truncations.shape[0] == tuned.shape[0] + 66 == 4 * 66 - 2
    assert np.any(mixed[:, :64] != mixed[:, -64:])
    middle = directions[:, 3 * 66 : 3 * 66 + 64]
    np.testing.assert_array_equal(middle[:64], middle[66:130])
    assert len(pictures(outputs, "gif")) == 1
    with Image.open(tmp_path / "walk.gif") as walk:
        assert walk.n_frames > 4
    losses = re.search(r"the loss was (\S+) and is (\S+)", printed(outputs)).groups()
    first, last = map(float, losses)
    assert 0 < last < first < 4
    assert {path.name for path in tmp_path.iterdir()} == {"truncations.png", "walk.gif"}


def test_a_collapse_is_read_and_prevented(tmp_path):
    band = {"alarms.real_loss_band": (0.1, 3.0)}
    options = {**QUICK, **band, "train.total_steps": 20}
    given = {"options": options, "rescue_step": 10}
    outputs = executed("read_a_collapse", tmp_path, **given)
    runs = tmp_path / "runs" / "collapse", tmp_path / "runs" / "collapse_rescued"

    def singular_values(run: Path) -> np.ndarray:
        """Returns sigma0 of D's kernels, [times, kernels]."""
        lines = [
            json.loads(x) for x in (run / "spectra.jsonl").read_text().splitlines()
        ]
        kernels = [n for n in lines[0] if re.fullmatch(r"D\.block.*/sigma0", n)]
        return np.array([[line[name] for name in kernels] for line in lines])

    start, collapsed = singular_values(runs[0])
    (rescued,) = singular_values(runs[1])
    assert np.sum(collapsed) > np.sum(start)
    assert np.std(rescued - start) < np.std(collapsed - start) / 2
    assert "alarm at step 10: D's loss on real images" in printed(outputs)
    assert "going on from runs/collapse/checkpoints/kept/ckpt-10" in printed(outputs)
    assert [line["step"] for line in log_lines(runs[1])] == [20]
    assert len(pictures(outputs)) == 4
