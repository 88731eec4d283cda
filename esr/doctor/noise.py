"""The machine's noise floor: the baseline measured against itself, as an evaluation would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from esr.doctor.checks import Finding
from esr.errors import EvaluationFailed
from esr.system.progress import Progress
from esr.timing import statistics

SECONDS = 30.0
"""How long the rounds take, unless told otherwise: half of an evaluation's."""
COARSE = 0.02
"""Half-width of the ratio's interval above which a machine is called noisy: challenge entries lie closer together."""
DOUBTFUL = 0.05
"""Probability below which it is no accident that so few intervals hold 1.0."""


@dataclass(frozen=True)
class Noise:
    """What a network looks like beside itself."""

    rounds: int
    ratio: statistics.Estimate
    short_runs: int
    """Stretches of the fewest rounds that give an interval."""
    holding: int
    """Of their intervals, how many hold 1.0."""
    confidence: float
    single_pass: float
    """Standard deviation of the rounds' ratios: what one pass over the images would be worth."""
    verdict: Mapping[str, Any]
    """The record's."""

    @property
    def floor(self) -> float | None:
        """The smallest relative difference that can be told here in that time; none after too few rounds.

        The truth is 1, so whatever lies between it and the interval's farther end was taken for a difference.
        """
        if self.ratio.low is None or self.ratio.high is None:
            return None
        return max(self.ratio.high - 1, 1 - self.ratio.low)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "rounds": self.rounds,
            "ratio": self.ratio.as_dict(),
            "floor": self.floor,
            "short_runs": self.short_runs,
            "holding": self.holding,
            "confidence": self.confidence,
            "single_pass": self.single_pass,
            "verdict": dict(self.verdict),
        }


def measure(overrides: Sequence[str], seconds: float, progress: Progress) -> Noise:
    """Runs the baseline against itself on the demo images.

    Args:
        overrides: As on the command line, as `device=cpu`.
        seconds: Of rounds.
        progress: Told what is being done.

    Raises:
        EsrError: It cannot be measured here.
    """
    # Hydra and the images' libraries take most of a second, which the other checks need not spend.
    from esr.config import compose as composition  # noqa: PLC0415
    from esr.evaluation import evaluate as evaluation  # noqa: PLC0415

    words = ["model=imdn", "baseline=imdn", "data=demo", f"timing.max_seconds={seconds}"]
    config = composition.compose([*words, "timing.precision=1e-9", *overrides])
    record = evaluation.evaluate(config, progress=progress)
    for failure in record.failures:
        raise EvaluationFailed(failure["message"])
    return examine(record.document["timing"], record.document["verdict"])


def examine(timing: Mapping[str, Any], verdict: Mapping[str, Any]) -> Noise:
    """What a record's `timing` says of an A/A run."""
    per_round: list[float] = timing["ratio_per_round"]
    confidence = float(timing["confidence"])
    length = statistics.fewest_rounds(confidence)
    runs = [per_round[start : start + length] for start in range(0, len(per_round) - length + 1, length)]
    intervals = [_interval(run, confidence, seed) for seed, run in enumerate(runs)]
    mean = sum(per_round) / max(1, len(per_round))
    squares = sum((value - mean) ** 2 for value in per_round)
    return Noise(
        rounds=len(per_round),
        ratio=statistics.Estimate(**timing["ratio"]) if timing["ratio"] else _interval([1.0], confidence, 0),
        short_runs=len(runs),
        holding=sum((one.low or 0) <= 1 <= (one.high or 0) for one in intervals),
        confidence=confidence,
        single_pass=(squares / max(1, len(per_round) - 1)) ** 0.5,
        verdict=verdict,
    )


def _interval(per_round: Sequence[float], confidence: float, seed: int) -> statistics.Estimate:
    import numpy as np  # noqa: PLC0415 - see `measure`

    values = np.asarray(per_round)[:, None]
    return statistics.ratio(values, np.ones_like(values), confidence, 999, seed)


def finding(noise: Noise) -> Finding:
    """The noise floor as one more check."""
    if noise.floor is None:
        return Finding("noise", "warn", f"{noise.rounds} rounds are too few for an interval", "--seconds 120")
    told = (
        f"the baseline against itself is {noise.ratio.value:.4f} "
        f"[{noise.ratio.low:.4f}, {noise.ratio.high:.4f}] over {noise.rounds} rounds: differences below "
        f"{noise.floor * 100:.2g} % cannot be told here in this time, a single pass scatters by "
        f"{noise.single_pass * 100:.2g} %; {noise.holding} of {noise.short_runs} intervals of short runs hold 1 "
        f"({noise.confidence * 100:g} % should)"
    )
    if _too_few_hold(noise):
        remedy = "do not trust intervals taken now: end other work on this machine, fix the clocks"
        return Finding("noise", "warn", told, remedy)
    if noise.floor > COARSE:
        return Finding("noise", "warn", told, "end other work on this machine, or raise timing.max_seconds")
    return Finding("noise", "ok", told)


def _too_few_hold(noise: Noise) -> bool:
    from scipy.stats import binom  # noqa: PLC0415 - takes a second to import

    return bool(binom.cdf(noise.holding, noise.short_runs, noise.confidence) < DOUBTFUL)
