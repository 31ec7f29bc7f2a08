"""Draws images from an exported module.

A row of samples for each class:

    python -m biggan_tf.sample --module=runs/demo/export --labels=0,3 \
        --truncation=0.5 --seed=0 --output=sheet.png
    python -m biggan_tf.sample --module=runs/demo/export --output=sheet.png \
        --labels="Bag,Sandal" --columns=12

From one latent to another, or from each class to the next with one latent. `z` takes a
straight line, on which the norm falls in the middle; `great_circle` keeps the norm:

    python -m biggan_tf.sample --module=runs/demo/export --output=walk.png \
        --interpolate=great_circle --labels=0,3
    python -m biggan_tf.sample --module=runs/demo/export --output=morph.png \
        --interpolate=class --labels=0,3,8

The truncation trick (the paper's Figure 2): a row for each threshold, the same classes
and seed in all; the fraction of saturated values (|x| > 0.99) is printed for each:

    python -m biggan_tf.sample --module=runs/demo/export --output=strip.png \
        --truncations=2,1,0.5,0.04 --labels=0,3 --columns=4

Arrays instead of a picture (`images`, `z`, `labels`, `truncation`), here 1,000 a class:

    python -m biggan_tf.sample --module=runs/demo/export --output=samples.npz \
        --columns=1000 --truncation=inf

Single PNG files, the class in each name, for other programs; the same command again
goes on after a kill. `evaluate` with the same seed, truncation and number of images
scores the same ones (--per_class=N instead of --count gives N of each class):

    python -m biggan_tf.sample --module=runs/demo/export --output=samples/ \
        --count=50000 --truncation=inf

A module that resamples takes truncations above 0, and inf does not truncate; one that
scales takes 0 to 1. Its README.md says which it is.
"""

import os

from absl import flags

from biggan_tf import config, images, labels, latents, sheets
from biggan_tf.errors import BadInput
from biggan_tf.sample_folder import SampleFolder
from biggan_tf.saved_model import load

# What --interpolate takes, and what is said of the pictures.
PATHS = {
    "z": "z on a straight line",
    "great_circle": "z on a great circle",
    "class": "classes on a straight line",
}

_MODULE = flags.DEFINE_string("module", None, "Folder or hub handle of an export.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "A .png, .jpg, .webp or .npz file; or FOLDER/."
)
_LABELS = flags.DEFINE_string(
    "labels", "all", "Classes by name or index (from 0), such as Bag,3,5-7; or all."
)
_COLUMNS = flags.DEFINE_integer(
    "columns", 8, "Images a row; with --truncations, of each class in it.", 1, 10**6
)
_TRUNCATION = flags.DEFINE_float("truncation", 0.5, "Of the latents.")
_TRUNCATIONS = flags.DEFINE_list("truncations", None, "One row for each.")
_INTERPOLATE = flags.DEFINE_enum(
    "interpolate", None, list(PATHS), "From one z or class to another, and how."
)
_COUNT = flags.DEFINE_integer("count", None, "Images in a folder.", 1, 10**8)
_PER_CLASS = flags.DEFINE_integer("per_class", None, "The same, a class.", 1, 10**6)
_SEED = flags.DEFINE_integer("seed", 0, "Of the latents.", 0, latents.LARGEST_SEED)


def main() -> None:
    for flag in (_MODULE, _OUTPUT):
        if not flag.value:
            raise BadInput(f"--{flag.name} is missing.")
    if _TRUNCATIONS.value and _INTERPOLATE.value:
        raise BadInput("--truncations and --interpolate exclude each other.")
    if _OUTPUT.value.endswith(os.sep) or os.path.isdir(_OUTPUT.value):
        _write_folder()
        return
    if _COUNT.value or _PER_CLASS.value:
        raise BadInput(
            f"--output={_OUTPUT.value}: give a folder, FOLDER/, with --count or "
            "--per_class."
        )
    images.check_output(_OUTPUT.value, "--output", (*images.FORMATS, ".npz"))
    sampler = load(_MODULE.value)
    classes = labels.parse(_LABELS.value, sampler.class_names, "--labels")
    if _INTERPOLATE.value == "class" and len(classes) < 2:
        raise BadInput(
            f"--labels={_LABELS.value}: to interpolate between classes name two."
        )
    columns, seed = _COLUMNS.value, _SEED.value
    if _TRUNCATIONS.value:
        truncations = [_number(text) for text in _TRUNCATIONS.value]
        for truncation in truncations:
            latents.check_truncation(sampler.convention, truncation, "--truncations")
        rows = sheets.truncation_rows(sampler, classes, columns, truncations, seed)
    else:
        latents.check_truncation(sampler.convention, _TRUNCATION.value, "--truncation")
        layout = sheets.LAYOUTS[_INTERPOLATE.value or "samples"]
        rows = layout(sampler, classes, columns, _TRUNCATION.value, seed)
    drawn = sheets.draw(sampler, rows)
    sheets.save(_OUTPUT.value, rows, drawn)
    if _TRUNCATIONS.value:
        for row, x in zip(rows, drawn):
            fraction = images.saturated_fraction(x)
            print(f"truncation {row.title}: {fraction:.2%} of values are saturated")
    path = f", {PATHS[_INTERPOLATE.value]}" if _INTERPOLATE.value else ""
    print(f"{_OUTPUT.value}: {sum(map(len, drawn))} images{path}")


def _write_folder() -> None:
    """Writes single images, in a folder that a killed run of it left unfinished too."""
    count, per_class = _COUNT.value, _PER_CLASS.value
    if bool(count) == bool(per_class) or _TRUNCATIONS.value or _INTERPOLATE.value:
        raise BadInput(
            f"--output={_OUTPUT.value}: give --count or --per_class, one of them, and "
            "neither --truncations nor --interpolate, for a folder of single images."
        )
    sampler = load(_MODULE.value)
    classes = labels.parse(_LABELS.value, sampler.class_names, "--labels")
    latents.check_truncation(sampler.convention, _TRUNCATION.value, "--truncation")
    folder = SampleFolder(
        _MODULE.value, classes, per_class, _TRUNCATION.value, _SEED.value
    )
    count = count or per_class * len(classes)
    made = folder.write(_OUTPUT.value, sampler, count)
    print(f"{_OUTPUT.value}: {count} images, {count - made} of them were there")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"--truncations: {text!r} is not a number.") from None


if __name__ == "__main__":
    config.run(main)
