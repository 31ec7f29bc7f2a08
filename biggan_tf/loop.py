"""Wires the rooms together: plan, restore, and the loop of ticks.

The device runs a tick of steps at a time; then the host wakes once, and calls the
actions that are due. A model directory holds `config.gin`, `data.json`, `checkpoints/`,
TensorBoard events, `scalars.jsonl` and `samples/`; running the same command again goes
on from the newest checkpoint, to the bit where it would have been.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from biggan_tf import config, data, distribution, interventions, networks, weights
from biggan_tf.alarms import Watch
from biggan_tf.checkpoints import Checkpoints
from biggan_tf.errors import BadInput, Diverged
from biggan_tf.evaluation import Evaluation
from biggan_tf.gan import Gan
from biggan_tf.interventions import Rewind
from biggan_tf.latents import Latents
from biggan_tf.monitor import (
    Action,
    HeldOut,
    Progress,
    SampleSheets,
    ScalarLog,
    Spectra,
    TensorBoard,
)
from biggan_tf.plan import FREE_BINDINGS, Plan, Schedule, make_plan
from biggan_tf.recipe import Recipe
from biggan_tf.saved_model import Sampler


def due(step: int, every: int, total: int) -> bool:
    """Whether what happens every so many steps happens now; at the end it does."""
    return bool(every) and (step % every == 0 or step == total)


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turns what may befall a run, which is no bug, into the sentence for it."""
    again = "run the same command to go on from the last checkpoint"
    try:
        with data.sentences():
            yield
    except OSError as error:
        raise BadInput(
            f"{error.filename or '--model_dir'} cannot be written: "
            f"{error.strerror or error}; make room, and {again}."
        ) from error
    except distribution.LOST as error:
        raise BadInput(
            f"another worker is lost ({type(error).__name__}): on all of them, {again}."
        ) from error


@sentences()
def train(
    model_dir: str | os.PathLike[str],
    continue_from: str | os.PathLike[str] | None = None,
) -> None:
    """Trains to `train.total_steps`, from the newest checkpoint if there is one.

    Args:
        model_dir: of this run.
        continue_from: another's, or a checkpoint in one, to go on from if this one has
            none; see `interventions`.

    Raises:
        BadInput: before any work, if something asked for cannot be.
        Diverged: a loss became NaN or infinite; the last checkpoint before is kept. Or
            an alarm rang that is to stop the run.
    """
    plan = make_plan()
    if continue_from is None and not plan.schedule.keep_moments:
        raise BadInput(
            "train.keep_moments = False means nothing without --continue_from: name "
            "the run to go on from, or leave it out."
        )
    plan.data.check_ready()
    workers = distribution.Workers(plan.strategy)
    schedule, folder = plan.schedule, Path(model_dir)
    if workers.here_is_chief:
        _check_same_classes(folder, plan.data.spec)
        config.claim(folder, FREE_BINDINGS)
        write_data_spec(folder, plan.data.spec)
    if schedule.deterministic:
        tf.config.experimental.enable_op_determinism()
    gan = plan.build()
    checkpoints = Checkpoints(
        folder / "checkpoints",
        gan,
        schedule.keep_checkpoints,
        schedule.keep_every_steps,
        write=workers.here_is_chief,
    )
    run = _Run(plan, gan, checkpoints, folder, workers)
    with _stop_requests() as received:
        while _go_on(run, received, continue_from):
            pass  # rewound


@dataclasses.dataclass(frozen=True)
class _Run:
    """What the parts of a training share."""

    plan: Plan
    gan: Gan
    checkpoints: Checkpoints
    folder: Path
    workers: distribution.Workers

    def begin(self, continue_from: str | os.PathLike[str] | None) -> int:
        """Restores the newest checkpoint on all workers, or saves step 0; the step."""
        gan, checkpoints, alarms = self.gan, self.checkpoints, self.plan.alarms
        chief = self.workers.here_is_chief
        restored = checkpoints.restore_latest() if chief else None
        if chief and not restored and continue_from is not None:
            _, path = interventions.locate(continue_from)
            interventions.take_over(path, gan, self.plan.schedule.keep_moments)
            checkpoints.save(int(gan.step.numpy()))
            restored = str(path)
        step = self.workers.largest(int(gan.step.numpy()) if restored else -1)
        if step < 0:
            checkpoints.save(0)
            return 0
        if not chief:
            checkpoints.restore(step)
        factors = alarms.generator_rate_factor, alarms.discriminator_rate_factor
        gan.set_rates(*(factors if self.rewound() else ()))
        print(f"going on from {restored or f'step {step}'}", flush=True)
        return step

    def rewound(self) -> bool:
        """Whether the run has been rewound, as the chief sees it."""
        here = self.workers.here_is_chief and Rewind(self.folder).done()
        return bool(self.workers.largest(int(here)))

    def react(self, step: int, ringing: str) -> None:
        """Drops what came after the checkpoint to rewind to, or stops with Diverged."""
        alarms = self.plan.alarms
        if alarms.reaction != "rewind" or self.rewound():
            self.workers.part()
            raise Diverged(
                f"{ringing or 'an alarm rang, which the chief names'}; "
                f"{self.folder / 'checkpoints'} keeps the state before "
                f"step {step}: lower the learning rates, or see docs/stability.md."
            )
        if self.workers.here_is_chief:
            target = self.checkpoints.rewind(step - alarms.rewind_steps)
            Rewind(self.folder).record(at_step=step, to_step=target, alarm=ringing)
            print(f"rewound from step {step} to {target}: {ringing}")
        self.workers.largest(0)  # all wait for that


