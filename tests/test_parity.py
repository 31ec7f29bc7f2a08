"""The numbers of AJ's BigGAN-PyTorch: forward passes, gradients, state, optimiser.

Each file in data/ holds random weights of small width in that repository's own names
and layouts, inputs, and what it computed from them on a CPU in float32: in inference,
and in one training iteration (one D and one G step).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import networks, weights
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec
from biggan_tf.gan import Gan, GanOptions
from biggan_tf.layers import path_of
from biggan_tf.weights.matching import MOMENTS

DATA = Path(__file__).parent / "data"
OPTIONS = GanOptions(
    discriminator_steps=1,
    generator_learning_rate=1e-4,
    discriminator_learning_rate=4e-4,
    adam_epsilon=1e-6,
    ema_start_step=0,
)


class Golden:
    """One file, and our networks with its weights, imported as a user's would be."""

    def __init__(self, name: str, folder: Path):
        self.name = name
        with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        for network in ("G", "D"):
            np.savez(folder / f"{network}.npz", **self.part(f"{network}/"))
        self.published = weights.biggan_pytorch.read(
            generator=str(folder / "G.npz"), discriminator=str(folder / "D.npz")
        )
        self.specs = {
            "G": GeneratorSpec(**self.published.generator_arguments),
            "D": DiscriminatorSpec(**self.published.discriminator_arguments),
        }
        self.networks = {
            "G": networks.build(self.specs["G"]),
            "D": networks.build(self.specs["D"]),
        }
        self.gan = Gan(*self.networks.values(), OPTIONS, batch_size=4)
        self.reset()

    def reset(self) -> None:
        """Our networks hold the weights from before the iteration."""
        self.published.assign_to(self.gan)

    def variables(self, network: str, trained: bool | None = None) -> dict:
        """By path; all, the trained ones, or the others."""
        return {
            path_of(variable): variable
            for variable in self.networks[network].variables
            if trained in (None, variable.trainable)
        }

    def part(self, prefix: str) -> dict[str, np.ndarray]:
        cut = len(prefix)
        return {k[cut:]: v for k, v in self.arrays.items() if k.startswith(prefix)}

    def input(self, name: str) -> tf.Tensor:
        return tf.constant(self.arrays[f"in/{name}"])

    def stored(self, network: str, prefix: str) -> dict[str, np.ndarray]:
        """The arrays under a prefix that belong to a network's variables, by path."""
        tensors, problems = self.part(prefix), []
        found = weights.biggan_pytorch.translate(
            prefix, tensors, self.specs[network], problems
        )
        assert all("is missing" in problem for problem in problems)
        assert len(found) == len(tensors)
        return {p: v[0] if p.endswith(MOMENTS) else v for p, v in found.items()}


@pytest.fixture(
    scope="module", name="golden", params=["biggan32", "biggan128", "biggan_deep128"]
)
def _golden(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Golden:
    return Golden(request.param, tmp_path_factory.mktemp(request.param))


def test_inference(golden: Golden):
    golden.reset()
    images = golden.networks["G"](golden.input("z"), golden.input("y"))
    logits = golden.networks["D"](golden.input("x"), golden.input("dy"))
    np.testing.assert_allclose(images, golden.arrays["eval/images"], atol=1e-4)
    expected = golden.arrays["eval/logits"]  # up to 69
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-4)
    for network in ("G", "D"):  # and nothing moved
        before = golden.stored(network, f"{network}/")
        for path, variable in golden.variables(network).items():
            np.testing.assert_array_equal(variable, before[path], path)


def iteration(golden: Golden, nudge: int = 0) -> tuple[dict, dict]:
    """Runs our D and G step; `golden` holds the state after it.

    D's weights of the G step are those that AJ's Adam made: ours would differ by what
    Adam makes of rounding errors in tiny gradients.

    Args:
        golden: reset first.
        nudge: latents are changed in the last bit, in ways that this number decides;
            0 leaves them.

    Returns:
        The scalars, and {"D": gradients by path, "G": gradients by path}.
    """
    golden.reset()
    gan, noise = golden.gan, np.random.RandomState(nudge)

    def nudged(name: str) -> tf.Tensor:
        z = golden.arrays[f"in/{name}"]
        towards = noise.choice([-np.inf, np.inf], z.shape).astype(np.float32)
        return tf.constant(np.nextafter(z, towards) if nudge else z)

    def by_path(network: str, gradients: list[tf.Tensor]) -> dict[str, np.ndarray]:
        paths = golden.variables(network, trained=True)
        return {path: g.numpy() for path, g in zip(paths, gradients)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan, "draw", lambda _: (nudged("z"), golden.input("y")))
        real = golden.input("x"), golden.input("dy")
        scalars, found = gan.discriminator_gradients(*real, draws=None, training=True)
        gradients = {"D": by_path("D", found)}
        trained = golden.stored("D", "after/D/")
        for path, variable in golden.variables("D", trained=True).items():
            variable.assign(trained[path])
        patch.setattr(gan, "draw", lambda _: (nudged("z2"), golden.input("y2")))
        g_scalars, found = gan.generator_gradients(draws=None, training=True)
        gradients["G"] = by_path("G", found)
    return {**scalars, **g_scalars}, gradients


