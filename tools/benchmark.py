r"""Measures how fast a recipe trains on this machine, and how near to its peak.

    python tools/benchmark.py --gin_file=gin/biggan32.gin --ratios
    python tools/benchmark.py --gin_file=gin/demo.gin --vary=batch,replicas \
        --plot=cost.png

Prints the seconds of a step, the images per second, the time to the end of the first
step and the peak memory. Counts in the graph the bytes that the forward pass of an
update keeps for its gradient, and the operations of a step. Compares the operations per
second with this machine's peak: the fastest convolution of the recipe, run alone.

`--ratios` also measures the step without fused resampling and in bfloat16. The steps
take turns, so that other load on the machine affects all alike. `--loop` also runs the
training loop, and prints the fraction of its time in which the device waits for the
host. `--vary` prints instead the cost as the batch, width, resolution or number of
replicas grows, and `--input` the speed of the input pipeline alone, of files and of
memory. `--memory` prints what training keeps in memory at any batch size and for each
image, in float32, in bfloat16 and with `recompute`; it counts in the graphs, and runs
no step. `--evaluation` prints how long an image takes in `evaluate`, beside what the
generator and the feature network take alone, by turns.

The time of a step is a median. The images are random; the input pipeline is measured
separately.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import pathlib
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from unittest import mock

import numpy as np
import psutil
import tensorflow as tf
from absl import flags
from matplotlib import pyplot

from biggan_tf import (
    config,
    data,
    distribution,
    gan,
    images,
    latents,
    layers,
    loop,
    sampling,
)
from biggan_tf.architecture import CHANNELS
from biggan_tf.errors import BadInput

config.define_flags()
_STEPS = flags.DEFINE_integer("steps", 7, "Steps to time.", 1, 10**6)
_RATIOS = flags.DEFINE_bool("ratios", False, "Plain resampling and bfloat16 too.")
_LOOP = flags.DEFINE_bool("loop", False, "Run train.total_steps of the loop too.")
_INPUT = flags.DEFINE_bool("input", False, "The input pipeline alone.")
_MEMORY = flags.DEFINE_bool("memory", False, "What training keeps in memory alone.")
_EVALUATION = flags.DEFINE_bool("evaluation", False, "An image in `evaluate` alone.")
_VARY = flags.DEFINE_list("vary", [], "Of batch, width, resolution and replicas.")
_PLOT = flags.DEFINE_string("plot", None, "PNG of what --vary measures.")

VARIED = {
    "batch": (0.5, 1, 2, 4),  # times the recipe's, as width
    "width": (0.5, 1, 2, 4),
    "resolution": (32, 64, 128),
    "replicas": (1, 2, 4),  # virtual, on one CPU
}
CONVOLUTIONS = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")


def operations(graph: tf.Graph) -> int:
    """Multiplications and additions of a graph's convolutions and matrix products."""
    return sum(map(_operations, graph.get_operations()))


def _operations(op: tf.Operation) -> int:
    if op.type in CONVOLUTIONS:
        _, kernel, out = _convolution(op)
        return 2 * math.prod(out[:3]) * math.prod(kernel)
    if op.type in ("MatMul", "BatchMatMulV2"):
        inner = op.inputs[0].shape[-2 if _transposed(op) else -1]
        return 2 * op.outputs[0].shape.num_elements() * inner
    return 0


def _transposed(op: tf.Operation) -> bool:
    return op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")


def _convolution(op: tf.Operation) -> tuple[list, list, list]:
    """Shapes of the image, the kernel and the result of the forward form."""
    first, second, third = (
        *(x.shape.as_list() for x in op.inputs),
        op.outputs[0].shape.as_list(),
    )[-3:]
    return {
        "Conv2D": (first, second, third),
        "Conv2DBackpropInput": (third, first, second),
        "Conv2DBackpropFilter": (None, third, second),
    }[op.type]


