"""Evaluation as an action of the training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gin
import tensorflow as tf

from biggan_tf.data import Data
from biggan_tf.errors import BadInput
from biggan_tf.evaluation import scoring
from biggan_tf.saved_model import Sampler


@gin.configurable("evaluation")
@dataclasses.dataclass(frozen=True)
class Periodic:
    """How a model is evaluated, untruncated, while it trains.

    Attributes:
        every_steps: a multiple of the tick; 0: never.
        metrics: of `scoring.METRICS`.
        network: the feature network, see `features.load`.
        num_images: generated for each evaluation.
        split: real images to compare with, "train" or "held_out".
        reference: file of tools/make_reference.py; None makes one in the model
            directory.
        best_by: the metric by which `checkpoints/best` is kept.
    """

    every_steps: int = 0
    metrics: tuple[str, ...] = ("fid",)
    network: str = "inception"
    num_images: int = 10_000
    split: str = "train"
    reference: str | None = None
    best_by: str = "fid"

    def __post_init__(self) -> None:
        scoring.parse_metrics(self.metrics, "evaluation.metrics")
        if type(self.every_steps) is not int or self.every_steps < 0:
            raise BadInput(
                f"evaluation.every_steps = {self.every_steps!r}: take a whole number "
                "from 0 on."
            )
        if self.best_by not in self.metrics or self.best_by == "prdc":
            raise BadInput(
                f"evaluation.best_by = {self.best_by!r}: take one of the "
                f"evaluation.metrics = {self.metrics} that is one number."
            )
        if self.split not in scoring.SPLITS:
            raise BadInput(
                f"evaluation.split = {self.split!r}: take one of "
                f"{', '.join(scoring.SPLITS)}."
            )


class Evaluation:
    """Scores the averaged weights with standing statistics; keeps the best.

    Scores go to TensorBoard, and with their protocol to `metrics.jsonl`.

    Args:
        settings: what to score.
        strategy: of this process alone.
        data: that is trained on.
        gan: in training.
        sampler: draws from it as an export would.
        folder: the model directory.
        scalars: takes (step, scores) for TensorBoard.
        keep_best: takes (step, score's name, value, whether lower is better).
    """

    def __init__(
        self,
        settings: Periodic,
        strategy: tf.distribute.Strategy,
        data: Data,
        gan: Any,
        sampler: Sampler,
        folder: Path,
        scalars: Callable[[int, dict[str, float]], None],
        keep_best: Callable[[int, str, float, bool], None],
    ):
        self._gan, self._sampler, self._best_by = gan, sampler, settings.best_by
        self._scalars, self._keep_best = scalars, keep_best
        self._path = folder / "metrics.jsonl"
        self._draw = lambda z, y, truncation: sampler.draw(z, y)
        network = settings.network.partition("=")[0]
        reference = folder / f"reference_{network}_{settings.split}.npz"
        self._evaluator = scoring.Evaluator(
            strategy,
            settings.network,
            data,
            settings.metrics,
            settings.num_images,
            settings.split,
            settings.reference or reference,
            gan.seed,
        )

    def __call__(self, step: int, scalars: dict[str, float]) -> None:
        del scalars
        spec = self._gan.generator.spec
        self._sampler.update(self._gan.generator, self._gan.averaged_weights())
        subject = scoring.Subject(
            self._draw,
            spec.latent_size,
            spec.num_classes,
            spec.resolution,
            self._sampler.convention,
            {"step": step, "weights": "ema", "statistics": "standing"},
        )
        scores = self._evaluator.score(subject)
        scoring.append(self._path, self._evaluator.record(subject, math.inf, scores))
        self._scalars(step, {f"scores/{name}": v for name, v in scores.items()})
        shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        print(f"step {step}: {shown}", flush=True)
        best = next(name for name in scores if name.startswith(self._best_by))
        lower = scoring.lower_is_better(best)
        self._keep_best(step, best, scores[best], lower)