def errors(ours: dict[str, np.ndarray], stored: dict[str, np.ndarray]) -> dict:
    """Relative norm errors of gradients, by path.

    The bias of a convolution before a batch norm changes nothing: its gradient is 0,
    and what is computed for it is rounding alone (below 1e-6 of the whole gradient's
    norm; those that count are above 1e-3 of it).
    """
    assert ours.keys() == stored.keys()
    whole = np.sqrt(sum(np.sum(np.square(value)) for value in stored.values()))
    found = {}
    for path, gradient in stored.items():
        norm = np.linalg.norm(gradient)
        if norm > 1e-5 * whole:
            found[path] = np.linalg.norm(ours[path] - gradient) / norm
        else:
            assert path.endswith("/bias")
            assert np.linalg.norm(ours[path]) < 1e-5 * whole, path
    return found


def test_training_iteration(golden: Golden):
    """Losses and the state after both steps, then every gradient."""
    scalars, gradients = iteration(golden)
    for ours, theirs in {
        "discriminator_real": "D_loss_real",
        "discriminator_fake": "D_loss_fake",
        "generator": "G_loss",
    }.items():
        np.testing.assert_allclose(
            scalars[f"loss/{ours}"],
            golden.arrays[f"train/{theirs}"],
            rtol=1e-5,
        )
    for network in ("G", "D"):
        after = golden.stored(network, f"after/{network}/")
        # u, sigma and running statistics
        for path, variable in golden.variables(network, trained=False).items():
            np.testing.assert_allclose(variable, after[path], atol=1e-4, err_msg=path)

    # Among millions of ReLUs some have an input that is 0 but for rounding, and all
    # gradients below one depend on which side of 0 it fell for AJ. So each gradient
    # must agree for one of several roundings.
    best: dict[tuple[str, str], float] = {}
    for nudge in range(1, 25):
        for network in ("G", "D"):
            stored = golden.stored(network, f"train/{network}_grad/")
            for path, error in errors(gradients[network], stored).items():
                key = network, path
                best[key] = min(error, best.get(key, np.inf))
        if max(best.values()) <= 1e-4:
            break
        _, gradients = iteration(golden, nudge)
    assert max(best.values()) <= 1e-4, sorted(best.items(), key=lambda x: -x[1])[:5]


def test_adam_with_the_stored_gradients(golden: Golden):
    """The optimisers' first step, but for where the two libraries add epsilon.

    torch divides g by sqrt(v / (1 - beta2)) + epsilon, TensorFlow by (sqrt(v) +
    epsilon) / sqrt(1 - beta2): in the first step its epsilon counts 32-fold.
    """
    golden.reset()
    gan = golden.gan
    for network, optimizer, rate in (
        ("G", gan.generator_optimizer, OPTIONS.generator_learning_rate),
        ("D", gan.discriminator_optimizer, OPTIONS.discriminator_learning_rate),
    ):
        variables = golden.variables(network, trained=True)
        gradients = golden.stored(network, f"train/{network}_grad/")
        before = {path: variable.numpy() for path, variable in variables.items()}
        optimizer.apply_gradients(
            [(tf.constant(gradients[path]), variables[path]) for path in variables]
        )
        after = golden.stored(network, f"after/{network}/")
        for path, g in gradients.items():
            for result, epsilon in (
                (after[path], 1e-6),
                (variables[path].numpy(), 1e-6 / np.sqrt(1e-3)),
            ):
                step = rate * g / (np.abs(g) + epsilon)
                np.testing.assert_allclose(
                    result, before[path] - step, atol=3e-7, err_msg=path
                )
