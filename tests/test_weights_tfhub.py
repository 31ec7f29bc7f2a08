"""DeepMind's modules in the TF1 Hub format: our import gives the images of theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow_hub as hub
from doors import called
from importing import export, images
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
        "import_weights",
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


def test_an_export_answers_as_the_released_module(modules, model_dirs):
    """With its 51 sets, by the same call."""
    module, folder = modules["biggan-deep-128"]
    export(model_dirs["biggan-deep-128"])
    loaded = hub.load(str(model_dirs["biggan-deep-128"] / "export"))
    assert loaded.truncation_convention.numpy() == b"scaled"
    assert len(loaded.standing_truncations.numpy()) == 51
    truncations = (0.571, 1.0)
    for truncation, right in zip(truncations, module.images(folder, *truncations)):
        inputs = {"z": module.z, "y": module.y, "truncation": truncation}
        np.testing.assert_allclose(loaded(inputs), right, atol=1e-3)


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
