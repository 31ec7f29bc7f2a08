"""What a run shows while it runs: TensorBoard, scalars.jsonl, the progress line."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import gin
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from biggan_tf import images, latents, losses
from biggan_tf.errors import BadInput
from biggan_tf.layers import (
    by_shape,
    largest_singular,
    path_of,
    power_iteration,
    spectral_layers,
)
from biggan_tf.saved_model import Sampler

# An action takes the step and the scalars of the tick that ended there.
Action = Callable[[int, dict[str, float]], None]


@gin.configurable("monitor")
@dataclasses.dataclass(frozen=True)
class Monitoring:
    """How often what is shown; periods are in steps, multiples of the tick, 0: never.

    Attributes:
        spectra_every_steps: the largest singular values of every weight.
        held_out_every_steps: D's accuracy on training and on held-out images, up to
            `held_out_images` of each.
        samples_every_steps: sheets of samples, of G and of its moving average.
        sample_classes: rows of a sheet, one class each, spread over all classes.
        sample_columns: samples a row.
        sample_passes: batches whose mean moments serve as standing statistics.
    """

    spectra_every_steps: int = 500
    held_out_every_steps: int = 0
    held_out_images: int = 512
    samples_every_steps: int = 1000
    sample_classes: int = 10
    sample_columns: int = 10
    sample_passes: int = 10

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name.endswith("every_steps") else 1
            if type(value) is not int or value < least:
                raise BadInput(
                    f"monitor.{field.name} = {value!r}: take a whole number from "
                    f"{least} on."
                )


class ScalarLog:
    """`scalars.jsonl`: one line a tick, {"step": n, name: value, ...}."""

    def __init__(self, path: str | os.PathLike[str]):
        self._path = Path(path)

    def rewind(self, step: int) -> list[dict]:
        """Drops what was written after `step`, where the run goes on; what is left."""
        if not self._path.exists():
            return []
        kept = [
            line
            for line in self._path.read_text().splitlines(keepends=True)
            if line.endswith("\n") and json.loads(line)["step"] <= step
        ]
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(kept))
        os.replace(temporary, self._path)
        lines = [json.loads(line) for line in kept]
        return [{k: float(v) for k, v in line.items()} for line in lines]

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        line = {"step": step, **{k: _json_number(v) for k, v in scalars.items()}}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


class TensorBoard:
    """Event files in the model directory."""

    def __init__(self, directory: str | os.PathLike[str], config_text: str):
        self._writer = tf.summary.create_file_writer(str(directory))
        with self._at(0):
            indented = "\n".join(f"    {line}" for line in config_text.splitlines())
            tf.summary.text("config", indented)

    @contextlib.contextmanager
    def _at(self, step: int) -> Iterator[None]:
        """Writes what is said inside; OSError if it cannot."""
        try:
            with self._writer.as_default(step=step):  # which flushes at its end
                yield
        except tf.errors.OpError as error:
            raise OSError(error.message.partition("\n")[0].split("}} ")[-1]) from error

    def scalars(self, step: int, scalars: dict[str, float]) -> None:
        with self._at(step):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)

    def image(self, step: int, name: str, sheet: Any) -> None:
        """Writes one picture, uint8 [h, w, 3]."""
        with self._at(step):
            tf.summary.image(name, sheet[None])


class Progress:
    """A bar on a terminal, plain lines elsewhere (at most one every ten seconds).

    Args:
        first_step, total_steps: where this process starts and ends.
        images_per_step: real images that one step shows to D.
    """

    SECONDS_BETWEEN_LINES = 10.0

    def __init__(self, first_step: int, total_steps: int, images_per_step: int):
        self._images_per_step = images_per_step
        self._step = first_step
        self._time = time.monotonic()
        self._last_line = -math.inf
        self._total = total_steps
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                initial=first_step, total=total_steps, unit="step", dynamic_ncols=True
            )

    def rate(self, step: int) -> dict[str, float]:
        """Steps and real images a second since the last call."""
        now = time.monotonic()
        steps_per_second = (step - self._step) / max(now - self._time, 1e-9)
        self._step, self._time = step, now
        return {
            "speed/steps_per_second": steps_per_second,
            "speed/images_per_second": steps_per_second * self._images_per_step,
        }

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        shown = {
            "D": f"{scalars['loss/discriminator']:.3f}",
            "G": f"{scalars['loss/generator']:.3f}",
            "images/s": f"{scalars['speed/images_per_second']:.0f}",
        }
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        now = time.monotonic()
        last = step == self._total
        if now - self._last_line < self.SECONDS_BETWEEN_LINES and not last:
            return
        self._last_line = now
        rate = scalars["speed/steps_per_second"]
        left = tqdm.format_interval((self._total - step) / max(rate, 1e-9))
        losses = ", ".join(f"{name} {value}" for name, value in shown.items())
        print(
            f"step {step}/{self._total}, {rate:.2f} steps/s, {losses}, {left} left",
            flush=True,
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Spectra:
    """The three largest singular values of every weight of G and D (Section 4).

    They go to TensorBoard, grouped by layer, and to `spectra.jsonl`, a line each time,
    as "G.block0.conv1/sigma0" to "sigma2"; and as "normalized0" to "normalized2" after
    spectral norm, where the layer has it.
    """

    def __init__(
        self,
        networks: dict[str, tf.keras.Model],
        folder: str | os.PathLike[str],
        board: TensorBoard,
    ):
        self.log = ScalarLog(Path(folder) / "spectra.jsonl")
        self._board = board
        self.lines: list[dict] = []  # of the file so far
        self._paths = {
            id(layer): f"{name}/{path_of(layer.kernel)}"[: -len("/kernel")]
            for name, network in networks.items()
            for layer in spectral_layers(network)
        }
        self._layers = [
            layer for network in networks.values() for layer in spectral_layers(network)
        ]

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        del scalars
        values = self.values()
        self.log(step, values)
        self.lines.append({"step": step, **values})
        self._board.scalars(step, values)

    def values(self) -> dict[str, float]:
        """What a line of the file holds, of the weights as they are."""
        values = {}
        measured = zip(self._layers, *map(tuple, self._measure()))
        for layer, sigma, divisor in measured:
            path = self._paths[id(layer)].replace("/", ".")
            for index, value in enumerate(sigma.numpy()):
                values[f"{path}/sigma{index}"] = float(value)
                if layer.spectral_norm:
                    values[f"{path}/normalized{index}"] = float(value / divisor)
        return values

    @tf.function(autograph=False)
    def _measure(self) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """For every layer: sigmas [up to 3], and what it divides its kernel by."""
        sigmas, divisors = {}, []
        for layers, matrices in by_shape(self._layers):  # worked on together
            found, _, _ = largest_singular(matrices)
            sigmas.update(zip(map(id, layers), tf.unstack(found)))
        for layer in self._layers:
            divisors.append(tf.ones([]))
            if layer.spectral_norm:
                u = tf.convert_to_tensor(layer.u)
                divisors[-1] = power_iteration(layer.matrix(), u, layer.sn_epsilon)[-1]
        return [sigmas[id(layer)] for layer in self._layers], divisors


class SampleSheets:
    """Draws the same latents and labels from G and from its moving average.

    Batch norm uses standing statistics, accumulated anew with the weights drawn from,
    so that a sheet shows what an export made at this step would.
    """

    def __init__(
        self,
        gan: Any,
        sampler: Sampler,
        monitoring: Monitoring,
        folder: str | os.PathLike[str],
        board: TensorBoard,
    ):
        self._gan, self._sampler, self._board = gan, sampler, board
        self._folder = Path(folder)
        self._columns = monitoring.sample_columns
        classes = gan.generator.spec.num_classes
        rows = min(monitoring.sample_classes, classes)
        chosen = [row * classes // rows for row in range(rows)]
        self._labels = tf.repeat(tf.constant(chosen, tf.int32), self._columns)
        seed = latents.fold(latents.root_seed(gan.seed), 2**31 - 1)
        shape = [len(self._labels), gan.generator.spec.latent_size]
        self._z = gan.latents.draw(shape, seed)

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        for name, weights in (
            ("generator", None),
            ("average", self._gan.averaged_weights()),
        ):
            self._sampler.update(self._gan.generator, weights)
            drawn = self._sampler(self._z, self._labels)
            if weights is None:
                scalars["diversity"] = diversity(drawn, self._columns)
            samples = images.to_uint8(drawn)
            sheet = images.sheet(samples, self._columns)
            self._board.image(step, f"samples/{name}", sheet)
            images.write_png(self._folder / f"{step:07d}_{name}.png", sheet)


def diversity(samples: np.ndarray, columns: int) -> float:
    """Mean over classes of the mean distance between two samples of the class.

    Args:
        samples: float32 [rows * columns, side, side, 3] in [-1, 1], a class a row.
        columns: samples of each class.

    Returns:
        The root of the mean square difference of two images, 0 to 2.
    """
    rows = samples.reshape(len(samples) // columns, columns, -1)
    pairs = itertools.combinations(range(columns), 2)
    distances = [
        np.sqrt(np.mean(np.square(rows[:, a] - rows[:, b]), axis=-1)) for a, b in pairs
    ]
    return float(np.mean(distances)) if distances else 0.0


class HeldOut:
    """D's accuracy on training and on held-out images: whether it memorises (4.2)."""

    def __init__(self, gan: Any, data: Any, count: int):
        data, batch = data.unflipped(), min(64, count)
        # Spread over the held-out images, which may come class after class.
        every = max(1, data.spec.held_out_images // count)
        held_out = data.portion("held out", 0, every).batch(batch)
        self._batches = {
            "accuracy/train": data.train_batches(batch, seed=0).take(count // batch),
            "accuracy/held_out": held_out.take(count // batch),
        }
        judge = gan.discriminator
        self._judge = tf.function(judge, autograph=False, reduce_retracing=True)
        *_, self._threshold = losses.ADVERSARIAL[gan.recipe.loss]

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        for name, batches in self._batches.items():
            logits = [self._judge(x, y).numpy() for x, y in batches]
            real = [batch > self._threshold for batch in logits]
            scalars[name] = float(np.mean(np.concatenate(real)))
