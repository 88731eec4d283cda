"""Data of the two charts: quality and cost against runtime with Pareto fronts, and rank correlations."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec.structs import asdict

from esr.ranking.structures import Ranking, Row
from esr.report import table
from esr.report.html.marks import flag, kind
from esr.report.wording import COUNTS, bounds, number

LOGARITHMIC_FROM = 3
"""Largest over smallest runtime above which their axis is logarithmic."""


MOST_BUBBLES = 2000
"""Networks in the chart, the first by rank: a browser takes many seconds to draw more, and nobody tells them apart."""


class Bubble(msgspec.Struct, frozen=True):
    """A network in the chart."""

    index: int
    """Of its row in the ranking."""
    key: str
    kind: str
    flag: str | None
    params: float | None
    hover: list[str]
    """Lines shown beside the pointer."""


class Axis(msgspec.Struct, frozen=True):
    """An axis of runtime, quality or cost. `values`, `low` and `high` follow the ranking's rows."""

    id: str
    label: str
    values: Sequence[float | None]
    better: Literal["high", "low"] = "low"
    low: list[float | None] | None = None
    """Bounds of intervals; `None` where the axis has none."""
    high: list[float | None] | None = None
    log: bool = False
    gate: float | None = None
    """dB that a network must reach."""


class Chart(msgspec.Struct, frozen=True):
    """Networks and axes."""

    networks: list[Bubble]
    x: list[Axis]
    y: list[Axis]


def chart(ranking: Ranking) -> Chart:
    """The chart of a ranking's first networks and of every baseline; axes on which nothing is known are left out."""
    kept = [at for at, row in enumerate(ranking.rows) if at < MOST_BUBBLES or row.entry.reference]
    ranking = msgspec.structs.replace(ranking, rows=[ranking.rows[at] for at in kept])
    networks = [
        Bubble(at, row.entry.key, kind(row), flag(row), row.entry.figures.params, _hover(row, ranking.baseline))
        for at, row in zip(kept, ranking.rows, strict=True)
    ]
    across = [axis for axis in _runtime_axes(ranking) if _known(axis.values)]
    return Chart(networks, across, [axis for axis in _quality_axes(ranking) if _known(axis.values)])


def front(shown: Chart, x: Axis, y: Axis) -> list[int]:
    """Indices of the Pareto front among ranked networks, which pass the gate."""
    ranked = [value if one.kind == "ranked" else None for value, one in zip(x.values, shown.networks, strict=True)]
    return pareto(ranked, y.values, y.better == "high")


def pareto(x: Sequence[float | None], y: Sequence[float | None], y_up: bool) -> list[int]:
    """Indices of the points that no other point beats in both, from left to right; `x` is better when lower.

    >>> pareto([1, 2, 3, None], [28.0, 29.0, 28.5, 30.0], y_up=True)
    [0, 1]
    """
    sign = -1 if y_up else 1
    points = sorted(
        (a, sign * b, index) for index, (a, b) in enumerate(zip(x, y, strict=True)) if a is not None and b is not None
    )
    front: list[int] = []
    best, at = float("inf"), float("-inf")
    for a, b, index in points:
        if b < best or (b == best and a == at):
            front.append(index)
            best, at = b, a
    return front


def correlations(ranking: Ranking) -> list[dict[str, object]]:
    """The ranking's correlations, each with its metric in words as `label`."""
    return [asdict(found) | {"label": COUNTS[found.metric].words} for found in ranking.correlations]


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _runtime_axes(ranking: Ranking) -> list[Axis]:
    figures = [row.entry.figures for row in ranking.rows]
    ratios = [(known.low, known.high) if (known := one.ratio_interval) else (None, None) for one in figures]
    ranks = [row.ranks.get("runtime") for row in ranking.rows]
    ranges = [row.rank_interval or (None, None) for row in ranking.rows]
    return [
        _runtime_axis("ratio", f"runtime, ratio to {ranking.baseline}", [one.ratio for one in figures], ratios),
        _runtime_axis("runtime_ms", "runtime [ms per image]", [one.runtime_ms for one in figures], []),
        _runtime_axis("rank", "rank by runtime", ranks, ranges),
    ]


def _runtime_axis(
    name: str, label: str, values: Sequence[float | None], intervals: Sequence[tuple[float | None, float | None]]
) -> Axis:
    known = _known(values)
    logarithmic = bool(known) and name != "rank" and max(known) > LOGARITHMIC_FROM * min(known)
    bars = ([one[end] for one in intervals] for end in (0, 1))
    low, high = bars if any(one[0] is not None for one in intervals) else (None, None)
    return Axis(name, label, values, low=low, high=high, log=logarithmic)


def _quality_axes(ranking: Ranking) -> list[Axis]:
    """Quality first, then costs."""
    rows = ranking.rows
    figures = [row.entry.figures for row in rows]
    axes = []
    for name in dict.fromkeys(name for one in figures for name in one.psnr_rgb):
        values = [one.psnr_rgb.get(name) for one in figures]
        label = f"PSNR on {table.set_words(name)} [dB]"
        axes.append(Axis(f"psnr_rgb_{name}", label, values, better="high", gate=_gate(rows, name)))
    for metric in table.counts(ranking):
        shown, costs = COUNTS[metric], [one.metric(metric) for one in figures]
        label = f"{shown.words} [{shown.symbol}]"
        axes.append(Axis(metric, label, [cost and cost / shown.unit for cost in costs]))
    return axes


def _gate(rows: Sequence[Row], data: str) -> float | None:
    """The PSNR that a network has to reach: its own less its margin above the gate, which is the same for all."""
    for row in rows:
        own = row.entry.figures.psnr_rgb.get(data)
        for gate in row.gates:
            if gate.data == data and gate.margin is not None and own is not None:
                return own - gate.margin
    return None


def _hover(row: Row, baseline: str) -> list[str]:
    figures = row.entry.figures
    lines = [f"PSNR {table.set_words(name)}: {value:.2f} dB" for name, value in figures.psnr_rgb.items()]
    if figures.ratio is not None:
        lines.append(f"{number(figures.ratio, 3)}{bounds(figures.ratio_interval, 3)} of {baseline}'s runtime")
    if row.rank_interval:
        rank = number(row.ranks.get("runtime"), 0)
        lines.append(f"rank by runtime {rank}, rank range {table.rank_range(row)}")
    if figures.params is not None:
        lines.append(f"{figures.params / 1e6:.3f} M params")
    return [*lines, *filter(None, [flag(row)])]
