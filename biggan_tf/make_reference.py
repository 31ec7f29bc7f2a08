r"""Writes reference statistics of real images, to score generators against.

    python -m biggan_tf.make_reference --data=embedded --image_size=32 \
        --network=lite0_128 --output=fashion32.npz
    python -m biggan_tf.make_reference --data=tfds:imagenet2012 --image_size=128 \
        --features=0 --output=imagenet128.npz

The file holds count, mean and covariance of the features and, for kid, prd and prdc,
the features of `--features` images chosen at random; and a record of how it was
made, which `biggan_tf.evaluate --reference` compares with what it evaluates. Other
data.* bindings come by --gin_param or by a recipe. Of a recipe only data.* and
distribution.* are read.
"""

from pathlib import Path

from absl import flags

import biggan_tf.plan  # noqa: F401 (recipes bind its rooms)
from biggan_tf import config, data, distribution, evaluation, features, images
from biggan_tf.checks import SPLITS
from biggan_tf.errors import BadInput

config.define_flags()
_DATA = flags.DEFINE_string(
    "data", None, "embedded, tfds:NAME or folder:PATH.", required=True
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of the images.", 8, 4096, required=True
)
_NETWORK = flags.DEFINE_string("network", "inception", "See biggan_tf.evaluate.")
_SPLIT = flags.DEFINE_enum("split", "train", SPLITS, "Which images.")
_FEATURES = flags.DEFINE_integer(
    "features", evaluation.KEPT, "Of how many images.", 0, 10**7
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A .npz file that is not there yet.", required=True
)


@data.sentences()
def main() -> None:
    images.check_output(_OUTPUT.value, "--output", [".npz"])
    if Path(_OUTPUT.value).exists():
        raise BadInput(f"--output={_OUTPUT.value} is there already.")
    config.parse(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
    strategy = distribution.of_one_process()
    with strategy.scope():
        network = features.load(_NETWORK.value)
    reads = f"--split={_SPLIT.value}" if _SPLIT.value == "held_out" else ""
    real = data.named(_DATA.value, _IMAGE_SIZE.value, "--data", held_out_for=reads)
    evaluator = evaluation.Evaluator(
        strategy,
        network,
        real,
        ["fid", *(["sfid"] if network.spatial_size else [])],
        num_images=2**31 - 1,
        split=_SPLIT.value,
        reference=_OUTPUT.value,
    )
    # Recipes say more than is read here.
    config.refuse_dead_bindings(config.ROOMS, "--gin_param")
    if overruled := config.dead_bindings(["data"]):
        print(f"flags decide instead of {', '.join(overruled)}")
    print(*real.found(), sep="\n", flush=True)
    print(f"{_OUTPUT.value}: {evaluator.make_reference(_FEATURES.value):,} images")


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
