"""Signs that training goes wrong, and what is done about them (Section 4)."""

from __future__ import annotations

import dataclasses

import gin

from biggan_tf.errors import BadInput

Line = dict[str, float]  # of scalars.jsonl or spectra.jsonl


@gin.configurable("alarms")
@dataclasses.dataclass(frozen=True)
class Alarms:
    """Which signs are watched, None: not; NaN always is.

    Attributes:
        real_loss_band: (low, high) that D's loss on real images, a tick's mean, keeps.
        sigma0_growth: factor by which a weight's sigma0 may grow within the window.
        sigma0_window_steps: the window.
        accuracy_gap: of D on training and on held-out images, by which it memorises.
        diversity_fall: share of its highest value so far that the diversity of G's
            samples keeps (mean distance between two of a class).
        reaction: "report", "stop", or "rewind": once, go back and lower the rates; stop
            at an alarm after that.
        rewind_steps: at least so far back.
        generator_rate_factor, discriminator_rate_factor: of the rates from there on.
    """

    real_loss_band: tuple[float, float] | None = None
    sigma0_growth: float | None = None
    sigma0_window_steps: int = 1000
    accuracy_gap: float | None = None
    diversity_fall: float | None = None
    reaction: str = "report"
    rewind_steps: int = 1000
    generator_rate_factor: float = 0.5
    discriminator_rate_factor: float = 0.5

    def __post_init__(self) -> None:
        if self.reaction not in ("report", "stop", "rewind"):
            raise BadInput(
                f"alarms.reaction = {self.reaction!r}: take one of report, stop, "
                "rewind."
            )
        band = self.real_loss_band
        pair = isinstance(band, (tuple, list)) and len(band) == 2
        numbers = pair and all(isinstance(x, (int, float)) for x in band)
        if band is not None and not (numbers and band[0] < band[1]):
            raise BadInput(
                f"alarms.real_loss_band = {band!r}: take (low, high), low < high."
            )
        for name, low, high in (
            ("sigma0_growth", 1, 1e6),
            ("sigma0_window_steps", 1, 1e9),
            ("accuracy_gap", 0, 1),
            ("diversity_fall", 0, 1),
            ("rewind_steps", 1, 1e9),
            ("generator_rate_factor", 0, 100),
            ("discriminator_rate_factor", 0, 100),
        ):
            value = getattr(self, name)
            number = isinstance(value, (int, float))
            optional = getattr(Alarms, name) is None
            if not ((number and low <= value <= high) or (value is None and optional)):
                raise BadInput(
                    f"alarms.{name} = {value!r}: take a number from {low} to {high}."
                )


class Watch:
    """The action that puts alarms, "alarm/<name>" = 1, among a tick's scalars.

    Whether one rings depends on the lines that were logged, so that a run that was
    stopped rings at the same step.

    Args:
        alarms: which are on.
        scalars, spectra: the lines so far of both files; those of spectra grow.
    """

    def __init__(self, alarms: Alarms, scalars: list[Line], spectra: list[Line]):
        self._alarms = alarms
        self._spectra = spectra
        diversities = [line["diversity"] for line in scalars if "diversity" in line]
        self._most_diverse = max(diversities, default=0.0)
        self.ringing: dict[str, str] = {}

    def __call__(self, step: int, scalars: Line) -> None:
        before, self.ringing = self.ringing, self._signs(step, scalars)
        for name, sign in self.ringing.items():
            scalars[f"alarm/{name}"] = 1.0
            if name not in before:
                print(f"alarm at step {step}: {sign}", flush=True)

    def _signs(self, step: int, scalars: Line) -> dict[str, str]:
        alarms, signs = self._alarms, {}
        loss = scalars["loss/discriminator_real"]
        if alarms.real_loss_band:
            low, high = alarms.real_loss_band
            if not low <= loss <= high:
                signs["real_loss"] = f"D's loss on real images is {loss:.4g}"
        if alarms.sigma0_growth and self._spectra and self._spectra[-1]["step"] == step:
            growth, name = self._growth(step)
            if growth > alarms.sigma0_growth:
                signs["sigma0"] = f"sigma0 of {name} has grown {growth:.3g} times"
        if alarms.accuracy_gap is not None and "accuracy/held_out" in scalars:
            gap = scalars["accuracy/train"] - scalars["accuracy/held_out"]
            if gap > alarms.accuracy_gap:
                signs["accuracy_gap"] = f"D's accuracy is {gap:.3f} lower on held-out"
        if "diversity" in scalars:
            diversity = scalars["diversity"]
            self._most_diverse = max(self._most_diverse, diversity)
            share = diversity / max(self._most_diverse, 1e-12)
            if alarms.diversity_fall is not None and share < alarms.diversity_fall:
                signs["diversity"] = f"samples are {share:.3f} as diverse as once"
        return signs

    def _growth(self, step: int) -> tuple[float, str]:
        """The largest growth of a sigma0 to its value now within the window, whose."""
        first = step - self._alarms.sigma0_window_steps
        *earlier, now = (line for line in self._spectra if line["step"] >= first)
        growths = [(1.0, "none")]
        for name, sigma in now.items():
            if name.endswith("/sigma0"):
                least = min((line[name] for line in earlier), default=sigma)
                growths.append((sigma / max(least, 1e-12), name[: -len("/sigma0")]))
        return max(growths)
