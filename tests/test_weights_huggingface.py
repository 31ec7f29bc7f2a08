"""BigGAN-deep of pytorch-pretrained-biggan: our import gives the images of theirs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from doors import called
from importing import images

from biggan_tf.errors import BadInput
from biggan_tf.weights import huggingface

REFERENCE = Path(__file__).with_name("huggingface_reference.py")
RESOLUTIONS = (128, 512)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[int, Path]:
    """Models of the smallest and largest of its configurations, of small width."""
    if importlib.util.find_spec("pytorch_pretrained_biggan") is None:
        pytest.skip("pytorch-pretrained-biggan, to compare with, is not installed")
    top = tmp_path_factory.mktemp("huggingface")
    command = [sys.executable, REFERENCE, top, "8", "8", "5"]  # width, z, classes
    subprocess.run(command, check=True, stderr=subprocess.PIPE)
    return {resolution: top / str(resolution) for resolution in RESOLUTIONS}


@pytest.fixture(scope="module")
def model_dirs(folders) -> dict[int, Path]:
    """They, imported; one with names as downloaded, by the name of a file."""
    given = dict(folders)
    for name in ("config.json", "pytorch_model.bin"):
        given[512] = folders[512] / f"biggan-deep-512-{name}"
        (folders[512] / name).rename(given[512])
    found = {r: folder / "imported" for r, folder in folders.items()}
    outcomes = called(
        "biggan_tf.import_weights",
        *(
            ["--source=huggingface", f"--path={given[r]}", f"--model_dir={found[r]}"]
            for r in RESOLUTIONS
        ),
    )
    for resolution, (printed, complaint) in zip(RESOLUTIONS, outcomes):
        assert complaint == ""
        assert f"BigGAN-deep, {resolution} px, width 8, 5 classes: all" in printed
        assert "No D was given" in printed
    return found


def reference(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[float, np.ndarray]]:
    """z, y, and the package's images by truncation, NHWC."""
    with np.load(folder / "reference.npz") as file:
        arrays = {name: file[name] for name in file.files}
    z, y = arrays.pop("z"), arrays.pop("y")
    return z, y, {float(t): x.transpose(0, 2, 3, 1) for t, x in arrays.items()}


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_same_images(folders, model_dirs, resolution):
    """0.58 and 0.565 are what the package would give if it interpolated rightly."""
    z, y, expected = reference(folders[resolution])
    assert {0.02, 0.5, 0.58, 0.565, 0.6, 1.0} == expected.keys()
    found = images(model_dirs[resolution], z, y, *expected)
    for x, right in zip(found, expected.values()):
        assert right[:2].std(axis=0).mean() > 0.1  # two latents of one class
        np.testing.assert_allclose(x, right, atol=1e-3)


def test_files_are_found_by_the_names_that_they_are_downloaded_by(tmp_path):
    def taken(name: str = "") -> str:
        """The weights that are read with a path; they are empty, which is said."""
        with pytest.raises(BadInput) as refused:
            huggingface.read(str(tmp_path / name))
        path, _, reason = str(refused.value).partition(": ")
        return path.rpartition("/")[2] if reason.startswith("it is empty") else reason

    layers = [[bool(layer % 2), 1, 1] for layer in range(10)]
    config = {"output_dim": 128, "layers": layers, "attention_layer_position": 8}
    config |= {"num_classes": 5, "channel_width": 8, "z_dim": 8, "eps": 1e-4}
    text = json.dumps(config)
    model = "biggan-deep-128-pytorch_model.bin"
    (tmp_path / "config.json").write_text(text)
    (tmp_path / model).touch()
    assert taken() == model  # one file of each kind
    (tmp_path / "config.json").rename(tmp_path / "biggan-deep-128-config.json")
    assert taken() == model
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        for name in (model, "biggan-deep-128-config.json"):
            archive.add(tmp_path / name, f"models/{name}")
    assert taken("x.tgz") == model
    (tmp_path / "biggan-deep-256-config.json").write_text(text)
    (tmp_path / "biggan-deep-256-model.safetensors").touch()
    assert taken("biggan-deep-256-config.json") == "biggan-deep-256-model.safetensors"
    assert taken("biggan-deep-128-config.json") == taken(model) == model
    assert f"one of its files, not the folder: {model}, biggan-deep-256" in taken()


def test_folders_that_hold_no_such_model_are_refused(folders, tmp_path):
    with pytest.raises(BadInput, match="a folder with config.json and .* is neither"):
        huggingface.read(str(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    config = json.loads((folders[128] / "config.json").read_text())
    for changes, complaint in (
        ({"output_dim": 512}, "names 10 layers, .* 512 px has 14"),
        ({"output_dim": 100}, "100 px"),
        ({"eps": None, "layers": 3}, "config of a BigGAN"),
        ({}, "pytorch_model.bin: it is empty"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(BadInput, match=complaint):
            huggingface.read(str(tmp_path))
