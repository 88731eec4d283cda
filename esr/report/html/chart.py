"""Data of the two charts: quality and cost against runtime with Pareto fronts, and rank correlations."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from esr.ranking import Metric, Ranking, Row
from esr.report import table
from esr.report.html.page_table import flag, kind
from esr.report.wording import number

_COSTS: tuple[tuple[Metric, str, float], ...] = (
    ("params", "params [M]", 1e6),
    ("flops", "FLOPs (challenge) [G]", 1e9),
    ("macs", "MACs (dispatcher) [G]", 1e9),
    ("activations", "activations [M]", 1e6),
    ("memory", "memory [MiB]", 1),
)
LOGARITHMIC_FROM = 3
"""Largest over smallest runtime above which their axis is logarithmic."""


class Bubble(msgspec.Struct, frozen=True):
    """A network in the chart."""

    key: str
    kind: str
    flag: str | None
    params: float | None
    hover: list[str]
    """Lines shown beside the pointer."""


class RuntimeAxis(msgspec.Struct, frozen=True):
    """An axis of runtime: lower is better. Each list follows the ranking's rows."""

    id: str
    label: str
    values: list[float | None]
    low: list[float | None] | None = None
    """Bounds of intervals; `None` where the axis has none."""
    high: list[float | None] | None = None
    log: bool = False


class QualityAxis(msgspec.Struct, frozen=True):
    """An axis of quality or cost."""

    id: str
    label: str
    better: Literal["high", "low"]
    gate: float | None
    """dB that a network must reach."""
    values: list[float | None]
    fronts: list[list[int]] = []
    """For each axis of runtime, indices of the networks on the Pareto front."""


class Chart(msgspec.Struct, frozen=True):
    """Networks and axes."""

    networks: list[Bubble]
    x: list[RuntimeAxis]
    y: list[QualityAxis]


def chart(ranking: Ranking) -> Chart:
    """The chart of a ranking; axes on which nothing is known are left out."""
    networks = [
        Bubble(row.entry.key, kind(row), flag(row), row.entry.figures.params, _hover(row, ranking.baseline))
        for row in ranking.rows
    ]
    across = _runtime_axes(ranking)
    up = [
        msgspec.structs.replace(axis, fronts=[pareto(x.values, axis.values, axis.better == "high") for x in across])
        for axis in _quality_axes(ranking.rows)
    ]
    return Chart(networks, across, up)


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
    return [vars(found) | {"label": table.METRIC_WORDS[found.metric]} for found in ranking.correlations]


def _runtime_axes(ranking: Ranking) -> list[RuntimeAxis]:
    figures = [row.entry.figures for row in ranking.rows]
    intervals = [one.ratio_interval for one in figures]
    ranges = [row.rank_interval for row in ranking.rows]
    axes = [
        RuntimeAxis(
            "ratio",
            f"runtime, ratio to {ranking.baseline}",
            [one.ratio for one in figures],
            [one.low if one else None for one in intervals],
            [one.high if one else None for one in intervals],
        ),
        RuntimeAxis("runtime_ms", "runtime [ms per image]", [one.runtime_ms for one in figures]),
        RuntimeAxis(
            "rank",
            "rank by runtime",
            [row.ranks.get("runtime") for row in ranking.rows],
            [one[0] if one else None for one in ranges],
            [one[1] if one else None for one in ranges],
        ),
    ]
    return [
        msgspec.structs.replace(axis, log=axis.id != "rank" and max(known) > LOGARITHMIC_FROM * min(known))
        for axis in axes
        if (known := [value for value in axis.values if value is not None])
    ]


def _quality_axes(rows: Sequence[Row]) -> list[QualityAxis]:
    """Quality first, then costs."""
    figures = [row.entry.figures for row in rows]
    axes = [
        QualityAxis(
            f"psnr_rgb_{name}",
            f"PSNR on {table.set_words(name)} [dB]",
            "high",
            _gate(rows, name),
            [one.psnr_rgb.get(name) for one in figures],
        )
        for name in dict.fromkeys(name for one in figures for name in one.psnr_rgb)
    ]
    for metric, label, unit in _COSTS:
        costs = [one.metric(metric) for one in figures]
        axes.append(QualityAxis(metric, label, "low", None, [cost and cost / unit for cost in costs]))
    return [axis for axis in axes if any(value is not None for value in axis.values)]


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
        interval = table.bounds(figures.ratio_interval, 3)
        lines.append(f"{number(figures.ratio, 3)}{interval} of {baseline}'s runtime")
    if row.rank_interval:
        rank = number(row.ranks.get("runtime"), 0)
        lines.append(f"rank by runtime {rank}, rank range {table.rank_range(row)}")
    if figures.params is not None:
        lines.append(f"{figures.params / 1e6:.3f} M params")
    return [*lines, *filter(None, [flag(row)])]
