"""Checkpoints of BigGAN-PyTorch in our networks: read, exported, trained on."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from doors import called
from importing import export, restore, restore_gan

import biggan_tf
from biggan_tf import config, loop, networks, run, weights
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec, NetworkSpec
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras
from biggan_tf.layers import path_of
from biggan_tf.sampling import ExportOptions
from biggan_tf.standing import RESAMPLE_GRID
from biggan_tf.weights import matching

DATA = Path(__file__).parent / "data"
PYTORCH_IS_HERE = importlib.util.find_spec("torch") is not None
made_by_pytorch = pytest.mark.skipif(
    not PYTORCH_IS_HERE, reason="PyTorch, which makes the files, is not installed"
)

# Saves a state dict as PyTorch does now and did before 1.6, and the state of its Adam.
PYTORCH = """
import sys
import numpy as np
import torch
source, folder = sys.argv[1:]
state = torch.nn.Module().state_dict()
state.update({k: torch.from_numpy(v) for k, v in np.load(source).items()})
torch.save(state, folder + "/G.pth")
torch.save(state, folder + "/old.pth", _use_new_zipfile_serialization=False)
buffers = ("u0", "sv0", "stored_mean", "stored_var")
names = [name for name in state if not name.endswith(buffers)]
parameters = [torch.nn.Parameter(state[name].clone()) for name in names]
adam = torch.optim.Adam(parameters, lr=1e-3, betas=(0.0, 0.999), eps=1e-6)
for _ in range(3):
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    adam.step()
torch.save(adam.state_dict(), folder + "/G_optim.pth")
moments = {n: adam.state[p]["exp_avg_sq"] for n, p in zip(names, parameters)}
np.savez(folder + "/moments.npz", **{n: m.numpy() for n, m in moments.items()})
"""


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    cut = len(prefix)
    return {name[cut:]: a for name, a in arrays.items() if name.startswith(prefix)}


def save(path: Path, tensors: dict[str, np.ndarray]) -> str:
    np.savez(path, **tensors)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """State dicts of a BigGAN 32 px and D of a BigGAN-deep, by what they are."""
    if not importlib.util.find_spec("torch"):
        pytest.skip("PyTorch writes the files, and is not installed with this Python")
    folder = tmp_path_factory.mktemp("files")
    arrays = golden("biggan32")
    source = save(folder / "G.npz", under(arrays, "G/"))
    if PYTORCH_IS_HERE:
        command = [sys.executable, "-c", PYTORCH, source, folder]
        subprocess.run(list(map(str, command)), check=True)
    return {
        "folder": str(folder),
        "G": save(folder / "G.npz", under(arrays, "G/")),
        "D": save(folder / "D.npz", under(arrays, "D/")),
        "G_ema": save(folder / "G_ema.npz", under(arrays, "after/G/")),
        "deep_D": save(folder / "deep.npz", under(golden("biggan_deep128"), "D/")),
    }


def tensors_for(network: keras.Model, spec: NetworkSpec) -> dict[str, np.ndarray]:
    """Ones in the names and shapes that a state dict of the network has."""
    tensors, rule = {}, weights.biggan_pytorch.rule(spec)
    for variable in network.variables:
        shape = tuple(variable.shape)
        name, axes = rule(path_of(variable), len(shape))
        tensors[name] = np.ones(matching.shape_in_file(shape, axes), np.float32)
    return tensors


@pytest.mark.parametrize(
    ("family", "shared", "resolution"),
    [
        ("biggan", False, 32),  # every layer has its own class embedding
        ("biggan", True, 64),
        ("biggan", True, 512),
        ("biggan_deep", True, 32),
        ("biggan_deep", True, 256),
    ],
)
def test_names_and_shapes_tell_the_architecture(family, shared, resolution, tmp_path):
    both = {
        "family": family,
        "resolution": resolution,
        "num_classes": 5,
        "width": 4,
        "attention": (16,),
        "spectral_norm": True,
    }
    of_generator = {
        "latent_size": 3 * (resolution.bit_length() - 2),  # a multiple of the chunks
        "embedding_size": 6 if shared else None,
        "skip_z": shared,
        "condition_order": "yz",
        "released_rgb": False,
    }
    g_spec = GeneratorSpec(**both, **of_generator, initializer="normal")
    d_spec = DiscriminatorSpec(**both, initializer="normal")
    generator = networks.build(g_spec)
    discriminator = networks.build(d_spec)
    published = weights.biggan_pytorch.read(
        generator=save(tmp_path / "G.npz", tensors_for(generator, g_spec)),
        discriminator=save(tmp_path / "D.npz", tensors_for(discriminator, d_spec)),
    )
    assert published.generator_arguments == both | of_generator
    assert published.discriminator_arguments == both
    assert published.generator.keys() == {path_of(v) for v in generator.variables}
    found = published.discriminator.keys()
    assert found == {path_of(v) for v in discriminator.variables}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)


def test_names_that_depend_on_switches_of_the_repository(files, tmp_path):
    plain, renamed = under(golden("biggan32"), "G/"), {}
    for name, tensor in plain.items():
        # torch.nn.DataParallel, --cross_replica
        name = name.replace(".stored_mean", ".bn.running_mean")
        renamed[f"module.{name.replace('.stored_var', '.bn.running_var')}"] = tensor
    renamed["module.blocks.0.0.bn1.bn.num_batches_tracked"] = np.array(7)
    renamed["module.linear.u1"] = renamed["module.linear.u0"]  # --num_G_SVs=2
    renamed["module.linear.sv1"] = renamed["module.linear.sv0"]
    read = weights.biggan_pytorch.read
    found = read(generator=save(tmp_path / "G.npz", renamed))
    assert_same(found.generator, read(generator=files["G"]).generator)


def test_a_file_without_singular_vectors_is_described_as_such(tmp_path):
    plain = under(golden("biggan32"), "G/")
    bare = {n: t for n, t in plain.items() if not n.endswith((".u0", ".sv0"))}
    found = weights.biggan_pytorch.read(generator=save(tmp_path / "G.npz", bare))
    told = weights.describe(found.generator_arguments)
    assert told == "BigGAN, 32 px, width 4, 10 classes, without spectral norm"


def test_quantised_weights_are_refused(tmp_path):
    tensors = under(golden("biggan32"), "G/")
    tensors["linear.bias"] = (100 * tensors["linear.bias"]).astype(np.int8)
    file = save(tmp_path / "G.npz", tensors)
    with pytest.raises(BadInput, match=r"'linear.bias' is of whole numbers \(int8\)"):
        weights.biggan_pytorch.read(generator=file)


@made_by_pytorch
def test_files_of_pytorch(files):
    """Without PyTorch, in its present form and in that before 1.6."""
    read, folder = weights.biggan_pytorch.read, files["folder"]
    expected = read(generator=files["G"]).generator
    for name in ("G.pth", "old.pth"):
        assert_same(read(generator=f"{folder}/{name}").generator, expected)


class Planted:
    def __reduce__(self):
        return open, ("planted", "w")


def test_a_file_that_would_run_code_is_refused(files, tmp_path, monkeypatch):
    """With the planted pickle in place of the tensors', in both forms."""
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("new.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": Planted()}, 2))
    Path("old.pth").write_bytes(pickle.dumps(Planted(), 2))
    for name in ("new.pth", "old.pth"):
        with pytest.raises(BadInput, match=f"--generator: {name} .* asks for .*open"):
            weights.biggan_pytorch.read(generator=name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.pth", "old.pth"]


def test_all_that_does_not_fit_is_listed_and_nothing_written(files, tmp_path):
    tensors = under(golden("biggan32"), "G/")
    del tensors["blocks.1.0.conv1.weight"]
    tensors["blocks.2.0.bn1.gain.weight"] = np.zeros([16, 15], np.float32)
    tensors["extra"] = np.zeros([2, 3])
    tensors["output_layer.0.gain"][3] = np.nan
    tensors["output_layer.0.stored_var"][2] = -0.5
    for name in ("linear.u0", "blocks.0.0.conv1.weight"):
        tensors[name] *= 0
    bad = save(tmp_path / "bad.npz", tensors)
    flat = under(golden("biggan32"), "G/")
    flat["linear.weight"] = flat["linear.weight"].reshape(-1)
    flat = save(tmp_path / "flat.npz", flat)
    model_dir = tmp_path / "run"
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, weights=np.array([{}], dtype=object))
    (tmp_path / "torn.npz").write_bytes(Path(files["G"]).read_bytes()[:5000])
    of_samples = tmp_path / "samples.npz"
    np.savez(of_samples, images=np.zeros([2, 4, 4, 3], np.float32), z=np.zeros([2, 8]))
    # Its z cannot be cut into as many chunks as there are at 64 px.
    of_128_px = save(tmp_path / "G128.npz", under(golden("biggan128"), "G/"))
    common = ["--source=biggan_pytorch", f"--model_dir={model_dir}"]
    outcomes = called(
        "biggan_tf.import_weights",
        [*common, f"--generator={bad}", f"--discriminator={files['D']}"],
        [*common, f"--generator={files['G']}", f"--discriminator={files['deep_D']}"],
        [*common, f"--generator={files['D']}"],
        [*common, f"--discriminator={files['D']}"],
        [*common, f"--generator={flat}"],
        [*common, f"--generator={of_samples}"],
        [*common, f"--generator={pickled}"],
        [*common, f"--generator={tmp_path / 'torn.npz'}"],
        [*common, f"--generator={tmp_path / 'none.npz'}"],
        [*common, f"--generator={files['G']}", "--path=somewhere"],
        [*common, f"--generator={files['G']}", "--gin_param=generator.skip_z = True"],
        [
            *common,
            f"--generator={files['G']}",
            "--gin_param=train.seed = 1\ngenerator:\n  skip_z = True",
        ],
        [
            *common,
            f"--generator={files['G']}",
            "--gin_file=test.gin",
            "--gin_param=data.image_size = 64",
        ],
        [
            *common,
            f"--generator={of_128_px}",
            "--gin_file=test.gin",
            "--gin_param=data.image_size = 64",
        ],
        ["--source=tfhub", f"--model_dir={model_dir}", f"--generator={files['G']}"],
        ["--source=tfhub", f"--model_dir={model_dir}", f"--path={tmp_path}"],
        ["--source=huggingface", f"--model_dir={model_dir}"],
        ["--source=biggan_pytorch", f"--model_dir={tmp_path}"],
    )
    complaints = [outcome.complaint for outcome in outcomes]
    listed = complaints[0].split("; ")
    assert listed[0].startswith("7 tensors do not fit")
    for name, found in {
        "blocks.1.0.conv1.weight is missing": "[16, 16, 3, 3]",
        "blocks.2.0.bn1.gain.weight is [16, 15]": (
            "block2/norm1/gain/kernel takes [16, 16]"
        ),
        "extra [2, 3] is left over": "bad.npz",
        "output_layer.0.gain holds NaN": "bad.npz",
        "output_layer.0.stored_var holds -0.5, a variance below 0": "bad.npz",
        "linear.u0 holds zeros alone, so sigma is 0": "bad.npz",
        "blocks.0.0.conv1.weight holds zeros alone": "bad.npz",
    }.items():
        assert any(name in line and found in line for line in listed), name
    for complaint, words in zip(
        complaints[1:],
        (
            ["different models", "BigGAN-deep, 128 px, width 4", "BigGAN, 32 px"],
            ["D.npz: give a G of BigGAN-PyTorch", "blocks.0.0.bn1.gain.weight"],
            ["--generator"],
            ["flat.npz: give a G of BigGAN-PyTorch; linear.weight is [", "have 2 axes"],
            ["samples.npz: give a G of BigGAN", "; images, z ... are no such tensors"],
            ["pickled.npz: cannot be read", "allow_pickle"],
            ["torn.npz: cannot be read"],
            ["none.npz: cannot be read"],
            ["--path"],
            *[["--gin_param: generator.skip_z: leave it for the weights"]] * 2,
            ["data.image_size = 64", "32 px"],
            ["data.image_size = 64: take 128", "128 px"],
            ["--source=tfhub", "--generator"],
            ["saved_model.pb"],
            ["--path"],
            ["there already"],
        ),
    ):
        for word in words:
            assert word in complaint, (word, complaint)
    assert not model_dir.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_standing_sums_are_divided_by_their_counter():
    sums = {"bn.stored_mean": np.array([4.0]), "bn.accumulation_counter": np.array([2])}
    found = weights.biggan_pytorch._canonical(sums)
    assert found == {"bn.stored_mean": 2}
    sums["bn.accumulation_counter"] = np.array([0])
    assert weights.biggan_pytorch._canonical(sums) == {"bn.stored_mean": 4}


