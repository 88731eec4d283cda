"""Timed passes: one pass's duration, and the columns that collect them."""

from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from esr.records.network import Samples
from esr.timing.schedule import Pass

Claim: TypeAlias = Annotated[float, Meta(ge=1e-4, le=1e12)]
"""Milliseconds; less is no pass, and its ratio would be no number of a record."""


@dataclass(frozen=True)
class Duration:
    """Duration of one forward pass, in milliseconds."""

    ms: Claim
    """Between two CUDA events around the pass; on the CPU the wall clock."""
    wall_ms: Claim
    """Wall clock from idle device to idle device."""
    enqueue_ms: Claim | None = None
    """Host time until all of the pass was launched, before waiting for it; `None` on the CPU."""


@dataclass
class SampleColumns:
    """Timed passes as growing columns; `Samples` is their finished form, and describes each."""

    round: list[int] = field(default_factory=list)
    block: list[int] = field(default_factory=list)
    image: list[int] = field(default_factory=list)
    altered: list[bool] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    enqueue_ms: list[float | None] = field(default_factory=list)
    parent_ms: list[float] = field(default_factory=list)

    def add(self, round_: int, block: int, one: Pass, duration: Duration, parent_ms: float) -> None:
        """Appends one pass."""
        self.round.append(round_)
        self.block.append(block)
        self.image.append(one.image)
        self.altered.append(one.alteration is not None)
        self.ms.append(duration.ms)
        self.wall_ms.append(duration.wall_ms)
        self.enqueue_ms.append(duration.enqueue_ms)
        self.parent_ms.append(parent_ms)

    def finish(self, outlier: list[bool]) -> Samples:
        """The record's columns, with the passes that are outliers."""
        columns: dict[str, Any] = {name: tuple(column) for name, column in vars(self).items()}
        if not self.enqueue_ms or None in self.enqueue_ms:
            columns["enqueue_ms"] = None
        return Samples(**columns, outlier=tuple(outlier))
