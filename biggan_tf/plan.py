"""Everything that the configuration of a training decides, checked before any work."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection
from pathlib import Path

import tensorflow as tf

from biggan_tf import (
    checkpoints,
    config,
    data,
    data_json,
    distribution,
    evaluation,
    losses,
    networks,
    run,
)
from biggan_tf.alarms import AlarmOptions
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec
from biggan_tf.errors import BadInput
from biggan_tf.evaluation import EvaluationOptions, Evaluator
from biggan_tf.features import FeatureNetwork
from biggan_tf.gan import Gan, GanOptions
from biggan_tf.latents import LatentOptions
from biggan_tf.monitor import MonitorOptions
from biggan_tf.regularisers import turned_on
from biggan_tf.run import TrainOptions, build_gan
from biggan_tf.sampling import ExportOptions


@dataclasses.dataclass(frozen=True)
class Plan:
    """The options of every room, with nothing built yet."""

    strategy: tf.distribute.Strategy
    data: data.Data
    generator: GeneratorSpec
    discriminator: DiscriminatorSpec
    gan: GanOptions
    train: TrainOptions
    monitor: MonitorOptions
    alarms: AlarmOptions
    evaluation: EvaluationOptions
    latents: LatentOptions
    convention: str  # of truncation, see `latents.TRUNCATIONS`
    per_replica_batch: int  # images of a micro-batch on each replica
    feature_network: FeatureNetwork | None  # None: nothing is scored while training

    def build(self) -> Gan:
        """Makes the networks and optimisers, initialised from the seed."""
        with self.strategy.scope():
            specs = self.generator, self.discriminator
            return build_gan(*specs, self.train, self.latents)

    def evaluator(self, folder: Path) -> Evaluator | None:
        """Makes what scores while training, in this process; None if nothing does.

        Raises BadInput if the data or the reference file does not fit.
        """
        network, options = self.feature_network, self.evaluation
        if network is None:
            return None
        default = folder / f"reference_{network.name}_{options.split}.npz"
        return Evaluator(
            distribution.of_this_process(self.strategy),
            network,
            self.data,
            options.metrics,
            options.num_images,
            options.split,
            options.reference,
            None if options.reference else default,
            self.train.seed,
            self.frequencies,
            "evaluation.",
        )

    @property
    def frequencies(self) -> tuple[float, ...]:
        """How frequent each class is among the labels of generated images."""
        return self.latents.frequencies(self.data.spec.num_classes)

    def remarks(self) -> list[str]:
        """Returns lines that say what follows from the options."""
        remarks = distribution.remark(), self.latents.remark(), self.evaluation.remark()
        remarks += *self.generator.remarks(), *self.discriminator.remarks()
        remarks += self._copied(), self._near()
        if not losses.ADVERSARIAL[self.gan.loss].fixes_threshold:
            remarks += (
                f"gan.loss = {self.gan.loss!r}: D's accuracies mean nothing, for no "
                "logit is the border between real and fake",
            )
        return [*filter(None, remarks)]

    def _near(self) -> str:
        """Says if a rewind may go back less far than asked; "" otherwise."""
        back, alarms = self.alarms.rewind_steps, self.alarms
        if alarms.reaction != "rewind" or back <= self.train.kept_for:
            return ""
        return (
            f"alarms.rewind_steps = {back}: before step "
            f"{back + self.train.keep_every_steps} an alarm may go back less "
            "far, to the oldest checkpoint that is kept"
        )

    def _copied(self) -> str:
        """Says that G's average never starts, if it does not; "" otherwise."""
        start, total = self.gan.ema_start_step, self.train.total_steps
        if start < total or self.gan.freeze_generator:
            return ""
        return (
            f"gan.ema_start_step = {start}: up to train.total_steps = {total} G's "
            "average is a copy of G"
        )

    def describe(self) -> str:
        """Returns the configuration, the networks' sizes, the data and the devices."""
        g, d = map(networks.parameter_count, (self.generator, self.discriminator))
        spec, train = self.data.spec, self.train
        images = f"{spec.train_images:,} images" if spec.train_images else "unprepared"
        devices = self.strategy.extended.worker_devices
        return "\n".join(
            [
                config.operative(),
                f"G: {g:,} parameters",
                f"D: {d:,} parameters",
                f"data: {spec.name}, {images}, "
                f"{spec.num_classes:,} classes, {spec.image_size} px",
                *self.remarks(),
                f"devices: {', '.join(devices)}",
                f"batch: {train.batch_size} = {self.strategy.num_replicas_in_sync} "
                f"replicas x {train.micro_batches} micro-batches x "
                f"{self.per_replica_batch} images",
                f"steps: {train.total_steps:,}, each {self._updates()}",
            ]
        )

    def _updates(self) -> str:
        """Returns how often a step updates D and G, but for one that is frozen."""
        counts = {"discriminator": self.gan.discriminator_steps, "generator": 1}
        counts.pop(self.gan.frozen, None)
        return " and ".join(f"{n} of {name[0].upper()}" for name, n in counts.items())


