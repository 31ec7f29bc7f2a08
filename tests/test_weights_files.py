"""Files of weights as people have them: wrapped, of any precision, or failed."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import weights
from biggan_tf.errors import BadInput
from biggan_tf.weights.state_dicts import StateDicts, read_tensors

DATA = Path(__file__).parent / "data"

# Saves a network of two layers in many ways, and as plain float32 arrays.
PYTORCH = """
import sys
import numpy as np
import torch
from torch import nn
folder = sys.argv[1]
torch.manual_seed(0)

class Both(nn.Module):
    def __init__(self, **networks):
        super().__init__()
        for name, network in networks.items():
            self.add_module(name, network)

def network():
    return Both(linear=nn.Linear(3, 2), norm=nn.BatchNorm1d(2))

def save(name, content, **how):
    torch.save(content, f"{folder}/{name}.pth", **how)

def save_arrays(name, state):
    arrays = {k: v.float().numpy() for k, v in state.items()}
    np.savez(f"{folder}/{name}.npz", **arrays)

G, D, E = network(), network(), network()
adam = torch.optim.Adam(G.parameters())
sum(p.sum() for p in G.parameters()).backward()
adam.step()
g, d, e = (n.state_dict() for n in (G, D, E))
for name, state in {"g": g, "d": d, "e": e}.items():
    save_arrays(name, state)
twice = nn.DataParallel(nn.DataParallel(G)).state_dict()
averaged = torch.optim.swa_utils.AveragedModel(G).state_dict()
rest = {"epoch": 3, "fid": torch.tensor(7.0), "optimizer_G": adam.state_dict()}
parameter = nn.Parameter(g["linear.weight"])
parameter.note = "kept"
for name, content in {
    "module_module": twice,
    "averaged": averaged,
    "state_dict": {"state_dict": g, **rest},
    "nested": {"checkpoint": {"model_state_dict": twice}, "args": {"lr": 0.1}},
    "compiled": {f"_orig_mod.module.{k}": v for k, v in g.items()},
    "compiled_inside": {f"module._orig_mod.generator.{k}": v for k, v in g.items()},
    "parameters": {**g, "linear.weight": parameter, "linear.bias": G.linear.bias},
    "one_role": {"netG": g},
}.items():
    save(name, content)
save("several", {"G": g, "netD": d, "g_ema": nn.DataParallel(E).state_dict(), **rest})
save("lightning", {"state_dict": Both(generator=G, discriminator=D).state_dict()})
save("without_ema", {"G": g, "D": d})
save("around", {**g, "G_ema": e})
save("negative", {**g, "linear.bias": torch._neg_view(-g["linear.bias"])})
for dtype in (torch.bfloat16, torch.float16, torch.float64):
    name = str(dtype).removeprefix("torch.")
    cast = {k: v.to(dtype) for k, v in g.items()}
    save_arrays(name + "_expected", cast)
    save(name, cast)
    save(name + "_old", cast, _use_new_zipfile_serialization=False)
