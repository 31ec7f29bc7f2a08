"""Scoring a module, or a run's checkpoint."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from biggan_tf import (
    config,
    data_json,
    distribution,
    evaluation,
    features,
    files,
    images,
    latents,
    monitor,
    run,
)
from biggan_tf import data as datasets
from biggan_tf.alarms import AlarmOptions
from biggan_tf.api.arguments import (
    Bindings,
    Files,
    PathLike,
    as_folder,
    as_path,
    bind,
    check_checkpoint,
)
from biggan_tf.api.real_images import images_for
from biggan_tf.api.samples import opened
from biggan_tf.checks import (
    LARGEST_SEED,
    SPLITS,
    as_bool,
    as_numbers,
    as_whole,
    check_text,
    is_several,
)
from biggan_tf.data import memory
from biggan_tf.errors import BadInput
from biggan_tf.sampling import ExportOptions, Sampler

# What a run's configuration binds for its training alone: these rooms, and data.flip.
OF_TRAINING = tuple(
    options.room
    for options in (
        AlarmOptions,
        distribution.DistributionOptions,
        evaluation.EvaluationOptions,
        monitor.MonitorOptions,
    )
)
ROOMS = ("data", ExportOptions.room, *OF_TRAINING)  # that scoring may bind
_CURVE = ("truncation_curve.csv", "truncation_curve.png")
_NEIGHBOURS = {n: f"neighbours_{n}.png" for n in ("features", "pixels")}
_TAKE = "take embedded, tfds:NAME or folder:PATH."
_SMALLER = "take a smaller --num_images or export.batch_size"
Scores = dict[str, float]


class _Model(NamedTuple):
    """What is scored."""

    convention: str  # of truncation
    frequencies: tuple[float, ...]  # of the classes in training
    trained_on: data_json.TrainedOn  # as far as it is known
    folder: Path | None  # that it lies in
    sampler: Callable[[Sequence[float]], Sampler]  # with statistics of truncations

    @property
    def spec(self) -> datasets.DataSpec:
        return self.trained_on.spec


def evaluate(
    module: PathLike | Sampler | None = None,
    model_dir: PathLike | None = None,
    *,
    data: PathLike | None = None,
    metrics: str | Sequence[str] = ("fid", "is"),
    network: str = "inception",
    truncation: float | Sequence[float] = math.inf,
    num_images: int = 50_000,
    split: str = "train",
    reference: PathLike | None = None,
    seed: int = 0,
    checkpoint: str = "latest",
    neighbours: bool = False,
    output_dir: PathLike | None = None,
    bindings: Bindings = (),
    gin_files: Files = (),
) -> Scores | list[Scores]:
    """Scores generated images against real ones.

    Args:
        module, model_dir: an exported module, or what `load` returned; or a run.
        data: "embedded", "tfds:NAME", "folder:PATH" or a `Path`; None: the run's own.
        metrics: names of `metrics.METRICS`, in a list or with commas between.
        network: of features, see `features.NETWORKS`.
        truncation: several also draw the curve, and print the paper's Table 2 columns.
        num_images: generated for each score.
        split: of the real images, "train" or "held_out".
        reference: file of their statistics, made if it is not there.
        seed, checkpoint: of latents and labels; of a run, as in `export`.
        neighbours: draws samples beside their nearest training images.
        output_dir: for files; by default the run's folder, or the module's parent.
        bindings, gin_files: of `ROOMS` alone, as in `runs.train`.

    Returns the scores by name; of several truncations a list, the highest one first.
    """
    names = evaluation.parse_metrics(metrics, "--metrics")
    given = as_numbers("truncation", truncation)
    curve, truncations = is_several(truncation), sorted(set(given))[::-1]
    _check(module, model_dir, data, checkpoint, split, names if curve else ())
    file = _reference(reference, data, network)
    num_images = as_whole("num_images", num_images, 1, 10**8)
    seed = as_whole("seed", seed, 0, LARGEST_SEED)
    neighbours = as_bool("neighbours", neighbours)
    with config.apart(), datasets.sentences(), memory.room_or(_SMALLER):
        if model_dir:
            config.read_back(as_folder(model_dir, "--model_dir"))
            for name in (*OF_TRAINING, "data" if data else "data.flip"):
                config.forget(name)
        bind(gin_files, bindings, ROOMS)
        strategy = distribution.of_one_process()
        with strategy.scope():
            model = _run(model_dir, checkpoint, data) if model_dir else _module(module)
        _check_truncations(model, truncations, curve, bool(module))
        folder = _folder(output_dir, model.folder, curve, neighbours, file)
        real = images_for(model.trained_on, data, split, curve and not file)
        evaluation.check_classes(model.spec.class_names, real.spec, names)
        config.refuse_dead_bindings(ROOMS)
        if curve or neighbours:  # they look at real images in any case
            real.check_ready()
            _check_outside(folder, real.spec)
        with strategy.scope():
            looked_at_by = features.load(network)
        given = {"seed": seed, "frequencies": model.frequencies}
        evaluator = evaluation.Evaluator(
            strategy, looked_at_by, real, names, num_images, split, file, **given
        )
        evaluator.check(model.spec.num_classes, model.spec.image_size)
        print(*real.found(), sep="\n", flush=True)
        if curve:
            evaluator.real_for_inception_score()  # BadInput if it is too few
        with strategy.scope():
            sampler = model.sampler(truncations)
        records = evaluation.read_records(folder / "metrics.jsonl")
        rows = [_score(evaluator, sampler, t, folder, records) for t in truncations]
        if curve:
            _show_curve(evaluator, sampler, truncations, rows, folder)
        if neighbours:
            _show_neighbours(evaluator, sampler, truncations[-1], folder)
    return rows if curve else rows[0]


def _check(
    module: PathLike | None,
    model_dir: PathLike | None,
    data: PathLike | None,
    checkpoint: str,
    split: str,
    names: Sequence[str],  # of a curve's metrics
) -> None:
    """Raises BadInput if what is scored, and against what, is not clear."""
    check_checkpoint(checkpoint)
    if split not in SPLITS:
        raise BadInput(f"--split={split}: take {' or '.join(SPLITS)}.")
    if bool(module) == bool(model_dir):
        raise BadInput("--module and --model_dir: name what to score by one of them.")
    if module and checkpoint != "latest":
        raise BadInput(
            f"--checkpoint={checkpoint}: leave it out; it is of --model_dir."
        )
    if module and not data:
        raise BadInput(f"--data is missing: {_TAKE}")
    if names and not {"fid", "is"} <= set(names):
        raise BadInput(
            f"--metrics={','.join(names)} with --sweep: take fid and is, which the "
            "curve shows."
        )


def _reference(
    reference: PathLike | None, data: object, network: object
) -> Path | None:
    """Returns the reference's path; BadInput if an argument can name nothing."""
    file = None if reference is None else as_path(reference, "--reference")
    if file:
        evaluation.check_reference(file)
    if data is not None and not isinstance(data, os.PathLike):
        check_text("data", data)
    check_text("network", network)
    features.find(network)
    return file


