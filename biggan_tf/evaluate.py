"""Scores an exported module, or a training run's newest or best checkpoint.

    python -m biggan_tf.evaluate --module=runs/demo/export --data=embedded \
        --network=lite0_64 --metrics=fid,is,kid,prdc --num_images=10000
    python -m biggan_tf.evaluate --model_dir=runs/big --checkpoint=best \
        --truncation=0.5 --reference=imagenet128.npz

The truncation curve, FID and IS at each threshold: `truncation_curve.csv` and `.png`,
in TensorBoard, and as the four columns of the paper's Table 2. A run's batch-norm
statistics are measured at each threshold (those of published weights are kept, unless
export.accumulate = True). A module must have statistics for each threshold.

    python -m biggan_tf.evaluate --model_dir=runs/demo --network=lite0_64 \
        --sweep=0.1,0.3,0.5,1,1.5,inf --num_images=10000

The same command again goes on where it was killed: scores of the same weights and the
same protocol in `metrics.jsonl` are not made again.

`--neighbours` writes samples beside the training images nearest to them, by features
and by pixels: `neighbours_features.png` and `neighbours_pixels.png`.

Every score goes to `metrics.jsonl`, one line for each protocol. `--data` is embedded,
tfds:NAME or folder:PATH, by default the run's own; it drops all data.* bindings of the
run, and --gin_param gives others, such as data.data_dir. One device is used,
whatever trained the run, unless `distribution.kind` asks for more. Files are written to
--output_dir, by default the run's folder, or the one the module lies in.
"""

import dataclasses
import hashlib
import math
from pathlib import Path

import numpy as np
from absl import flags

from biggan_tf import (
    config,
    data,
    distribution,
    evaluation,
    features,
    files,
    images,
    latents,
    metrics,
    monitor,
    run,
    saved_model,
)
from biggan_tf.alarms import AlarmOptions
from biggan_tf.errors import BadInput
from biggan_tf.latents import LatentOptions
from biggan_tf.sampling import ExportOptions, Sampler

config.define_flags()
_MODULE = flags.DEFINE_string("module", None, "Folder or hub handle of an export.")
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Of a run of biggan_tf.train.")
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "latest", ["latest", "best"], "The newest, or best by its score."
)
_DATA = flags.DEFINE_string("data", None, "embedded, tfds:NAME or folder:PATH.")
_METRICS = flags.DEFINE_list("metrics", ["fid", "is"], ", ".join(metrics.METRICS))
_NETWORK = flags.DEFINE_string("network", "inception", ", ".join(features.NETWORKS))
_TRUNCATION = flags.DEFINE_float("truncation", math.inf, "Of the latents.")
_SWEEP = flags.DEFINE_list("sweep", None, "Thresholds of the truncation curve.")
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", 50_000, "Generated for each score.", 1, 10**8
)
_SPLIT = flags.DEFINE_enum("split", "train", evaluation.SPLITS, "Real images.")
_REFERENCE = flags.DEFINE_string(
    "reference",
    None,
    "File of make_reference.py, made if it is not there; or .npz of ADM.",
)
_NEIGHBOURS = flags.DEFINE_bool("neighbours", False, "Sheets of nearest neighbours.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "For what is written.")
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of the latents and labels.", 0, latents.LARGEST_SEED
)

# The rooms that a run's configuration binds for its training alone.
OF_TRAINING = tuple(
    options.room
    for options in (
        AlarmOptions,
        distribution.DistributionOptions,
        evaluation.EvaluationOptions,
        monitor.MonitorOptions,
    )
)


def _checked_flags() -> tuple[tuple[str, ...], list[float]]:
    """Returns metrics, and truncations, falling; BadInput on contradictions."""
    if bool(_MODULE.value) == bool(_MODEL_DIR.value):
        raise BadInput("--module and --model_dir: name what to score by one of them.")
    if _MODULE.value and _CHECKPOINT.value != "latest":
        raise BadInput(
            f"--checkpoint={_CHECKPOINT.value}: leave it out, for it is of --model_dir."
        )
    if _MODULE.value and not _DATA.value:
        raise BadInput("--data is missing: take embedded, tfds:NAME or folder:PATH.")
    names = evaluation.parse_metrics(_METRICS.value, "--metrics")
    truncations = [_TRUNCATION.value]
    if _SWEEP.value:
        try:
            truncations = sorted(set(map(float, _SWEEP.value)), reverse=True)
        except ValueError:
            raise BadInput(f"--sweep={','.join(_SWEEP.value)}: take numbers.") from None
        if not {"fid", "is"} <= set(names):
            raise BadInput(
                f"--metrics={','.join(names)} with --sweep: take fid and is, which the "
                "curve shows."
            )
    return names, truncations


