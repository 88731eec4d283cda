"""What the two charts draw: quality and cost against runtime with the Pareto front, and rank correlations."""

from collections.abc import Sequence
from typing import Any

from esr.ranking import Metric, Ranking, Row
from esr.report import table
from esr.report.html.grid import kind
from esr.report.wording import number

_COSTS: tuple[tuple[Metric, str, float], ...] = (
    ("params", "params [M]", 1e6),
    ("flops", "FLOPs (challenge) [G]", 1e9),
    ("macs", "MACs (dispatcher) [G]", 1e9),
    ("activations", "activations [M]", 1e6),
    ("memory", "memory [MiB]", 1),
)
Values = list[float | None]
Axis = dict[str, Any]
FAR = 3
"""Runtimes that lie further apart than this factor are drawn on a logarithmic axis."""


def chart(ranking: Ranking) -> dict[str, Any]:
    """Networks and axes; each list of values follows the ranking's rows.

    Returns:
        `networks`: key, kind, flag, params and the lines to show on hover. `x`, `y`: axes with id, label and values;
        `x` with `log`, and `low` and `high` where there are intervals; `y` with `better` (`high` or `low`), its gate
        and per axis of `x` the indices of its Pareto front.
    """
    rows = ranking.rows
    across = _across(ranking)
    return {
        "networks": [
            {
                "key": row.entry.key,
                "kind": kind(row),
                "flag": None if row.entry.verdict == "clean" else row.entry.verdict,
                "params": row.entry.figures.params,
                "hover": _hover(row, ranking),
            }
            for row in rows
        ],
        "x": across,
        "y": [
            axis | {"fronts": [pareto(x["values"], axis["values"], axis["better"] == "high") for x in across]}
            for axis in _up(rows)
        ],
    }


def pareto(x: Sequence[float | None], y: Sequence[float | None], y_up: bool) -> list[int]:
    """Indices of the points that no other point beats in both, from left to right; `x` is better when lower.

    >>> pareto([1, 2, 3, None], [28.0, 29.0, 28.5, 30.0], y_up=True)
    [0, 1]
    """
    sign = -1 if y_up else 1
    points = sorted(
        (a, sign * b, index)
        for index, (a, b) in enumerate(zip(x, y, strict=True))
        if a is not None and b is not None
    )
    front: list[int] = []
    best, at = float("inf"), float("-inf")
    for a, b, index in points:
        if b < best or (b == best and a == at):
            front.append(index)
            best, at = b, a
    return front


def correlations(ranking: Ranking) -> list[dict[str, Any]]:
    """Per metric its name, and `spearman` and `kendall` with their intervals."""
    return [
        {
            "label": table.METRIC_WORDS[found.metric],
            "spearman": found.spearman,
            "spearman_interval": found.spearman_interval,
            "kendall": found.kendall,
            "kendall_interval": found.kendall_interval,
        }
        for found in ranking.correlations
    ]


def _across(ranking: Ranking) -> list[Axis]:
    """Axes of runtime that anything is known on: the ratio, milliseconds, ranks with the intervals of ranks."""
    rows = ranking.rows
    bounds = [row.entry.figures.ratio_interval for row in rows]
    ranks = [row.rank_interval for row in rows]
    axes: list[Axis] = [
        {
            "id": "ratio",
            "label": f"runtime, ratio to {ranking.baseline}",
            "values": [row.entry.figures.ratio for row in rows],
            "low": [bound and bound.low for bound in bounds],
            "high": [bound and bound.high for bound in bounds],
        },
        {
            "id": "ms",
            "label": "runtime [ms per image]",
            "values": [row.entry.figures.runtime_ms for row in rows],
        },
        {
            "id": "rank",
            "label": "rank by runtime",
            "values": [row.ranks.get("runtime") for row in rows],
            "low": [rank and rank[0] for rank in ranks],
            "high": [rank and rank[1] for rank in ranks],
        },
    ]
    return [
        axis | {"log": axis["id"] != "rank" and max(known) > FAR * min(known)}
        for axis in axes
        if (known := [value for value in axis["values"] if value is not None])
    ]


def _up(rows: Sequence[Row]) -> list[Axis]:
    """Axes of quality first, then of cost."""
    sets = dict.fromkeys(name for row in rows for name in row.entry.figures.psnr)
    axes: list[Axis] = [
        {
            "id": f"psnr_{name}",
            "label": f"PSNR on {name.replace('_', ' ')} [dB]",
            "better": "high",
            "gate": _gate(rows, name),
            "values": [row.entry.figures.psnr.get(name) for row in rows],
        }
        for name in sets
    ]
    costs: list[Axis] = [
        {
            "id": metric,
            "label": label,
            "better": "low",
            "gate": None,
            "values": _scaled([row.entry.figures.metric(metric) for row in rows], unit),
        }
        for metric, label, unit in _COSTS
    ]
    return [*axes, *(axis for axis in costs if any(value is not None for value in axis["values"]))]


def _scaled(values: Values, unit: float) -> Values:
    return [None if value is None else value / unit for value in values]


def _gate(rows: Sequence[Row], data: str) -> float | None:
    """The PSNR that a network has to reach: its own less its margin above the gate, which is the same for all."""
    for row in rows:
        own = row.entry.figures.psnr.get(data)
        for gate in row.gates:
            if gate.data == data and gate.margin is not None and own is not None:
                return own - gate.margin
    return None


def _hover(row: Row, ranking: Ranking) -> list[str]:
    figures = row.entry.figures
    lines = [f"PSNR {name.replace('_', ' ')}: {value:.2f} dB" for name, value in figures.psnr.items()]
    if figures.ratio is not None:
        interval = table.bounds(figures.ratio_interval, 3)
        lines.append(f"{number(figures.ratio, 3)}{interval} of {ranking.baseline}'s runtime")
    if row.rank_interval:
        lines.append(
            f"rank by runtime {row.ranks.get('runtime', table.DASH)}, allowed {table.rank_interval(row)}"
        )
    if figures.params is not None:
        lines.append(f"{figures.params / 1e6:.3f} M params")
    return [*lines, row.entry.verdict] if row.entry.verdict != "clean" else lines