def make_plan(
    model_dir: str | os.PathLike[str] | None = None,
    continue_from: str | os.PathLike[str] | None = None,
) -> Plan:
    """Reads every room's configuration, and which data a run there was trained on.

    Raises BadInput on the first wrong value, on bindings that nothing reads, and if a
    run there has another configuration or other data.
    """
    train, gan = TrainOptions(), GanOptions()
    strategy = distribution.make_strategy()
    monitor, evaluated = MonitorOptions(), EvaluationOptions()
    trained_on = data_json.before(model_dir, continue_from)
    before = trained_on and trained_on.spec
    held_out_for = _readers_of_held_out(monitor, evaluated)
    source = data.load(before=before, held_out_for=held_out_for)
    if before:
        _check_held_out(before, source.spec, model_dir, continue_from)
    sizes = source.spec.image_size, source.spec.num_classes
    if model_dir:
        _check_apart(Path(model_dir), source.spec)
        run.check_names(Path(model_dir))
        config.keep(model_dir, "latents.labels")
    latent_options = LatentOptions(counts=source.spec.class_counts)
    plan = Plan(
        strategy=strategy,
        data=source,
        generator=GeneratorSpec(*sizes),
        discriminator=DiscriminatorSpec(*sizes),
        gan=gan,
        train=train,
        monitor=monitor,
        alarms=AlarmOptions(),
        evaluation=evaluated,
        latents=latent_options,
        convention=latent_options.convention(ExportOptions().truncation_convention),
        per_replica_batch=distribution.per_replica_batch(
            strategy.num_replicas_in_sync,
            train.batch_size // train.micro_batches,
            "train.batch_size / train.micro_batches",
        ),
        feature_network=None,
    )
    regularisers = turned_on(gan.frozen)
    _check_relations(plan)
    _check_xla(plan, {one.room for one in regularisers})
    begun = model_dir and checkpoints.every(Path(model_dir) / "checkpoints")
    if not begun:
        _check_moments(plan, continue_from)
    config.refuse_dead_bindings(config.ROOMS)
    if continue_from and not begun:
        run.check_takes_over(
            continue_from, source.spec, plan.generator, plan.discriminator, gan
        )
        _check_goes_further(continue_from, train.total_steps)
    if model_dir:
        data_json.check_goes_on(Path(model_dir), source.spec)
        config.check_claim(model_dir)
    with distribution.of_this_process(strategy).scope():  # slow, so it comes last
        network = evaluation.load_network(evaluated)
    return dataclasses.replace(plan, feature_network=network)


def _readers_of_held_out(monitor: MonitorOptions, evaluated: EvaluationOptions) -> str:
    """Returns the options that have held-out images read, "" for none."""
    readers = {
        "monitor.held_out_every_steps": monitor.held_out_every_steps,
        "evaluation.split": evaluated.every_steps and evaluated.split == "held_out",
    }
    return " and ".join(name for name, reads in readers.items() if reads)


def _check_apart(model_dir: Path, spec: data.DataSpec) -> None:
    """Raises BadInput if the sample sheets of a run would be among its images."""
    among = (model_dir.resolve(), (model_dir / "samples").resolve())
    if spec.source == "folder" and Path(spec.name).resolve() in among:
        raise BadInput(
            f"--model_dir={model_dir}: take another folder, for in this one the run's "
            f"sample sheets would count as images of data.path = {spec.name!r}."
        )


def _check_held_out(
    before: data.DataSpec,
    now: data.DataSpec,
    model_dir: str | os.PathLike[str] | None,
    continue_from: str | os.PathLike[str] | None,
) -> None:
    """Raises BadInput if images are held out that the run was trained on."""
    begun = model_dir is not None and (Path(model_dir) / "data.json").is_file()
    if not begun and os.path.realpath(before.name) != os.path.realpath(now.name):
        return
    if before.holds_none_out and now.source == "folder" and now.held_out_images:
        there = f"model_dir={model_dir}" if begun else f"continue_from={continue_from}"
        raise BadInput(
            f"--{there}: the run trains on all images, so it cannot hold some out; "
            "leave data.held_out_fraction = None, monitor.held_out_every_steps = 0 and "
            "evaluation.split = 'train', or begin another run."
        )