def kept_bytes(gradients: Callable, *arguments: object, **options: object) -> int:
    """Bytes that the forward pass of a function with one gradient keeps for it."""
    ends, tape_gradient = [], tf.GradientTape.gradient

    def noted(self: tf.GradientTape, *rest: object) -> object:
        ends.append(len(tf.compat.v1.get_default_graph().get_operations()))
        return tape_gradient(self, *rest)

    with mock.patch.object(tf.GradientTape, "gradient", noted):
        function = tf.function(
            lambda: gradients(*arguments, **options), autograph=False
        )
        every = function.get_concrete_function().graph.get_operations()
    forward = set(every[: ends[0]])
    kept = {
        tensor.ref(): tensor.shape.num_elements() * tensor.dtype.size
        for op in every[ends[0] :]
        for tensor in map(_aliased, op.inputs)
        if tensor.op in forward and tensor.op.type != "Placeholder"
    }
    return sum(kept.values())


def kept_for_gradients(model: gan.Gan, side: int, batch: int) -> dict[str, int]:
    """Bytes that an update of D, and of G, keeps for its gradients."""
    real = tf.zeros([batch, side, side, 3]), tf.zeros([batch], tf.int32)
    draws = latents.Draws(latents.root_seed(0), batch)
    return {
        "D": kept_bytes(model.discriminator_gradients, *real, draws, training=True),
        "G": kept_bytes(model.generator_gradients, draws, training=True),
    }


def _aliased(tensor: tf.Tensor) -> tf.Tensor:
    """Returns the tensor whose memory this one has, too."""
    while tensor.op.type in ("Identity", "IdentityN"):
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def peak(graph: tf.Graph) -> float:
    """Operations a second of the fastest of a graph's larger convolutions, alone."""
    found = {}
    for op in graph.get_operations():
        if op.type == "Conv2D":
            image, kernel, _ = map(tuple, _convolution(op))
            key = image, kernel, op.get_attr("strides")[1], op.inputs[0].dtype
            found[key] = _operations(op)
    largest = sorted(found, key=found.get)[-8:]
    return max(found[key] / _convolution_seconds(*key) for key in largest)


def _convolution_seconds(
    image: tuple, kernel: tuple, stride: int, dtype: tf.DType
) -> float:
    x = tf.cast(tf.random.normal(image), dtype)
    w = tf.cast(tf.random.normal(kernel), dtype)

    @tf.function
    def convolve(x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, w, stride, "SAME")[0, 0, 0, 0]

    return min(_seconds(lambda: convolve(x, w).numpy()) for _ in range(7))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Step:
    """The step of a plan on random images, compiled; a call returns its seconds."""

    def __init__(self, plan: loop.Plan):
        start = time.perf_counter()
        self.gan = plan.build()
        batch, side = plan.per_replica_batch, plan.generator.resolution
        images = np.random.default_rng(0).uniform(-1, 1, [batch, side, side, 3])
        one = tf.constant(images, tf.float32), tf.zeros([batch], tf.int32)
        same = SimpleNamespace(get_next=lambda: one)

        @tf.function(autograph=False)
        def step() -> tf.Tensor:
            return self.gan.train_step(same)["loss/generator"]

        self._step = step
        self()
        self.first_seconds = time.perf_counter() - start
        self()  # the second may still settle something

        self.graph, self.kept = None, {}
        if not isinstance(plan.strategy, tf.distribute.MirroredStrategy):
            self.graph = step.get_concrete_function().graph
            self.kept = kept_for_gradients(self.gan, side, batch)
        self.images = plan.train.batch_size * plan.gan.discriminator_steps

    def __call__(self) -> float:
        return _seconds(lambda: self._step().numpy())


def in_turns(
    steps: dict[str, Callable[[], float]], count: int
) -> dict[str, list[float]]:
    """The seconds of `count` steps of each, one of each at a time."""
    seconds = {name: [] for name in steps}
    for _ in range(count):
        for name, step in steps.items():
            seconds[name].append(step())
    return seconds


