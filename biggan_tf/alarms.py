"""Alarms: signs of collapse in a run, and how the run reacts (Section 4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from biggan_tf import files
from biggan_tf.config import option, options
from biggan_tf.errors import BadInput

Line = dict[str, float]  # of scalars.jsonl or spectra.jsonl


@options("alarms")
class AlarmOptions:
    """The signs that are watched (None: not watched), and what is done at an alarm.

    A NaN or infinity in a loss or gradient is always an alarm, and stops the run unless
    it rewinds. "rewind" goes back, once, to an earlier checkpoint and lowers the
    learning rates; a later alarm stops the run.
    """

    real_loss_band: tuple[float, float] | None = option(
        None, "(low, high) for a tick's mean of D's loss on real images", -1e9, 1e9
    )
    sigma0_growth: float | None = option(
        None, "factor by which a sigma0 may grow within the window", low=1, high=1e6
    )
    sigma0_window_steps: int = option(1000, "the window, in steps", low=1)
    accuracy_gap: float | None = option(
        None, "most by which D's accuracy on training images may be higher", high=1
    )
    diversity_fall: float | None = option(
        None, "fraction of its highest value to which diversity may fall", high=1
    )
    reaction: str = option(
        "report", "what an alarm does", choices=("report", "stop", "rewind")
    )
    rewind_steps: int = option(1000, "steps to go back, at least", low=1)
    generator_rate_factor: float = option(
        0.5, "factor of G's learning rate after a rewind", high=100
    )
    discriminator_rate_factor: float = option(
        0.5, "factor of D's learning rate after a rewind", high=100
    )

    def check(self) -> None:
        """Raises BadInput if no loss lies in the band."""
        band = self.real_loss_band
        if band and not band[0] < band[1]:
            told = "take (low, high), low < high"
            raise BadInput(f"alarms.real_loss_band = {band!r}: {told}.")


class Watch:
    """An action that puts "alarm/<name>" = 1 among a tick's scalars if an alarm rings.

    It depends only on logged lines, so that a resumed run rings at the same step.
    `ringing` tells the alarms that ring now, in words, by name.
    """

    def __init__(self, alarms: AlarmOptions):
        self._alarms = alarms
        self.start([], [])

    def start(self, scalars: list[Line], spectra: list[Line]) -> None:
        """Begins anew after the lines logged so far.

        The list of spectra will grow; its lines before the window are dropped.
        """
        self._spectra, self.ringing = spectra, dict[str, str]()
        diversities = [line.get("diversity", 0.0) for line in scalars]
        self._most_diverse = max(diversities, default=0.0)

    def __call__(self, step: int, scalars: Line) -> None:
        first = step - self._alarms.sigma0_window_steps
        while self._spectra and self._spectra[0]["step"] < first:
            del self._spectra[0]
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
            growth, name = self._growth()
            if growth > alarms.sigma0_growth:
                signs["sigma0"] = f"sigma0 of {name} has grown {growth:.3g} times"
        if alarms.accuracy_gap is not None and "accuracy/held_out" in scalars:
            gap = scalars["accuracy/train"] - scalars["accuracy/held_out"]
            if gap > alarms.accuracy_gap:
                sign = f"D's accuracy is {gap:.3f} lower on held-out images"
                signs["accuracy_gap"] = sign
        if "diversity" in scalars:
            diversity = scalars["diversity"]
            self._most_diverse = max(self._most_diverse, diversity)
            fraction = diversity / max(self._most_diverse, 1e-12)
            if alarms.diversity_fall is not None and fraction < alarms.diversity_fall:
                signs["diversity"] = f"samples are {fraction:.3f} as diverse as before"
        return signs

    def _growth(self) -> tuple[float, str]:
        """Returns (growth, layer) of the fastest-growing sigma0 in the window."""
        *earlier, now = self._spectra
        growths = [(1.0, "none")]
        for name, sigma in now.items():
            if name.endswith("/sigma0"):
                sigmas = [line[name] for line in earlier if name in line]
                least = min(sigmas, default=sigma)
                growths.append((sigma / max(least, 1e-12), name[: -len("/sigma0")]))
        return max(growths)


# --- a rewind, which a start after a kill finishes ------------------------------------

REWOUND, _ASKED = "rewind.json", "rewind.asked.json"


def was_rewound(folder: Path) -> bool:
    """Returns whether an alarm has rewound the run; it then uses the lowered rates."""
    return (folder / REWOUND).is_file()


def forget_rewind(folder: Path) -> None:
    """Deletes `rewind.json`, if it is there, of a run that begins anew."""
    (folder / REWOUND).unlink(missing_ok=True)


def ask_rewind(folder: Path, at_step: int, most: int, alarm: str) -> None:
    """Writes that a run is to go back, from `at_step` to `most` steps or fewer."""
    record = {"at_step": at_step, "most": most, "alarm": alarm}
    files.write_json(folder / _ASKED, record)


def finish_rewind(folder: Path, rewind: Callable[[int], int]) -> None:
    """Does the rewind that was asked for, if any, and writes `rewind.json`.

    `rewind` is `Checkpoints.rewind`. BadInput if what was asked for is damaged.
    """
    path = folder / _ASKED
    if not path.is_file():
        return
    try:
        asked = files.read_json(path)
        at_step, most = int(asked["at_step"]), int(asked["most"])
        alarm = str(asked["alarm"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: it is damaged; remove it.") from error
    to_step = rewind(most)
    record = {"at_step": at_step, "to_step": to_step, "alarm": alarm}
    files.write_json(folder / REWOUND, record)
    path.unlink()
    print(f"rewound from step {at_step} to {to_step}: {alarm}")
