"""Trains a BigGAN.

    python -m biggan_tf.train --gin_file=gin/demo.gin
    python -m biggan_tf.train --gin_file=gin/biggan128.gin --dry_run
    python -m biggan_tf.train --gin_file=gin/biggan128.gin \
        --gin_param="train.batch_size = 256" --model_dir=runs/small_batch

    python -m biggan_tf.train --continue_from=runs/demo --model_dir=runs/frozen \
        --gin_file=gin/freeze_generator.gin --gin_param="train.total_steps = 3000"

Running the same command again goes on where the run stopped. `--dry_run` prints the
configuration, the sizes of the networks and the devices, checks the configuration and
the data, and trains nothing.
"""

from pathlib import Path

from absl import flags

from biggan_tf import config, loop, run
from biggan_tf.errors import BadInput

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
    "(such as runs/demo/checkpoints/ckpt-2000), in a new --model_dir, with its "
    "configuration and what --gin_file and --gin_param change.",
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the plan and exit.")


def main() -> None:
    gin_files = flags.FLAGS.gin_file
    model_dir, source = _MODEL_DIR.value, _CONTINUE_FROM.value
    if source:
        there, _ = run.locate(source)
        if not model_dir or there.resolve() == Path(model_dir).resolve():
            raise BadInput(
                f"--model_dir={model_dir or ''}: name a new one with --continue_from."
            )
        config.read_back(there)
    elif not gin_files:
        raise BadInput("--gin_file is missing: name a recipe, such as gin/demo.gin.")
    config.parse(gin_files, flags.FLAGS.gin_param)
    folder = Path(model_dir or f"runs/{Path(gin_files[-1]).stem}")
    if _DRY_RUN.value:
        plan = loop.make_plan(folder, source)
        print(plan.describe())
        plan.data.check_ready()
        print(*plan.data.remarks(), sep="\n")
        plan.evaluator(folder)
        return
    loop.train(folder, source)


if __name__ == "__main__":
    config.run(main)
