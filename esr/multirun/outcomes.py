"""Outcomes of a multirun's networks, and their summary."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_MOST_NAMES = 5
"""Networks named per reason; each one's folder holds the reason, too."""
NetworkStatus = Literal["measured", "skipped", "failed", "refused"]
"""`failed` during the measurement, `refused` before it."""


@dataclass(frozen=True)
class NetworkOutcome:
    """The outcome of one network in a multirun."""

    network: str
    status: NetworkStatus
    detail: str
    """Its figures, or the reason why there are none."""
    folder: Path | None
    """Folder of its records; `None` where its configuration is not valid."""
    tainted: bool = False
    seconds: float = 0.0

    @property
    def reason(self) -> str:
        """The detail without the network's name."""
        return self.detail.removeprefix(f"{self.network}: ").removeprefix(f"{self.network} ")


def summary(outcomes: Sequence[NetworkOutcome], networks: int) -> list[str]:
    """Lines on a multirun's outcomes, the folders of its records, and how to rank them.

    Args:
        outcomes: Of the networks that were started.
        networks: Number of networks asked for.
    """
    states = Counter(one.status for one in outcomes)
    counts = {
        "measured": states["measured"],
        "skipped (measured before; force=true repeats)": states["skipped"],
        "failed": states["failed"],
        "refused": states["refused"],
        "not started (rerun to resume)": networks - len(outcomes),
    }
    counted = ", ".join(f"{n} {words}" for words, n in counts.items() if n)
    lines = [f"{networks} network{'s' * (networks != 1)}: {counted}"]
    lines += _failures(outcomes)
    if tainted := [outcome.network for outcome in outcomes if outcome.tainted]:
        lines.append(f"tainted, not measured again: {', '.join(tainted)}")
    for folder in dict.fromkeys(outcome.folder.parent for outcome in outcomes if outcome.folder):
        shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        lines += [f"records: {shown}", f"table:   esr rank {shown}"]
    return lines


def _failures(outcomes: Sequence[NetworkOutcome]) -> list[str]:
    """One line for each reason, with the networks that it stopped."""
    failed: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        if outcome.status in ("failed", "refused"):
            failed.setdefault((outcome.status, outcome.reason), []).append(outcome.network)
    lines = []
    for (status, reason), names in sorted(failed.items()):
        more = f" and {len(names) - _MOST_NAMES} more" if names[_MOST_NAMES:] else ""
        lines.append(f"{status}: {', '.join(names[:_MOST_NAMES])}{more}: {reason}")
    return lines