def _go_on(
    run: _Run, received: list[int], continue_from: str | os.PathLike[str] | None
) -> bool:
    """Trains from the newest checkpoint on; whether an alarm has rewound the run."""
    schedule, workers = run.plan.schedule, run.workers
    first_step = step = run.begin(continue_from)
    progress = Progress(
        step,
        schedule.total_steps,
        schedule.batch_size * run.plan.recipe.discriminator_steps,
    )
    actions: list[tuple[int, Action]] = [
        (schedule.checkpoint_every_steps, lambda step, _: run.checkpoints.save(step))
    ]
    watch = Watch(run.plan.alarms, [], [])
    if workers.here_is_chief:
        watch, shown = _showing_actions(run, step, progress)
        actions = shown + actions
    batches = train_batches(run.plan, step)
    stopped_by = workers.largest(received[0] if received else 0)
    with contextlib.closing(progress):
        while step < schedule.total_steps and not stopped_by:
            # To the end of the tick, which the end of a run may have cut short.
            steps = schedule.tick_steps - step % schedule.tick_steps
            steps = min(steps, schedule.total_steps - step)
            scalars = run.gan.train(batches, tf.constant(steps))
            scalars = {name: float(value) for name, value in scalars.items()}
            step += steps
            bad_step = int(scalars.pop("nonfinite_step"))
            if bad_step:
                ringing = f"a loss or gradient of step {bad_step} is NaN or infinite"
            else:
                scalars.update(progress.rate(step))
                for every, action in actions:
                    if due(step, every, schedule.total_steps):
                        action(step, scalars)
                ringing = "; ".join(watch.ringing.values())
            acted = bad_step or run.plan.alarms.reaction != "report"
            if workers.largest(int(bool(ringing and acted))):
                run.react(step, ringing)
                return True
            stopped_by = workers.largest(received[0] if received else 0)
        run.checkpoints.save(step)
    workers.largest(0)  # all wait for that
    workers.part()
    if stopped_by and step < schedule.total_steps:
        print(
            f"stopped by {signal.Signals(stopped_by).name} at step {step}, which is "
            f"saved in {run.folder}; run the same command to go on.",
            flush=True,
        )
        raise SystemExit(128 + stopped_by)
    if first_step == step:
        print(f"{run.folder} already has its {step} steps; raise train.total_steps.")
    return False


def _showing_actions(
    run: _Run, step: int, progress: Progress
) -> tuple[Watch, list[tuple[int, Action]]]:
    """The alarms, and what is shown while training: each (every, action)."""
    plan, gan, folder = run.plan, run.gan, run.folder
    tick, monitoring = plan.schedule.tick_steps, plan.monitoring
    board = TensorBoard(folder, config.operative())
    log = ScalarLog(folder / "scalars.jsonl")
    spectra = Spectra({"G": gan.generator, "D": gan.discriminator}, folder, board)
    spectra.lines = spectra.log.rewind(step)
    watch = Watch(plan.alarms, log.rewind(step), spectra.lines)
    sampler = Sampler(
        lambda spec: networks.build_generator(plan.family, spec),
        plan.generator,
        passes=monitoring.sample_passes,
        convention=plan.latents.convention("resample"),
    )
    sheets = SampleSheets(gan, sampler, monitoring, folder / "samples", board)
    evaluate = []
    if plan.evaluation.every_steps:
        evaluation = Evaluation(
            plan.evaluation,
            distribution.of_this_process(plan.strategy),
            plan.data,
            gan,
            sampler,
            folder,
            board.scalars,
            run.checkpoints.keep_best,
        )
        evaluate = [(plan.evaluation.every_steps, evaluation)]
    measuring: list[tuple[int, Action]] = [
        (monitoring.spectra_every_steps, spectra),
        (monitoring.samples_every_steps, sheets),
    ]
    if monitoring.held_out_every_steps:
        held_out = HeldOut(gan, plan.data, monitoring.held_out_images)
        measuring.append((monitoring.held_out_every_steps, held_out))
    return watch, [
        *measuring,
        *evaluate,
        (tick, watch),
        (tick, log),
        (tick, board.scalars),
        (tick, progress),
    ]


