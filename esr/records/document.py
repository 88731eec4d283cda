"""The whole record: one evaluation, everything needed to recompute each figure, described once.

`record.schema.json` is generated from these types by `make schema`.
"""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import Meta, Raw

from esr.config.terms import (
    MOST_ROUNDS,
    Count,
    Digest,
    Ending,
    Figure,
    LrOrigin,
    Positive,
    Protocol,
    Psnr,
    Role,
    Severity,
    Status,
)
from esr.records.network import Estimate, Network, Shape, WorkerReport
from esr.records.part import Part, load_raw, require_shallow
from esr.records.reasons import ReasonName
from esr.records.telemetry import Cycles, EnergyRatio, Telemetry

FORMAT: Literal["esr-record"] = "esr-record"
VERSION: Literal[3] = 3

Moment = Annotated[datetime, Meta(tz=True)]


class Program(Part, frozen=True):
    """The `esr` that made the record."""

    version: str
    commit: str | None
    """Git commit, `-dirty` where files were changed; `None` outside a checkout."""


class Cpu(Part, frozen=True):
    """The host's processor."""

    model: str | None
    architecture: str
    physical_cores: Count | None
    logical_cores: Count | None
    usable_cores: Count | None
    """Logical cores on which the process may run."""
    quota_cores: Figure | None
    """Cores that the control group grants; `None` without a limit."""
    governor: str | None
    max_mhz: Figure | None


class OperatingSystem(Part, frozen=True):
    """Operating system."""

    system: str
    release: str
    name: str | None


class Driver(Part, frozen=True):
    """NVIDIA driver."""

    version: str | None
    cuda: str | None
    """Newest CUDA version that the driver supports."""
    error: str | None
    """Reason why NVML did not answer; `None` where it did."""


class Environment(Part, frozen=True):
    """The machine as seen by the parent process; each network's `worker` holds torch's view."""

    esr: Program
    cpu: Cpu
    memory_mib: Figure
    os: OperatingSystem
    python: str
    container: str | None
    """`docker`, `podman`, …; `None` on a plain host."""
    driver: Driver


class Image(Part, frozen=True):
    """One image of the data set."""

    name: str
    lr_shape: Shape
    lr_sha256: Digest
    """Of the decoded 8-bit RGB pixels."""


Images = Annotated[tuple[Image, ...], Meta(min_length=1)]


class Data(Part, frozen=True):
    """The data set."""

    name: str
    has_hr: bool
    lr_origin: LrOrigin
    images: Annotated[Raw, Meta(extra_json_schema={"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Image"}})]
    lr_folder: str | None = None
    """Folder of given LR images; `None` where LR was made, and in records older than the field."""
    skipped: Count = 0
    """Images beside the set's that are not part of it."""
    skipped_from: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    """Folders and files of those, with their numbers and the reason."""
    complete: Count | None = None
    """Number of images of the whole set, where it is known and no limit was set."""
    bicubic_psnr_rgb: Psnr | None = None
    """dB of bicubic interpolation, mean over the images; `None` without HR."""

    @property
    def lr_words(self) -> str:
        """The origin of LR in words."""
        made = {"files": "given", "bicubic": "bicubic of HR", "bundled": "bundled photographs, bicubic"}[self.lr_origin]
        return f"{made}: {self.lr_folder}" if self.lr_folder else made

    def load_images(self) -> tuple[Image, ...]:
        """Decodes the images.

        Raises:
            RecordError: They do not fit their type.
        """
        return decoded_images(bytes(self.images))


@lru_cache(maxsize=64)
def decoded_images(raw: bytes) -> tuple[Image, ...]:
    """Images from their JSON; decoded once where many records share a set.

    Raises:
        RecordError: They do not fit their type.
    """
    return load_raw(Raw(raw), Images, "data.images")


class Networks(Part, frozen=True):
    """Both networks."""

    candidate: Network
    baseline: Network

    @property
    def worker(self) -> WorkerReport | None:
        """A worker's report on the device that both ran on: the candidate's if it started."""
        return self.candidate.worker or self.baseline.worker

    def of(self, role: Role) -> Network:
        """The network in a role."""
        return self.candidate if role == "candidate" else self.baseline


class Process(Part, frozen=True):
    """One repetition in fresh worker processes."""

    first_round: Count
    rounds: Count
    steady: bool
    """The device was at rest when timing began."""
    stopped_by: Ending
    seconds: Figure


