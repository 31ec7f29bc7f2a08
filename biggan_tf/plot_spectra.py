"""Draws the spectra of a run: the paper's Figure 3.

    python -m biggan_tf.plot_spectra --model_dir=runs/demo --output=spectra.png

The upper plots show the largest singular value of every weight of G and of D over the
steps; the lower ones show its ratio to the second largest. The legend names the first
layers, attention and embeddings. A file that is there already is replaced.

    python -m biggan_tf.plot_spectra --gin_file=gin/demo.gin --time

This prints instead how much time it adds to a recipe's training to log the spectra
every 100 steps.
"""

import math
import tempfile
import time
from pathlib import Path

import matplotlib
import tensorflow as tf
from absl import flags

from biggan_tf import config, data, files, images, loop, reports
from biggan_tf.errors import BadInput
from biggan_tf.monitor import Spectra, TensorBoard

matplotlib.use("Agg")
from matplotlib import pyplot

config.define_flags()
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Of the run.")
_OUTPUT = flags.DEFINE_string("output", "spectra.png", "A .png, .jpg, .pdf or .svg.")
_TIME = flags.DEFINE_bool("time", False, "Measure what logging the spectra costs.")

FORMATS = (".png", ".jpg", ".pdf", ".svg")
NAMED = ("seed", "attention", "G.block0.conv1", "D.block0.conv1", "embedding")


def draw(model_dir: Path, output: Path) -> None:
    """Writes the picture of a model directory.

    Raises BadInput if its `spectra.jsonl` holds nothing, or the picture cannot be.
    """
    images.check_output(str(output), "--output", FORMATS)
    points = [*reports.points(model_dir / "spectra.jsonl")]
    steps, lines = [step for step, _ in points], [numbers for _, numbers in points]
    names = dict.fromkeys(
        name for line in lines for name, value in line.items() if 0 < value < math.inf
    )
    weights = [name.split("/")[0] for name in names if name.endswith("/sigma0")]
    if not weights:
        raise BadInput(
            f"--model_dir={model_dir}: name a run with spectra, which "
            "monitor.spectra_every_steps writes; there are none in its spectra.jsonl."
        )
    figure, axes = pyplot.subplots(2, 2, sharex=True, figsize=(11, 7))
    for column, network in enumerate("GD"):
        above, below = axes[:, column]
        chosen = [weight for weight in weights if weight.startswith(network)]
        for weight in chosen:
            named = any(part in weight for part in NAMED)
            style = {"linewidth": 2, "label": weight} if named else {"color": "0.75"}
            style["zorder"] = 2 if named else 1
            style["marker"] = "." if len(steps) == 1 else ""
            sigmas = [
                [line.get(f"{weight}/sigma{index}", math.nan) for line in lines]
                for index in range(2)
            ]
            above.plot(steps, sigmas[0], **style)
            if f"{weight}/sigma1" in names:
                ratio = [a / max(b, 1e-12) for a, b in zip(*sigmas)]
                below.plot(steps, ratio, **style)
        above.set_title(f"{network}: {len(chosen)} weights")
        above.set_ylabel("sigma0")
        below.set_ylabel("sigma0 / sigma1")
        below.set_xlabel("step")
        for axis in (above, below):
            axis.set_yscale("log")
        above.legend(fontsize=7)
    figure.tight_layout()
    with files.replacing(output) as temporary:
        figure.savefig(temporary, dpi=100, format=output.suffix[1:].lower())


def time_of(folder: Path) -> None:
    """Prints seconds of 100 steps, of logging spectra once, and their ratio.

    Logs to a folder that is of no other use.
    """
    plan, steps = loop.make_plan(), 40
    gan, batches = plan.build(), loop.train_batches(plan, 0)
    board = TensorBoard(folder)
    spectra = Spectra(gan, folder, board)
    seconds = {}
    for name, work in (
        ("100 steps", lambda: gan.train(batches, tf.constant(steps))),
        ("spectra", lambda: spectra(0, {})),
    ):
        work()  # traces
        start = time.monotonic()
        work()
        seconds[name] = time.monotonic() - start
    seconds["100 steps"] *= 100 / steps
    for name, value in seconds.items():
        print(f"{name}: {value:.3f} s")
    print(f"ratio: {seconds['spectra'] / seconds['100 steps']:.2%}")


@data.sentences()
def main() -> None:
    if _TIME.value:
        config.leave_out(["model_dir", "output"], "--time", "it measures a recipe")
        config.parse(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
        with tempfile.TemporaryDirectory() as folder:
            time_of(Path(folder))
    else:
        config.leave_out(["gin_file", "gin_param"], "no --time", "--time reads it")
        if not _MODEL_DIR.value:
            raise BadInput("--model_dir is missing: the run whose spectra to draw.")
        draw(Path(_MODEL_DIR.value), Path(_OUTPUT.value))


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
