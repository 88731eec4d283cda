"""What is known so far of one network in an evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from esr.config.schema import ModelConf
from esr.evaluation.worker.parent import Worker
from esr.evaluation.worker.protocol import Image
from esr.records.network import Quality
from esr.timing.schedule import Pass
from esr.timing.statistics import Array, matrix
from esr.zoo.weights import WeightsFile

OUTPUT_TOLERANCE = 1
"""Grey levels by which a timed output may differ from the quality pass's: cuDNN's algorithms round differently."""
_LARGEST = 255
"""Grey levels between samples that cannot be compared, which a worker should not hand over."""
_TEXTURED = 5.0
"""Standard deviation of an output, in grey levels, above which another input must give another output."""


@dataclass
class OutputCheck:
    """How sampled outputs of timed passes compare with those of untimed passes over the same inputs."""

    compared: int = 0
    differing: int = 0
    stale: int = 0
    """Outputs over an altered input that are those of the image as it was: not computed, but remembered."""
    largest_difference: int = 0

    def compare(self, timed: Image, untimed: Image) -> None:
        """Holds the sample of a timed pass against that of an untimed one."""
        difference = _difference(timed, untimed)
        self.compared += 1
        self.largest_difference = max(self.largest_difference, difference)
        self.differing += difference > OUTPUT_TOLERANCE

    def compare_altered(self, timed: Image, untimed: Image, original: Image | None) -> None:
        """The same over an altered input, whose output must also differ from the original's."""
        self.compare(timed, untimed)
        if original is not None and original.std() > _TEXTURED:
            self.stale += _difference(timed, original) <= OUTPUT_TOLERANCE

    def as_dict(self) -> dict[str, int]:
        """For the record."""
        return {
            "compared": self.compared,
            "differing": self.differing,
            "stale": self.stale,
            "largest_difference": self.largest_difference,
            "tolerance": OUTPUT_TOLERANCE,
        }


def _difference(one: Image, other: Image) -> int:
    if one.shape != other.shape:
        return _LARGEST
    return int(np.abs(one.astype(int) - other.astype(int)).max())


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
    waiting: list[tuple[int, Image]] = field(default_factory=list)
    """Image and sample of timed passes that precede the quality pass."""
    warmup: list[dict[str, Any]] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(
        default_factory=lambda: {key: [] for key in ("round", "block", "image", "new", "ms", "wall_ms")}
    )
    """Every timed pass, one value per column."""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    outputs: OutputCheck = field(default_factory=OutputCheck)
    precisions: dict[str, list[str]] = field(default_factory=dict)
    """Floating-point types other than float32 -> the operators that gave them."""
    switches_changed: dict[str, Any] = field(default_factory=dict)
    """Settings that the network changed (`devices.read_settings`), with what it changed them to."""

    def add_block(
        self,
        block: dict[str, Any],
        passes: Sequence[Pass],
        durations: Sequence[dict[str, float]],
    ) -> None:
        """Keeps the raw samples of one turn."""
        self.blocks.append(block)
        for one, duration in zip(passes, durations, strict=True):
            row = (
                block["round"],
                block["block"],
                one.image,
                one.alteration is not None,
                duration["device_ms"],
                duration["wall_ms"],
            )
            for column, value in zip(self.columns.values(), row, strict=True):
                column.append(value)

    def table(self, rounds: int, images: int) -> Array:
        """Milliseconds of the passes that count, rounds × images."""
        return matrix(
            self.columns, rounds, images, [entry["block"] for entry in self.blocks if entry["replaced"]]
        )

    def warm_ms(self, shape: tuple[int, int]) -> float:
        """Milliseconds of the last warm-up pass over an LR shape."""
        return float(
            next(entry["ms"][-1] for entry in reversed(self.warmup) if tuple(entry["lr_shape"]) == shape)
        )

    def check_timed(self, image: int, timed: Image) -> None:
        """Holds the sample of a timed pass over an image as it is against the quality pass's, now or once it exists."""
        if image < len(self.samples):
            self.outputs.compare(timed, self.samples[image])
        else:
            self.waiting.append((image, timed))

    def note_audit(self, found: Mapping[str, Any]) -> None:
        """Keeps what a watched pass showed, as `esr.evaluation.worker.audit` gives it."""
        self.precisions |= found["precisions"]
        self.switches_changed |= found["switches"]

    def check_waiting(self) -> None:
        """Compares what was timed before the quality pass; what it never reached is not compared."""
        for image, timed in self.waiting:
            if image < len(self.samples):
                self.outputs.compare(timed, self.samples[image])
        self.waiting.clear()
