"""Trains a BigGAN.

    python -m biggan_tf.train --gin_file=gin/demo.gin
    python -m biggan_tf.train --gin_file=gin/biggan128.gin --dry_run
    python -m biggan_tf.train --gin_file=gin/biggan128.gin \
        --gin_param="train.batch_size = 256" --model_dir=runs/small_batch

Running the same command again goes on where the run stopped. `--dry_run` prints the
configuration, the sizes of the networks and the devices, and trains nothing.
"""

from pathlib import Path

from absl import flags

from biggan_tf import config, loop
from biggan_tf.errors import BadInput

config.define_flags()
_MODEL_DIR = flags.DEFINE_string(
    "model_dir",
    None,
    "Where everything of the run is kept; runs/<name of the last gin file> by default.",
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the plan and exit.")


def main() -> None:
    gin_files = flags.FLAGS.gin_file
    if not gin_files:
        raise BadInput("--gin_file is missing: name a recipe, such as gin/demo.gin.")
    config.parse(gin_files, flags.FLAGS.gin_param)
    if _DRY_RUN.value:
        plan = loop.make_plan()
        print(plan.describe())
        plan.data.check_ready()
        return
    loop.train(_MODEL_DIR.value or Path("runs") / Path(gin_files[-1]).stem)


if __name__ == "__main__":
    config.run(main)