def _run(model_dir: PathLike, checkpoint: str, data: PathLike | None) -> _Model:
    export = ExportOptions()
    trained = run.restore(as_path(model_dir, "--model_dir"), checkpoint == "best")
    if not (data or trained.data.source or config.place_of("data.source")):
        told = "weights without a recipe have none of their own"
        raise BadInput(f"--data is missing: {told}, so {_TAKE}")
    convention = trained.latents.convention(export.truncation_convention)
    frequencies = trained.latents.frequencies(trained.data.num_classes)

    def sampler(truncations: Sequence[float]) -> Sampler:
        return run.inference_generator(trained, export, truncations)[1]

    trained_on = data_json.read(trained.folder)
    return _Model(convention, frequencies, trained_on, trained.folder, sampler)


def _module(module: PathLike | Sampler) -> _Model:
    loaded = opened(module)
    sizes = loaded.image_size, loaded.num_classes, loaded.class_names
    unknown = data_json.TrainedOn(datasets.DataSpec("", "", *sizes, 0, 0, "", ""))
    folder = None
    if not (isinstance(module, Sampler) or files.is_address(module)):
        folder = Path(os.path.abspath(as_path(module, "--module"))).parent
    frequencies = loaded.class_frequencies
    return _Model(loaded.convention, frequencies, unknown, folder, lambda _: loaded)


def _check_truncations(
    model: _Model, truncations: Sequence[float], curve: bool, is_module: bool
) -> None:
    """Raises BadInput if one is out of range, or a module cannot draw a curve of them.

    A point of a curve needs statistics of its own; of a run they are measured.
    """
    for value in truncations:
        flag = "--sweep" if curve else "--truncation"
        latents.check_truncation(model.convention, value, flag)
    if not (curve and is_module):
        return
    sets = model.sampler(()).truncations
    if not all(
        any(math.isclose(t, s, rel_tol=1e-6) for s in sets) for t in truncations
    ):
        raise BadInput(
            f"--sweep={','.join(f'{t:g}' for t in truncations)}: take --model_dir, or "
            f"some of {', '.join(f'{t:g}' for t in sets)}, which the module has "
            "statistics for."
        )


