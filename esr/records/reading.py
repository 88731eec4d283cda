"""Reads many records fast: only the fields that a ranking uses are decoded, and these are checked.

`load_record` holds a whole record against the schema, which takes tens of milliseconds; here msgspec skips
the raw samples and checks the types of the rest while it decodes. What a stranger may have written and a report will
print (names, operators) is refused where it is not plain text.
"""

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from esr.errors import RecordError
from esr.records.files import FORMAT, REASONS, VERSION

LARGEST_BYTES = 256 * 1024 * 1024
"""A larger file is no record."""
LONGEST_NAME = 200

# What no network and no machine reaches: a table stays a table, and no sum or quotient leaves the range of floats.
Count = Annotated[int, Meta(ge=0, le=10**18)]
Figure = Annotated[float, Meta(ge=0, le=1e12)]
Positive = Annotated[float, Meta(ge=1e-9, le=1e12)]
Psnr = Annotated[float, Meta(ge=0, le=1000)]
"""dB; of 8-bit images none is negative."""
Number = Annotated[int, Meta(ge=-(10**9), le=10**9)]
Rank = Annotated[int, Meta(ge=1, le=10**6)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Operators = Annotated[dict[str, Count], Meta(max_length=1000)]
MOST_ROUNDS = 100_000


class Estimate(msgspec.Struct, frozen=True):
    """A runtime or a ratio of runtimes with its interval."""

    value: Positive
    low: Positive | None
    high: Positive | None


class Quality(msgspec.Struct, frozen=True):
    """Mean PSNR of the data set."""

    psnr_rgb: Psnr | None


class QualityPart(msgspec.Struct, frozen=True):
    """A network's quality."""

    meaningful: bool
    mean: Quality


class Complexity(msgspec.Struct, frozen=True):
    """A network's counts; all empty where it could not be counted."""

    params: Count | None = None
    flops: Count | None = None
    macs: Count | None = None
    activations: Count | None = None
    convolutions: Count | None = None
    missed_by_hooks: Operators = {}
    without_formula: Operators = {}
    input_shape: Annotated[tuple[Count, ...], Meta(max_length=8)] = ()


class Memory(msgspec.Struct, frozen=True):
    """A network's peak."""

    mib: Figure


class NetworkTiming(msgspec.Struct, frozen=True):
    """A network's own milliseconds."""

    ms_per_image: Estimate


class Device(msgspec.Struct, frozen=True):
    """What the network ran on."""

    kind: Literal["cpu", "cuda"]
    name: str | None = None


class Runtime(msgspec.Struct, frozen=True):
    """What the worker says of itself; all empty where it did not start."""

    device: Device | None = None
    threads: Annotated[int, Meta(ge=0, le=10**6)] | None = None
    cudnn: Annotated[dict[str, bool], Meta(max_length=100)] = {}
    torch: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """What went wrong."""

    kind: str


class Weights(msgspec.Struct, frozen=True):
    """Which weights."""

    source: Literal["published", "bundled", "random", "path"]


class PublishedRanks(msgspec.Struct, frozen=True):
    """Printed ranks."""

    main: Rank | None = None
    sub1: Rank | None = None
    sub2: Rank | None = None
    time: Rank | None = None
    params: Rank | None = None
    flops: Rank | None = None
    activations: Rank | None = None
    memory: Rank | None = None


class Published(msgspec.Struct, frozen=True):
    """A row of the challenge's table."""

    psnr_valid: Psnr | None = None
    psnr_test: Psnr | None = None
    time_ms: Figure | None = None
    params_m: Figure | None = None
    flops_g: Figure | None = None
    activations_m: Figure | None = None
    memory_mib: Figure | None = None
    convolutions: Count | None = None
    ranks: PublishedRanks | None = None


class Card(msgspec.Struct, frozen=True):
    """What is published about the network."""

    title: str
    published: Published
    team: str | None = None
    team_id: Number | None = None


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

    protocol: Literal["paired", "single"]
    confidence: Annotated[float, Meta(gt=0, lt=1)]
    ratio: Estimate | None
    ratio_per_round: Annotated[tuple[Positive, ...], Meta(max_length=MOST_ROUNDS)]
    process_of_round: Annotated[tuple[Count, ...], Meta(max_length=MOST_ROUNDS)] = ()


class Reason(msgspec.Struct, frozen=True):
    """One reason of the verdict."""

    reason: str
    network: Literal["candidate", "baseline"] | None
    severity: Literal["taint", "warning"] = "taint"


class Verdict(msgspec.Struct, frozen=True):
    """The verdict."""

    status: Literal["clean", "tainted", "failed"]
    reasons: Annotated[tuple[Reason, ...], Meta(max_length=1000)]


class Image(msgspec.Struct, frozen=True):
    """One image of the data set."""

    name: str
    lr_sha256: Digest


class Data(msgspec.Struct, frozen=True):
    """The data set; its images are decoded once per set, not once per record."""

    name: str
    images: msgspec.Raw


class Cpu(msgspec.Struct, frozen=True):
    """The host's processor."""

    model: str | None
    usable_cores: Annotated[int, Meta(ge=1, le=10**6)] | None = None


class Environment(msgspec.Struct, frozen=True):
    """The machine."""

    cpu: Cpu


class Energy(msgspec.Struct, frozen=True):
    """Energy per image by its source."""

    joules_per_image: Figure


class Telemetry(msgspec.Struct, frozen=True):
    """What was watched."""

    energy_per_image: dict[str, dict[str, Energy | None]] = {}


class Document(msgspec.Struct, frozen=True):
    """The part of a record that a ranking uses; `record.schema.json` describes each field."""

    format: Literal["esr-record"]
    version: int
    ended: Annotated[datetime, Meta(tz=True)]
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
_IMAGES = msgspec.json.Decoder(Annotated[list[Image], Meta(min_length=1)])


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
    """What types do not say: that texts which a report prints are plain, and that lists fit each other."""
    for role, network in (
        ("candidate", document.networks.candidate),
        ("baseline", document.networks.baseline),
    ):
        runtime, counted = network.runtime, network.complexity or Complexity()
        check_name(f"{role}'s name", network.name)
        check_name(f"{role}'s title", network.card.title)
        check_name(f"{role}'s team", network.card.team or "-")
        check_name("device", (runtime.device and runtime.device.name) or "-")
        check_name("version of torch", runtime.torch or "-")
        check_name("failure", network.failure.kind if network.failure else "-")
        for switch in runtime.cudnn:
            check_name("switch", switch)
        for operator in (*counted.missed_by_hooks, *counted.without_formula):
            check_name("operator", operator)
    check_name("data set's name", document.data.name)
    check_name("processor", document.environment.cpu.model or "-")
    for found in document.verdict.reasons:
        if found.reason not in REASONS:
            raise RecordError(f"verdict's reason {shown(found.reason)}: no such reason")
    timing = document.timing
    if timing.process_of_round and len(timing.process_of_round) != len(timing.ratio_per_round):
        raise RecordError("timing.process_of_round: not one process for each round")


@lru_cache(maxsize=10_000)
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