class Dispersion(Part, frozen=True):
    """Relative standard deviations of the rounds' ratios."""

    within: Figure | None
    """Within a process, pooled."""
    between: Figure | None
    """Of the processes' medians."""


class Dependence(Part, frozen=True):
    """Correlation of successive rounds' ratios, which the intervals take into account."""

    correlation: Annotated[float, Meta(ge=-1, le=1)]
    """Of neighbouring rounds' sides of the median, within a process."""
    independent_rounds: Figure
    """Number of independent rounds that the rounds are worth, by an upper bound of the correlation."""


class Precision(Part, frozen=True):
    """Width of the ratio's interval, and the condition that ended the rounds."""

    target: Positive
    width: Figure | None
    """(high − low) / value of the ratio; `None` with too few rounds for an interval."""
    reached: bool
    stopped_by: Ending


class Timing(Part, frozen=True):
    """The pair's timing."""

    protocol: Protocol
    rounds: Annotated[int, Meta(ge=1, le=10**18)]
    """In all processes together, complete or not."""
    confidence: Annotated[float, Meta(gt=0, lt=1)]
    seed: Count
    ratio: Estimate | None
    """Candidate over baseline: median over the complete rounds; `None` where one of them failed."""
    ratio_plain: Estimate | None
    """All of the candidate's time over all of the baseline's, outliers in full."""
    ratio_per_round: Annotated[tuple[Positive, ...], Meta(max_length=MOST_ROUNDS)]
    process_of_round: Annotated[tuple[Count, ...], Meta(max_length=MOST_ROUNDS)]
    spread: Dispersion | None
    precision: Precision | None
    processes: Annotated[tuple[Process, ...], Meta(max_length=MOST_ROUNDS)]
    aa: bool
    """The same network with the same weights twice."""
    dependence: Dependence | None = None
    """`None` without a ratio, and in records whose intervals were bootstrapped."""
    cycles: Cycles | None = None
    """`None` where the SM clock is not known in any round, and in older records."""
    energy: EnergyRatio | None = None
    """`None` where the GPU's energy is not known in any round, and in older records."""
    ratio_parent: Positive | None = None
    """The ratio by the parent's clock over the same rounds, the harness's own time taken out; `None` where that time
    hides a network's, and in records older than the figure."""


class Reason(Part, frozen=True):
    """A reason against the measurement."""

    reason: ReasonName
    severity: Severity
    role: Role | None
    """Network concerned; `None`: both."""
    detail: str
    """One line with value and limit."""


class Verdict(Part, frozen=True):
    """Reliability of the figures."""

    status: Status
    reasons: Annotated[tuple[Reason, ...], Meta(max_length=1000)]


class Picture(Part, frozen=True):
    """Files that show one image."""

    image: Count
    """Index into the data set."""
    box: tuple[Count, Count, Count, Count]
    """Top, left, height and width in HR pixels."""
    files: dict[str, str]
    """`lr`, `bicubic`, each role, `hr` -> path beside the record."""


class Pictures(Part, frozen=True):
    """Pictures beside the record."""

    comparison: str | None
    images: tuple[Picture, ...]


class Document(Part, frozen=True):
    """One evaluation: a candidate measured beside a baseline.

    Milliseconds are wall or CUDA-event time of one forward pass; memory is in MiB (1024² bytes); `None` means not
    known or not applicable.
    """

    format: Literal["esr-record"]
    version: Literal[3]
    id: str
    """UUID of the evaluation."""
    cache_key: Digest | None
    """Digest of configuration, weights, code and images; an evaluation whose key a record holds is not repeated.
    `None` in records older than the key."""
    started: Moment
    ended: Moment
    duration_s: Figure
    config: Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
    """Composed configuration, as `esr --cfg job` prints it."""
    environment: Environment
    data: Data
    networks: Networks
    timing: Timing
    telemetry: Telemetry
    pictures: Pictures
    verdict: Verdict
    digest: Digest | None = None
    """SHA-256 of the file's text above, as `esr` wrote it; `None` in older records, and where no file was written."""

    def load_config(self) -> dict[str, object]:
        """Decodes the composed configuration.

        Raises:
            RecordError: It is not an object, or is nested without reason.
        """
        config = load_raw(self.config, dict[str, object], "config")
        require_shallow(config, "config")
        return config