def train_batches(plan: Plan, step: int) -> Iterator:
    """This process's share of the stream of real batches, from a step on."""

    def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return plan.data.train_batches(
            plan.schedule.batch_size // plan.schedule.micro_batches,
            plan.schedule.seed,
            first_batch=step
            * plan.recipe.discriminator_steps
            * plan.schedule.micro_batches,
            context=context,
        )

    return iter(plan.strategy.distribute_datasets_from_function(pipeline))


@contextlib.contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that SIGTERM and Ctrl-C put their number in; a second one kills."""
    received: list[int] = []
    before = {}

    def receive(number: int, _: object) -> None:
        received.append(number)
        signal.signal(number, before[number])

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_same_classes(folder: Path, spec: data.DataSpec) -> None:
    """BadInput if the run has been trained on data of other classes."""
    if not (folder / "data.json").is_file():
        return
    there = _read_data_spec(folder)
    if there.class_names != spec.class_names:
        raise BadInput(
            f"--model_dir={folder} was trained on the {there.num_classes} classes of "
            f"{there.name}, and {spec.name} has others ({spec.num_classes}): give the "
            "data it had, or choose another --model_dir."
        )


def write_data_spec(folder: Path, spec: data.DataSpec) -> None:
    """Writes `data.json` of a model directory: what `restore` knows of the data."""
    path = folder / "data.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dataclasses.asdict(spec), indent=1))
    os.replace(temporary, path)


def _read_data_spec(folder: Path) -> data.DataSpec:
    try:
        values = json.loads((folder / "data.json").read_text())
        names = values["class_names"]
        spec = data.DataSpec(**{**values, "class_names": tuple(names)})
        if not all(isinstance(name, str) for name in names):
            raise ValueError("class_names are no names")
        if spec.image_size not in data.IMAGE_SIZES or spec.num_classes != len(names):
            raise ValueError("image_size or num_classes cannot be")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(
            f"--model_dir={folder}: its data.json cannot be read ({error})."
        ) from error
    return spec


@dataclasses.dataclass(frozen=True)
class Restored:
    """A trained model, on one device."""

    gan: Gan
    data_spec: data.DataSpec
    family: str
    step: int
    config_text: str
    statistics: weights.Statistics | None  # that came with published weights


def restore(model_dir: str | os.PathLike[str], best: bool = False) -> Restored:
    """Builds the networks of a model directory and restores the newest checkpoint.

    With `best` it is the one that training kept by its score. Needs neither the data
    nor the devices of the training, but its bindings: `config.read_back` comes first.

    Raises:
        BadInput: if it is no model directory, or has no checkpoint.
    """
    folder = Path(model_dir)
    spec = _read_data_spec(folder)
    family, gan = untrained(spec, initializer="normal")
    checkpoints = Checkpoints(folder / "checkpoints", gan)
    if best:
        checkpoints.restore_best()
    elif checkpoints.restore_latest() is None:
        raise BadInput(f"--model_dir={model_dir}: there is no checkpoint in it yet.")
    text = (folder / "config.gin").read_text()
    step = int(gan.step.numpy())
    statistics = weights.load_statistics(folder, step)
    return Restored(gan, spec, family, step, text, statistics)


def untrained(spec: data.DataSpec, **changes: Any) -> tuple[str, Gan]:
    """The family and the model that the configuration makes for data, on one device.

    Args:
        spec: of the data.
        **changes: to the specs of G and D. Where values are to be overwritten, the
            initializer "normal" saves the seconds that wide orthogonal kernels take.
    """
    schedule = Schedule()
    family, *specs = networks.specs(
        resolution=spec.image_size, num_classes=spec.num_classes
    )
    generator, discriminator = (dataclasses.replace(s, **changes) for s in specs)
    tf.keras.utils.set_random_seed(schedule.seed)
    gan = Gan(
        networks.build_generator(family, generator),
        networks.build_discriminator(family, discriminator),
        Recipe(),
        schedule.batch_size,
        schedule.seed,
        latent=Latents(),
    )
    return family, gan