@data.sentences()
def main() -> None:
    names, truncations = _checked_flags()
    if _MODEL_DIR.value:
        config.read_back(_MODEL_DIR.value)
        for room in (*OF_TRAINING, *(["data"] if _DATA.value else [])):
            config.forget(room)
    config.parse(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
    strategy = distribution.make_strategy()
    if _MODEL_DIR.value:
        export = ExportOptions()
        trained = run.restore(_MODEL_DIR.value, _CHECKPOINT.value == "best")
        convention = LatentOptions().convention(export.truncation_convention)
        of_data, folder = trained.data, trained.folder
    else:
        with strategy.scope():
            sampler = saved_model.load(_MODULE.value)
        convention, of_data = sampler.convention, sampler
        folder = _folder_of_module(sampler, truncations)
    for truncation in truncations:
        flag = "--sweep" if _SWEEP.value else "--truncation"
        latents.check_truncation(convention, truncation, flag)
    folder = Path(_OUTPUT_DIR.value or folder)
    images.check_output(str(folder / "metrics.png"), "--output_dir", [".png"])
    size, named = of_data.image_size, _DATA.value
    source = data.named(named, size, "--data") if named else data.load()
    rooms = ("data", *OF_TRAINING, *([] if _MODEL_DIR.value else ["export"]))
    config.refuse_dead_bindings(rooms)
    if _SWEEP.value or _NEIGHBOURS.value:  # they look at real images in any case
        source.check_ready()
    with strategy.scope():
        network = features.load(_NETWORK.value)
    count, reference, seed = _NUM_IMAGES.value, _REFERENCE.value, _SEED.value
    evaluator = evaluation.Evaluator(
        strategy, network, source, names, count, _SPLIT.value, reference, seed=seed
    )
    evaluator.check(of_data.num_classes, of_data.image_size)
    if _MODEL_DIR.value:
        with strategy.scope():
            _, sampler = run.inference_generator(trained, export, truncations)
        weights = _hash(trained.weights)
    else:
        weights = files.sha256(_MODULE.value) if Path(_MODULE.value).exists() else ""
    sampler = dataclasses.replace(sampler, weights_sha256=weights)
    rows = [
        {"truncation": truncation, **_scores(evaluator, sampler, truncation, folder)}
        for truncation in truncations
    ]
    if _SWEEP.value:
        _show_curve(evaluator, rows, folder, sampler.step)
    if _NEIGHBOURS.value:
        sheets = evaluation.nearest_neighbours(evaluator, sampler, truncations[-1])
        for name, sheet in sheets.items():
            images.write(folder / f"neighbours_{name}.png", sheet)


def _scores(
    evaluator: evaluation.Evaluator, sampler: Sampler, truncation: float, folder: Path
) -> dict[str, float]:
    """Scores the sampler, unless metrics.jsonl has it; prints and writes the scores."""
    path, names = folder / "metrics.jsonl", evaluator.score_names
    protocol = evaluator.record(sampler, truncation, {})["protocol"]
    known = evaluation.known_scores(path, protocol, names)
    scores = known if sampler.weights_sha256 else None
    print(f"step {sampler.step}, truncation {truncation:g}:", "known" * bool(scores))
    if not scores:
        scores = evaluator.score(sampler, truncation)
        record = evaluator.record(sampler, truncation, scores)
        evaluation.write_record(path, record)
    for name, value in scores.items():
        print(f"  {name} = {value:.5g}", flush=True)
    return scores


def _hash(weights: dict[str, np.ndarray]) -> str:
    whole = hashlib.sha256()
    for name, value in sorted(weights.items()):
        whole.update(name.encode())
        whole.update(np.ascontiguousarray(value))
    return whole.hexdigest()


def _show_curve(
    evaluator: evaluation.Evaluator, rows: list[dict], folder: Path, step: int
) -> None:
    """Writes the truncation curve as table and picture; prints the paper's columns."""
    fid, score = map(evaluator.main_score, ("fid", "is"))
    evaluation.write_csv(folder / "truncation_curve.csv", rows)
    title = f"{evaluator.reference_protocol['data']}, {_NUM_IMAGES.value:,} images"
    picture = evaluation.picture(rows, fid, score, f"{title} a point")
    images.write(folder / "truncation_curve.png", picture)
    board = monitor.TensorBoard(folder, config.operative())
    board.image(step, "truncation_curve", picture)
    real = evaluator.real_inception_score()
    print(f"{fid} / {score}")
    print(evaluation.paper_columns(rows, fid, score, real))


def _folder_of_module(sampler: Sampler, truncations: list[float]) -> Path:
    """Returns where the module lies; BadInput if it lacks statistics for a sweep."""
    sets = sampler.truncations
    known = [any(math.isclose(t, s, rel_tol=1e-6) for s in sets) for t in truncations]
    if _SWEEP.value and not all(known):
        raise BadInput(
            f"--sweep={','.join(_SWEEP.value)}: take --model_dir, or some of "
            f"{', '.join(f'{t:g}' for t in sets)}, which the module has statistics for."
        )
    if "://" in _MODULE.value and not _OUTPUT_DIR.value:
        raise BadInput("--output_dir is missing: the module lies in no folder here.")
    return Path(_MODULE.value).absolute().parent


if __name__ == "__main__":
    config.run(main)
