"""The part of a record that the page shows beyond the ranking, decoded and checked in one go.

`load_record` holds all of a record against the schema, which takes tens of milliseconds; a report has a
thousand of them. `record.schema.json` describes each field.
"""

from pathlib import Path

import msgspec

from esr.records.reading import LARGEST_BYTES
from esr.report.html.crops import Picture
from esr.report.html.trace import Block, Window


class Card(msgspec.Struct, frozen=True):
    """What is published about a network."""

    title: str
    team: str | None = None
    paper: str | None = None
    note: str | None = None
    licence: str | None = None


class Weights(msgspec.Struct, frozen=True):
    """Which weights."""

    source: str
    sha256: str | None = None
    note: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """What went wrong."""

    stage: str
    kind: str
    message: str


class Device(msgspec.Struct, frozen=True):
    """What a network ran on."""

    kind: str
    name: str | None = None
    memory_mib: float | None = None


class Runtime(msgspec.Struct, frozen=True):
    """What a worker says of itself; all empty where it did not start."""

    device: Device | None = None
    threads: int | None = None
    cudnn: dict[str, bool] = {}
    torch: str | None = None
    torch_cuda: str | None = None
    torch_cudnn: int | None = None


class Figures(msgspec.Struct, frozen=True):
    """Quality of one image."""

    psnr_rgb: float | None
    ssim_rgb: float


class Quality(msgspec.Struct, frozen=True):
    """Quality of all images."""

    meaningful: bool
    images: tuple[Figures, ...]


class Time(msgspec.Struct, frozen=True):
    """Runtime of one image."""

    median_ms: float


class NetworkTiming(msgspec.Struct, frozen=True):
    """A network's own timing."""

    images: tuple[Time, ...]
    blocks: tuple[Block, ...] = ()


class Network(msgspec.Struct, frozen=True):
    """One of the two networks."""

    name: str
    card: Card
    weights: Weights
    failure: Failure | None
    runtime: Runtime
    quality: Quality | None
    timing: NetworkTiming | None


class Networks(msgspec.Struct, frozen=True):
    """Both of them."""

    candidate: Network
    baseline: Network


class Image(msgspec.Struct, frozen=True):
    """One image of the data set."""

    name: str
    lr_shape: tuple[int, int]


class Data(msgspec.Struct, frozen=True):
    """The data set."""

    images: tuple[Image, ...]


class Reason(msgspec.Struct, frozen=True):
    """One reason of the verdict."""

    reason: str
    network: str | None
    detail: str
    severity: str = "taint"


class Verdict(msgspec.Struct, frozen=True):
    """The verdict."""

    reasons: tuple[Reason, ...]


class Telemetry(msgspec.Struct, frozen=True):
    """What was watched."""

    enabled: bool = False
    trace: str | None = None
    windows: tuple[Window, ...] = ()


class Pictures(msgspec.Struct, frozen=True):
    """Files beside the record."""

    images: tuple[Picture, ...] = ()


class Esr(msgspec.Struct, frozen=True):
    """The version that measured."""

    version: str
    commit: str | None = None


class Cpu(msgspec.Struct, frozen=True):
    """The host's processor."""

    model: str | None = None
    architecture: str | None = None
    usable_cores: int | None = None
    governor: str | None = None


class System(msgspec.Struct, frozen=True):
    """The operating system."""

    system: str
    release: str
    name: str | None = None


class Driver(msgspec.Struct, frozen=True):
    """NVIDIA's driver."""

    version: str | None = None
    cuda: str | None = None


class Environment(msgspec.Struct, frozen=True):
    """The machine."""

    esr: Esr
    cpu: Cpu
    memory_mib: float
    os: System
    python: str
    container: str | None = None
    driver: Driver = Driver()


class Document(msgspec.Struct, frozen=True):
    """A record."""

    started: str
    duration_s: float
    environment: Environment
    data: Data
    networks: Networks
    verdict: Verdict
    telemetry: Telemetry = Telemetry()
    pictures: Pictures = Pictures()


_DECODER = msgspec.json.Decoder(Document)


def read(file: Path) -> Document | None:
    """A record; none where it cannot be read or is not one."""
    try:
        return None if file.stat().st_size > LARGEST_BYTES else _DECODER.decode(file.read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
