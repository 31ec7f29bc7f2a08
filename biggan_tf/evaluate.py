"""Scores an exported module, or a training run's newest or best checkpoint.

    python -m biggan_tf.evaluate --module=runs/demo/export --data=embedded \
        --network=lite0_64 --metrics=fid,is,kid,prdc --num_images=10000
    python -m biggan_tf.evaluate --model_dir=runs/big --checkpoint=best \
        --truncation=0.5 --reference=imagenet128.npz

The truncation curve, FID and IS at each threshold: `truncation_curve.csv` and `.png`,
in TensorBoard, and as the four columns of the paper's Table 2. Of a run, batch-norm
statistics are measured anew at each threshold (those of published weights come along,
unless export.accumulate = True); a module is scored as it was shipped, with its own
statistics, so that its thresholds have to be among those it has a set for:

    python -m biggan_tf.evaluate --model_dir=runs/demo --network=lite0_64 \
        --sweep=0.1,0.3,0.5,1,1.5,inf --num_images=10000

Samples beside the training images nearest to them, by features and by pixels, as
`neighbours_features.png` and `neighbours_pixels.png`: `--neighbours`.

Every score is appended to `metrics.jsonl` with its protocol. `--data` is embedded,
tfds:NAME or folder:PATH (a run's own by default, else nothing of its bindings); other
bindings of the room `data`, such as data.data_dir, come by --gin_param. One device is
used, whatever trained the run, unless `distribution.kind` asks for more. Files are
written to --output_dir, by default the run's folder, or the one the module lies in.
"""

import functools
import math
from pathlib import Path

from absl import flags

from biggan_tf import (
    config,
    data,
    distribution,
    evaluation,
    images,
    latents,
    loop,
    monitor,
    networks,
    saved_model,
)
from biggan_tf.errors import BadInput

