"""Figures recomputed from their samples: a record that contradicts itself is refused.

Figures and their intervals must follow exactly. Intervals of older records, which were bootstrapped, must be ones that
resampling these rounds can give.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from operator import truediv

import msgspec
from msgspec.structs import astuple

from esr.config.terms import MOST_ROUNDS, ROLES, Count, Figure, Role
from esr.errors import RecordError
from esr.records.document import Document, Precision, Timing
from esr.records.intervals import dependence, fewest_rounds, median, of_ratio, of_runtime, of_totals, student_t
from esr.records.network import Estimate, NetworkTiming, Quality
from esr.records.part import load_raw
from esr.records.reasons import status_of

_TOLERANCE = 1e-6
"""Relative; the figures are the same floats, summed in another order at most."""
_IMPROBABLE = 1e-7
"""Probability at which resampling could give a bound beyond the places that are accepted."""
_DEFAULT_RESAMPLES = 9999
_JUDGED_CONFIDENCE, _FEW_RESAMPLES = 0.5, 99
"""With less or fewer, an interval need not hold its own value."""


class _Passes(msgspec.Struct, frozen=True):
    """The columns of `Samples` that figures follow from."""

    round: list[Count]
    block: list[Count]
    image: list[Count]
    ms: list[Figure]
    parent_ms: list[Figure] | None = None


_PASSES = msgspec.json.Decoder(_Passes)


class _TimingKeys(msgspec.Struct, frozen=True):
    resamples: int = _DEFAULT_RESAMPLES


class _ConfigKeys(msgspec.Struct, frozen=True):
    """The one key of a configuration that an interval depends on."""

    timing: _TimingKeys = _TimingKeys()


class _Rounds(msgspec.Struct, frozen=True):
    """A network's complete rounds: number -> sum over all images."""

    ms: Mapping[int, float] = {}
    parent_ms: Mapping[int, float] = {}
    """Empty in records without the parent's clock."""


def small_sample_quantile(confidence: float, rounds: int) -> float:
    """Half-width in bootstrap standard errors of an interval that keeps its coverage with few rounds.

    Student's t, and the population's formula undone (Hesterberg, The American Statistician 2015).

    >>> round(small_sample_quantile(0.95, 10), 2)
    2.38
    """
    return student_t(confidence, rounds - 1) * math.sqrt(rounds / (rounds - 1))


def require_consistent(document: Document) -> None:
    """Refuses a record whose verdict, qualities, runtimes, ratio or intervals do not follow from what it holds.

    Plain Python: for the few hundred passes of a usual record that is several times as fast as numpy.

    Raises:
        RecordError: The line names the figure, its value, and the value that follows from the samples.
    """
    _check_verdict(document)
    rounds: list[_Rounds] = []
    for role in ROLES:
        network = document.networks.of(role)
        if network.quality:
            _check_quality(role, network.quality.mean, network.quality.images)
        rounds.append(_checked_rounds(role, network.timing, document) if network.timing else _Rounds())
        if rounds[-1].parent_ms:
            _check_findings(role, document)
    _check_ratio(document, *rounds)


def _check_verdict(document: Document) -> None:
    verdict = document.verdict
    failed = any(document.networks.of(role).failure for role in ROLES)
    follows = status_of([reason.severity for reason in verdict.reasons], failed=failed)
    if verdict.status != follows:
        raise RecordError(f"verdict: {verdict.status}, but failures and reasons make it {follows}")


def _check_findings(role: Role, document: Document) -> None:
    """The reasons that follow from what the record says about a network; older records had others."""
    network = document.networks.of(role)
    given = {reason.reason for reason in document.verdict.reasons if reason.role == role}
    follows = {
        "outputs_differ": network.output_check.differing > 0,
        "stochastic": network.output_check.stochastic,
        "switches_changed": bool(network.switches_changed),
        "precision_changed": network.precision == "fp32" and bool(network.precisions),
        "warmup_cap": network.timing is not None and b"false" in bytes(network.timing.warmup),
    }
    if lacking := [name for name, found in follows.items() if found and name not in given]:
        raise RecordError(f"verdict: without {role}'s {lacking[0]}, which its findings give; the file was altered")


