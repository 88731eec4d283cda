"""Reads many records fast: only the fields that a ranking uses are decoded, and these are checked.

`esr.records.load_record` holds a whole record against the schema, which takes tens of milliseconds; here msgspec skips
the raw samples and checks the types of the rest while it decodes. What a stranger may have written and a report will
print (names, operators) is refused where it is not plain text.
"""

import math
from pathlib import Path
from typing import Literal

import msgspec

from esr.errors import RecordError
from esr.records import FORMAT, VERSION

LARGEST_BYTES = 256 * 1024 * 1024
"""A larger file is no record."""
LONGEST_NAME = 200


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its interval."""

    value: float
    low: float | None
    high: float | None


class Quality(msgspec.Struct, frozen=True):
    """Mean PSNR of the data set."""

    psnr_rgb: float | None


class QualityPart(msgspec.Struct, frozen=True):
    """A network's quality."""

    meaningful: bool
    mean: Quality


class Complexity(msgspec.Struct, frozen=True):
    """A network's counts; all empty where it could not be counted."""

    params: int | None = None
    flops: int | None = None
    macs: int | None = None
    activations: int | None = None
    convolutions: int | None = None
    missed_by_hooks: dict[str, int] = {}
    without_formula: dict[str, int] = {}
    input_shape: tuple[int, ...] = ()


class Memory(msgspec.Struct, frozen=True):
    """A network's peak."""

    mib: float
    method: str


class NetworkTiming(msgspec.Struct, frozen=True):
    """A network's own milliseconds."""

    ms_per_image: Estimate


class Device(msgspec.Struct, frozen=True):
    """What the network ran on."""

    kind: str
    name: str | None = None


class Runtime(msgspec.Struct, frozen=True):
    """What the worker says of itself; all empty where it did not start."""

    device: Device | None = None
    threads: int | None = None
    cudnn: dict[str, bool] = {}
    torch: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """What went wrong."""

    kind: str


class Weights(msgspec.Struct, frozen=True):
    """Which weights."""

    source: str


class PublishedRanks(msgspec.Struct, frozen=True):
    """Printed ranks."""

    main: int | None = None
    sub1: int | None = None
    sub2: int | None = None
    time: int | None = None
    params: int | None = None
    flops: int | None = None
    activations: int | None = None
    memory: int | None = None


class Published(msgspec.Struct, frozen=True):
    """A row of the challenge's table."""

    psnr_valid: float | None = None
    psnr_test: float | None = None
    time_ms: float | None = None
    params_m: float | None = None
    flops_g: float | None = None
    activations_m: float | None = None
    memory_mib: float | None = None
    convolutions: int | None = None
    ranks: PublishedRanks | None = None


class Card(msgspec.Struct, frozen=True):
    """What is published about the network."""

    title: str
    published: Published
    team: str | None = None
    team_id: int | None = None


class Network(msgspec.Struct, frozen=True):
    """One of the two networks."""

    name: str
    card: Card
    weights: Weights
    failure: Failure | None
    runtime: Runtime
    quality: QualityPart | None
    complexity: Complexity | None
    memory: Memory | None
    timing: NetworkTiming | None


class Networks(msgspec.Struct, frozen=True):
    """Both of them."""

    candidate: Network
    baseline: Network


class Timing(msgspec.Struct, frozen=True):
    """The pair's timing."""

    protocol: str
    confidence: float
    ratio: Estimate | None
    ratio_per_round: tuple[float, ...]
    process_of_round: tuple[int, ...] = ()


class Reason(msgspec.Struct, frozen=True):
    """One reason of the verdict."""

    reason: str
    network: str | None
    severity: str = "taint"


class Verdict(msgspec.Struct, frozen=True):
    """The verdict."""

    status: Literal["clean", "tainted", "failed"]
    reasons: tuple[Reason, ...]


class Image(msgspec.Struct, frozen=True):
    """One image of the data set."""

    name: str
    lr_sha256: str


class Data(msgspec.Struct, frozen=True):
    """The data set; its images are decoded once per set, not once per record."""

    name: str
    images: msgspec.Raw


class Cpu(msgspec.Struct, frozen=True):
    """The host's processor."""

    model: str | None


class Environment(msgspec.Struct, frozen=True):
    """The machine."""

    cpu: Cpu


class Energy(msgspec.Struct, frozen=True):
    """Energy per image by its source."""

    joules_per_image: float


class Telemetry(msgspec.Struct, frozen=True):
    """What was watched."""

    energy_per_image: dict[str, dict[str, Energy | None]] = {}