def test_second_moments_below_0_are_refused():
    moments = {"step": 1, "exp_avg": np.ones(2), "exp_avg_sq": np.array([1.0, -2.0])}
    state = {"param_groups": [{"params": [0]}], "state": {0: moments}}
    adam, file = weights.biggan_pytorch._adam, "--optimizers=x"
    with pytest.raises(BadInput, match="--optimizers=x: .* exp_avg_sq of w holds -2"):
        adam(file, state, {"w": np.ones(2)})
    for step in (-5, 1e30, math.inf):
        moments |= {"step": step, "exp_avg_sq": np.ones(2)}
        with pytest.raises(BadInput, match="--optimizers=x: .*(step is|infinity)"):
            adam(file, state, {"w": np.ones(2)})


@pytest.fixture(scope="module")
def imported(files, tmp_path_factory) -> tuple[dict[str, Path], list]:
    """Model directories, and what the tool printed for each."""
    folder = tmp_path_factory.mktemp("runs")
    seven = golden("biggan32")
    seven["G/shared.weight"] = seven["G/shared.weight"][:7]
    seven["D/embed.weight"] = seven["D/embed.weight"][:7]
    seven["D/embed.u0"] = seven["D/embed.u0"][:, :7]
    recipe = [
        "--gin_file=test.gin",
        *(
            f"--gin_param={binding}"
            for binding in (
                "monitor.samples_every_steps = 0",
                "monitor.spectra_every_steps = 0",
                "train.total_steps = 20",
                "train.tick_steps = 10",
                "train.checkpoint_every_steps = 20",
                "train.deterministic = False",
            )
        ),
    ]
    both = [f"--generator={files['G']}", f"--discriminator={files['D']}"]
    adam = [f"--optimizers={files['folder']}/G_optim.pth"] if PYTORCH_IS_HERE else []
    runs = {
        "plain": [f"--generator={files['G']}"],
        "averaged": [
            *both,
            f"--generator_ema={files['G_ema']}",
            *adam,
            *recipe,
        ],
        "no D": [f"--generator={files['G']}", *recipe],
        "other classes": [
            f"--generator={save(folder / 'G7.npz', under(seven, 'G/'))}",
            f"--discriminator={save(folder / 'D7.npz', under(seven, 'D/'))}",
            *recipe,
        ],
    }
    model_dirs = {name: folder / name for name in runs}
    outcomes = called(
        "biggan_tf.import_weights",
        *(
            ["--source=biggan_pytorch", f"--model_dir={model_dirs[name]}", *arguments]
            for name, arguments in runs.items()
        ),
    )
    assert [outcome.complaint for outcome in outcomes] == [""] * len(runs)
    printed = {name: o.printed for name, o in zip(runs, outcomes)}
    return model_dirs, printed