def _folder(
    output_dir: PathLike | None,
    default: Path | None,
    curve: bool,
    neighbours: bool,
    reference: Path | None = None,
) -> Path:
    """Returns where files go; BadInput if one cannot be written, or is another's."""
    names = ["metrics.jsonl", *(_CURVE if curve else ())]
    names += _NEIGHBOURS.values() if neighbours else ()
    place = default if output_dir is None else output_dir
    if place is None:
        raise BadInput("--output_dir is missing: the module is in no folder here.")
    folder = as_path(place, "--output_dir")
    for name in names:
        if reference and reference.resolve() == (folder / name).resolve():
            told = f"take another name, for {name} is written there"
            raise BadInput(f"--reference={reference}: {told}.")
        try:
            files.check_writable(folder / name)
        except OSError as error:
            told = f"{name} in it cannot be written ({error.strerror})"
            raise BadInput(f"--output_dir={folder}: {told}.") from error
    return folder


def _check_outside(folder: Path, spec: datasets.DataSpec) -> None:
    """Raises BadInput if pictures in a folder would be among the real images."""
    real, place = Path(spec.name).resolve(), folder.resolve()
    within = [f for f in (place, *place.parents) if f == real or real in f.parents]
    runs = [f for f in within if (f / "config.gin").is_file()]  # are left out
    if spec.source == "folder" and within and not runs:
        raise BadInput(
            f"--output_dir={folder}: take a folder outside of {spec.name}, where the "
            "pictures would count as images."
        )


def _score(
    evaluator: evaluation.Evaluator,
    sampler: Sampler,
    truncation: float,
    folder: Path,
    records: Sequence[dict],
) -> Scores:
    """Returns the scores at one truncation; prints them, and keeps their record.

    They are not made again if `records`, those of the folder, have them.
    """
    path, names = folder / "metrics.jsonl", evaluator.score_names
    protocol = evaluator.record(sampler, truncation, {})["protocol"]
    known = evaluation.known_scores(records, protocol, names)
    scores = known if sampler.weights_sha256 else None
    print(f"step {sampler.step}, truncation {truncation:g}:", "known" * bool(scores))
    scores = scores or evaluator.score(sampler, truncation)
    for name, value in scores.items():
        print(f"  {name} = {value:.5g}", flush=True)
    if scores is not known:
        record = evaluator.record(sampler, truncation, scores)
        evaluation.write_record(path, record)
    return scores


def _show_neighbours(
    evaluator: evaluation.Evaluator, sampler: Sampler, truncation: float, folder: Path
) -> None:
    """Writes samples beside the training images nearest to them; prints where."""
    sheets = evaluation.nearest_neighbours(evaluator, sampler, truncation)
    for name, sheet in sheets.items():
        path = folder / _NEIGHBOURS[name]
        told = f"Samples of step {sampler.step:,}, truncation {truncation:g}, beside "
        images.write(path, sheet, f"{told}the training images nearest by {name}")
        print(path)


def _show_curve(
    evaluator: evaluation.Evaluator,
    sampler: Sampler,
    truncations: Sequence[float],
    scores: Sequence[Scores],
    folder: Path,
) -> None:
    """Writes the truncation curve as table and picture; prints the paper's columns."""
    rows = [{"truncation": t, **found} for t, found in zip(truncations, scores)]
    fid, score = map(evaluator.main_score, ("fid", "is"))
    evaluation.write_csv(folder / _CURVE[0], rows)
    protocol = evaluator.record(sampler, math.inf, {})["protocol"]
    compared = evaluation.compared_with(protocol)
    title = f"{compared}, {protocol['num_images']:,} images a point"
    picture = evaluation.picture(rows, fid, score, title)
    told = f"Truncation curve of step {sampler.step:,}: {title}"
    images.write(folder / _CURVE[1], picture, told)
    monitor.TensorBoard(folder).image(sampler.step, "truncation_curve", picture)
    real = evaluator.real_inception_score()
    print(f"{folder / _CURVE[0]}, and .png")
    print(f"{fid} / {score}")
    print(evaluation.paper_columns(rows, fid, score, real))
