"""The machine's noise floor: the baseline measured against itself, as in an evaluation."""

from collections.abc import Sequence
from statistics import stdev

import msgspec
import numpy as np

from esr.doctor.checks import Finding
from esr.errors import EvaluationFailed
from esr.records.document import Timing, Verdict
from esr.records.intervals import fewest_rounds
from esr.records.network import Estimate
from esr.system.progress import Progress
from esr.timing import statistics

COARSE = 0.02
"""Noise floor above which a machine is called noisy: challenge entries lie closer together."""
DOUBTFUL = 0.05
"""Probability below which it is not by chance that so few intervals include 1."""


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline measured against itself; what `--format json` prints."""

    rounds: int
    ratio: Estimate
    floor: float | None
    """Smallest relative difference that this machine resolves in that time; `None` after too few rounds."""
    short_runs: int
    """Stretches of the fewest rounds that give an interval."""
    holding: int
    """Of their intervals, those that include 1."""
    confidence: float
    single_pass: float
    """Standard deviation of the rounds' ratios: the error of one pass over the images."""
    verdict: Verdict


def measure(overrides: Sequence[str], seconds: float, progress: Progress) -> Noise:
    """Runs the baseline against itself on the demo images.

    Args:
        overrides: As on the command line, as `device=cpu`.
        seconds: Duration of the rounds.
        progress: Watches the stages.

    Raises:
        EsrError: It cannot be measured here.
    """
    # Hydra and the image library take most of a second to import, which the other checks do without.
    from esr.config import compose as composition  # noqa: PLC0415
    from esr.evaluation import evaluate as evaluation  # noqa: PLC0415

    words = ["model=imdn", "baseline=imdn", "data=demo", f"timing.max_seconds={seconds}", "timing.processes=1"]
    config = composition.compose([*words, "timing.precision=1e-9", *overrides])
    record = evaluation.evaluate(config, progress=progress)
    for network in (record.candidate, record.baseline):
        if network.failure:
            raise EvaluationFailed(network.failure.message)
    return examine(record.document.timing, record.verdict)


def examine(timing: Timing, verdict: Verdict) -> Noise:
    """The noise floor from the timing of an A/A run."""
    per_round, confidence = timing.ratio_per_round, timing.confidence
    length = fewest_rounds(confidence)
    runs = [per_round[start : start + length] for start in range(0, len(per_round) - length + 1, length)]
    intervals = [_interval(run, confidence) for run in runs]
    ratio = timing.ratio or Estimate(1.0)
    return Noise(
        rounds=len(per_round),
        ratio=ratio,
        # The truth is 1: whatever lies between it and the interval's farther end was taken for a difference.
        floor=None if ratio.low is None or ratio.high is None else max(ratio.high - 1, 1 - ratio.low),
        short_runs=len(runs),
        holding=sum((one.low or 0) <= 1 <= (one.high or 0) for one in intervals),
        confidence=confidence,
        single_pass=stdev(per_round) if len(per_round) > 1 else 0.0,
        verdict=verdict,
    )


def _interval(per_round: Sequence[float], confidence: float) -> Estimate:
    values = np.asarray(per_round)[:, None]
    return statistics.ratio(values, np.ones_like(values), confidence)


def finding(noise: Noise) -> Finding:
    """The noise floor as one more check."""
    if noise.floor is None:
        return Finding("noise", "warn", f"{noise.rounds} rounds are too few for an interval", "--seconds 120")
    message = (
        f"the baseline against itself is {noise.ratio.value:.4f} "
        f"[{noise.ratio.low:.4f}, {noise.ratio.high:.4f}] over {noise.rounds} rounds: differences below "
        f"{noise.floor * 100:.2g} % are inconclusive in this time, a single pass varies by "
        f"{noise.single_pass * 100:.2g} %; {noise.holding} of {noise.short_runs} intervals of short runs include 1 "
        f"({noise.confidence * 100:g} % should)"
    )
    from scipy.special import bdtr  # noqa: PLC0415 - takes a while to import

    if bdtr(noise.holding, noise.short_runs, noise.confidence) < DOUBTFUL:
        remedy = "do not trust intervals taken now: end other work on this machine, lock the clocks"
        return Finding("noise", "warn", message, remedy)
    if noise.floor > COARSE:
        return Finding("noise", "warn", message, "end other work on this machine, or raise timing.max_seconds")
    return Finding("noise", "ok", message)
