"""The training loop: restore, then tick after tick, with a rewind if an alarm rings.

The device runs a tick of steps at a time; then the host wakes once and calls the
actions that are due. Running the same command again goes on from the newest checkpoint.
With `train.deterministic` an interrupted run ends with the same bits as an
uninterrupted one.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from biggan_tf import checkpoints, config, data, data_json, distribution, process, run
from biggan_tf.alarms import ask_rewind, finish_rewind, forget_rewind, was_rewound
from biggan_tf.checkpoints import Checkpoints, locate
from biggan_tf.data import memory
from biggan_tf.errors import BadInput, Diverged
from biggan_tf.evaluation import Evaluator
from biggan_tf.logs import Logs, due
from biggan_tf.plan import Plan, make_plan

SMALLER = (  # what helps where there is no room in memory
    "take a smaller train.batch_size, more train.micro_batches, or narrower networks"
)


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turns expected failures (full disk or memory, lost worker) into one BadInput."""
    again = "run the same command to go on from the last checkpoint"
    try:
        with data.sentences(), memory.room_or(SMALLER):
            yield
    except OSError as error:
        file = error.filename or "--model_dir, or what is printed,"
        misplaced = isinstance(error, (FileExistsError, IsADirectoryError))
        what = "move it away" if misplaced else "make room"
        if isinstance(error, BrokenPipeError):
            file, what = "standard output", "let something read it"
        why = error.strerror or error
        told = f"{file} cannot be written ({why}): {what}, and {again}."
        raise BadInput(told) from error
    except distribution.LOST_WORKER_ERRORS as error:
        told = f"another worker is lost ({type(error).__name__}): on each one, {again}."
        raise BadInput(told) from error


@sentences()
def train(
    model_dir: str | os.PathLike[str],
    continue_from: str | os.PathLike[str] | None = None,
) -> None:
    """Trains to `train.total_steps`, from the newest checkpoint if there is one.

    A run without a checkpoint begins with `continue_from`, if given: a model directory,
    or a checkpoint in one; see `run.take_over`.

    Raises:
        BadInput: wrong configuration or data, an unusable file, or a lost worker.
        Diverged: a loss or gradient became NaN or infinite, or an alarm stopped the
            run; the last checkpoint before it is kept.
    """
    plan = make_plan(model_dir, continue_from)
    paths = config.path_bindings()  # they may differ between workers
    options = sorted(pair for pair in config.taken().items() if pair[0] not in paths)
    plan.data.check_ready()
    workers, folder = distribution.Workers(plan.strategy), Path(model_dir)
    evaluator = plan.evaluator(folder) if workers.here_is_chief else None
    with contextlib.ExitStack() as stack:
        if workers.here_is_chief:
            stack.enter_context(run.lock(folder))
            remarks = *plan.data.remarks(), *plan.remarks()
            print(*remarks, sep="\n", flush=True)
        images, names = plan.data.fingerprint("train"), plan.data.spec.class_names
        workers.check_alike(images=(images, names), options=options)
        if workers.here_is_chief:
            there = map(checkpoints.step_of, checkpoints.every(folder / "checkpoints"))
            if max(there, default=-1) < plan.train.total_steps:
                config.claim(folder)
            if not (folder / "data.json").is_file():  # before the first checkpoint
                data_json.write(folder, plan.data.spec, images, continue_from)
        if plan.train.deterministic:
            stack.enter_context(process.deterministic())
        loop = _Loop(plan, folder, workers, evaluator)
        total = plan.train.total_steps
        received = stack.enter_context(_stop_requests())
        stack.enter_context(contextlib.closing(loop))

        # Go on from the newest checkpoint, or begin.
        first_step = loop.resume(continue_from)
        loop.read(received)
        stopped_by = workers.largest(next(iter(received), 0))
        if workers.here_is_chief and loop.step < total:
            config.claim(folder)  # if the newest checkpoint is damaged, only now
            data_json.write(folder, plan.data.spec, images)
            print("tracing the training step, which takes a while", flush=True)

        while loop.step < total and not stopped_by:
            # Train a tick; log and save what is due.
            alarm = loop.tick()

            # At an alarm go back to an earlier checkpoint, once, or stop.
            if workers.largest(int(bool(alarm))):
                loop.rewind(alarm)
                loop.resume()
                loop.read(received)
            stopped_by = workers.largest(next(iter(received), 0))
        loop.end()
        stopped_by = stopped_by or next(iter(received), 0)
    if stopped_by and loop.step < total:
        print(
            f"stopped by {signal.Signals(stopped_by).name} at step {loop.step}, which "
            f"is saved in {folder}; run the same command to go on.",
            flush=True,
        )
    elif first_step == loop.step:
        kept = "; its config.gin stays as it is" * config.check_claim(folder)
        print(f"{folder} has its {loop.step} steps: raise train.total_steps{kept}.")
    elif workers.here_is_chief:
        export = f"python -m biggan_tf.export --model_dir={shlex.quote(str(folder))}"
        print(f"{folder} is trained to step {loop.step}; to export it: {export}")
    if stopped_by:
        raise SystemExit(128 + stopped_by)


