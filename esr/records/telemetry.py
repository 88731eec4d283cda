"""Telemetry's part of a record: what GPU and host reported while networks were timed."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Raw, field

from esr.config.terms import Count, Figure, Role
from esr.records.network import Estimate
from esr.records.part import Part, load_raw

EnergyScope: TypeAlias = Literal["gpu", "module"]
"""The GPU with its memory and board, or the module that it shares with a processor."""
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
"""Since the watch began."""
RawWindows: TypeAlias = Annotated[Raw, Meta(extra_json_schema={"type": "array", "items": {"$ref": "#/$defs/Window"}})]


class Spread(Part, frozen=True):
    """Smallest, median and largest sample."""

    min: float
    median: float
    max: float


class WindowFigures(Part, frozen=True, omit_defaults=True):
    """Figures of one block or of several together; `None` where nothing was sampled."""

    gpu_sm_mhz: Spread | None = None
    gpu_memory_mhz: Spread | None = None
    gpu_pstate: Spread | None = None
    gpu_temperature_c: Spread | None = None
    gpu_power_w: Spread | None = None
    gpu_utilisation_pct: Spread | None = None
    host_temperature_c: Spread | None = None
    cpu_mhz: Spread | None = None
    """All cores together."""
    reasons: str | None = None
    """NVML's clock-event bits, all that were seen, hexadecimal."""
    gpu_energy_j: Figure | None = None
    gpu_energy_method: str | None = None
    """`counter` or `power` (integrated)."""
    host_energy_j: Figure | None = None
    host_load: Figure | None = None
    """Load by other processes as a fraction of all cores; `None` where the window is too short to tell."""


class Window(WindowFigures, frozen=True, kw_only=True):
    """One timed block."""

    block: Count
    role: Role
    images: Count
    """Forward passes in it."""
    start: Seconds
    end: Seconds


class WholeRun(WindowFigures, frozen=True):
    """All blocks that count."""

    reason_names: tuple[str, ...] = ()
    """The bits of `reasons` by name."""


class Sampling(Part, frozen=True):
    """Cost of sampling itself."""

    samples: Count
    interval_s: Figure
    """Mean interval between two samples."""
    cpu_s: Figure
    error: str | None
    """Error that ended the sampling early."""


class NvmlError(Part, frozen=True):
    """A call that the driver refused."""

    code: int
    error: str
    at_s: float
    count: Count


class GpuState(Part, frozen=True):
    """State that is read before and after timing only; `None` where not readable."""

    name: str | None
    uuid: str | None
    processes: tuple[Count, ...] | None
    """PIDs with a context on the device, as the host numbers them."""
    own_processes: tuple[Count, ...]
    fan_pct: Figure | None
    ecc: bool | None
    persistence_mode: bool | None
    power_limit_w: Figure | None
    max_sm_mhz: Figure | None
    max_memory_mhz: Figure | None
    memory_used_mib: Figure | None
    module_power_w: Figure | None = None
    """Power of the module of which the GPU is a part, as on a GH200; `None` for a GPU by itself."""


class GpuWatch(Part, frozen=True):
    """The GPU as it was watched."""

    before: GpuState | None
    after: GpuState | None
    gone: str | None
    """Reason why the device stopped answering; `None` while it answered."""
    mig: str | None
    """UUID of the MIG device in use: clocks, temperature, power and energy are those of its whole GPU."""
    errors: dict[str, NvmlError]
    """By column or field."""
    sampling: Sampling


class Energy(Part, frozen=True):
    """Joules of the blocks that have an energy, and their share per image."""

    joules: Figure
    images: Count
    joules_per_image: Figure
    method: str
    """`counter`, `power`, or both joined by `+`."""
    scope: EnergyScope | None = None
    """Consumer whose energy it is; `None` for a host, where it is not one and the same, and in older records."""


class EnergyRatio(Part, frozen=True):
    """Energy of the candidate over that of the baseline, over the same images."""

    ratio: Estimate
    """Median over the rounds in which every block of both networks has an energy."""
    rounds: Count
    method: str
    """`counter` or `power`."""
    scope: EnergyScope


class Cycles(Part, frozen=True):
    """A second opinion on the ratio: cycles of the SM clock in place of milliseconds."""

    ratio: Estimate
    """Median over the rounds in which every block has a clock."""
    rounds: Count
    sm_mhz: dict[Role, Figure]
    """Median over each network's blocks."""


class EnergyPerImage(Part, frozen=True):
    """Energy of one network, by its source; `None` where no block has one."""

    gpu: Energy | None
    host: Energy | None


class Telemetry(Part, frozen=True):
    """Telemetry of device and host; only `enabled` is set where nothing was watched."""

    enabled: bool
    gpu: GpuWatch | None = None
    """`None` without a GPU."""
    host: Sampling | None = None
    run: WholeRun | None = None
    energy_per_image: dict[Role, EnergyPerImage] = field(default_factory=dict)
    windows: RawWindows = field(default_factory=lambda: Raw(b"[]"))
    trace: str | None = None
    """File beside the record that holds every sample."""

    def load_windows(self) -> tuple[Window, ...]:
        """Decodes the windows, in the order of their blocks.

        Raises:
            RecordError: They do not fit their type.
        """
        return load_raw(self.windows, tuple[Window, ...], "telemetry.windows")
