"""What is known so far of one network in an evaluation."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from esr.config import ModelConf
from esr.quality import Quality
from esr.worker.parent import Worker
from esr.zoo import WeightsFile

OUTPUT_TOLERANCE = 1
"""Grey levels by which a timed output may differ from the quality pass's: cuDNN's algorithms round differently."""


@dataclass
class Subject:
    """A candidate or a baseline: how it is configured, its worker, and the results as they come in."""

    role: str
    name: str
    model: ModelConf
    weights: WeightsFile
    worker: Worker = field(init=False)
    failure: dict[str, str] | None = None
    runtime: dict[str, Any] = field(default_factory=dict)
    """What the worker says of device, threads, torch and switches."""
    memory: dict[str, Any] | None = None
    complexity: dict[str, Any] | None = None
    """Counts, or `unavailable` with the reason: a network may run on the images but not on the counted size."""
    quality: list[Quality] = field(default_factory=list)
    """One per image; empty where there is no HR."""
    samples: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    """A sample of each SR image of the quality pass."""
    timed_samples: list[tuple[int, npt.NDArray[np.uint8]]] = field(default_factory=list)
    """Image and sample of timed passes that are still to be compared."""
    warmup: list[dict[str, Any]] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(
        default_factory=lambda: {"round": [], "block": [], "image": [], "ms": [], "wall_ms": []}
    )
    """Every timed pass, one value per column."""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    compared: int = 0
    differing: list[int] = field(default_factory=list)
    largest_difference: int = 0

    def add_block(
        self,
        number: int,
        block: int,
        images: list[int],
        durations: list[dict[str, float]],
        wall_ms: float,
    ) -> None:
        """Keeps the raw samples of one turn."""
        self.blocks.append({"block": block, "round": number, "parent_wall_ms": wall_ms})
        for image, duration in zip(images, durations, strict=True):
            row = (number, block, image, duration["device_ms"], duration["wall_ms"])
            for column, value in zip(self.columns.values(), row, strict=True):
                column.append(value)

    def warm_ms(self, shape: tuple[int, int]) -> float:
        """Milliseconds of the last warm-up pass over an LR shape."""
        return float(next(entry["ms"][-1] for entry in self.warmup if tuple(entry["lr_shape"]) == shape))

    def compare_timed_outputs(self) -> None:
        """Holds waiting samples of timed passes against the quality pass's."""
        if not self.samples:
            return
        for image, timed in self.timed_samples:
            if image >= len(self.samples):
                continue
            difference = int(np.abs(timed.astype(int) - self.samples[image].astype(int)).max())
            self.compared += 1
            self.largest_difference = max(self.largest_difference, difference)
            if difference > OUTPUT_TOLERANCE:
                self.differing.append(image)
        self.timed_samples.clear()
