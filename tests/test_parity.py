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

from biggan_tf import networks
from biggan_tf.gan import Gan, Recipe
from biggan_tf.weights import biggan_pytorch, matching

DATA = Path(__file__).parent / "data"
RECIPE = Recipe(
    discriminator_steps=1,
    generator_learning_rate=1e-4,
    discriminator_learning_rate=4e-4,
    adam_epsilon=1e-6,
    ema_start_step=0,
)


class Golden:
    """One file, and our networks with its weights, imported as a user's would be."""

    def __init__(self, name: str):
        with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        generator, g_arguments = biggan_pytorch.generator("G", self.part("G/"))
        discriminator, d_arguments = biggan_pytorch.discriminator("D", self.part("D/"))
        family, *specs = networks.specs(**{**g_arguments, **d_arguments})
        self.parts = {"G": generator, "D": discriminator}
        self.networks = {
            "G": networks.build_generator(family, specs[0]),
            "D": networks.build_discriminator(family, specs[1]),
        }
        self.gan = Gan(*self.networks.values(), RECIPE, batch_size=4)
        self.reset()

    def reset(self) -> None:
        """Our networks hold the weights from before the iteration."""
        for network, part in self.parts.items():
            values, problems = matching.match(self.networks[network], part)
            matching.refuse(problems)
            assert len(values) == len(self.networks[network].variables)
            matching.assign(self.networks[network], values)

    def part(self, prefix: str) -> dict[str, np.ndarray]:
        cut = len(prefix)
        return {k[cut:]: v for k, v in self.arrays.items() if k.startswith(prefix)}

    def input(self, name: str) -> tf.Tensor:
        return tf.constant(self.arrays[f"in/{name}"])

    def stored(self, network: str, prefix: str) -> dict[str, np.ndarray]:
        """The arrays under a prefix that belong to a network's variables, by path."""
        tensors, rule = self.part(prefix), self.parts[network].rule
        found = {}
        for path, variable in matching.paths(self.networks[network]).items():
            shape = tuple(variable.shape)
            origin = rule(path, shape)
            if origin.name in tensors:
                found[path] = origin.value(tensors[origin.name], shape)
        assert len(found) == len(tensors)
        return found


@pytest.fixture(
    scope="module", name="golden", params=["biggan32", "biggan128", "biggan_deep128"]
)
def _golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def test_inference(golden: Golden):
    golden.reset()
    images = golden.networks["G"](golden.input("z"), golden.input("y"))
    logits = golden.networks["D"](golden.input("x"), golden.input("dy"))
    np.testing.assert_allclose(images, golden.arrays["eval/images"], atol=1e-4)
    np.testing.assert_allclose(logits, golden.arrays["eval/logits"], atol=1e-4)
    for network, part in golden.parts.items():  # and nothing moved
        before = matching.match(golden.networks[network], part)[0]
        for path, variable in matching.paths(golden.networks[network]).items():
            np.testing.assert_array_equal(variable, before[path], path)


class Recorder:
    """Stands where an optimiser is, and keeps the gradients instead."""

    def apply_gradients(self, gradients_and_variables, **_) -> None:
        self.gradients = {
            variable.name.partition("/")[2].partition(":")[0]: gradient.numpy()
            for gradient, variable in gradients_and_variables
        }


def iteration(golden: Golden, monkeypatch: pytest.MonkeyPatch, nudge: int) -> dict:
    """Runs our D and G step; returns the losses and every gradient.

    D's weights of the G step are those that AJ's Adam made: ours would differ by what
    Adam makes of rounding errors in tiny gradients.

    Args:
        golden: reset first; holds the state after it.
        monkeypatch: undone by the caller's test.
        nudge: latents are changed in the last bit, in ways that this number decides;
            0 leaves them.
    """
    golden.reset()
    gan, noise = golden.gan, np.random.RandomState(nudge)

    def nudged(name: str) -> tf.Tensor:
        z = golden.arrays[f"in/{name}"]
        towards = noise.choice([-np.inf, np.inf], z.shape).astype(np.float32)
        return tf.constant(np.nextafter(z, towards) if nudge else z)

    recorder = Recorder()
    monkeypatch.setattr(gan, "discriminator_optimizer", recorder)
    monkeypatch.setattr(gan, "generator_optimizer", recorder)
    monkeypatch.setattr(gan, "draw", lambda _: (nudged("z"), golden.input("y")))
    scalars = gan.train_discriminator(golden.input("x"), golden.input("dy"), None)
    d_gradients = recorder.gradients

    trained = golden.stored("D", "after/D/")
    for path, variable in matching.paths(gan.discriminator).items():
        if variable.trainable:
            variable.assign(trained[path])
    monkeypatch.setattr(gan, "draw", lambda _: (nudged("z2"), golden.input("y2")))
    scalars |= gan.train_generator(None)
    gradients = {"D": d_gradients, "G": recorder.gradients}
    return {"scalars": scalars, "gradients": gradients}


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


def test_training_iteration(golden: Golden, monkeypatch: pytest.MonkeyPatch):
    """Losses and the state after both steps, then every gradient."""
    found = iteration(golden, monkeypatch, nudge=0)
    for ours, theirs in {
        "discriminator_real": "D_loss_real",
        "discriminator_fake": "D_loss_fake",
        "generator": "G_loss",
    }.items():
        np.testing.assert_allclose(
            found["scalars"][f"loss/{ours}"],
            golden.arrays[f"train/{theirs}"],
            rtol=1e-5,
        )
    for network in ("G", "D"):
        after = golden.stored(network, f"after/{network}/")
        state = {
            path: variable
            for path, variable in matching.paths(golden.networks[network]).items()
            if not variable.trainable  # u, sigma and running statistics
        }
        for path, variable in state.items():
            np.testing.assert_allclose(variable, after[path], atol=1e-4, err_msg=path)

    # Among millions of ReLUs some have an input that is 0 but for rounding, and all
    # gradients below one depend on which side of 0 it fell for AJ. So each gradient
    # must agree for one of several roundings.
    best: dict[tuple[str, str], float] = {}
    for nudge in range(1, 25):
        for network in ("G", "D"):
            stored = golden.stored(network, f"train/{network}_grad/")
            for path, error in errors(found["gradients"][network], stored).items():
                key = network, path
                best[key] = min(error, best.get(key, np.inf))
        if max(best.values()) <= 1e-4:
            break
        found = iteration(golden, monkeypatch, nudge)
    assert max(best.values()) <= 1e-4, sorted(best.items(), key=lambda x: -x[1])[:5]


def test_adam_with_the_stored_gradients(golden: Golden):
    """The optimisers' first step, but for where the two libraries add epsilon.

    torch divides g by sqrt(v / (1 - beta2)) + epsilon, TensorFlow by (sqrt(v) +
    epsilon) / sqrt(1 - beta2): in the first step its epsilon counts 32-fold.
    """
    golden.reset()
    gan = golden.gan
    for network, optimizer, rate in (
        ("G", gan.generator_optimizer, RECIPE.generator_learning_rate),
        ("D", gan.discriminator_optimizer, RECIPE.discriminator_learning_rate),
    ):
        variables = {
            path: variable
            for path, variable in matching.paths(golden.networks[network]).items()
            if variable.trainable
        }
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
