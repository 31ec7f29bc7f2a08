r"""Exports a trained model as a module that `hub.load` opens.

    python -m biggan_tf.export --model_dir=runs/demo
    python -m biggan_tf.export --model_dir=runs/demo --export_dir=/tmp/demo \
        --with_discriminator --gin_param="export.passes = 500"
    python -m biggan_tf.export --model_dir=runs/demo --export_dir=/tmp/scaled \
        --gin_param="export.truncation_convention = 'scaled'"

The module holds the moving average of G's weights from the newest checkpoint, divided
by sigma, and standing statistics of batch norm, measured for a grid of truncations.
Statistics that came with imported weights are used as they are, unless
`export.accumulate = True`, or the truncation convention is not theirs. The module's
README.md says how to call it. Without `--export_dir` it goes to `export` in the model
directory, and replaces an earlier one, unless there are other or edited files in it.
"""

from absl import flags

from biggan_tf import api, config

config.define_flags()
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Of a run.", required=True)
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir", None, "A folder that is not there yet; <model_dir>/export by default."
)
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "latest", ["latest", "best"], "The newest, or best by its score."
)
_WITH_DISCRIMINATOR = flags.DEFINE_bool(
    "with_discriminator", False, "Add D, as module.discriminator."
)


def main() -> None:
    api.export(
        _MODEL_DIR.value,
        _EXPORT_DIR.value,
        flags.FLAGS.gin_param,
        _CHECKPOINT.value,
        _WITH_DISCRIMINATOR.value,
        flags.FLAGS.gin_file,
    )


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
