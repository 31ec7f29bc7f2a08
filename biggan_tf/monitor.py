"""What a run logs while it trains: TensorBoard, scalars.jsonl, the progress line."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tqdm import tqdm

import biggan_tf
from biggan_tf import files, images, latents, layers
from biggan_tf.config import option, options
from biggan_tf.gan import Gan
from biggan_tf.sampling import Sampler

SPECTRA = "weight_spectra"  # TensorBoard shows its groups in alphabetical order
# The charts of TensorBoard's page of custom scalars: what belongs into one picture.
CHARTS = {
    "losses": ["loss/.*"],
    "D's accuracy": ["accuracy/.*"],
    "scores": ["scores/(?!.*_se(_|$)).*"],  # without standard errors
    "diversity": ["diversity"],
    "gradient norms": ["gradient_norm/.*"],
    "largest singular values of G": [rf"{SPECTRA}/G\..*/sigma0"],
    "largest singular values of D": [rf"{SPECTRA}/D\..*/sigma0"],
}
# The options by which TensorBoard compares runs.
COMPARED = (
    *("data.name", "data.image_size", "generator.family", "generator.width"),
    *("discriminator.width", "generator.precision", "train.batch_size", "train.seed"),
    *("gan.loss", "gan.augment", "gan.discriminator_steps", "gan.ema_decay"),
    *("gan.generator_learning_rate", "gan.discriminator_learning_rate"),
)


# An action takes the step and the scalars of the tick that ended there.
Action = Callable[[int, dict[str, float]], None]


@options("monitor", free=True)
class MonitorOptions:
    """What is logged, and every how many steps; 0 means never."""

    spectra_every_steps: int = option(500, "the largest singular values of each weight")
    held_out_every_steps: int = option(0, "D's accuracy on images it has not seen")
    held_out_images: int = option(512, "images of a split, at most", low=1, high=10**6)
    samples_every_steps: int = option(1000, "sheets of samples of G and its average")
    sample_classes: int = option(10, "rows of a sheet, a class each", low=1, high=1000)
    sample_columns: int = option(10, "samples a row", low=1, high=1000)
    sample_passes: int | None = option(
        None,
        "batches for statistics of sheets and scores; None: 10 or more, by the classes",
        low=1,
    )


class ScalarLog:
    """`scalars.jsonl` or `spectra.jsonl`: lines {"step": n, name: value, ...}."""

    def __init__(self, path: str | os.PathLike[str]):
        self._path = Path(path)

    def last_step(self) -> int:
        """Returns the highest step in the file; 0 if there is none."""
        steps = [record.get("step") for _, record in files.json_lines(self._path)]
        return max((step for step in steps if type(step) is int), default=0)

    def rewind(self, step: int) -> list[dict]:
        """Drops what was written after `step`, or is damaged; returns what is left.

        Prints a line if some are damaged, but not of one that a kill has cut off.
        """
        kept, lines, damaged = [], [], 0
        there = [*files.json_lines(self._path)]
        for line, record in there:
            try:
                numbers = {name: float(value) for name, value in record.items()}
                if numbers["step"] <= step:
                    kept.append(line.rstrip(b"\r\n") + b"\n")
                    lines.append(numbers)
            except (KeyError, TypeError, ValueError, OverflowError):
                damaged += files.is_whole(line)
        files.tell_damaged(self._path, damaged, len(there))
        if self._path.exists():
            files.write_bytes(self._path, b"".join(kept))
        return lines

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        numbers = {k: v if math.isfinite(v) else str(v) for k, v in scalars.items()}
        files.append_json(self._path, {"step": step, **numbers})


class TensorBoard:
    """Event files in the model directory."""

    def __init__(self, directory: str | os.PathLike[str]):
        self._directory = str(directory)
        self._writer = tf.summary.create_file_writer(self._directory)

    def describe(
        self, options: Mapping[str, Any], config_text: str, environment: str
    ) -> None:
        """Writes what makes runs comparable: options, versions, and the charts."""
        indented = "\n".join(f"    {line}" for line in config_text.splitlines())
        compared = {k: str(v) for k, v in options.items() if k in COMPARED}
        charts = [
            layout_pb2.Chart(title=title, multiline={"tag": tags})
            for title, tags in CHARTS.items()
        ]
        category = layout_pb2.Category(title="training", chart=charts)
        layout = custom_scalar.pb(layout_pb2.Layout(category=[category]))
        with self._at(0):
            # Named, or runs of the same options would be one.
            hparams_api.hparams(compared, trial_id=self._directory)
            tf.summary.text("config", indented)
            tf.summary.text("environment", environment)
            tf.summary.experimental.write_raw_pb(layout.SerializeToString())

    @contextlib.contextmanager
    def _at(self, step: int) -> Iterator[None]:
        """Writes the summaries made inside; OSError if they cannot be written."""
        try:
            # TensorFlow would keep a Python number for good, so this is one of NumPy.
            with self._writer.as_default(step=np.int64(step)):  # flushes at its end
                yield
        except tf.errors.OpError as error:
            raise OSError(error.message.partition("\n")[0].split("}} ")[-1]) from error

    def scalars(self, step: int, scalars: dict[str, float]) -> None:
        # One message each; one after the other, they are a message with all of them.
        messages = [scalar_pb(*item).SerializeToString() for item in scalars.items()]
        with self._at(step):
            tf.summary.experimental.write_raw_pb(b"".join(messages))

    def image(self, step: int, name: str, sheet: Any) -> None:
        """Writes a picture, uint8 [h, w, 3]."""
        with self._at(step):
            tf.summary.image(name, sheet[None])


def environment(devices: Sequence[str]) -> str:
    """Returns in Markdown what a run depends on beside its configuration."""
    rows = {
        "Python": platform.python_version(),
        "TensorFlow": tf.__version__,
        "biggan_tf": f"{biggan_tf.__version__}, {_checkout()}",
        "machine": platform.platform(),
        "devices": ", ".join(devices),
    }
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows.items()),
        ]
    )


def _checkout() -> str:
    """Returns which commit of this program runs, not of a project that it lies in."""
    root = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        line = ["git", "-C", str(root), *words]
        return subprocess.run(line, capture_output=True, text=True, timeout=10).stdout

    try:
        if git("rev-parse", "--show-toplevel").strip() != str(root):
            return "no checkout"
        return f"commit {git('describe', '--always', '--dirty').strip()}"
    except (OSError, subprocess.TimeoutExpired):
        return "commit unknown"


class Progress:
    """A bar on a terminal, plain lines elsewhere (at most one every ten seconds)."""

    SECONDS_BETWEEN_LINES = 10.0

    def __init__(self, total_steps: int, images_per_step: int):
        self._total, self._images_per_step = total_steps, images_per_step
        self._bar = None
        self.start(0)

    def start(self, step: int) -> None:
        """Begins anew at a step."""
        self.close()
        self._step, self._time, self._traced = step, time.monotonic(), False
        self._last_line = -math.inf
        if sys.stderr.isatty():
            options = {"unit": "step", "dynamic_ncols": True}
            self._bar = tqdm(initial=step, total=self._total, **options)

    def rate(self, step: int) -> dict[str, float]:
        """Returns steps and real images per second since the last call.

        It returns nothing of the first tick, in which the step is traced.
        """
        now, traced = time.monotonic(), self._traced
        steps_per_second = (step - self._step) / max(now - self._time, 1e-9)
        self._step, self._time, self._traced = step, now, True
        if not traced:
            return {}
        return {
            "speed/steps_per_second": steps_per_second,
            "speed/images_per_second": steps_per_second * self._images_per_step,
        }

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        rate = scalars.get("speed/steps_per_second")
        shown = {
            "D": f"{scalars['loss/discriminator']:.3f}",
            "G": f"{scalars['loss/generator']:.3f}",
        }
        if rate:
            shown["images/s"] = f"{scalars['speed/images_per_second']:.0f}"
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        now = time.monotonic()
        last = step == self._total
        if now - self._last_line < self.SECONDS_BETWEEN_LINES and not last:
            return
        self._last_line = now
        parts = [f"step {step}/{self._total}"]
        parts += [f"{name} {value}" for name, value in shown.items()]
        if rate:
            left = tqdm.format_interval((self._total - step) / rate)
            parts += [f"{rate:.2f} steps/s", f"{left} left"]
        print(", ".join(parts), flush=True)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class Spectra:
    """The three largest singular values of every weight of G and D (Section 4).

    They go to TensorBoard, in the group `SPECTRA`, and to `spectra.jsonl`, a line each
    time, as "G.block0.conv1/sigma0" to "sigma2". Where the layer has spectral norm,
    those of the divided kernel are "normalized0" to "normalized2". `lines` holds the
    lines so far, or those that `alarms.Watch` still needs.
    """

    def __init__(self, gan: Gan, folder: str | os.PathLike[str], board: TensorBoard):
        self._log = ScalarLog(Path(folder) / "spectra.jsonl")
        self._board = board
        self.lines: list[dict] = []
        self._layers = {}
        for letter, network in (("G", gan.generator), ("D", gan.discriminator)):
            for layer in layers.spectral_layers(network):
                path = layers.path_of(layer.kernel).removesuffix("/kernel")
                self._layers[f"{letter}/{path}".replace("/", ".")] = layer

    def rewind(self, step: int) -> None:
        """Drops what was written after `step`."""
        self.lines = self._log.rewind(step)

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        del scalars
        values = self.values()
        self._log(step, values)
        self.lines.append({"step": step, **values})
        self._board.scalars(step, {f"{SPECTRA}/{k}": v for k, v in values.items()})

    def values(self) -> dict[str, float]:
        """Returns the singular values of the weights as they are now, by name."""
        values = {}
        measured = tf.nest.map_structure(np.asarray, self._measure())
        for (path, layer), sigma, divisor in zip(self._layers.items(), *measured):
            for index, value in enumerate(sigma):
                values[f"{path}/sigma{index}"] = float(value)
                if layer.spectral_norm:
                    values[f"{path}/normalized{index}"] = float(value / divisor)
        return values

    @tf.function(autograph=False)
    def _measure(self) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Returns each layer's sigmas [up to 3], and what divides its kernel."""
        every, sigmas, divisors = list(self._layers.values()), {}, []
        for group, matrices in layers.by_shape(every):  # worked on together
            found, _, _ = layers.largest_singular(matrices)
            sigmas.update(zip(map(id, group), tf.unstack(found)))
        for layer in every:
            divisor = tf.ones([])
            if layer.spectral_norm:
                given = layer.matrix(), tf.convert_to_tensor(layer.u), layer.sn_epsilon
                divisor = layers.power_iteration(*given)[-1]
            divisors.append(divisor)
        return [sigmas[id(layer)] for layer in every], divisors