def _check_goes_further(
    continue_from: str | os.PathLike[str], total_steps: int
) -> None:
    """Raises BadInput if a checkpoint already has all the steps to train."""
    step = checkpoints.step_of(checkpoints.locate(continue_from)[1])
    if total_steps <= step:
        raise BadInput(
            f"train.total_steps = {total_steps}: take more than {step}, the step of "
            f"--continue_from={continue_from}, for the new run counts on from there."
        )


def _check_relations(plan: Plan) -> None:
    """Raises BadInput on options that contradict each other."""
    train, alarms, monitor = plan.train, plan.alarms, plan.monitor
    images = plan.gan.augment_images
    if plan.gan.augment_target is None and images != GanOptions.augment_images:
        raise BadInput(
            f"gan.augment_images = {images} with gan.augment_target = None: set that "
            "too, for without it no share moves, or take gan.augment_images = "
            f"{GanOptions.augment_images}, its default."
        )
    for room, options in (("monitor", monitor), ("evaluation", plan.evaluation)):
        for name, value in dataclasses.asdict(options).items():
            if name.endswith("every_steps"):
                train.check_period(f"{room}.{name}", value)
    for alarm, needed in (
        ("sigma0_growth", "spectra_every_steps"),
        ("accuracy_gap", "held_out_every_steps"),
        ("diversity_fall", "samples_every_steps"),
    ):
        if getattr(alarms, alarm) is not None and not getattr(monitor, needed):
            raise BadInput(
                f"alarms.{alarm} = {getattr(alarms, alarm)} with monitor.{needed} = 0: "
                "set that too, for the alarm watches what it logs."
            )
    every, window = monitor.spectra_every_steps, alarms.sigma0_window_steps
    if alarms.sigma0_growth is not None and every > window:
        raise BadInput(
            f"alarms.sigma0_window_steps = {window}: take {every} or more, which is "
            "monitor.spectra_every_steps, or the window never holds two spectra."
        )
    for name, value in (
        ("gan.augment_target", plan.gan.augment_target),
        ("alarms.accuracy_gap", alarms.accuracy_gap),
    ):
        if value is not None and not losses.ADVERSARIAL[plan.gan.loss].fixes_threshold:
            raise BadInput(
                f"{name} = {value} with gan.loss = {plan.gan.loss!r}: leave it out; "
                "this loss fixes no logit above which D takes an image for real."
            )
    if alarms.diversity_fall is not None and monitor.sample_columns < 2:
        raise BadInput(
            f"alarms.diversity_fall = {alarms.diversity_fall} with "
            "monitor.sample_columns = 1: take 2 or more; one sample has no diversity."
        )
    kept_for = train.kept_for
    rewinds = alarms.reaction == "rewind" and not train.keep_every_steps
    if rewinds and alarms.rewind_steps > kept_for:
        raise BadInput(
            f"alarms.rewind_steps = {alarms.rewind_steps}: take {kept_for} or less, or "
            f"raise train.keep_checkpoints = {train.keep_checkpoints}; older ones are "
            "deleted."
        )


def _check_xla(plan: Plan, regularisers: Collection[str]) -> None:
    """Raises BadInput if XLA is to compile what it cannot."""
    if isinstance(plan.strategy, tf.distribute.TPUStrategy):
        asked, instead = "distribution.kind = 'tpu'", "another kind"
    elif plan.train.jit_compile:
        asked, instead = "train.jit_compile = True", "False"
    else:
        return
    if not distribution.xla_can_compile(plan.strategy):
        raise BadInput(
            f"{asked}: take {instead}, or distribution.kind = 'one_device'; XLA cannot "
            "compile an update of "
            f"{plan.strategy.num_replicas_in_sync} replicas on CPUs."
        )
    half = "mixed_float16" in (plan.generator.precision, plan.discriminator.precision)
    if half and not isinstance(plan.strategy, tf.distribute.OneDeviceStrategy):
        raise BadInput(
            f"{asked} with precision = 'mixed_float16': take {instead}, or "
            "'mixed_bfloat16'; XLA cannot skip an update of replicas."
        )
    if "sigma0" in regularisers:
        raise BadInput(
            f"{asked} with sigma0.*: take {instead}, or leave sigma0.* out; XLA, on "
            "CPUs at least, ends the process in its singular values."
        )


def _check_moments(plan: Plan, continue_from: str | os.PathLike[str] | None) -> None:
    """Raises BadInput if a run cannot begin with train.keep_moments = False."""
    if plan.train.keep_moments:
        return
    if continue_from is None:
        raise BadInput(
            "train.keep_moments = False without --continue_from: give --continue_from, "
            "or leave train.keep_moments out."
        )
    if plan.gan.ema_start_step:
        raise BadInput(
            f"gan.ema_start_step = {plan.gan.ema_start_step} with "
            "train.keep_moments = False: set gan.ema_start_step = 0, for updates count "
            "from 0 again, and until that step G's average would be a copy of G."
        )
