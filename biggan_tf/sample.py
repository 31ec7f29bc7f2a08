r"""Draws images from an exported module.

A row of samples for each class:

    python -m biggan_tf.sample --module=runs/demo/export --labels=0,3 \
        --truncation=0.5 --seed=0 --output=sheet.png
    python -m biggan_tf.sample --module=runs/demo/export --output=sheet.png \
        --labels="Bag,Sandal" --columns=12

`--labels` takes names and indices, which count the classes from 0, and ranges such as
0-4. A name with a comma stands in double quotes; "name:2" and "index:2" say which of
both is meant.

From one latent to another, or from each class to the next with one latent. `z` takes a
straight line, on which the norm falls in the middle; `great_circle` keeps the norm:

    python -m biggan_tf.sample --module=runs/demo/export --output=walk.png \
        --interpolate=great_circle --labels=0,3
    python -m biggan_tf.sample --module=runs/demo/export --output=morph.png \
        --interpolate=class --labels=0,3,8

Along the directions in which pictures change most (SeFa), a row for each of six:

    python -m biggan_tf.sample --module=runs/demo/export --output=directions.png \
        --interpolate=direction --labels=Bag --columns=7

The truncation trick (the paper's Figure 2): a row for each threshold, the same classes
and seed in all; the share of black and white (|x| > 0.99) is printed for each:

    python -m biggan_tf.sample --module=runs/demo/export --output=strip.png \
        --truncations=2,1,0.5,0.04 --labels=0,3 --columns=4

Arrays instead of a picture (`images`, `z`, `labels`, `truncation`), here 1,000 a class:

    python -m biggan_tf.sample --module=runs/demo/export --output=samples.npz \
        --columns=1000 --truncation=inf

A film that walks from each class to the next and ends where it began (.mp4 needs the
extra: pip install 'biggan-tf[film]'):

    python -m biggan_tf.sample --module=runs/demo/export --output=walk.mp4 \
        --labels="Ankle boot,Bag" --truncation=0.7

A class that is mixed of several, and the same images again from their latents; a film
of latents walks from each to the next:

    python -m biggan_tf.sample --module=runs/demo/export --output=mixed.npz \
        --labels="Pullover,Coat" --mix=0.6,0.4
    python -m biggan_tf.sample --module=runs/demo/export --output=mixed.webp \
        --latents=mixed.npz

Single PNG files, the class in each name, for other programs; the same command again
goes on after a kill. `evaluate` with the same seed, truncation and number of images
scores the same ones (--per_class=N instead of --count gives N of each class):

    python -m biggan_tf.sample --module=runs/demo/export --output=samples/ \
        --count=50000 --truncation=inf

Any other output that is there already is replaced.

A module that resamples takes truncations above 0, and inf does not truncate; one that
scales takes 0 to 1. Its README.md says which it is.
"""

import os

from absl import flags

from biggan_tf import api, config, images
from biggan_tf.api.arguments import PATHS
from biggan_tf.checks import LARGEST_SEED
from biggan_tf.errors import BadInput