config.define_flags()
_MODULE = flags.DEFINE_string("module", None, "Folder or hub handle of an export.")
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Of a run of biggan_tf.train.")
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "latest", ["latest", "best"], "Of a run; best by its score."
)
_DATA = flags.DEFINE_string("data", None, "embedded, tfds:NAME or folder:PATH.")
_METRICS = flags.DEFINE_list("metrics", ["fid", "is"], ", ".join(evaluation.METRICS))
_NETWORK = flags.DEFINE_string(
    "network", "inception", "inception, inception=FILE_OR_HANDLE or lite0_RESOLUTION."
)
_TRUNCATION = flags.DEFINE_float("truncation", math.inf, "Of the latents.")
_SWEEP = flags.DEFINE_list("sweep", None, "Thresholds of the truncation curve.")
_NUM_IMAGES = flags.DEFINE_integer("num_images", 50_000, "Generated for each score.")
_SPLIT = flags.DEFINE_enum("split", "train", evaluation.SPLITS, "Real images.")
_REFERENCE = flags.DEFINE_string(
    "reference", None, "File of tools/make_reference.py; made if it is not there."
)
_NEIGHBOURS = flags.DEFINE_bool("neighbours", False, "Sheets of nearest neighbours.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "For what is written.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the latents and labels.", lower_bound=0)

# That a run's config binds for training: of no concern here, or to be asked for.
ROOMS = ("alarms", "distribution", "evaluation", "monitor")


def _checked_flags() -> tuple[tuple[str, ...], list[float]]:
    """The metrics and truncations asked for; BadInput on contradictions."""
    if bool(_MODULE.value) == bool(_MODEL_DIR.value):
        raise BadInput("name what to score, by --module or by --model_dir.")
    if _MODULE.value and _CHECKPOINT.value != "latest":
        raise BadInput("--checkpoint is of a --model_dir; a --module is what it is.")
    if _MODULE.value and not _DATA.value:
        raise BadInput("--data is missing: embedded, tfds:NAME or folder:PATH.")
    metrics = evaluation.parse_metrics(_METRICS.value, "--metrics")
    truncations = [_TRUNCATION.value]
    if _SWEEP.value:
        truncations = sorted({_number(text) for text in _SWEEP.value}, reverse=True)
        if not {"fid", "is"} <= set(metrics):
            raise BadInput("--sweep draws FID against IS: --metrics needs fid and is.")
    return metrics, truncations


@data.sentences()
def main() -> None:
    metrics, truncations = _checked_flags()
    if _MODEL_DIR.value:
        config.read_back(_MODEL_DIR.value)
        for room in (*ROOMS, *(["data"] if _DATA.value else [])):
            config.forget(room)
    config.parse(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
    strategy = distribution.make_strategy()
    if _MODEL_DIR.value:
        trained = loop.restore(_MODEL_DIR.value, _CHECKPOINT.value == "best")
        convention = trained.gan.latents.convention(
            saved_model.Settings().truncation_convention
        )
        spec, folder = trained.data_spec, Path(_MODEL_DIR.value)
    else:
        with strategy.scope():
            module = saved_model.load(_MODULE.value)
        convention, spec = module.truncation_convention, module
        folder = _check_module(module, truncations)
    flag = "--sweep" if _SWEEP.value else "--truncation"
    for truncation in truncations:
        latents.check_truncation(convention, truncation, flag)
    folder = Path(_OUTPUT_DIR.value or folder)
    images.check_output(str(folder / "metrics.png"), "--output_dir", [".png"])
    if _DATA.value:
        source = data.named(_DATA.value, spec.image_size, "--data")
    else:
        source = data.load()
    rooms = ("data", *ROOMS) if _MODEL_DIR.value else ("data", "export", *ROOMS)
    config.refuse_dead_bindings(rooms)
    if _SWEEP.value or _NEIGHBOURS.value:  # which look at real images in any case
        source.check_ready()
    evaluator = evaluation.Evaluator(
        strategy,
        _NETWORK.value,
        source,
        metrics,
        _NUM_IMAGES.value,
        _SPLIT.value,
        _REFERENCE.value,
        _SEED.value,
    )
    evaluator.check(spec.num_classes, spec.image_size)
    if _MODEL_DIR.value:
        with strategy.scope():
            subject = _of_run(trained, convention, truncations)
    else:
        subject = evaluation.Subject.exported(module, "standing, of the module")

    def keep(truncation: float, scores: dict[str, float]) -> None:
        record = evaluator.record(subject, truncation, scores)
        evaluation.append(folder / "metrics.jsonl", record)
        print(f"step {record['step']}, truncation {truncation:g}:")
        for name, value in scores.items():
            print(f"  {name} = {value:.5g}", flush=True)

    rows = evaluation.sweep(evaluator, subject, truncations, keep)
    if _SWEEP.value:
        _show_curve(evaluator, rows, folder, subject.protocol["step"])
    if _NEIGHBOURS.value:
        sheets = evaluation.nearest_neighbours(evaluator, subject, truncations[-1])
        for name, sheet in sheets.items():
            images.write_png(folder / f"neighbours_{name}.png", sheet)


def _show_curve(
    evaluator: evaluation.Evaluator, rows: list[dict], folder: Path, step: int
) -> None:
    """The truncation curve as a table, as a picture and as the paper's columns."""
    fid, score = (next(k for k in rows[0] if k.startswith(n)) for n in ("fid", "is"))
    evaluation.write_csv(folder / "truncation_curve.csv", rows)
    title = f"{evaluator.reference_protocol['data']}, {_NUM_IMAGES.value:,} images"
    picture = evaluation.picture(rows, fid, score, f"{title} a point")
    images.write_png(folder / "truncation_curve.png", picture)
    board = monitor.TensorBoard(folder, config.operative())
    board.image(step, "truncation_curve", picture)
    real = evaluator.real_inception_score()
    print(f"{fid} / {score}")
    print(evaluation.paper_columns(rows, fid, score, real))


def _of_run(
    trained: loop.Restored, convention: str, truncations: list[float]
) -> evaluation.Subject:
    """The run's averaged G, with statistics measured at each truncation."""
    generator, statistics, origin = saved_model.for_sampling(
        trained,
        saved_model.Settings(),
        functools.partial(networks.build_generator, trained.family),
        truncations,
    )
    names = trained.data_spec.class_names
    module = saved_model.make_module(
        generator, statistics, convention, names, trained.step
    )
    return evaluation.Subject.exported(saved_model.Exported(module), origin)


def _check_module(module: saved_model.Exported, truncations: list[float]) -> Path:
    """The folder that the module lies in; BadInput if it has no such statistics."""
    sets = module.standing_truncations
    missing = [
        t
        for t in truncations
        if not any(math.isclose(t, s, rel_tol=1e-6) or t == s for s in sets)
    ]
    if _SWEEP.value and missing:
        raise BadInput(
            f"--sweep={','.join(_SWEEP.value)}: the module has statistics for "
            f"{', '.join(f'{t:g}' for t in sets)} alone; take of these, or --model_dir."
        )
    if "://" in _MODULE.value and not _OUTPUT_DIR.value:
        raise BadInput("--output_dir is missing: the module lies in no folder here.")
    return Path(_MODULE.value).absolute().parent


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"--sweep: {text!r} is not a number.") from None


if __name__ == "__main__":
    config.run(main)
