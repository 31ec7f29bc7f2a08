r"""Finds the latents and the label whose image is most like a picture.

    python -m biggan_tf.project --module=runs/demo/export --picture=coat.jpg \
        --output=coat.npz
    python -m biggan_tf.sample --module=runs/demo/export --latents=coat.npz \
        --output=again.png

The file of arrays holds z, a soft label and the truncation. Instead, a sheet shows the
picture and what was found after 0, 1, 2, 4, ... steps, and a film all steps:

    python -m biggan_tf.project --module=runs/demo/export --picture=coat.jpg \
        --output=coat.png --labels="Coat,Pullover" --steps=500
    python -m biggan_tf.project --module=runs/demo/export --picture=coat.jpg \
        --output=coat.mp4 --network=lite0_64

It is gradient descent from several starts. Pixels are compared, and with --network the
features of a network too (lite0_N: pip install 'biggan-tf[offline-eval]'). The picture
is cropped to its central square and resized, as for training. An output that is there
already is replaced.
"""

from absl import flags

from biggan_tf import api, config, images
from biggan_tf.checks import LARGEST_SEED

_MODULE = flags.DEFINE_string(
    "module", None, "Folder or hub handle of an export.", required=True
)
_PICTURE = flags.DEFINE_string("picture", None, "An image file.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A .npz, .png or .jpg file; .mp4 or .webp film.", required=True
)
_LABELS = flags.DEFINE_string(
    "labels", None, "Classes that the label mixes, such as Bag,3,5-7; or all."
)
_TRUNCATION = flags.DEFINE_float(
    "truncation", None, "Of the starts; by default the largest."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the starts.", 0, LARGEST_SEED)
_STEPS = flags.DEFINE_integer("steps", 200, "Of the descent.", 1, 10_000)
_STARTS = flags.DEFINE_integer("starts", 4, "The best is kept.", 1, 64)
_NETWORK = flags.DEFINE_string("network", None, "Of features, such as lite0_64.")
_RATE = flags.DEFINE_integer("rate", 24, "Steps a second of a film.", 1, 100)


def main() -> None:
    if not _OUTPUT.value.lower().endswith(images.FILM_FORMATS):
        config.leave_out(["rate"], f"--output={_OUTPUT.value}", "it is of films")
    asked = _LABELS, _TRUNCATION, _SEED, _STEPS, _STARTS, _NETWORK, _RATE
    api.project(
        *(_MODULE.value, _PICTURE.value, _OUTPUT.value),
        **{flag.name: flag.value for flag in asked},
    )


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
