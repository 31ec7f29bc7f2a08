"""Everything that a run logs, as a list of actions with their periods."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from biggan_tf import checkpoints, config, distribution, monitor, standing
from biggan_tf.alarms import Watch
from biggan_tf.evaluation import Evaluator, PeriodicEvaluation
from biggan_tf.gan import Gan
from biggan_tf.layers import by_path
from biggan_tf.plan import Plan
from biggan_tf.sampling import InferenceGenerator, Sampler, Values


def due(step: int, every: int, total: int) -> bool:
    """Returns whether an action is due: at multiples of its period, and at the end."""
    return bool(every) and (step % every == 0 or step == total)


def _gap(path: Path, lines: list[dict], due_at: int) -> list[str]:
    """Returns where a log ends, in words, if that is before a line was due."""
    last = int(lines[-1]["step"]) if lines else 0
    return [f"{path} ends at step {last}"] if last < due_at else []


class Logs:
    """What the chief of a run logs: `watch` holds its alarms, `progress` its bar.

    Without an `evaluator` nothing is scored. `keep_best` is that of `Checkpoints`.
    """

    def __init__(
        self,
        plan: Plan,
        gan: Gan,
        folder: Path,
        evaluator: Evaluator | None,
        keep_best: Callable[[int, str, float, bool, dict], None],
    ):
        self._gan = gan
        train, options = plan.train, plan.monitor
        self._total = train.total_steps
        images = train.batch_size * plan.gan.discriminator_steps  # real ones, a step
        self.progress = monitor.Progress(self._total, images)
        board = monitor.TensorBoard(folder)
        devices = plan.strategy.extended.worker_devices
        environment = monitor.environment(devices)
        board.describe(config.taken(), config.operative(), environment)
        self._scalars = monitor.ScalarLog(folder / "scalars.jsonl")
        self._folder, self._spectra_every = folder, options.spectra_every_steps
        self._spectra = monitor.Spectra(gan, folder, board)
        self.watch = Watch(plan.alarms)

        # One generator serves all sheets and scores; each sets its weights first.
        strategy = distribution.of_this_process(plan.strategy)
        classes, replicas = plan.generator.num_classes, strategy.num_replicas_in_sync
        batch = -(-64 // replicas) * replicas
        # Nothing is truncated here, and only "scaled" has no truncation that means so.
        convention = "resample" if plan.convention == "scaled" else plan.convention
        with strategy.scope():
            inference = InferenceGenerator(
                plan.generator, convention, [math.inf], batch, plan.frequencies
            )
        passes = options.sample_passes or standing.enough_passes(10, classes, batch)

        statistics = standing.told(passes, batch, 0)

        def sampled(weights: Values, step: int, sha256: str = "") -> Sampler:
            inference.set_weights(weights)
            inference.measure(passes, seed=0)
            names = plan.data.spec.class_names
            return inference.sampler(step, names, statistics, sha256)

        def generator(step: int) -> Sampler:
            return sampled(by_path(gan.generator.variables), step)

        def average(step: int) -> Sampler:
            weights = gan.averaged_generator()
            arrays = {path: v.read_value().numpy() for path, v in weights.items()}
            return sampled(arrays, step, checkpoints.sha256(arrays))

        samplers = {"generator": generator, "average": average}
        made = samplers, options, gan, folder / "samples", board
        self._sheets = monitor.SampleSheets(*made)
        # These add to the scalars, so they come before those that write them.
        self._actions: list[tuple[int, monitor.Action]] = [
            (options.spectra_every_steps, self._spectra),
            (options.samples_every_steps, self._sheets),
        ]
        if options.held_out_every_steps:
            held_out = monitor.HeldOut(gan, plan.data, options.held_out_images)
            self._actions.append((options.held_out_every_steps, held_out))
        if evaluator is not None:
            evaluation = PeriodicEvaluation(
                plan.evaluation, evaluator, average, folder, board.scalars, keep_best
            )
            self._actions.append((plan.evaluation.every_steps, evaluation))
        for action in (self.watch, self._scalars, board.scalars, self.progress):
            self._actions.append((train.tick_steps, action))

    def rewind(self, step: int) -> list[str]:
        """Drops scalars, spectra and sheets after `step`, where the run goes on.

        Prints a line if there are any. Returns which logs end before `step`, in words.
        """
        if (last := self._scalars.last_step()) > step:
            print(
                f"the log and the sheets of steps {step + 1} to {last} are dropped: "
                "these steps come once more",
                flush=True,
            )
        self._sheets.rewind(step)
        self._spectra.rewind(step)
        scalars, spectra = self._scalars.rewind(step), self._spectra.lines
        self.watch.start(scalars, spectra)
        self.progress.start(step)
        every = self._spectra_every
        due_at = step - step % every if every else 0
        return [
            *_gap(self._folder / "scalars.jsonl", scalars, step),
            *_gap(self._folder / "spectra.jsonl", spectra, due_at),
        ]

    def tick(self, step: int, scalars: dict[str, float]) -> None:
        """Calls the actions that are due after a tick; they may add to its scalars."""
        scalars.update(self.progress.rate(step))
        scalars.update(self._gan.learning_rates())
        for every, action in self._actions:
            if due(step, every, self._total):
                action(step, scalars)