_MODULE = flags.DEFINE_string(
    "module", None, "Folder or hub handle of an export.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "A .png, .jpg or .npz file, .mp4, .webp or .gif film; or FOLDER/.",
    required=True,
)
_LABELS = flags.DEFINE_string(
    "labels", None, "Classes by name or index (from 0), such as Bag,3,5-7; or all."
)
_COLUMNS = flags.DEFINE_integer(
    "columns", 8, "Images a row; with --truncations, of each class in it.", 1, 10**6
)
_TRUNCATION = flags.DEFINE_float(
    "truncation", None, "Of the latents; by default 0.5, and the largest in a folder."
)
_TRUNCATIONS = flags.DEFINE_list("truncations", None, "One row for each.")
_MIX = flags.DEFINE_list("mix", None, "A share for each class: they become one.")
_LATENTS = flags.DEFINE_string(
    "latents", None, "A .npz of --output, to draw again instead of --labels."
)
_INTERPOLATE = flags.DEFINE_enum(
    "interpolate",
    None,
    list(PATHS),
    "From one z or class to another, or along directions.",
)
_WALKS = flags.DEFINE_integer("walks", 6, "Of a film, side by side.", 1, 100)
_SECONDS = flags.DEFINE_float("seconds", 1.5, "Of a film, from class to class.")
_RATE = flags.DEFINE_integer("rate", 24, "Frames a second of a film.", 1, 100)
_COUNT = flags.DEFINE_integer("count", None, "Images in a folder.", 1, 10**8)
_PER_CLASS = flags.DEFINE_integer(
    "per_class", None, "Images of each class in a folder.", 1, 10**6
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the latents.", 0, LARGEST_SEED)


# The flags that go with what decides how images are drawn.
_OF_FOLDERS = "count", "per_class", "labels", "truncation", "seed"
_OF_FILMS = "labels", "truncation", "seed", "walks", "seconds", "rate"
_OF_SHEETS = "labels", "truncation", "seed", "columns"
_OF_SOME = "mix", "truncations", "interpolate", "latents"
_ALL = dict.fromkeys((*_OF_FOLDERS, *_OF_FILMS, *_OF_SHEETS, *_OF_SOME))


def main() -> None:
    module, output = _MODULE.value, _OUTPUT.value
    counts = _COUNT.value, _PER_CLASS.value
    is_folder = output.endswith(os.sep) or os.path.isdir(output)
    is_film = output.lower().endswith(images.FILM_FORMATS)
    if any(counts) and not is_folder:
        raise BadInput(
            f"--output={output}: give a folder, FOLDER/, with --count or --per_class."
        )
    _check_together(is_folder, is_film)
    labels, truncation, seed = _LABELS.value, _TRUNCATION.value, _SEED.value
    if truncation is None and not is_folder:
        truncation = 0.5
    if is_folder:
        api.sample_files(module, output, *counts, labels, truncation, seed)
    elif is_film and _LATENTS.value:
        api.walk(module, output, _LATENTS.value, _SECONDS.value, _RATE.value)
    elif _LATENTS.value:
        api.redraw(module, _LATENTS.value, _COLUMNS.value, output)
    elif is_film:
        pace = _WALKS.value, _SECONDS.value, _RATE.value
        api.film(module, output, labels, *pace, truncation, seed)
    else:
        truncation = _numbers(_TRUNCATIONS) or truncation
        layout, mix = _INTERPOLATE.value or "samples", _numbers(_MIX)
        columns = _COLUMNS.value
        api.sample(module, labels, columns, truncation, seed, layout, output, mix)


def _check_together(is_folder: bool, is_film: bool) -> None:
    """Raises BadInput if a flag was given that nothing reads beside another one."""
    decides, read = _OUTPUT, (*_OF_SHEETS, "mix")
    if is_folder:
        read = _OF_FOLDERS
    elif _LATENTS.value:
        of_sheets = () if _OUTPUT.value.lower().endswith(".npz") else ("columns",)
        decides, read = _LATENTS, ("seconds", "rate") if is_film else of_sheets
    elif is_film:
        read = _OF_FILMS
    elif _TRUNCATIONS.value:
        decides, read = _TRUNCATIONS, ("labels", "seed", "columns", "mix")
    elif _INTERPOLATE.value:
        decides, read = _INTERPOLATE, _OF_SHEETS
    value = decides.value
    typed = ",".join(value) if isinstance(value, list) else value
    if is_folder and not value.endswith(os.sep):
        typed += ", a folder"
    config.leave_out(
        [name for name in _ALL if name not in (decides.name, *read)],
        f"--{decides.name}={typed}",
        f"with it take --{' or --'.join(read)}" if read else "an .npz has no rows",
    )


def _numbers(flag: flags.FlagHolder) -> list[float]:
    try:
        return [float(text) for text in flag.value or ()]
    except ValueError:
        text = ",".join(flag.value)
        raise BadInput(f"--{flag.name}={text}: take numbers.") from None


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
