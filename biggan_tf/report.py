"""Shows a run or a module: as one HTML page, or a run as a film of its training.

    python -m biggan_tf.report --model_dir=runs/demo
    python -m biggan_tf.report --module=runs/demo/export --output=demo.html
    python -m biggan_tf.report --model_dir=runs/demo --output=training.mp4

The page has curves, the last sample sheets, scores with their protocols and the
configuration. Pictures are inside it, so it can be sent, and opens without a network.
Without --output it is `report.html` in the model directory, or, of a module, beside it
with its name. A file that is there already is replaced.

The film (.mp4, .webp or .gif) shows the sheets of G's average, which are of the same
latents at every step.
"""

from absl import flags

from biggan_tf import api, config, images

_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Of a run of biggan_tf.train.")
_MODULE = flags.DEFINE_string("module", None, "Or the folder of an exported module.")
_OUTPUT = flags.DEFINE_string("output", None, "An .html file; or a film of a run.")
_RATE = flags.DEFINE_integer("rate", 6, "Sheets a second of a film.", 1, 100)


def main() -> None:
    output = _OUTPUT.value or "report.html"
    if not output.lower().endswith(images.FILM_FORMATS):
        config.leave_out(["rate"], f"--output={output}", "it is of films")
    api.report(_MODEL_DIR.value, _MODULE.value, _OUTPUT.value, _RATE.value)


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
