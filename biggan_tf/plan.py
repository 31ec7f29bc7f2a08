"""Everything that the configuration of a training decides, checked before any work."""

from __future__ import annotations

import dataclasses

import gin
import tensorflow as tf

from biggan_tf import config, data, distribution, networks
from biggan_tf.alarms import Alarms
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec
from biggan_tf.errors import BadInput
from biggan_tf.evaluation import Periodic
from biggan_tf.gan import Gan
from biggan_tf.latents import Latents
from biggan_tf.monitor import Monitoring
from biggan_tf.recipe import Recipe
from biggan_tf.saved_model import Settings

# The gin rooms that training consumes, and the bindings of them that may change between
# two runs in one model directory, since they do not change what is learnt.
ROOMS = ("alarms", "data", "distribution", "evaluation", "export", "gan", "latents")
ROOMS += ("monitor", "networks", "train")
FREE_BINDINGS = (
    "data.data_dir",
    "data.path",
    "distribution.*",
    "evaluation.*",
    "export.*",
    "monitor.*",
    "train.checkpoint_every_steps",
    "train.jit_compile",
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
        micro_batches: portions in which an update's batch is computed, to save memory;
            see `gan.Gan`.
        jit_compile: whether XLA compiles the step. A TPU needs no such wish; a GPU may
            be faster with it, a CPU is slower.
        total_steps: steps (G updates) of the whole training.
        tick_steps: steps the device runs before the host wakes.
        checkpoint_every_steps: a multiple of the tick.
        keep_checkpoints: how many of the newest stay.
        keep_every_steps: a checkpoint every so many steps stays for good, in
            `checkpoints/kept`; 0: none.
        seed: of initial weights, latents, labels and the order of the data.
        keep_moments: whether Adam's moments come along when a run goes on from another
            one's checkpoint; see `interventions.take_over`.
        deterministic: bitwise the same result in every run on the same devices, which
            costs speed on a GPU.
    """

    batch_size: int = 2048
    micro_batches: int = 1
    jit_compile: bool = False
    total_steps: int = 150_000
    tick_steps: int = 100
    checkpoint_every_steps: int = 1000
    keep_checkpoints: int = 3
    keep_every_steps: int = 10_000
    keep_moments: bool = True
    seed: int = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        for name in ("total_steps", "tick_steps", "checkpoint_every_steps"):
            _check_count(f"train.{name}", getattr(self, name), 1)
        _check_count("train.batch_size", self.batch_size, 1)
        _check_count("train.micro_batches", self.micro_batches, 1)
        if self.batch_size % self.micro_batches:
            raise BadInput(
                f"train.batch_size = {self.batch_size} is no multiple of "
                f"train.micro_batches = {self.micro_batches}."
            )
        _check_count("train.keep_checkpoints", self.keep_checkpoints, 1)
        _check_count("train.keep_every_steps", self.keep_every_steps, 0)
        if type(self.keep_moments) is not bool:
            raise BadInput(
                f"train.keep_moments = {self.keep_moments!r}: take True or False."
            )
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
    latents: Latents
    schedule: Schedule
    monitoring: Monitoring
    alarms: Alarms
    evaluation: Periodic
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
                self.schedule.micro_batches,
                self.schedule.jit_compile,
                self.latents,
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
                f"replicas x {schedule.micro_batches} portions x "
                f"{self.per_replica_batch}",
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
        latents=Latents(),
        schedule=schedule,
        monitoring=Monitoring(),
        evaluation=Periodic(),
        alarms=Alarms(),
        per_replica_batch=distribution.per_replica_batch(
            strategy,
            schedule.batch_size // schedule.micro_batches,
            "train.batch_size / train.micro_batches",
        ),
    )
    if schedule.jit_compile and distribution.joins_replicas_on_the_host(strategy):
        raise BadInput(
            "train.jit_compile = True, but XLA cannot compile a step of "
            f"{strategy.num_replicas_in_sync} replicas on CPUs or GPUs: take "
            "distribution.kind = 'one_device', or leave jit_compile out."
        )
    # Checked now, and kept in config.gin for the export.
    plan.latents.convention(Settings().truncation_convention)
    monitoring = plan.monitoring
    schedule.check_period("monitor.spectra_every_steps", monitoring.spectra_every_steps)
    schedule.check_period("monitor.samples_every_steps", monitoring.samples_every_steps)
    schedule.check_period(
        "monitor.held_out_every_steps", monitoring.held_out_every_steps
    )
    _check_alarms(plan.alarms, monitoring, schedule)
    schedule.check_period("evaluation.every_steps", plan.evaluation.every_steps)
    config.refuse_dead_bindings(ROOMS)
    return plan


def _check_alarms(alarms: Alarms, monitoring: Monitoring, schedule: Schedule) -> None:
    """BadInput on an alarm without what it watches, or a rewind to what is gone."""
    for alarm, needed in (
        ("sigma0_growth", "spectra_every_steps"),
        ("accuracy_gap", "held_out_every_steps"),
        ("diversity_fall", "samples_every_steps"),
    ):
        if getattr(alarms, alarm) is not None and not getattr(monitoring, needed):
            raise BadInput(
                f"alarms.{alarm} = {getattr(alarms, alarm)} has nothing to watch while "
                f"monitor.{needed} = 0: set that too."
            )
    reach = (schedule.keep_checkpoints - 1) * schedule.checkpoint_every_steps
    kept = schedule.keep_every_steps
    if alarms.reaction == "rewind" and not kept and alarms.rewind_steps > reach:
        raise BadInput(
            f"alarms.rewind_steps = {alarms.rewind_steps}, but checkpoints are kept "
            f"for {reach} steps only: raise train.keep_checkpoints = "
            f"{schedule.keep_checkpoints}, or lower it."
        )