def _check_quality(role: Role, mean: Quality, images: Sequence[Quality]) -> None:
    """The mean of each figure; of PSNR, one infinite image makes it infinite (`None`)."""
    columns = zip(*map(astuple, images), strict=True)
    for name, recorded, values in zip(mean.__struct_fields__, astuple(mean), columns, strict=True):
        follows = None if None in values else sum(values) / len(values)
        if (recorded is None) != (follows is None) or not _same(recorded or 0.0, follows or 0.0):
            raise _contradiction(f"{role}'s {name}", recorded, follows, "its images")


def _checked_rounds(role: Role, timing: NetworkTiming, document: Document) -> _Rounds:
    """Complete rounds, from which the network's own figures follow."""
    passes, images = _counted(role, timing), len(document.data.load_images())
    of_round = Counter(passes.round)
    if max(of_round, default=0) >= MOST_ROUNDS or max(passes.image, default=0) >= images:
        raise RecordError(
            f"{role}'s samples: of more than {MOST_ROUNDS} rounds, or not of the data set's {images} images"
        )
    sums = {number: 0.0 for number in sorted(of_round) if of_round[number] == images}
    columns: list[list[float]] = [[] for _ in range(images)]
    for number, image, ms in zip(passes.round, passes.image, passes.ms, strict=True):
        if number in sums:
            sums[number] += ms
            columns[image].append(ms)
    if not sums or timing.complete_rounds != len(sums) or any(len(column) != len(sums) for column in columns):
        raise _contradiction(f"{role}'s complete_rounds", timing.complete_rounds, len(sums))
    for column in columns:
        column.sort()
    medians = [*map(median, columns)]
    if len(timing.median_ms) != images or not all(map(_same, timing.median_ms, medians)):
        raise RecordError(f"{role}'s median_ms: not the medians of the samples")
    means = [ms / images for ms in sums.values()]
    pair, name, value = document.timing, f"{role}'s runtime_ms", sum(medians) / images
    if pair.dependence or passes.parent_ms is not None:
        follows = of_runtime(value, means, pair.confidence, _processes(pair, sums))
        _check_exact(name, timing.runtime_ms, follows)
    else:
        bounds = [sum(column[end] for column in columns) / images for end in (0, -1)]
        _check_estimate(name, timing.runtime_ms, value, (bounds[0], bounds[1]))
    mean = sum(sums.values()) / len(sums) / images
    # Records of version 1 left no pass out of this mean.
    if not (_same(timing.runtime_ms_plain, mean) or _same(timing.runtime_ms_plain, sum(passes.ms) / len(passes.ms))):
        raise _contradiction(f"{role}'s runtime_ms_plain", timing.runtime_ms_plain, mean)
    return _Rounds(sums, _by_parent(passes, sums))


def _by_parent(passes: _Passes, complete: Mapping[int, float]) -> Mapping[int, float]:
    """The same rounds by the parent's clock."""
    if passes.parent_ms is None:
        return {}
    sums = dict.fromkeys(complete, 0.0)
    for number, ms in zip(passes.round, passes.parent_ms, strict=True):
        if number in sums:
            sums[number] += ms
    return sums


def _processes(timing: Timing, rounds: Iterable[int]) -> Sequence[int] | None:
    """Process of each round; `None`: all of one process."""
    if len(timing.processes) <= 1:
        return None
    if sum(process.rounds for process in timing.processes) > MOST_ROUNDS:
        raise RecordError(f"timing.processes: of more than {MOST_ROUNDS} rounds")
    owners = [number for number, process in enumerate(timing.processes) for _ in range(process.rounds)]
    if max(rounds, default=0) >= len(owners):
        raise RecordError(f"timing.processes: of {len(owners)} rounds, but the samples are of more")
    return [owners[number] for number in rounds]


def _counted(role: Role, timing: NetworkTiming) -> _Passes:
    """The passes of the blocks that were not measured again."""
    try:
        passes = _PASSES.decode(timing.samples)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{role}'s samples: {error}") from None
    if any(column is not None and len(column) != timing.passes for column in astuple(passes)):
        raise RecordError(f"{role}'s samples: not {timing.passes} values in each column")
    if b"true" not in bytes(timing.blocks):
        return passes
    replaced = {block.block for block in timing.load_blocks() if block.replaced}
    kept = [block not in replaced for block in passes.block]
    return _Passes(*(column and list(compress(column, kept)) for column in astuple(passes)))


