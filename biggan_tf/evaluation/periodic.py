"""Evaluation as an action of the training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

from biggan_tf import features, metrics
from biggan_tf.checks import SPLITS
from biggan_tf.config import option, options
from biggan_tf.errors import BadInput
from biggan_tf.evaluation.records import write_record
from biggan_tf.evaluation.reference import check
from biggan_tf.evaluation.scoring import Evaluator
from biggan_tf.features import FeatureNetwork
from biggan_tf.metrics import METRICS
from biggan_tf.sampling import Sampler


@options("evaluation", free=True)
class EvaluationOptions:
    """How G's average is scored, untruncated, while it trains."""

    every_steps: int = option(0, "steps between two evaluations; 0: none")
    metrics: tuple[str, ...] = option(("fid",), "the scores", choices=METRICS)
    network: str = option("inception", "the feature network, see `features.load`")
    num_images: int = option(10_000, "images generated for each evaluation", low=1)
    split: str = option("train", "the real images to compare with", choices=SPLITS)
    reference: str | None = option(
        None, "a file, made if it is not there; None: in the run's folder", path=True
    )
    best_by: str = option(
        "fid", "the metric by which checkpoints/best is kept", choices=METRICS
    )

    def check(self) -> None:
        """Raises BadInput unless the network is known, and `best_by` one number."""
        features.find(self.network)
        one_number = METRICS[self.best_by].is_one_number
        if self.best_by not in self.metrics or not one_number:
            raise BadInput(
                f"evaluation.best_by = {self.best_by!r}: take one of "
                f"evaluation.metrics = {self.metrics} that is one number."
            )

    def remark(self) -> str:
        """Says that nothing is scored, if options say how; "" otherwise."""
        names = [field.name for field in dataclasses.fields(self)]
        how = any(getattr(self, name) != getattr(type(self), name) for name in names)
        nothing = "evaluation.every_steps = 0: nothing is scored in training"
        return nothing if how and not self.every_steps else ""


def load_network(options: EvaluationOptions) -> FeatureNetwork | None:
    """Returns the feature network, None without evaluations; BadInput if none fits."""
    if not options.every_steps:
        return None
    if options.reference:
        check(Path(options.reference))
    network = features.load(options.network)
    told, sizes = "evaluation.num_images", (network.feature_size, network.spatial_size)
    scores = [METRICS[name] for name in options.metrics]
    metrics.check_enough_images(told, options.num_images, scores, *sizes)
    return network


@dataclasses.dataclass
class PeriodicEvaluation:
    """Scores samples while training, and keeps the best checkpoint.

    Scores go to TensorBoard, and with their protocol to `metrics.jsonl`.
    """

    options: EvaluationOptions
    evaluator: Evaluator
    sample: Callable[[int], Sampler]  # returns the sampler of a step
    folder: Path  # the model directory
    write_scalars: Callable[[int, dict[str, float]], None]  # to TensorBoard
    keep_best: Callable[[int, str, float, bool, dict], None]  # of `Checkpoints`

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        del scalars
        sampler, best_by = self.sample(step), self.options.best_by
        scores = self.evaluator.score(sampler)
        record = self.evaluator.record(sampler, math.inf, scores)
        write_record(self.folder / "metrics.jsonl", record)
        self.write_scalars(step, {f"scores/{name}": v for name, v in scores.items()})
        shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        print(f"step {step}: {shown}", flush=True)
        best = self.evaluator.main_score(best_by)
        lower = METRICS[best_by].lower_is_better
        self.keep_best(step, best, scores[best], lower, record["protocol"])
