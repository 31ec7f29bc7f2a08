"""The tool that makes the embedded data set."""

from __future__ import annotations

import gzip
import importlib.util
import io
import pathlib
import struct
import sys
import tarfile

import numpy as np
import pytest

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "make_embedded_dataset.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location(TOOL.stem, TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_another_package_is_refused(tool, tmp_path, monkeypatch, capsys):
    deb = tmp_path / "other.deb"
    deb.write_bytes(b"something else")
    output = tmp_path / "out.npy.xz"
    monkeypatch.setattr(sys, "argv", ["tool", str(deb), f"--output={output}"])
    with pytest.raises(SystemExit):
        tool.main()
    assert f"expected {tool.SHA256}" in capsys.readouterr().err
    assert not output.exists()


def test_first_images_of_each_class_are_picked(tool):
    labels = np.tile(np.arange(10, dtype=np.uint8), 3)
    images = np.zeros((30, 28, 28), np.uint8)
    images[:, 3, 5] = np.arange(30)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as package:
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(
                f">{array.ndim}I", *array.shape
            )
            packed = gzip.compress(header + array.tobytes())
            entry = tarfile.TarInfo(f"{tool.FOLDER}/train-{kind}-ubyte.gz")
            entry.size = len(packed)
            package.addfile(entry, io.BytesIO(packed))
    content.seek(0)
    with tarfile.open(fileobj=content) as package:
        picked = tool.first_of_each_class(package, "train", 2)
    assert picked.shape == (10, 2, 28, 28)
    np.testing.assert_array_equal(picked[..., 3, 5].T.ravel(), np.arange(20))