def test_an_imported_model_is_exported_as_it_was_published(imported):
    model_dirs, printed = imported
    arrays = golden("biggan32")
    fits = "BigGAN, 32 px, width 4, 10 classes: all tensors fit"
    assert f"G: {fits}" in printed["plain"]
    assert "D: BigGAN" not in printed["plain"]
    assert f"D: {fits}" in printed["averaged"]
    named = "classes go on number by number, from 'T-shirt/top' to 'Ankle boot'"
    assert named in printed["averaged"]
    assert "number by number" not in printed["plain"] + printed["other classes"]
    assert "No D was given: a stub" in printed["plain"]
    module = export(model_dirs["plain"])
    assert module.truncations == (np.inf,)
    found = module.images(arrays["in/z"], arrays["in/y"], np.inf)
    np.testing.assert_allclose(found, arrays["eval/images"], atol=1e-5)
    again = module.images(arrays["in/z"], arrays["in/y"], 0.5)
    np.testing.assert_array_equal(found, again)  # there is one set of statistics
    card = (model_dirs["plain"] / "export" / "README.md").read_text()
    assert "that others trained, imported as `biggan_pytorch`" in card
    assert "training steps" not in card
    assert "Trained with" not in card


def test_statistics_are_measured_on_request(imported):
    trained = restore(imported[0]["plain"])
    options = ExportOptions(accumulate=True, passes=1, batch_size=2)
    _, sampler = run.inference_generator(trained, options)
    assert sampler.truncations == pytest.approx(RESAMPLE_GRID)
    others = dataclasses.replace(trained.published, means={})
    strange = dataclasses.replace(trained, published=others)
    with pytest.raises(BadInput, match="statistics.npz is of other networks .*import"):
        run.inference_generator(strange, ExportOptions())


