"""NVML, the driver's monitoring library, through nvidia-ml-py.

Any call may be unsupported, forbidden, or fail because the GPU is lost. A refused call is noted and not repeated; the
others go on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

Reply = TypeVar("Reply")

Sample: TypeAlias = dict[str, float]
"""Column -> value at one moment, clock-reason bits as an integer; columns that could not be read are absent."""

NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND = 3, 4, 13
UNINITIALIZED, DRIVER_NOT_LOADED, GPU_IS_LOST, RESET_REQUIRED = 1, 9, 15, 16
_FIELD_IS_GONE = (NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND)
_DEVICE_IS_GONE = (UNINITIALIZED, DRIVER_NOT_LOADED, GPU_IS_LOST, RESET_REQUIRED)

ENERGY = "gpu_energy_j"
"""Counter of joules; Volta and later."""
GAUGES = ("gpu_sm_mhz", "gpu_memory_mhz", "gpu_pstate", "gpu_temperature_c", "gpu_power_w", "gpu_utilisation_pct")
TIMED = (*GAUGES, "gpu_reasons")
"""Columns cheap enough to be read while a network is timed."""
_INSTANT_POWER, _OF_THE_MODULE = 186, 1
"""NVML_FI_DEV_POWER_INSTANT and NVML_POWER_SCOPE_MODULE of nvml.h; older releases of nvidia-ml-py name neither."""


@dataclass
class DriverError:
    """A call that the driver refused."""

    code: int
    error: str
    at_s: float
    """First time, by the clock."""
    count: int = 0


def ask(question: Callable[[Any], Reply]) -> tuple[Reply | None, str | None]:
    """The reply to a question to `pynvml`, NVML opened for it alone; `None` and the error if the driver refuses."""
    import pynvml  # noqa: PLC0415 - only a machine with a driver gains from it

    try:
        pynvml.nvmlInit()
        try:
            return question(pynvml), None
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return None, str(error)


class Gpu:
    """One GPU as NVML sees it; errors of the driver never raise."""

    def __init__(self, which: str | int, clock: Callable[[], float] = time.monotonic) -> None:
        """Opens NVML and finds the device.

        Args:
            which: UUID, with or without the leading `GPU-` or `MIG-`, or NVML's index.
            clock: Seconds, for the times of errors.
        """
        import pynvml  # noqa: PLC0415 - only a machine with a driver gains from it

        self._nvml = pynvml
        self._clock = clock
        self._handle: Any = None
        self._used: Any = None
        """The device itself: `_handle`, or the MIG device on it."""
        self._refused: set[str] = set()
        self._opened = False
        self.errors: dict[str, DriverError] = {}
        """By column or field."""
        self.gone: str | None = None
        """Reason why the device does not answer; `None` while it does."""
        self.mig: str | None = None
        """UUID of the MIG device in use; all columns are then those of its whole GPU."""
        self._calls = self._table()
        self._open(which)

    def _open(self, which: str | int) -> None:
        try:
            self._nvml.nvmlInit()
            self._opened = True
            self._handle = self._used = self._find(which)
        except self._nvml.NVMLError as error:
            self._note("device", error)
            self.gone = str(error)
        else:
            self._turn_to_whole_gpu()

    def _find(self, which: str | int) -> Any:
        if isinstance(which, int):
            return self._nvml.nvmlDeviceGetHandleByIndex(which)
        if which.startswith(("GPU-", "MIG-")):
            return self._nvml.nvmlDeviceGetHandleByUUID(which.encode())
        try:
            return self._nvml.nvmlDeviceGetHandleByUUID(f"GPU-{which}".encode())
        except self._nvml.NVMLError_NotFound:
            # CUDA gives the UUID of a MIG device where it runs on one, likewise without its prefix.
            return self._nvml.nvmlDeviceGetHandleByUUID(f"MIG-{which}".encode())

    def _turn_to_whole_gpu(self) -> None:
        """Replaces a MIG device by its GPU, since NVML knows clocks, power and temperature of whole GPUs only."""
        try:
            if not self._nvml.nvmlDeviceIsMigDeviceHandle(self._used):
                return
        except self._nvml.NVMLError:  # a driver from before MIG
            return
        try:
            self.mig = self._nvml.nvmlDeviceGetUUID(self._used)
            self._handle = self._nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self._used)
        except self._nvml.NVMLError as error:
            self._note("mig", error)

    def _table(self) -> dict[str, Callable[[], Any]]:
        nvml = self._nvml
        return {
            "gpu_sm_mhz": lambda: nvml.nvmlDeviceGetClockInfo(self._handle, nvml.NVML_CLOCK_SM),
            "gpu_memory_mhz": lambda: nvml.nvmlDeviceGetClockInfo(self._handle, nvml.NVML_CLOCK_MEM),
            "gpu_pstate": lambda: nvml.nvmlDeviceGetPerformanceState(self._handle),
            "gpu_temperature_c": lambda: nvml.nvmlDeviceGetTemperature(self._handle, nvml.NVML_TEMPERATURE_GPU),
            "gpu_power_w": lambda: nvml.nvmlDeviceGetPowerUsage(self._handle) / 1000,
            "gpu_utilisation_pct": lambda: nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu,
            "gpu_reasons": self._reasons,
            ENERGY: lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000,
            "name": lambda: nvml.nvmlDeviceGetName(self._handle),
            "uuid": lambda: nvml.nvmlDeviceGetUUID(self._handle),
            "max_sm_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(self._handle, nvml.NVML_CLOCK_SM),
            "max_memory_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(self._handle, nvml.NVML_CLOCK_MEM),
            "module_power_w": self._module_power,
            "power_limit_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(self._handle) / 1000,
            "persistence_mode": lambda: bool(nvml.nvmlDeviceGetPersistenceMode(self._handle)),
            "ecc": lambda: bool(nvml.nvmlDeviceGetEccMode(self._handle)[0]),
            "fan_pct": lambda: nvml.nvmlDeviceGetFanSpeed(self._handle),
            "memory_used_mib": lambda: nvml.nvmlDeviceGetMemoryInfo(self._used).used / 2**20,
            "processes": self._processes,
        }

    def _reasons(self) -> int:
        """Bits that hold the clocks back, by their new name or, on a driver before 535, by the old one."""
        try:
            return int(self._nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
        except self._nvml.NVMLError_FunctionNotFound:
            self._calls["gpu_reasons"] = lambda: self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle)
            return int(self._calls["gpu_reasons"]())

    def _processes(self) -> tuple[int, ...]:
        running = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._used)
        return tuple(sorted(process.pid for process in running))

    def _module_power(self) -> float:
        (reading,) = self._nvml.nvmlDeviceGetFieldValues(self._handle, [(_INSTANT_POWER, _OF_THE_MODULE)])
        if reading.nvmlReturn:
            raise self._nvml.NVMLError(reading.nvmlReturn)
        return float(reading.value.uiVal / 1000)

    def _ask(self, field: str) -> Any:
        """A field's value; `None`, with the error noted, where the driver refuses."""
        if not self._opened or self.gone is not None or field in self._refused:
            return None
        try:
            return self._calls[field]()
        except self._nvml.NVMLError as error:
            self._note(field, error)
            if error.value in _FIELD_IS_GONE:
                self._refused.add(field)
            elif error.value in _DEVICE_IS_GONE:
                self.gone = str(error)
            return None

    def _note(self, field: str, error: Any) -> None:
        # The exception is not kept: it cannot be hashed, and its traceback would hold the frames.
        first = DriverError(int(error.value), str(error), round(self._clock(), 3))
        self.errors.setdefault(field, first).count += 1

    def timed(self) -> Sample:
        """The columns in `TIMED` that the device answers; may be called while a network is timed."""
        return {column: value for column in TIMED if (value := self._ask(column)) is not None}

    def energy(self) -> Sample:
        """The energy counter alone, in joules; empty where there is none."""
        value = self._ask(ENERGY)
        return {} if value is None else {ENERGY: float(value)}

    def slow(self) -> dict[str, Any]:
        """Fields that are constant or stall the driver for milliseconds; for before and after timing only.

        Returns:
            `processes` (PIDs), `fan_pct`, `ecc`, `persistence_mode`, `power_limit_w`, `module_power_w`, `max_sm_mhz`,
            `max_memory_mhz`, `memory_used_mib`, `name`, `uuid`; `None` where not readable. Processes and memory are
            those of the MIG device where one is in use.
        """
        fields = (field for field in self._calls if field not in TIMED and field != ENERGY)
        return {field: self._ask(field) for field in fields}

    def close(self) -> None:
        """Releases NVML; afterwards every field is `None`."""
        if self._opened:
            self._opened = False
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError as error:
                self._note("shutdown", error)
