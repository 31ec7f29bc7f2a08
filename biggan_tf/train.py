r"""Trains a BigGAN.

    python -m biggan_tf.train --gin_file=gin/demo.gin
    python -m biggan_tf.train --gin_file=gin/biggan128.gin --dry_run
    python -m biggan_tf.train --gin_file=gin/biggan128.gin \
        --gin_param="train.batch_size = 256" --model_dir=runs/small_batch

    python -m biggan_tf.train --continue_from=runs/demo --model_dir=runs/frozen \
        --gin_file=gin/freeze_generator.gin --gin_param="train.total_steps = 7500"

Running the same command again goes on where the run stopped. `--dry_run` prints the
configuration, the sizes of the networks and the devices, checks the configuration and
the data, and trains nothing.
"""

from absl import flags

from biggan_tf import api, config

config.define_flags()
_MODEL_DIR = flags.DEFINE_string(
    "model_dir",
    None,
    "The model directory; runs/<name of the last gin file> by default.",
)
_CONTINUE_FROM = flags.DEFINE_string(
    "continue_from",
    None,
    "Go on from the newest checkpoint of this model directory, or from this checkpoint "
    "(such as runs/demo/checkpoints/ckpt-6500), in a new --model_dir, with its "
    "configuration and what --gin_file and --gin_param change; a recipe that includes "
    "base.gin binds every option anew.",
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the plan and exit.")


def main() -> None:
    given = flags.FLAGS.gin_file, _MODEL_DIR.value, flags.FLAGS.gin_param
    begin = api.dry_run if _DRY_RUN.value else api.train
    begin(*given, _CONTINUE_FROM.value)


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