save("old_wrapped", {"model": twice}, _use_new_zipfile_serialization=False)
save("network", G)
save("numbered", {0: g["linear.bias"]})
save("optimizer", adam.state_dict())
torch.jit.save(torch.jit.script(nn.Linear(3, 2)), folder + "/script.pth")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder of files that PyTorch saved."""
    if not importlib.util.find_spec("torch"):
        pytest.skip("PyTorch writes the files, and is not installed with this Python")
    folder = tmp_path_factory.mktemp("made")
    command = [sys.executable, "-W", "ignore", "-c", PYTORCH, str(folder)]
    subprocess.run(command, check=True)
    return folder


def assert_holds(path: Path, expected: Path, network: str = "generator") -> None:
    found = read_tensors(str(path), "--generator", network)
    with np.load(expected) as arrays:
        assert list(found) == arrays.files
        for name, tensor in found.items():
            assert tensor.dtype == np.float32
            np.testing.assert_array_equal(tensor, arrays[name], name)


@pytest.mark.parametrize(
    "name",
    [
        "module_module",
        "averaged",
        "state_dict",
        "nested",
        "compiled",
        "compiled_inside",
        "parameters",
        "one_role",
        "old_wrapped",
    ],
)
def test_wrappers_and_prefixes_are_taken_off(made, name):
    assert_holds(made / f"{name}.pth", made / "g.npz")


def test_of_several_networks_the_one_that_is_asked_for_is_read(made):
    for name in ("several", "lightning", "without_ema"):
        assert_holds(made / f"{name}.pth", made / "g.npz")
        assert_holds(made / f"{name}.pth", made / "d.npz", "discriminator")
    assert_holds(made / "several.pth", made / "e.npz", "generator_ema")
    with pytest.raises(BadInput, match="generator_ema alone; which of G, D it is"):
        read_tensors(str(made / "without_ema.pth"), "--generator_ema", "generator_ema")


def test_what_a_file_holds_beside_what_was_read_is_told(made):
    def unread(name: str, *networks: str) -> list[str]:
        held = StateDicts(str(made / f"{name}.pth"), "--generator")
        for network in networks:
            held.tensors(f"--{network}", network)
        return held.unread()

    assert unread("several", "generator") == ["g_ema", "netD", "optimizer_G"]
    assert unread("several", "generator_ema", "discriminator") == ["G", "optimizer_G"]
    assert unread("state_dict", "generator") == ["optimizer_G"]
    assert unread("lightning", "generator") == ["state_dict.discriminator"]
    assert unread("lightning", "generator", "discriminator") == []
    assert unread("around", "generator_ema") == ["tensors without a key"]
    for name in ("module_module", "averaged", "nested", "compiled_inside", "one_role"):
        assert unread(name, "generator") == []
    held = StateDicts(str(made / "several.pth"), "--optimizers")
    held.optimizer("--optimizers", "generator")
    assert held.unread() == ["G", "g_ema", "netD"]


def test_weights_around_others_are_not_passed_over(made):
    assert_holds(made / "around.pth", made / "e.npz", "generator_ema")
    with pytest.raises(BadInput, match="state dict of one network; 'G_ema' is no ten"):
        read_tensors(str(made / "around.pth"), "--generator", "generator")


def test_numbers_without_their_sign_are_refused(made):
    with pytest.raises(BadInput, match="a tensor is flagged neg; save what"):
        read_tensors(str(made / "negative.pth"), "--generator", "generator")


@pytest.mark.parametrize("form", ["", "_old"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_precisions(made, dtype, form):
    assert_holds(made / f"{dtype}{form}.pth", made / f"{dtype}_expected.npz")


def test_the_state_of_the_optimiser_beside_networks_is_read(made):
    held = StateDicts(str(made / "several.pth"), "--optimizers")
    state = held.optimizer("--optimizers", "generator")
    assert state["param_groups"][0]["params"] == [0, 1, 2, 3]
    assert state["state"][0]["exp_avg"].shape == (2, 3)


def test_safetensors(tmp_path):
    values = np.arange(6).reshape(2, 3) / 4
    bfloat16 = values.astype(tf.bfloat16.as_numpy_dtype)
    data, header = b"", {"__metadata__": {"format": "pt"}}
    kinds = {"F32": values.astype("<f4"), "F16": values.astype("<f2"), "BF16": bfloat16}
    for kind, tensor in kinds.items():
        end = len(data) + tensor.nbytes
        offsets = [len(data), end]
        about = {"dtype": kind, "shape": [2, 3], "data_offsets": offsets}
        header[f"module.{kind}"] = about
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    whole = len(text).to_bytes(8, "little") + text + data
    path = tmp_path / "G.safetensors"
    path.write_bytes(whole)
    found = read_tensors(str(path), "--generator", "generator")
    assert list(found) == list(kinds)
    for tensor in found.values():
        np.testing.assert_array_equal(tensor, values)
    for length in (len(whole) - 1, len(text), 20):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInput, match="it is cut short; download it again"):
            read_tensors(str(path), "--generator", "generator")


def test_one_file_of_both_networks_is_imported(tmp_path):
    """As torch.nn.DataParallel of the repository's G_D saves it."""
    with np.load(DATA / "biggan32.npz") as arrays:
        tensors = {
            f"module.{name.replace('/', '.', 1)}": arrays[name]
            for name in arrays.files
            if name.startswith(("G/", "D/"))
        }
    path = str(tmp_path / "both.npz")
    np.savez(path, **tensors)
    published = weights.biggan_pytorch.read(generator=path, discriminator=path)
    assert published.generator_arguments["resolution"] == 32
    stored = tensors["module.D.linear.bias"]
    np.testing.assert_array_equal(published.discriminator["head/linear/bias"], stored)
    assert not published.note
    alone = weights.biggan_pytorch.read(generator=path)
    assert alone.note.startswith(f"{path} also holds module.D: not read, for each net")


