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
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import gin
import tensorflow as tf

from biggan_tf import config, data, distribution, networks
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec
from biggan_tf.checkpoints import Checkpoints
from biggan_tf.errors import BadInput, Diverged
from biggan_tf.gan import Gan, Recipe
from biggan_tf.monitor import (
    Action,
    Monitoring,
    Progress,
    SampleSheets,
    ScalarLog,
    Spectra,
    TensorBoard,
)
from biggan_tf.saved_model import Sampler, Settings

# The gin rooms that training consumes, and the bindings of them that may change between
# two runs in one model directory, since they do not change what is learnt.
ROOMS = ("data", "distribution", "export", "gan", "monitor", "networks", "train")
FREE_BINDINGS = (
    "data.data_dir",
    "data.path",
    "distribution.*",
    "export.*",
    "monitor.*",
    "train.checkpoint_every_steps",
    "train.keep_checkpoints",
    "train.keep_every_steps",
    "train.tick_steps",
    "train.total_steps",
)


@gin.configurable("train")
@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long, in what portions, and what is kept.

    Attributes:
        batch_size: images per update of D, and of G, over all replicas.
        total_steps: steps (G updates) of the whole training.
        tick_steps: steps the device runs before the host wakes.
        checkpoint_every_steps: a multiple of the tick.
        keep_checkpoints: how many of the newest stay.
        keep_every_steps: a checkpoint every so many steps stays for good, in
            `checkpoints/kept`; 0: none.
        seed: of initial weights, latents, labels and the order of the data.
        deterministic: bitwise the same result in every run on the same devices, which
            costs speed on a GPU.
    """

    batch_size: int = 2048
    total_steps: int = 150_000
    tick_steps: int = 100
    checkpoint_every_steps: int = 1000
    keep_checkpoints: int = 3
    keep_every_steps: int = 10_000
    seed: int = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        for name in ("total_steps", "tick_steps", "checkpoint_every_steps"):
            _check_count(f"train.{name}", getattr(self, name), 1)
        _check_count("train.batch_size", self.batch_size, 1)
        _check_count("train.keep_checkpoints", self.keep_checkpoints, 1)
        _check_count("train.keep_every_steps", self.keep_every_steps, 0)
        _check_count("train.seed", self.seed, 0)
        self.check_period("train.checkpoint_every_steps", self.checkpoint_every_steps)
        if self.keep_every_steps % self.checkpoint_every_steps:
            raise BadInput(
                f"train.keep_every_steps = {self.keep_every_steps} is no multiple of "
                f"train.checkpoint_every_steps = {self.checkpoint_every_steps}."
            )

    def check_period(self, binding: str, every: int) -> None:
        """BadInput unless a period falls on the ends of ticks."""
        if every % self.tick_steps:
            raise BadInput(
                f"{binding} = {every} is no multiple of train.tick_steps = "
                f"{self.tick_steps}: the host only wakes at the end of a tick."
            )


def _check_count(binding: str, value: int, least: int) -> None:
    if type(value) is not int or not least <= value < 2**31:
        raise BadInput(f"{binding} = {value!r}: take a whole number from {least} on.")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that the configuration decides, checked, with nothing built yet."""

    strategy: tf.distribute.Strategy
    data: data.Data
    family: str
    generator: GeneratorSpec
    discriminator: DiscriminatorSpec
    recipe: Recipe
    schedule: Schedule
    monitoring: Monitoring
    per_replica_batch: int

    def build(self) -> Gan:
        """The networks and optimisers, initialised from the seed."""
        tf.keras.utils.set_random_seed(self.schedule.seed)
        with self.strategy.scope():
            return Gan(
                networks.build_generator(self.family, self.generator),
                networks.build_discriminator(self.family, self.discriminator),
                self.recipe,
                self.schedule.batch_size,
                self.schedule.seed,
            )

    def describe(self) -> str:
        """The configuration, the sizes of the networks and where what will run."""
        with networks.without_values():
            sizes = {
                "G": networks.build_generator(self.family, self.generator),
                "D": networks.build_discriminator(self.family, self.discriminator),
            }
            counts = {k: networks.parameter_count(v) for k, v in sizes.items()}
        spec, schedule = self.data.spec, self.schedule
        images = f"{spec.train_images:,} images" if spec.train_images else "unprepared"
        devices = self.strategy.extended.worker_devices
        return "\n".join(
            [
                config.operative(),
                f"G: {counts['G']:,} parameters",
                f"D: {counts['D']:,} parameters",
                f"data: {spec.name}, {images}, "
                f"{spec.num_classes:,} classes, {spec.image_size} px",
                f"devices: {', '.join(devices)}",
                f"batch: {schedule.batch_size} = {self.strategy.num_replicas_in_sync} "
                f"replicas x {self.per_replica_batch}",
                f"steps: {schedule.total_steps:,}, each "
                f"{self.recipe.discriminator_steps} of D and 1 of G",
            ]
        )