class SampleSheets:
    """Draws the same latents and labels from G and from its moving average.

    The sheet "average" shows what an export made at this step would. The classes of a
    sheet are spread over all classes. The samples of "generator" are measured for
    diversity. `samplers` maps the name of a sheet to a function from a step to its
    sampler.
    """

    def __init__(
        self,
        samplers: Mapping[str, Callable[[int], Sampler]],
        options: MonitorOptions,
        gan: Gan,
        folder: Path,
        board: TensorBoard,
    ):
        self._samplers, self._folder, self._board = samplers, folder, board
        self._columns = options.sample_columns
        spec = gan.generator.spec
        rows = min(options.sample_classes, spec.num_classes)
        self._chosen = [row * spec.num_classes // rows for row in range(rows)]
        self._labels = tf.repeat(tf.constant(self._chosen, tf.int32), self._columns)
        seed = latents.fold(latents.root_seed(gan.seed), 2**31 - 1)
        shape = [len(self._labels), spec.latent_size]
        self._z = gan.latent_options.draw(shape, seed)

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        for name, sampler in self._samplers.items():
            drawn_by = sampler(step)
            drawn = drawn_by.images(self._z, self._labels, math.inf)
            if name == "generator" and self._columns > 1:
                scalars["diversity"] = diversity(drawn, self._columns)
            names = [drawn_by.class_names[label] for label in self._chosen]
            sheet = images.sheet(images.to_uint8(drawn), self._columns, names)
            self._board.image(step, f"samples/{name}", sheet)
            images.write(self._folder / f"{step:07d}_{name}.png", sheet)

    def rewind(self, step: int) -> None:
        """Deletes the sheets after `step`, which are of a training that is given up."""
        for path in self._folder.glob("[0-9]*.png"):
            ours = re.fullmatch(r"([0-9]+)_(average|generator)\.png", path.name)
            if ours and int(ours[1]) > step:
                path.unlink()


def diversity(samples: np.ndarray, columns: int) -> float:
    """Returns the mean distance between two samples of the same class, 0 to 2.

    The distance is the root of the mean square difference of two images. The samples
    are float32 [rows * columns, side, side, 3] in [-1, 1], a class a row of 2 or more.
    """
    rows = samples.reshape(len(samples) // columns, columns, -1)
    pairs = itertools.combinations(range(columns), 2)
    distances = [
        np.sqrt(np.mean(np.square(rows[:, a] - rows[:, b]), axis=-1)) for a, b in pairs
    ]
    return float(np.mean(distances))


class HeldOut:
    """D's accuracy on training and on held-out images: does it memorise (Section 4.2)?

    `count` images of each split are judged.
    """

    def __init__(self, gan: Gan, data: Any, count: int):
        self._data, self._count = data.unflipped(), count
        judge = gan.discriminator
        self._judge = tf.function(judge, autograph=False, reduce_retracing=True)
        self._threshold = gan.loss.threshold

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        data, count = self._data, self._count
        batch = min(64, count)
        batches_of_train = data.train_batches(batch, seed=0)
        for name, batches in (
            ("train", batches_of_train.take(-(-count // batch))),
            ("held_out", data.spread("held_out", count).batch(batch)),
        ):
            logits = np.concatenate([self._judge(x, y).numpy() for x, y in batches])
            scalars[f"accuracy/{name}"] = float(
                (logits[:count] > self._threshold).mean()
            )
