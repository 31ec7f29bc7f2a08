"""Exports a trained model as a module that `hub.load` opens.

    python -m biggan_tf.export --model_dir=runs/demo
    python -m biggan_tf.export --model_dir=runs/demo --export_dir=/tmp/demo \
        --with_discriminator --gin_param="export.passes = 500"
    python -m biggan_tf.export --model_dir=runs/demo --export_dir=/tmp/scaled \
        --gin_param="export.truncation_convention = 'scaled'"

The newest checkpoint's averaged weights are taken, sigma is folded into them, and
standing statistics of batch norm are measured for a grid of truncations; those that
came with imported weights are used as they are, unless `export.accumulate = True`. The
folder's README.md says how to call the module. Without `--export_dir` it is `export` in
the model directory, where it replaces an earlier export.
"""

import functools
from pathlib import Path

from absl import flags

from biggan_tf import config, loop, networks, saved_model
from biggan_tf.errors import BadInput

config.define_flags()
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Of a run of biggan_tf.train.")
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir", None, "A folder that is not there yet; <model_dir>/export by default."
)
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "latest", ["latest", "best"], "Of the training; best by its score."
)
_WITH_DISCRIMINATOR = flags.DEFINE_bool(
    "with_discriminator", False, "Add D, as module.discriminator."
)


def main() -> None:
    if not _MODEL_DIR.value:
        raise BadInput("--model_dir is missing: name the folder of a training run.")
    config.read_back(_MODEL_DIR.value)
    config.parse(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
    settings = saved_model.Settings()
    config.refuse_dead_bindings(["export"])
    path = _EXPORT_DIR.value or Path(_MODEL_DIR.value) / "export"
    replace = _EXPORT_DIR.value is None
    saved_model.check_free(path, replace)
    trained = loop.restore(_MODEL_DIR.value, _CHECKPOINT.value == "best")
    build_generator = functools.partial(networks.build_generator, trained.family)
    build_discriminator = None
    if _WITH_DISCRIMINATOR.value:
        build_discriminator = functools.partial(
            networks.build_discriminator, trained.family
        )
    saved_model.export(
        trained, settings, path, build_generator, build_discriminator, replace
    )
    print(
        f'step {trained.step} is in {path}: hub.load("{path}") opens it, and its '
        "README.md says how to call it"
    )


if __name__ == "__main__":
    config.run(main)