@contextlib.contextmanager
def plain_resampling() -> Iterator[None]:
    """Networks made and traced inside resample and convolve one after the other."""

    def up(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(layers.upsample(x), kernel, 1, "SAME")

    def down(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return layers.downsample(tf.nn.conv2d(x, kernel, 1, "SAME"))

    with contextlib.ExitStack() as stack:
        for layer, convolve in (
            (layers.UpsampleConv2D, up),
            (layers.ConvDownsample2D, down),
        ):
            for name, method in (
                ("effective_kernel", lambda self, kernel: kernel),
                ("convolve", convolve),
            ):
                stack.enter_context(mock.patch.object(layer, name, method))
        yield


def report(plan: loop.Plan) -> None:
    steps = {"as configured": Step(plan)}
    memory = peak_memory()
    if _RATIOS.value:
        with plain_resampling():
            steps["plain"] = Step(plan)
        bfloat16 = {"precision": "mixed_bfloat16"}
        steps["bfloat16"] = Step(_replaced(plan, bfloat16, bfloat16))
    seconds = in_turns(steps, _STEPS.value)
    step, median = steps["as configured"], statistics.median(seconds["as configured"])
    rows = [
        ("seconds per step", f"{median:.3f}"),
        ("real images per second", f"{step.images / median:.1f}"),
        ("time to the end of the first step", f"{step.first_seconds:.1f} s"),
        ("peak memory", memory),
    ]
    if step.graph is not None:
        count, fastest = operations(step.graph), peak(step.graph)
        rows += [
            *[
                (f"kept for the gradient of {name}", f"{kept / 2**30:.3f} GiB")
                for name, kept in step.kept.items()
            ],
            ("operations of a step", f"{count / 1e9:.1f} G"),
            ("convolution peak", f"{fastest / 1e9:.1f} G/s"),
            ("share of the peak", f"{count / median / fastest:.2f}"),
        ]
    for name, numerator, denominator in (
        ("fused / plain", "as configured", "plain"),
        ("bfloat16 / as configured", "bfloat16", "as configured"),
    ):
        if numerator in seconds and denominator in seconds:
            ratios = [a / b for a, b in zip(seconds[numerator], seconds[denominator])]
            rows.append((name, f"{statistics.median(ratios):.2f}"))
    table(rows)


def peak_memory() -> str:
    """Of this process so far, or of the first GPU."""
    if tf.config.list_physical_devices("GPU"):
        used = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    else:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return f"{used / 2**30:.2f} GiB"


def report_memory(plan: loop.Plan) -> None:
    """A table of what training keeps: always, and for each image."""
    rows = []
    for name, change in (
        ("as configured", {}),
        ("bfloat16", {"precision": "mixed_bfloat16"}),
        ("recompute", {"recompute": True}),
    ):
        model = _replaced(plan, change, change).build()
        if not rows:
            rows.append(("state", f"{state_bytes(model) / 2**30:.3f} GiB", ""))
        side = plan.generator.resolution
        one, three = (kept_for_gradients(model, side, batch) for batch in (1, 3))
        for network in one:
            image = (three[network] - one[network]) / 2
            gibs = [x / 2**30 for x in (one[network] - image, image)]
            rows.append((f"{network}, {name}", *(f"{x:.4f} GiB" for x in gibs)))
    table(rows, ["", "at any batch size", "an image"])


def state_bytes(model: gan.Gan) -> int:
    """Of weights, Adam's moments and the moving average."""
    networks = model.generator, model.discriminator
    average = model.generator_optimizer
    optimizers = average, average._optimizer, model.discriminator_optimizer
    every = [v for network in networks for v in network.variables]
    every += [v for optimizer in optimizers for v in optimizer.variables()]
    every = {id(v): v for v in every}.values()
    return sum(v.shape.num_elements() * v.dtype.size for v in every)


def report_input(plan: loop.Plan) -> None:
    """Images a second that the input pipeline alone makes, of files and of memory."""
    data, cores = plan.data, len(os.sched_getaffinity(0))
    memory = psutil.Process().memory_info
    rows = [(f"images a second of files, {cores} cores", f"{input_rate(plan):.0f}")]
    before = memory().rss
    seconds = _seconds(data.keep_in_memory)
    if data.in_memory:
        rows += [
            ("seconds to decode all training images", f"{seconds:.1f}"),
            ("memory that they take", f"{(memory().rss - before) / 2**30:.3f} GiB"),
            (f"images a second of memory, {cores} cores", f"{input_rate(plan):.0f}"),
            ("memory of the process afterwards", f"{memory().rss / 2**30:.2f} GiB"),
        ]
    print(*data.remarks(), sep="\n")
    table(rows)


def input_rate(plan: loop.Plan) -> float:
    """Images a second, over five seconds or more."""
    batch, count = plan.train.batch_size, 0
    batches = iter(plan.data.train_batches(batch, plan.train.seed))
    for _ in range(5):  # while the number of threads settles
        next(batches)
    start = time.perf_counter()
    while (seconds := time.perf_counter() - start) < 5:
        next(batches)
        count += batch
    return count / seconds


def report_evaluation(plan: loop.Plan) -> None:
    """Seconds of a generated image: all of `evaluate`, and its two networks alone."""
    with tempfile.TemporaryDirectory() as folder:
        evaluator = plan.evaluator(pathlib.Path(folder))
    if evaluator is None:
        raise BadInput("evaluation.every_steps = 0: set it, and evaluation.network.")
    made = sampling.InferenceGenerator(
        plan.generator, plan.convention, [math.inf], 64, plan.frequencies
    )
    made.measure(1, plan.train.seed)
    sampler = made.sampler(0, plan.data.spec.class_names, "")
    z, labels = sampler.batch(0, math.inf, plan.train.seed)
    y = tf.one_hot(labels, sampler.num_classes)
    pixels = tf.zeros([len(z), *[plan.generator.resolution] * 2, 3], tf.uint8)
    look = tf.function(lambda: evaluator.network(pixels)["features"], autograph=False)
    count = plan.evaluation.num_images
    passes = range(max(1, count // len(z)))

    def alone(network: Callable[[], tf.Tensor]) -> float:
        seconds = _seconds(lambda: [network().numpy() for _ in passes])
        return seconds / len(passes) / len(z)

    steps = {
        "`evaluate`": lambda: _seconds(lambda: evaluator.score(sampler)) / count,
        "the generator alone": lambda: alone(lambda: sampler.draw(z, y, math.inf)),
        "the feature network alone": lambda: alone(look),
    }
    in_turns(steps, 1)  # traces them, and looks at the real images
    seconds = in_turns(steps, _STEPS.value)
    rows = [
        (f"ms of an image, {name}", f"{statistics.median(times) * 1e3:.3f}")
        for name, times in seconds.items()
    ]
    ratios = [whole / sum(parts) for whole, *parts in zip(*seconds.values())]
    rows.append(("`evaluate` / the sum of both", f"{statistics.median(ratios):.3f}"))
    table(rows)


def report_loop() -> None:
    """The share of the loop's time, after its first tick, outside the ticks."""
    spans, train = [], gan.Gan.train

    def timed(self: gan.Gan, *arguments: object) -> dict[str, float]:
        start = time.perf_counter()
        scalars = train.__get__(self, gan.Gan)(*arguments)
        scalars = {name: float(value) for name, value in scalars.items()}
        spans.append((start, time.perf_counter()))
        return scalars

    with mock.patch.object(gan.Gan, "train", timed):
        with tempfile.TemporaryDirectory() as folder:
            loop.train(folder)
    busy = sum(end - start for start, end in spans[1:])
    whole = spans[-1][1] - spans[0][1]
    table([("host idle gap of the loop", f"{100 * (1 - busy / whole):.2f} %")])


def report_varied(what: str, plans: dict[float, loop.Plan]) -> tuple[list, list]:
    """A table of the cost as one thing grows; returns what to plot."""
    rows = []
    for value, plan in plans.items():
        step = Step(plan)
        seconds = statistics.median(step() for _ in range(_STEPS.value))
        count = operations(step.graph) / 1e9 if step.graph else math.nan
        rows.append((value, f"{seconds:.3f}", f"{step.images / seconds:.1f}", count))
    table(
        [(*row[:3], f"{row[3]:.1f}") for row in rows],
        [what, "seconds per step", "real images per second", "10^9 operations"],
    )
    return [row[0] for row in rows], [float(row[1]) for row in rows]


def varied(plan: loop.Plan, what: str, value: float) -> loop.Plan:
    """Returns the plan with one thing changed, and what depends on it."""
    generator, discriminator = plan.generator, plan.discriminator
    if what == "batch":
        batch = max(1, int(value * plan.train.batch_size))
        train = dataclasses.replace(plan.train, batch_size=batch)
        return _shared_out(dataclasses.replace(plan, train=train))
    if what == "replicas":
        strategy = distribution.make_strategy(kind="virtual_cpus", virtual_cpus=value)
        return _shared_out(dataclasses.replace(plan, strategy=strategy))
    if what == "width":
        change = {"width": max(1, int(value * generator.width))}
        return _replaced(plan, change, change)
    chunks, wanted = (
        len(CHANNELS[side].generator) for side in (generator.resolution, value)
    )
    return _replaced(
        plan,
        {
            "resolution": value,
            "latent_size": generator.latent_size // chunks * wanted,
            "attention": [side for side in generator.attention if side <= value],
        },
        {
            "resolution": value,
            "attention": [side for side in discriminator.attention if side < value],
        },
    )


def _shared_out(plan: loop.Plan) -> loop.Plan:
    """Returns the plan with its batch divided by its replicas."""
    replicas, batch = plan.strategy.num_replicas_in_sync, plan.train.batch_size
    each = distribution.per_replica_batch(replicas, batch, "train.batch_size")
    return dataclasses.replace(plan, per_replica_batch=each)


def _replaced(plan: loop.Plan, generator: dict, discriminator: dict) -> loop.Plan:
    return dataclasses.replace(
        plan,
        generator=dataclasses.replace(plan.generator, **generator),
        discriminator=dataclasses.replace(plan.discriminator, **discriminator),
    )


def plot(costs: dict[str, tuple[list, list]], path: str) -> None:
    figure, axes = pyplot.subplots(1, len(costs), figsize=(4 * len(costs), 3))
    for axis, (what, (values, seconds)) in zip(np.atleast_1d(axes), costs.items()):
        axis.loglog(values, seconds, "o-", base=2)
        axis.set(xlabel=what, ylabel="seconds per step")
        axis.grid(True, which="both", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def table(rows: list[tuple], head: Sequence[str] = ("", "measured")) -> None:
    print("\n| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def check_flags() -> None:
    """Raises BadInput if nothing would read one that was given."""
    alone = ("input", "evaluation", "memory", "vary")
    asked = [name for name in alone if flags.FLAGS[name].value]
    if asked:
        others = [name for name in (*alone, "loop", "ratios") if name != asked[0]]
        config.leave_out(others, f"--{asked[0]}", "it measures alone")
    if _PLOT.value:
        images.check_output(_PLOT.value, "--plot", [".png"])
        if not _VARY.value:
            raise BadInput(f"--plot={_PLOT.value}: give --vary, which it shows.")


@data.sentences()
def main() -> None:
    check_flags()
    for what in _VARY.value:
        if what not in VARIED:
            raise BadInput(f"--vary={what}: take some of {', '.join(VARIED)}.")
    if not flags.FLAGS.gin_file:
        raise BadInput("--gin_file is missing: name a recipe, such as gin/demo.gin.")
    config.parse(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
    if "replicas" in _VARY.value:  # the most devices, before TensorFlow starts
        distribution.make_strategy(
            kind="virtual_cpus", virtual_cpus=VARIED["replicas"][-1]
        )
    plan = loop.make_plan()
    if _INPUT.value:
        plan.data.check_ready()
        report_input(plan)
        return
    if _EVALUATION.value:
        report_evaluation(plan)
        return
    if plan.train.micro_batches > 1:
        raise BadInput(
            f"train.micro_batches = {plan.train.micro_batches}: the step of one "
            "micro-batch is what is measured; set it to 1, and train.batch_size to the "
            "size of a micro-batch."
        )
    if _MEMORY.value:
        report_memory(plan)
        return
    if _VARY.value:
        plans = {
            what: {value: varied(plan, what, value) for value in VARIED[what]}
            for what in _VARY.value
        }
        costs = {what: report_varied(what, some) for what, some in plans.items()}
        if _PLOT.value:
            plot(costs, _PLOT.value)
        return
    report(plan)
    if _LOOP.value:
        report_loop()
    with contextlib.suppress(BadInput):  # the step above needs no prepared data
        plan.data.check_ready()
        report_input(plan)


if __name__ == "__main__":
    config.run(main)