class Planted:
    def __reduce__(self):
        return open, ("planted", "w")


def zipped(path: Path, **contents: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def test_what_is_no_file_of_weights_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    denied = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'
    for name, content in {
        "empty": b"",
        "pointer": pointer,
        "page": b"\n<!DOCTYPE html><html><title>Quota exceeded</title></html>",
        "denied": denied,
        "text": b"Entry not found",
        "packed": gzip.compress(b"weights"),
        "pickled": pickle.dumps({"w": Planted()}, 2),
        "other": pickle.dumps({"w": 1}, 2),
    }.items():
        Path(name).write_bytes(content)
    zipped(Path("zip"), **{"G.pth": b"", "README": b""})
    with tarfile.open("tar", "w") as archive:
        archive.add("text")
    Path("torn").write_bytes(Path("zip").read_bytes()[:60])
    Path("device").symlink_to("/dev/zero")
    os.mkfifo("pipe")
    for name, complaint in {
        "device": "device: it is no regular file",
        "pipe": "pipe: it is no regular file",
        "empty": "empty: it is empty; download it again",
        "pointer": "pointer: it is a pointer of Git LFS, .* run `git lfs pull`",
        "page": "page: it is a web page, so the download failed",
        "denied": "denied: it is a web page, so the download failed",
        "text": "text: .* begins with b'Entry not fo', so it is none of .pth",
        "packed": "packed: .* it is an archive; unpack it",
        "tar": "tar: .* it is an archive; unpack it",
        "zip": r"zip is no .* zip archive of 2 other files \(G.pth, README\); unpack",
        "torn": "torn: .* cut short; download it again",
        "other": "other is no file of PyTorch's tensors: it starts otherwise",
        "pickled": "pickled is no .* asks for .*open, .* save the state_dict",
        "none": "none: cannot be read: No such file",
        ".": "cannot be read: Is a directory",
    }.items():
        with pytest.raises(BadInput, match=f"--generator.*{complaint}"):
            weights.biggan_pytorch.read(generator=name)
    assert not Path("planted").exists()


def test_files_of_pytorch_that_are_no_state_dicts_are_named(made, tmp_path):
    cut = tmp_path / "cut.pth"
    for path, complaint in {
        made / "network.pth": "asks for __main__.Both, .* save the state_dict",
        made / "script.pth": "a program of TorchScript; .* save the state_dict",
        made / "numbered.pth": "give tensors by names; 0 is none",
        made / "optimizer.pth": "one network; 'state' is no tensor .* but a dict",
    }.items():
        with pytest.raises(BadInput, match=complaint):
            read_tensors(str(path), "--generator", "generator")
    for name in ("float16", "float16_old"):
        whole = (made / f"{name}.pth").read_bytes()
        for part in (0.2, 0.5, 0.8, 0.99):
            cut.write_bytes(whole[: int(part * len(whole))])
            with pytest.raises(BadInput, match="is cut short; download it again"):
                read_tensors(str(cut), "--generator", "generator")