def _check_ratio(document: Document, candidate: _Rounds, baseline: _Rounds) -> None:
    timing = document.timing
    numbers = [number for number in candidate.ms if number in baseline.ms]
    both = [candidate.ms[number] for number in numbers], [baseline.ms[number] for number in numbers]
    if not all(both[0]) or not all(both[1]):
        raise RecordError("samples: a round that took no time")
    per_round = [*map(truediv, *both)]
    if len(timing.ratio_per_round) != len(per_round):
        raise _contradiction("rounds in timing.ratio_per_round", len(timing.ratio_per_round), len(per_round))
    if not all(map(_same, timing.ratio_per_round, per_round)):
        raise RecordError("timing.ratio_per_round: not the ratios of the samples")
    if not per_round or timing.ratio is None:
        if per_round or timing.ratio or timing.ratio_plain or timing.dependence:
            raise RecordError("timing.ratio: given without a round that both networks completed, or missing with one")
        return
    if timing.dependence or candidate.parent_ms:
        _check_exactly(timing, timing.ratio, both, _processes(timing, numbers))
    else:
        _check_bootstrapped(document, timing.ratio, both, sorted(per_round))
    if timing.ratio_parent:
        _check_ratio_parent(timing.ratio_parent, candidate, baseline, numbers)
    if timing.precision:
        _check_precision(timing.precision, timing.ratio.width)


def _check_exactly(
    timing: Timing, ratio: Estimate, both: tuple[Sequence[float], Sequence[float]], groups: Sequence[int] | None
) -> None:
    """Both ratios with their intervals, and the dependence that the intervals allow for."""
    per_round, confidence = timing.ratio_per_round, timing.confidence
    if timing.process_of_round != tuple(groups or [0] * len(per_round)):
        raise RecordError("timing.process_of_round: not the processes of the complete rounds")
    _check_exact("timing.ratio", ratio, of_ratio(per_round, confidence, groups))
    if timing.ratio_plain:
        _check_exact("timing.ratio_plain", timing.ratio_plain, of_totals(*both, confidence, groups))
    found, follows = timing.dependence, dependence(per_round, groups)
    if not found or not all(map(_same, astuple(found), astuple(follows))):
        raise RecordError(
            f"timing.dependence: not that of the samples, a correlation of {follows.correlation:.6g} and "
            f"{follows.independent_rounds:.6g} independent rounds"
        )


def _check_bootstrapped(
    document: Document, ratio: Estimate, both: tuple[Sequence[float], Sequence[float]], ordered: Sequence[float]
) -> None:
    """The figures of older records."""
    bounds = ordered[0], ordered[-1]
    _check_estimate("timing.ratio", ratio, median(ordered), bounds)
    if document.timing.ratio_plain:
        _check_estimate("timing.ratio_plain", document.timing.ratio_plain, truediv(*map(sum, both)), bounds)
    _check_interval(document, ratio, ordered)


def _check_ratio_parent(found: float, candidate: _Rounds, baseline: _Rounds, numbers: Sequence[int]) -> None:
    one, other = candidate.parent_ms, baseline.parent_ms
    if not (one and other and all(other[number] for number in numbers)):
        raise RecordError("timing.ratio_parent: given without a round on the parent's clock")
    follows = median(sorted(one[number] / other[number] for number in numbers))
    if not _same(found, follows):
        raise _contradiction("timing.ratio_parent", found, follows)


def _agree(found: Estimate, follows: Estimate) -> bool:
    """True if the intervals are the same, to within a fraction of the value."""
    if found.low is None or found.high is None or follows.low is None or follows.high is None:
        return astuple(found)[1:] == astuple(follows)[1:]
    slack = _TOLERANCE * follows.value
    return abs(found.low - follows.low) <= slack and abs(found.high - follows.high) <= slack


def _check_exact(name: str, found: Estimate, follows: Estimate) -> None:
    if not _same(found.value, follows.value):
        raise _contradiction(name, found.value, follows.value)
    if not _agree(found, follows):
        raise _contradiction(f"{name}'s interval", _bracket(found), _bracket(follows))


def _bracket(one: Estimate) -> str:
    return "none" if one.low is None or one.high is None else f"[{one.low:.6g}, {one.high:.6g}]"


def _check_estimate(name: str, found: Estimate, follows: float, bounds: tuple[float, float]) -> None:
    """The value must follow; the interval must be one, within the least and the largest of what was resampled."""
    if not _same(found.value, follows):
        raise _contradiction(name, found.value, follows)
    if (found.low is None) != (found.high is None):
        raise RecordError(f"{name}: half an interval")
    if found.low is None or found.high is None:
        return
    least, most = bounds
    if not least * (1 - _TOLERANCE) <= found.low <= found.high <= most * (1 + _TOLERANCE):
        rounds = f"rounds of {least:.6g} to {most:.6g}"
        raise RecordError(f"{name}: the interval {_bracket(found)} does not follow from {rounds}")