def make_plan() -> Plan:
    """Reads every room's configuration.

    Raises:
        BadInput: on the first value that cannot be, and on bindings that nothing reads.
    """
    schedule = Schedule()
    strategy = distribution.make_strategy()
    source = data.load()
    family, generator, discriminator = networks.specs(
        resolution=source.spec.image_size, num_classes=source.spec.num_classes
    )
    plan = Plan(
        strategy=strategy,
        data=source,
        family=family,
        generator=generator,
        discriminator=discriminator,
        recipe=Recipe(),
        schedule=schedule,
        monitoring=Monitoring(),
        per_replica_batch=distribution.per_replica_batch(
            strategy, schedule.batch_size, "train.batch_size"
        ),
    )
    Settings()  # checked now, and kept in config.gin for the export
    monitoring = plan.monitoring
    schedule.check_period("monitor.spectra_every_steps", monitoring.spectra_every_steps)
    schedule.check_period("monitor.samples_every_steps", monitoring.samples_every_steps)
    config.refuse_dead_bindings(ROOMS)
    return plan


def due(step: int, every: int, total: int) -> bool:
    """Whether what happens every so many steps happens now; at the end it does."""
    return bool(every) and (step % every == 0 or step == total)


def train(model_dir: str | os.PathLike[str]) -> None:
    """Trains to `train.total_steps`, from the newest checkpoint if there is one.

    Raises:
        BadInput: before any work, if something asked for cannot be.
        Diverged: a loss became NaN or infinite; the last checkpoint before is kept.
    """
    plan = make_plan()
    plan.data.check_ready()
    schedule, folder = plan.schedule, Path(model_dir)
    chief = distribution.is_chief(plan.strategy)
    if chief:
        config.claim(folder, FREE_BINDINGS)
        _write_data_spec(folder, plan.data.spec)
    if schedule.deterministic:
        tf.config.experimental.enable_op_determinism()
    gan = plan.build()
    checkpoints = Checkpoints(
        folder / "checkpoints",
        gan,
        schedule.keep_checkpoints,
        schedule.keep_every_steps,
        write=chief,
    )
    restored = checkpoints.restore_latest()
    step = first_step = int(gan.step.numpy())
    if restored:
        gan.set_learning_rates()
        print(f"going on from {restored}", flush=True)
    else:
        checkpoints.save(0)

    progress = Progress(
        step,
        schedule.total_steps,
        schedule.batch_size * plan.recipe.discriminator_steps,
    )
    actions: list[tuple[int, Action]] = [
        (schedule.checkpoint_every_steps, lambda step, _: checkpoints.save(step))
    ]
    if chief:
        actions = _showing_actions(plan, gan, folder, step, progress) + actions
    batches = _batches(plan, step)
    with _stop_requests() as stop, contextlib.closing(progress):
        while step < schedule.total_steps and not stop:
            steps = min(schedule.tick_steps, schedule.total_steps - step)
            with _data_errors():
                scalars = gan.train(batches, tf.constant(steps))
            scalars = {name: float(value) for name, value in scalars.items()}
            step += steps
            bad_step = int(scalars.pop("nonfinite_step"))
            if bad_step:
                raise Diverged(
                    f"a loss or gradient of step {bad_step} is NaN or infinite; "
                    f"{folder / 'checkpoints'} keeps the state before: lower the "
                    "learning rates, or see docs/stability.md."
                )
            scalars.update(progress.rate(step))
            for every, action in actions:
                if due(step, every, schedule.total_steps):
                    action(step, scalars)
        checkpoints.save(step)
    if stop:
        print(
            f"stopped by {signal.Signals(stop[0]).name} at step {step}, which is "
            f"saved in {folder}; run the same command to go on.",
            flush=True,
        )
        raise SystemExit(128 + stop[0])
    if first_step == step:
        print(f"{folder} already has its {step} steps; raise train.total_steps.")


