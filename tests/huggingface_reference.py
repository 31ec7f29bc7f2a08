"""Writes models of pytorch-pretrained-biggan, and images that they compute.

    python huggingface_reference.py FOLDER CHANNEL_WIDTH Z_DIM CLASSES

They are of two of its three resolutions, in a folder each.

The package leaves its final batch norm uninitialised and its u and v random; here they
get values, and batch norm gets statistics with which images vary with z.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import BigGANBatchNorm

# The channels, in widths, before each pair of layers and after the last.
CHANNELS = {
    128: (16, 16, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}


def config(resolution: int, width: int, z_dim: int, classes: int) -> BigGANConfig:
    layers = []
    for before, after in zip(CHANNELS[resolution], CHANNELS[resolution][1:]):
        layers += [(False, before, before), (True, before, after)]
    return BigGANConfig(
        output_dim=resolution,
        z_dim=z_dim,
        class_embed_dim=z_dim,
        channel_width=width,
        num_classes=classes,
        layers=layers,
    )


def fill(model: BigGAN) -> None:
    """Values where the package has none, and power iterations."""
    torch.nn.init.normal_(model.generator.bn.weight, 2.0, 0.2)
    torch.nn.init.normal_(model.generator.bn.bias, 0.0, 0.2)
    for module in model.modules():
        if hasattr(module, "gamma"):
            module.gamma.fill_(0.7)
        if hasattr(module, "weight_u"):
            matrix = module.weight_orig.flatten(1)
            for _ in range(20):
                v = torch.nn.functional.normalize(matrix.T @ module.weight_u, dim=0)
                module.weight_v.copy_(v)
                module.weight_u.copy_(torch.nn.functional.normalize(matrix @ v, dim=0))


def calibrate(model: BigGAN, z: torch.Tensor, y: torch.Tensor) -> None:
    """51 sets of statistics, each somewhat off the moments of a batch."""

    def measure(norm: BigGANBatchNorm, inputs: tuple) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        noise = torch.randn(2, *norm.running_means.shape)
        norm.running_means.copy_(mean + 0.3 * variance.sqrt() * noise[0])
        norm.running_vars.copy_(variance * torch.exp(0.3 * noise[1]))

    norms = [
        module for module in model.modules() if isinstance(module, BigGANBatchNorm)
    ]
    handles = [norm.register_forward_pre_hook(measure) for norm in norms]
    model(z, y, 1.0)
    for handle in handles:
        handle.remove()


def with_one_set(model: BigGAN, rows: tuple, z: torch.Tensor, y: torch.Tensor):
    """Images with the mean of some sets of statistics, whatever the truncation."""
    stored = {name: table.clone() for name, table in model.named_buffers()}
    for name, table in model.named_buffers():
        if "running" in name:
            table.copy_(stored[name][list(rows)].mean(0).expand_as(table))
    images = model(z, y, 1.0)
    for name, table in model.named_buffers():
        table.copy_(stored[name])
    return images


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)  # as fast, for so little
    for resolution in CHANNELS:
        write(Path(sys.argv[1], str(resolution)), resolution, *map(int, sys.argv[2:]))


def write(folder: Path, resolution: int, *sizes: int) -> None:
    torch.manual_seed(0)
    model = BigGAN(config(resolution, *sizes)).eval()
    z = torch.randn(3, model.config.z_dim)
    y = torch.eye(model.config.num_classes)[[1, 1, 0]]
    y[2, 2] = y[2, 0] = 0.5
    fill(model)
    calibrate(model, z, y)
    images = {str(t): model(z, y, t) for t in (0.02, 0.5, 0.6, 1.0)}
    # Here the package itself takes the set before, or the two sets the wrong way round.
    images["0.58"] = with_one_set(model, (29,), z, y)
    images["0.565"] = with_one_set(model, (28, 28, 28, 29), z, y)
    arrays = {"z": z, "y": y, **images}
    folder.mkdir(parents=True)
    np.savez(folder / "reference.npz", **{k: v.numpy() for k, v in arrays.items()})
    (folder / "config.json").write_text(model.config.to_json_string())
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


if __name__ == "__main__":
    main()