def _check_interval(document: Document, ratio: Estimate, ordered: Sequence[float]) -> None:
    """An older ratio's interval: a percentile interval of resampled medians, whose distribution is known exactly."""
    if ratio.low is None or ratio.high is None:
        return
    timing, rounds = document.timing, len(ordered)
    outside = not ratio.low <= ratio.value <= ratio.high
    if outside and timing.confidence >= _JUDGED_CONFIDENCE and _resamples(document) >= _FEW_RESAMPLES:
        raise RecordError(f"timing.ratio: {ratio.value:.6g} lies outside its own interval {_bracket(ratio)}")
    if rounds < fewest_rounds(timing.confidence) or len(set(timing.process_of_round)) > 1:
        return  # of few rounds, or of processes that are resampled first, anything between the extremes may come out
    bounds = ratio.low, ratio.high
    if not (
        _may_be(bounds, ordered, timing.confidence, _DEFAULT_RESAMPLES)
        or _may_be(bounds, ordered, timing.confidence, _resamples(document))
    ):
        raise RecordError(f"timing.ratio: the interval {_bracket(ratio)} does not follow from the samples")


def _may_be(bounds: tuple[float, float], ordered: Sequence[float], confidence: float, resamples: int) -> bool:
    """True if resampling the sorted rounds can give these bounds."""
    places = possible_places(len(ordered), confidence, resamples)
    least, most, lowest, highest = (ordered[place] for place in places)
    slack, (low, high) = _TOLERANCE * highest, bounds
    return least - slack <= low <= most + slack and lowest - slack <= high <= highest + slack


def _resamples(document: Document) -> int:
    return max(1, load_raw(document.config, _ConfigKeys, "config").timing.resamples)


@lru_cache(maxsize=4096)
def possible_places(rounds: int, confidence: float, resamples: int) -> tuple[int, int, int, int]:
    """Indices into the sorted rounds: the least and the greatest for the low and for the high bound of the median.

    A resample's median is at most the k-th value if at least half of its draws are, which is binomial.

    >>> possible_places(10, 0.95, 9999)
    (1, 2, 7, 8)
    """
    import numpy as np  # noqa: PLC0415 - see `small_sample_quantile`
    from scipy.special import betainc, betaincinv, ndtr  # noqa: PLC0415

    # A bound lies between two of the sorted resamples, whose own quantiles follow beta distributions.
    below = int(float(ndtr(-small_sample_quantile(confidence, rounds))) * (resamples - 1))
    lowest = betaincinv(below + 1, resamples - below, _IMPROBABLE)
    below = int((1 - confidence) / 2 * (resamples - 1))  # the first records took plain percentiles
    highest = betaincinv(below + 2, resamples - below - 1, 1 - _IMPROBABLE) if below + 2 < resamples else 1.0
    share, half = np.arange(1, rounds + 1) / rounds, (rounds + 1) // 2
    upper_half = rounds // 2 + 1  # the same with an odd number of rounds; a median lies between the two
    least = int(np.searchsorted(betainc(half, rounds - half + 1, share), lowest, side="left"))
    most = int(np.searchsorted(betainc(upper_half, rounds - upper_half + 1, share), highest, side="right"))
    most = min(most, rounds - 1)
    return least, most, rounds - 1 - most, rounds - 1 - least


def _check_precision(precision: Precision, width: float | None) -> None:
    if (precision.width is None) != (width is None) or not _same(precision.width or 0.0, width or 0.0):
        raise _contradiction("timing.precision.width", precision.width, width, "the ratio's interval")
    if precision.reached != (width is not None and width <= precision.target):
        raise RecordError(f"timing.precision: reached={str(precision.reached).lower()} contradicts its width")


def _same(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= _TOLERANCE * max(abs(one), abs(other))


def _contradiction(name: str, recorded: object, follows: object, source: str = "the samples") -> RecordError:
    one, other = (f"{value:.6g}" if isinstance(value, float) else f"{value}" for value in (recorded, follows))
    return RecordError(f"{name}: {one}, but {source} give {other}; the file was altered")
