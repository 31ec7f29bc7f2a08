r"""Scores an exported module, or a training run's newest or best checkpoint.

    python -m biggan_tf.evaluate --module=runs/demo/export --data=embedded \
        --network=lite0_64 --metrics=fid,is,kid,prdc --num_images=10000
    python -m biggan_tf.evaluate --model_dir=runs/big --checkpoint=best \
        --truncation=0.5 --reference=imagenet128.npz

The truncation curve, FID and IS at each threshold: `truncation_curve.csv` and `.png`,
in TensorBoard, and as the four columns of the paper's Table 2. A run's batch-norm
statistics are measured at each threshold (those of published weights are kept, unless
export.accumulate = True, or the convention is not theirs). A module must have
statistics for each threshold; of --data=folder:PATH a tenth is then held out, for the
IS of real images, and FID compares with the others.

    python -m biggan_tf.evaluate --model_dir=runs/demo --network=lite0_64 \
        --sweep=0.1,0.3,0.5,1,1.5,inf --num_images=10000

The same command again goes on where it was killed: scores of the same weights and the
same protocol in `metrics.jsonl` are not made again.

`--neighbours` writes samples, at the smallest threshold, beside the training images
nearest to them, by features and by pixels: `neighbours_features.png` and
`neighbours_pixels.png`.

Every score goes to `metrics.jsonl`, one line for each protocol; `fid_se` is the
standard error of `fid`. `--data` is embedded, tfds:NAME or folder:PATH, by default the
run's own; it drops all data.* bindings of the run, and --gin_param gives others, such
as data.data_dir. One device is used, whatever trained the run, unless
`distribution.kind` asks for more. Files are written to --output_dir, by default the
run's folder, or the one the module lies in.
"""

import math

from absl import flags

from biggan_tf import api, config, metrics
from biggan_tf.checks import LARGEST_SEED, SPLITS
from biggan_tf.errors import BadInput

config.define_flags()
_MODULE = flags.DEFINE_string("module", None, "Folder or hub handle of an export.")
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Of a run of biggan_tf.train.")
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "latest", ["latest", "best"], "The newest, or best by its score."
)
_DATA = flags.DEFINE_string("data", None, "embedded, tfds:NAME or folder:PATH.")
_METRICS = flags.DEFINE_list("metrics", ["fid", "is"], ", ".join(metrics.METRICS))
_NETWORK = flags.DEFINE_string(
    "network", "inception", "Or lite0_128, inception=FILE and others: see README.md."
)
_TRUNCATION = flags.DEFINE_float("truncation", math.inf, "Of the latents.")
_SWEEP = flags.DEFINE_list("sweep", None, "Thresholds of the truncation curve.")
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", 50_000, "Generated for each score.", 1, 10**8
)
_SPLIT = flags.DEFINE_enum("split", "train", SPLITS, "Real images.")
_REFERENCE = flags.DEFINE_string(
    "reference",
    None,
    "File of make_reference, made if it is not there; or .npz of ADM.",
)
_NEIGHBOURS = flags.DEFINE_bool("neighbours", False, "Sheets of nearest neighbours.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "For what is written.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the latents and labels.", 0, LARGEST_SEED)


def main() -> None:
    truncation = _TRUNCATION.value
    if _SWEEP.value:
        sweep = ",".join(_SWEEP.value)
        config.leave_out(["truncation"], f"--sweep={sweep}", "the sweep names all")
        try:
            truncation = [float(text) for text in _SWEEP.value]
        except ValueError:
            raise BadInput(f"--sweep={sweep}: take numbers.") from None
    api.evaluate(
        _MODULE.value,
        _MODEL_DIR.value,
        data=_DATA.value,
        metrics=_METRICS.value,
        network=_NETWORK.value,
        truncation=truncation,
        num_images=_NUM_IMAGES.value,
        split=_SPLIT.value,
        reference=_REFERENCE.value,
        seed=_SEED.value,
        checkpoint=_CHECKPOINT.value,
        neighbours=_NEIGHBOURS.value,
        output_dir=_OUTPUT_DIR.value,
        bindings=flags.FLAGS.gin_param,
        gin_files=flags.FLAGS.gin_file,
    )


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
