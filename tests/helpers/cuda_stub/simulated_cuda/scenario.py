"""The NVML stub's scenario as the device feels it: how fast its clock is, and whether it is still there."""

import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path

DEFAULT_MHZ = 1582.0
"""SM clock of the NVML stub where the scenario gives none."""


class Scenario:
    """The lines of a scenario that concern one GPU; its time is kept in a file, else it stands at its beginning."""

    def __init__(self, nvml_index: int, environ: Mapping[str, str] = os.environ) -> None:
        self._clock: list[tuple[float, float]] = []
        self._lost: list[tuple[float, bool]] = []
        self._time: mmap.mmap | None = None
        if "NVML_STUB" in environ:
            self._read(Path(environ["NVML_STUB"]), nvml_index)
        if "NVML_STUB_TIME" in environ:
            with open(environ["NVML_STUB_TIME"], "rb") as file:
                self._time = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def _read(self, file: Path, nvml_index: int) -> None:
        for line in file.read_text().splitlines():
            words = line.split()
            if len(words) != 3 or words[0].startswith("#"):
                continue
            at, field, value = words
            name, _, index = field.partition("@")
            if index and int(index) != nvml_index:
                continue
            if name == "sm_mhz" and not value.startswith("!"):
                self._clock.append((float(at), float(value)))
            elif name == "device":
                self._lost.append((float(at), value.startswith("!")))

    @property
    def now(self) -> float:
        """The scenario's time in seconds."""
        return -1.0 if self._time is None else float(struct.unpack_from("=d", self._time)[0])

    def slowdown(self) -> float:
        """The clock at the beginning, relative to the clock now."""
        now = self.now
        passed = [mhz for at, mhz in self._clock if at <= now]
        first = next((mhz for at, mhz in self._clock if at < 0), DEFAULT_MHZ)
        return first / (passed[-1] if passed else first)

    def lost(self) -> bool:
        """True while the GPU has fallen off the bus."""
        now = self.now
        passed = [lost for at, lost in self._lost if at <= now]
        return bool(passed) and passed[-1]
