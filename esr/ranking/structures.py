"""Input and output of a ranking: plain data, which `--format json` prints as it is."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from esr.config.terms import FailureKind, Precision, Status, WeightsSource
from esr.ranking.challenge import Metric, Track
from esr.records.document import Reason

Gate = Literal["pass", "fail", "untested"]
Constraints = Literal["report", "enforce"]
CONSTRAINTS: tuple[Constraints, ...] = get_args(Constraints)
Ranges = Literal["together", "one_by_one"]
"""Rank ranges hold all together, or each comparison on its own."""
RANGES: tuple[Ranges, ...] = get_args(Ranges)
Source = Literal["measured", "published"]
COUNT_FIELDS = ("params", "flops", "flops_fvcore", "macs", "activations", "convolutions")
"""Fields of `Figures` that are whole numbers, named as in a record."""

_FIELDS: Mapping[Metric, str] = {"runtime": "ratio", "memory": "memory_mib"}
"""Fields of `Figures` that are not named like their metric."""


def field_of(metric: Metric) -> str:
    """The field of `Figures` that a metric ranks by, its unit in its name."""
    return _FIELDS.get(metric, metric)


class Interval(msgspec.Struct, frozen=True):
    """Bounds of an interval, at 95 % unless stated otherwise."""

    low: float
    high: float


class Figures(msgspec.Struct, frozen=True):
    """One network's figures; `None` where not known. Counts are plain numbers, not millions."""

    runtime_ms: float | None = None
    """Mean milliseconds per image."""
    ratio: float | None = None
    """Runtime over the baseline's, which runtime is ranked by."""
    ratio_interval: Interval | None = None
    params: float | None = None
    flops: float | None = None
    """As the challenges' script counted until 2023 (module hooks)."""
    flops_fvcore: float | None = None
    """As fvcore counts, which the challenges have used since 2024."""
    macs: float | None = None
    """Multiply-accumulates as the dispatcher sees them."""
    activations: float | None = None
    memory_mib: float | None = None
    """Peak, MiB of 1024² bytes."""
    convolutions: float | None = None
    energy_mj: float | None = None
    """Millijoules per image."""
    psnr_rgb: Mapping[str, float] = {}
    """dB over RGB, unrounded, by data set; only where meaningful (not with random weights)."""

    def metric(self, metric: Metric) -> float | None:
        """The figure that a metric ranks by: lower is better."""
        value: float | None = getattr(self, field_of(metric))
        return value


class Entry(msgspec.Struct, frozen=True):
    """A network to be ranked."""

    key: str
    """Unique within a ranking: the network's name, with team or number where names collide."""
    name: str
    title: str
    """The architecture's or, in the published table, the team's name. Not trusted: escape it."""
    team: str | None
    team_id: int | None
    """Number in the challenge's table; -1 and 0 are its two baselines."""
    source: Source
    figures: Figures
    baseline: Figures
    """Figures of the baseline measured beside it."""
    reference: bool = False
    """A baseline of the challenge: shown, never ranked."""
    published: Figures | None = None
    """Row of the challenge's table; `None` where it has none."""
    published_in: str | None = None
    """Name of the challenge that published it."""
    published_ranks: Mapping[str, int] = {}
    """Published ranks by track and metric: main, sub1, runtime, params, …"""
    claims: Figures | None = None
    """Figures that its participant states; `None` where none are stated."""
    confidence: float = 0.95
    """Level of `ratio_interval`."""
    verdict: Status = "clean"
    reasons: tuple[Reason, ...] = ()
    failure: FailureKind | None = None
    barred: str | None = None
    """Reason for which it may not be ranked, whatever its figures are."""
    identical: tuple[str, ...] = ()
    """Data sets on which an output equals its HR image where the baseline's does not: infinite PSNR."""
    weights: WeightsSource | None = None
    baseline_weights: WeightsSource | None = None
    precision: Precision = "fp32"
    """Precision class; each is ranked apart."""
    missed_by_hooks: Mapping[str, int] = {}
    """Operator -> MACs that the challenge's script does not see."""
    without_formula: Mapping[str, int] = {}
    """Operator -> calls that `macs` leaves out."""
    path: str | None = None
    """The record's file."""
    device: str | None = None
    """Name of the GPU or the processor; `None` in a published table."""
    torch: str | None = None
    """Version of torch."""


class GateResult(msgspec.Struct, frozen=True):
    """A network against one PSNR gate."""

    data: str
    verdict: Gate
    margin: float | None = None
    """dB above the gate, unrounded; `None` where untested."""
    rounding_decides: bool = False
    """Rounded to two decimals, or unrounded in a published table, the figures would give the opposite verdict."""
    binding: bool = True
    """False for a gate that the rules do not give: it is reported and excludes nobody."""
    reason: str | None = None
    """Reason why it was not tested."""


class Place(msgspec.Struct, frozen=True):
    """A network in one track."""

    rank: int | None
    """Ties share the smaller rank; `None` where it does not take part."""
    score: float | None
    """Ranked figure: a sum of ranks, an exponential score, or the metric itself. Lower is better."""
    excluded: str | None = None
    """Reason why it has no rank."""


class Row(msgspec.Struct, frozen=True):
    """A network in the ranking."""

    entry: Entry
    gates: tuple[GateResult, ...]
    ranked: bool
    """Passed (or could not be tested against) the gates, and is not a reference."""
    excluded: str | None = None
    """Reason why it is not ranked."""
    ranks: Mapping[Metric, int] = {}
    """Rank by metric among the ranked; the table's subscripts."""
    places: Mapping[str, Place] = {}
    """By the track's key."""
    rank_interval: tuple[int, int] | None = None
    """Rank range by runtime (95 % CI); `None` with too few rounds."""
    brackets: tuple[int, ...] = ()
    """Numbers (0, 1, …) of the brackets it belongs to: runs of networks whose runtimes cannot be distinguished."""
    notes: tuple[str, ...] = ()
    """Footnotes of this network, each a sentence."""


class Correlation(msgspec.Struct, frozen=True):
    """Rank correlation of one metric with runtime over the ranked networks."""

    metric: Metric
    networks: int
    spearman: float
    spearman_interval: Interval | None
    kendall: float
    """Kendall's tau-b."""
    kendall_interval: Interval | None


class PlaceChange(msgspec.Struct, frozen=True):
    """A network whose rank by the challenge's FLOPs differs from its rank by the dispatcher's MACs."""

    key: str
    metric: Metric
    """Definition of the FLOPs: `flops` or `flops_fvcore`."""
    flops_rank: int
    macs_rank: int
    flops: float
    macs: float
    missed_by_hooks: Mapping[str, int]
    """Operator -> MACs; empty where it only moved because others did, and for fvcore's FLOPs."""


class Ranking(msgspec.Struct, frozen=True):
    """The whole table. `esr rank --format json` prints exactly this, with `format` and `version` in front."""

    challenge: str
    """Name of the configuration, such as `ntire2022`."""
    title: str
    baseline: str
    """Name of the network that ratios are relative to."""
    constraints: Constraints
    tracks: tuple[Track, ...]
    """In the table's order; `tracks[0]` orders the rows."""
    source: Source
    conditions: tuple[str, ...]
    """Device, data, protocol, as short phrases; more than one device only with `--mixed`."""
    rows: tuple[Row, ...]
    """Ranked networks by the first track, then those not ranked, then references."""
    correlations: tuple[Correlation, ...]
    changes: tuple[PlaceChange, ...]
    ranges: Ranges
    """Certainty of `rank_interval` and brackets."""
    notes: tuple[str, ...]
    """Footnotes of the whole table."""