def _showing_actions(
    plan: Plan, gan: Gan, folder: Path, step: int, progress: Progress
) -> list[tuple[int, Action]]:
    """What is shown while training: each (every, action)."""
    tick, monitoring = plan.schedule.tick_steps, plan.monitoring
    board = TensorBoard(folder, config.operative())
    log = ScalarLog(folder / "scalars.jsonl")
    log.rewind(step)
    sampler = Sampler(
        lambda spec: networks.build_generator(plan.family, spec),
        plan.generator,
        passes=monitoring.sample_passes,
    )
    return [
        (tick, log),
        (tick, board.scalars),
        (tick, progress),
        (
            monitoring.spectra_every_steps,
            Spectra({"G": gan.generator, "D": gan.discriminator}, board),
        ),
        (
            monitoring.samples_every_steps,
            SampleSheets(gan, sampler, monitoring, folder / "samples", board),
        ),
    ]


def _batches(plan: Plan, step: int) -> Iterator:
    """This process's share of the stream of real batches, from a step on."""

    def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return plan.data.train_batches(
            plan.schedule.batch_size,
            plan.schedule.seed,
            first_batch=step * plan.recipe.discriminator_steps,
            context=context,
        )

    return iter(plan.strategy.distribute_datasets_from_function(pipeline))


@contextlib.contextmanager
def _data_errors() -> Iterator[None]:
    """Turns a complaint of the input pipeline back into the sentence it was."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        complaint = re.search(r"(?:BadInput|assertion failed): (.*)", str(error))
        if complaint is None:
            raise
        raise BadInput(complaint[1]) from error


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


def _write_data_spec(folder: Path, spec: data.DataSpec) -> None:
    path = folder / "data.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dataclasses.asdict(spec), indent=1))
    os.replace(temporary, path)


@dataclasses.dataclass(frozen=True)
class Restored:
    """A trained model, on one device."""

    gan: Gan
    data_spec: data.DataSpec
    family: str
    step: int
    config_text: str


def restore(model_dir: str | os.PathLike[str]) -> Restored:
    """Builds the networks of a model directory and restores the newest checkpoint.

    Needs neither the data nor the devices of the training.

    Raises:
        BadInput: if it is no model directory, or has no checkpoint.
    """
    folder = Path(model_dir)
    config.read_back(folder)
    try:
        values = json.loads((folder / "data.json").read_text())
    except (OSError, ValueError) as error:
        raise BadInput(
            f"--model_dir={model_dir}: its data.json cannot be read ({error})."
        ) from error
    spec = data.DataSpec(**{**values, "class_names": tuple(values["class_names"])})
    family, generator, discriminator = networks.specs(
        resolution=spec.image_size, num_classes=spec.num_classes
    )
    gan = Gan(
        networks.build_generator(family, generator),
        networks.build_discriminator(family, discriminator),
        Recipe(),
        Schedule().batch_size,
        Schedule().seed,
    )
    if Checkpoints(folder / "checkpoints", gan).restore_latest() is None:
        raise BadInput(f"--model_dir={model_dir}: there is no checkpoint in it yet.")
    text = (folder / "config.gin").read_text()
    return Restored(gan, spec, family, int(gan.step.numpy()), text)
