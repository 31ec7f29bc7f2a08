"""DeepMind's modules in the TF1 Hub format: our import gives the images of theirs."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from doors import called
from importing import images
from tfhub_reference import Module

from biggan_tf import weights
from biggan_tf.errors import BadInput

# Deep or not, resolution, side of the attention.
KINDS = {
    "biggan-128": (False, 128, 64),
    "biggan-deep-128": (True, 128, 64),
}


@pytest.fixture(scope="module")
def modules(tmp_path_factory) -> dict[str, tuple[Module, str]]:
    """Modules and their folders."""
    top = tmp_path_factory.mktemp("modules")
    found = {}
    for name, kind in KINDS.items():
        module = Module(*kind)
        scope = "module_apply_default/" if name == "biggan-deep-128" else ""
        found[name] = module, module.write(top / name, scope)
    return found


@pytest.fixture(scope="module")
def model_dirs(modules, tmp_path_factory) -> dict[str, Path]:
    """They, imported."""
    top = tmp_path_factory.mktemp("imported")
    outcomes = called(
        "biggan_tf.import_weights",
        *(
            ["--source=tfhub", f"--path={folder}", f"--model_dir={top / name}"]
            for name, (_, folder) in modules.items()
        ),
    )
    for (name, (deep, resolution, _)), outcome in zip(KINDS.items(), outcomes):
        assert outcome.complaint == "", name
        family = "BigGAN-deep" if deep else "BigGAN"
        assert f"{family}, {resolution} px, width 8, 5 classes: all" in outcome.printed
        kept = "constants of the graph" if deep else "the accumulated variables"
        assert kept in outcome.printed
        config = (top / name / "config.gin").read_text()
        for convention in (
            "generator.condition_order = 'zy'",
            f"generator.released_rgb = {deep}",
            "generator.bn_epsilon = 0.0001",
            "generator.sn_epsilon = 0.0001",
            "export.truncation_convention = 'scaled'",
        ):
            assert convention in config, name
    return {name: top / name for name in modules}


@pytest.mark.parametrize("name", KINDS)
def test_same_images(modules, model_dirs, name):
    module, folder = modules[name]
    truncations = (0.571, 1.0) if module.deep else (0.5,)
    found = images(model_dirs[name], module.z, module.y, *truncations)
    for x, right in zip(found, module.images(folder, *truncations)):
        assert right[:2].std(axis=0).mean() > 0.1  # two latents of one class
        np.testing.assert_allclose(x, right, atol=1e-3)
    if module.deep:
        assert np.abs(found[0] - found[1]).max() > 0.1


def test_an_archive_of_a_module_is_read(modules, tmp_path, monkeypatch):
    """As tfhub.dev gives it, or in a folder, or zipped; nothing stays behind."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = Path(modules["biggan-128"][1])
    for name, top in {"module.tar.gz": ".", "module.tgz": "biggan-128_2"}.items():
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            archive.add(folder, top)
    shutil.make_archive(str(tmp_path / "module"), "zip", folder)
    stored = weights.tfhub.read(str(folder)).average["seed/kernel"]
    for path in (
        tmp_path / "module.tar.gz",
        tmp_path / "module.tgz",
        tmp_path / "module.zip",
        folder / "saved_model.pb",
    ):
        found = weights.tfhub.read(str(path)).average["seed/kernel"]
        np.testing.assert_array_equal(found, stored)
    whole = (tmp_path / "module.tar.gz").read_bytes()
    for part in (0, 0.01, 0.5, 0.99):
        cut = tmp_path / "cut.tar.gz"
        cut.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(BadInput, match=r"--path=.*cut\.tar\.gz: .*(whole|empty)"):
            weights.tfhub.read(str(cut))
    assert not [path for path in temporary.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("name", "kind", "complaint"),
    [
        ("../planted", tarfile.REGTYPE, "leads to another place"),
        ("a/../../planted", tarfile.REGTYPE, "leads to another place"),
        ("{folder}/planted", tarfile.REGTYPE, "leads to another place"),
        ("link", tarfile.SYMTYPE, "is a link"),
        ("link", tarfile.LNKTYPE, "is a link"),
        ("pipe", tarfile.FIFOTYPE, "is a link or a device"),
        ("biggan/saved_model.txt", tarfile.REGTYPE, r"folder with saved_model\.pb"),
        ("saved_model.pb", tarfile.REGTYPE, "x.tar.gz/saved_model.pb: it is empty"),
    ],
)
def test_an_archive_writes_nowhere_else(name, kind, complaint, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        item = tarfile.TarInfo(name.format(folder=tmp_path))
        item.type, item.linkname = kind, str(tmp_path)
        archive.addfile(item, io.BytesIO())
    with pytest.raises(BadInput, match=complaint):
        weights.tfhub.read(str(path))
    assert sorted(f.name for f in tmp_path.rglob("*")) == ["temporary", "x.tar.gz"]


def test_a_pointer_of_git_lfs_in_a_module_is_named(modules, tmp_path):
    folder = Path(shutil.copytree(modules["biggan-128"][1], tmp_path / "module"))
    [data] = folder.glob("variables/*.data-*")
    data.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(BadInput, match=rf"{data.name}: it is a pointer of Git LFS"):
        weights.tfhub.read(str(folder))


def test_folders_that_hold_no_such_module_are_refused(modules, tmp_path):
    folder = Path(modules["biggan-deep-128"][1])
    with pytest.raises(BadInput, match=r"a folder with saved_model\.pb"):
        weights.tfhub.read(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"?")
    with pytest.raises(BadInput, match="give variables that can be read"):
        weights.tfhub.read(str(tmp_path))
    (tmp_path / "variables").symlink_to(folder / "variables")
    with pytest.raises(BadInput, match=r"saved_model\.pb: give an undamaged file"):
        weights.tfhub.read(str(tmp_path))
    graph = (folder / "saved_model.pb").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(graph.replace(b"stack_3", b"stock_3"))
    with pytest.raises(BadInput, match="has no constants stack_1:0"):
        weights.tfhub.read(str(tmp_path))