class _Loop:
    """What one worker does in a run; `step` is how far the run has come."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        workers: distribution.Workers,
        evaluator: Evaluator | None,
    ):
        self._plan, self._folder, self._workers = plan, folder, workers
        self._gan = plan.build()
        self._checkpoints = Checkpoints(
            folder / "checkpoints",
            self._gan,
            plan.train.keep_checkpoints,
            plan.train.keep_every_steps,
            write=workers.here_is_chief,
            every_steps=plan.train.checkpoint_every_steps,
        )
        self._logs = None  # on all workers but the chief
        if workers.here_is_chief:
            keep_best = self._checkpoints.keep_best
            self._logs = Logs(plan, self._gan, folder, evaluator, keep_best)
        self.step = 0

    def resume(self, continue_from: str | os.PathLike[str] | None = None) -> int:
        """Goes on from the newest checkpoint, or saves step 0; returns the step.

        The chief finds the checkpoint, and all other workers restore the same one.
        """
        plan, gan, checkpoints = self._plan, self._gan, self._checkpoints
        if self._logs:
            finish_rewind(self._folder, checkpoints.rewind)
        found = restored = checkpoints.restore_latest() if self._logs else None
        if self._logs and not restored:
            forget_rewind(self._folder)  # of checkpoints that are gone
            if continue_from is not None:
                _, path = locate(continue_from)
                run.take_over(path, gan, plan.train.keep_moments)
                checkpoints.save(int(gan.step.numpy()))
                restored = str(path)
        elif restored and continue_from is not None:
            print(
                f"{restored} is there, so --continue_from={continue_from} is not read"
            )
        step = self._workers.largest(int(gan.step.numpy()) if restored else -1)
        if step < 0:
            step = 0
            checkpoints.save(0)
        else:
            if not self._logs:
                checkpoints.restore(step)
            alarms = plan.alarms
            factors = alarms.generator_rate_factor, alarms.discriminator_rate_factor
            there = gan.learning_rates()
            gan.set_rates(*(factors if self._was_rewound() else ()))
            print(f"going on from {restored or f'step {step}'}", flush=True)
            for name, rate in gan.learning_rates().items():
                if rate != there[name]:
                    print(f"{name} is {rate:g} from here on; it was {there[name]:g}")
        if self._logs and step < plan.train.total_steps:
            gaps = self._logs.rewind(step)
            for gap in gaps if found else ():  # a run taken over logged elsewhere
                print(f"{gap}; the run goes on from step {step}", flush=True)
        self.step = step
        return step

    def read(self, stop: Sequence[int]) -> None:
        """Opens the stream of real images where the run is.

        They are decoded first, to stay in memory, if more than an epoch is to come;
        a request in `stop` ends that.
        """
        plan = self._plan
        steps = plan.train.total_steps - self.step
        images = steps * plan.gan.discriminator_steps * plan.train.batch_size
        if images > plan.data.spec.train_images:
            plan.data.keep_in_memory(stop)
        self._batches = train_batches(plan, self.step)

    def tick(self) -> str:
        """Trains to the end of the tick; returns the alarm to react to, or ""."""
        train = self._plan.train
        # If total_steps ended the last run within a tick, finish that tick first.
        steps = train.tick_steps - self.step % train.tick_steps
        steps = min(steps, train.total_steps - self.step)
        scalars = self._gan.train(self._batches, tf.constant(steps))
        scalars = {name: float(value) for name, value in scalars.items()}
        self.step += steps
        bad_step = int(scalars.pop("nonfinite_step"))
        if bad_step:
            return f"a loss or gradient of step {bad_step} is NaN or infinite"
        if self._logs:
            self._logs.tick(self.step, scalars)
        if due(self.step, train.checkpoint_every_steps, train.total_steps):
            self._checkpoints.save(self.step)
            if self._logs and not (self._folder / "config.gin").is_file():
                raise BadInput(
                    f"--model_dir={self._folder}: its config.gin is gone, as if the "
                    "folder was moved or deleted; put it back, with the checkpoint of "
                    f"step {self.step} that is there now."
                )
        watched = self._logs and self._plan.alarms.reaction != "report"
        return "; ".join(self._logs.watch.ringing.values()) if watched else ""

    def rewind(self, alarm: str) -> None:
        """Deletes the newest checkpoints, so that `resume` goes back.

        Raises Diverged if no rewind is asked for, or the run was rewound before.
        """
        alarms = self._plan.alarms
        if alarms.reaction != "rewind" or self._was_rewound():
            self._workers.agree_to_exit()
            raise Diverged(
                f"{alarm or 'an alarm rang (the chief names it)'}; "
                f"{self._folder / 'checkpoints'} keeps the last checkpoint up to step "
                f"{self.step}: lower the learning rates, or see docs/stability.md."
            )
        if self._logs:
            most = self.step - alarms.rewind_steps
            ask_rewind(self._folder, self.step, most, alarm)
            finish_rewind(self._folder, self._checkpoints.rewind)
        self._workers.barrier()

    def end(self) -> None:
        """Saves the state, and waits until all workers have finished."""
        self._checkpoints.save(self.step)
        self._workers.barrier()
        self._workers.agree_to_exit()

    def close(self) -> None:
        """Ends the progress line."""
        if self._logs:
            self._logs.progress.close()

    def _was_rewound(self) -> bool:
        """Returns whether the run was rewound, as the chief sees it."""
        here = self._logs is not None and was_rewound(self._folder)
        return bool(self._workers.largest(int(here)))


def train_batches(plan: Plan, step: int) -> Iterator:
    """Returns this worker's micro-batches of real images, from `step` on."""
    micro_batches = plan.train.micro_batches

    def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return plan.data.train_batches(
            plan.train.batch_size // micro_batches,
            plan.train.seed,
            first_batch=step * plan.gan.discriminator_steps * micro_batches,
            context=context,
        )

    return iter(plan.strategy.distribute_datasets_from_function(pipeline))


@contextlib.contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that SIGTERM and Ctrl-C add their number to; the same one again kills.

    Only the main thread of a program gets signals; in another one the list stays empty.
    """
    received: list[int] = []
    before = {}
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

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
