"""The Inceptions of pytorch-fid and torch-fidelity, with random weights from a seed."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import pytest

FILE = "pt_inception-2015-12-05-6726825d.pth"


def packages() -> None:
    """Skips the test if the packages to compare with are not installed."""
    for name in ("torch", "torchvision", "pytorch_fid", "torch_fidelity"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name}, to compare with, is not installed")
    # Its compiled operators, of detection, load only beside the PyTorch of its build.
    empty = types.ModuleType("torchvision._meta_registrations")
    sys.modules.setdefault(empty.__name__, empty)


def write_random(folder: Path) -> Path:
    """Writes a file of weights such as pytorch-fid downloads."""
    import torch
    from pytorch_fid import inception

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
        network = inception.fid_inception_v3()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):  # that signals neither grow nor fade
                layer.weight.normal_(0, (2 / layer.weight[0].numel()) ** 0.5)
            elif isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(0.8, 1.2)
                layer.bias.normal_(0, 0.1)
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.8, 1.2)
    torch.save(network.state_dict(), folder / FILE)
    return folder / FILE


def pytorch_fid(path: Path):
    """pytorch-fid's network with the weights of a file."""
    import torch
    from pytorch_fid import inception

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            inception, "load_state_dict_from_url", lambda *_, **__: torch.load(path)
        )
        return inception.InceptionV3().eval()


def torch_fidelity(path: Path):
    """torch-fidelity's network with the weights of a file."""
    from torch_fidelity import FeatureExtractorInceptionV3

    names = ["2048", "logits_unbiased"]
    return FeatureExtractorInceptionV3("x", names, str(path))