def test_the_average_is_what_is_exported(imported, files):
    """With its own u and running statistics, while G keeps its weights."""
    model_dir = imported[0]["averaged"]
    arrays = golden("biggan32")
    published = weights.biggan_pytorch.read(generator=files["G_ema"])
    spec = GeneratorSpec(**published.generator_arguments)
    generator = networks.build(spec)
    assert len(published.average) == len(generator.variables)
    for variable in generator.variables:
        variable.assign(published.average[path_of(variable)].reshape(variable.shape))
    expected = generator(tf.constant(arrays["in/z"]), tf.constant(arrays["in/y"]))
    found = export(model_dir).images(arrays["in/z"], arrays["in/y"], np.inf)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - arrays["eval/images"]).max() > 1e-3

    gan = restore_gan(model_dir)
    kernel = gan.generator.to_image.conv.kernel.numpy()
    stored = arrays["G/output_layer.2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, stored)


def test_other_classes_start_afresh(imported):
    model_dirs, printed = imported
    assert "class embeddings and Adam start afresh" in printed["other classes"]
    assert "goes on" not in printed["other classes"]
    quoted = f"--model_dir='{model_dirs['other classes']}'"
    assert f"biggan_tf.export {quoted}\n" in printed["other classes"]
    assert f"/config.gin' {quoted}\n" in printed["other classes"]
    gan = restore_gan(model_dirs["other classes"])
    assert gan.generator.condition.embedding.kernel.shape == [10, 16]
    assert gan.discriminator.head.embedding.kernel.shape == [10, 16]
    bias = golden("biggan32")["D/linear.bias"]
    np.testing.assert_array_equal(gan.discriminator.head.linear.bias, bias)
    averages = dict(
        zip(map(path_of, gan.generator.trainable_variables), gan.averaged_weights())
    )
    np.testing.assert_array_equal(
        averages["condition/embedding/kernel"], gan.generator.condition.embedding.kernel
    )
    assert not (model_dirs["other classes"] / "statistics.npz").exists()
    for classes, updates in ((7, 0), (10, 3)):
        adam = {"generator": (3, {}, {})}
        weights.Published({"num_classes": classes}, {}, adam=adam).assign_to(gan)
        assert gan.generator_optimizer.iterations == updates


def test_a_discriminator_that_was_not_published_is_not_exported(imported, tmp_path):
    model_dirs, _ = imported
    for name in ("plain", "no D"):
        with pytest.raises(BadInput, match="--with_discriminator: .* without D"):
            biggan_tf.export(model_dirs[name], with_discriminator=True)
    bindings = {
        "data.source": "embedded",
        "data.image_size": 32,
        "train.total_steps": 1,
    }
    begun = {"continue_from": model_dirs["plain"]}
    with pytest.raises(BadInput, match="has a stub for D, since none was published"):
        biggan_tf.train(model_dir=tmp_path / "x", bindings=bindings, **begun)
    # Nor is what may not have been published.
    shutil.copytree(model_dirs["plain"], tmp_path / "plain")
    (tmp_path / "plain" / run.IMPORTED).unlink()
    with pytest.raises(BadInput, match="nothing tells whether D in .* is a stub"):
        biggan_tf.export(tmp_path / "plain", with_discriminator=True)
    begun = {"continue_from": tmp_path / "plain"}
    with pytest.raises(BadInput, match="nothing tells whether its D is a stub"):
        biggan_tf.train(model_dir=tmp_path / "x", bindings=bindings, **begun)


def test_statistics_of_another_import_are_refused(imported, tmp_path):
    model_dirs, _ = imported
    shutil.copytree(model_dirs["plain"], tmp_path / "plain")
    for name in ("plain", "averaged"):  # two averages of one G
        shutil.copy(model_dirs[name] / "statistics.npz", tmp_path / "plain")
        config.read_back(tmp_path / "plain")
        if name == "plain":
            assert run.restore(tmp_path / "plain").published is not None
        else:
            with pytest.raises(BadInput, match="statistics.npz is of other weights"):
                run.restore(tmp_path / "plain")
        config.clear()


def test_weights_without_a_recipe_need_data_to_be_scored(imported):
    model_dirs, _ = imported
    with pytest.raises(BadInput, match="--data is missing: weights without a recipe"):
        biggan_tf.evaluate(model_dir=model_dirs["plain"], network="lite0_32")


def test_a_discriminator_that_was_not_published_starts_afresh(imported):
    model_dirs, printed = imported
    assert "No D was given: it starts afresh" in printed["no D"]
    discriminator = restore_gan(model_dirs["no D"]).discriminator
    assert discriminator.spec.width == 4  # the recipe's
    kernel = discriminator.blocks[1].conv1.matrix().numpy()
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(16), atol=1e-5)


@made_by_pytorch
def test_adam_goes_on(imported, files):
    model_dirs, printed = imported
    assert "Adam of the generator goes on after 3 updates" in printed["averaged"]
    gan = restore_gan(model_dirs["averaged"])
    optimizer = gan.generator_optimizer
    assert optimizer.iterations == 3
    with np.load(Path(files["folder"]) / "moments.npz") as moments:
        stored = moments["output_layer.2.weight"].transpose(2, 3, 1, 0)
    slot = optimizer._optimizer.get_slot(gan.generator.to_image.conv.kernel, "v")
    np.testing.assert_array_equal(slot, stored)


def test_an_imported_model_trains_on(imported):
    model_dir = imported[0]["averaged"]
    assert f"--gin_file={model_dir}/config.gin" in imported[1]["averaged"]
    assert restore(model_dir).published is not None
    config.parse([str(model_dir / "config.gin")], [])
    loop.train(model_dir)
    trained = restore(model_dir)
    assert trained.step == 20
    assert trained.published is None  # those of step 0 are stale
    for variable in restore_gan(model_dir).generator.variables:
        assert np.all(np.isfinite(variable)), variable.name