class Document(msgspec.Struct, frozen=True):
    """The part of a record that a ranking uses; `record.schema.json` describes each field."""

    format: Literal["esr-record"]
    version: int
    ended: str
    environment: Environment
    data: Data
    networks: Networks
    timing: Timing
    verdict: Verdict
    telemetry: Telemetry = Telemetry()


class _Header(msgspec.Struct, frozen=True):
    format: str | None = None
    version: int | None = None


_DOCUMENT = msgspec.json.Decoder(Document)
_HEADER = msgspec.json.Decoder(_Header)
_IMAGES = msgspec.json.Decoder(list[Image])


class NotARecord(RecordError):  # noqa: N818 - a finding of its own: the file may be meant for something else
    """A sound JSON file that does not call itself a record."""


class Reader:
    """Reads records; remembers the sets of images it has checked."""

    def __init__(self) -> None:
        self._sets: dict[bytes, str] = {}

    def read(self, file: Path) -> tuple[Document, str]:
        """The document, and a key that two records share if they measured on the same images.

        Raises:
            NotARecord: The file is JSON of another kind.
            RecordError: It cannot be read, is cut or changed, of another version, or holds what no record holds.
        """
        raw = _bytes(file)
        try:
            document = _DOCUMENT.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _explained(raw, error) from None
        if document.version != VERSION:
            raise _other_version(document.version)
        _check(document)
        return document, self._image_set(bytes(document.data.images))

    def _image_set(self, raw: bytes) -> str:
        if raw not in self._sets:
            try:
                images = _IMAGES.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise RecordError(f"data.images: {error}") from None
            for image in images:
                check_name("image", image.name)
                if "/" in image.name or "\\" in image.name or image.name in (".", ".."):
                    raise RecordError(f"image name {shown(image.name)}: a path, where a bare name belongs")
            self._sets[raw] = " ".join(sorted(image.lr_sha256 for image in images))
        return self._sets[raw]


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise RecordError(f"larger than {LARGEST_BYTES >> 20} MiB")
        return file.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror})") from error


def _explained(raw: bytes, error: Exception) -> RecordError:
    """Why a file could not be decoded, the plainest reason first."""
    try:
        header = _HEADER.decode(raw)
    except msgspec.ValidationError:
        return NotARecord(f"not a record of esr: no 'format': '{FORMAT}' in it")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return RecordError(f"not JSON ({error}); a record is written whole, so this file was changed")
    if header.format != FORMAT:
        return NotARecord(f"not a record of esr: no 'format': '{FORMAT}' in it")
    if header.version != VERSION:
        return _other_version(header.version)
    return RecordError(str(error))


def _other_version(version: int | None) -> RecordError:
    remedy = "measure again" if version is not None and version < VERSION else "update esr"
    return RecordError(f"record of version {version}: this esr reads version {VERSION}; {remedy}")


def _check(document: Document) -> None:
    for role, network in (
        ("candidate", document.networks.candidate),
        ("baseline", document.networks.baseline),
    ):
        check_name(f"{role}'s name", network.name)
        check_name(f"{role}'s title", network.card.title)
        check_name(f"{role}'s team", network.card.team or "-")
        device = network.runtime.device or Device("cpu")
        check_name("device", device.name or device.kind)
        counted = network.complexity or Complexity()
        for operator in (*counted.missed_by_hooks, *counted.without_formula):
            check_name("operator", operator)
        for key in ("params", "flops", "macs", "activations", "convolutions"):
            if (getattr(counted, key) or 0) < 0:
                raise RecordError(f"{role}'s {key}: negative")
    check_name("data set's name", document.data.name)
    check_name("processor", document.environment.cpu.model or "-")
    ratios = (*document.timing.ratio_per_round, *_values(document.timing.ratio))
    if not all(math.isfinite(value) and value > 0 for value in ratios):
        raise RecordError("timing.ratio: a ratio of runtimes is positive")


def _values(estimate: Estimate | None) -> list[float]:
    bounds = (estimate.value, estimate.low, estimate.high) if estimate else ()
    return [value for value in bounds if value is not None]


def check_name(what: str, text: str) -> None:
    """Refuses what is not a name: markup, control characters, pages of text.

    Raises:
        RecordError: The line names what it is and shows it.
    """
    if len(text) > LONGEST_NAME:
        raise RecordError(f"{what} {shown(text)}: longer than {LONGEST_NAME} characters")
    if not text or not text.isprintable() or any(mark in text for mark in "<>"):
        raise RecordError(f"{what} {shown(text)}: not plain text")


def shown(text: str) -> str:
    """A stranger's text, safe to print: escaped and short."""
    return ascii(text[:60])
