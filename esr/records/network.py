"""One network's part of a record. `None` is a figure that is not known or does not apply."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Raw, field

from esr.config.cards import Card
from esr.config.terms import (
    Count,
    Digest,
    FailureKind,
    Figure,
    Positive,
    Precision,
    Psnr,
    Side,
    Stage,
    WeightsSource,
)
from esr.records.part import Part, load_raw
from esr.records.reasons import ReasonName
from esr.sandbox.layers import SandboxLayer

Operators: TypeAlias = Annotated[dict[str, Count], Meta(max_length=1000)]
Ssim: TypeAlias = Annotated[float, Meta(ge=-1.001, le=1.001)]
"""At most 1 but for rounding."""
Names: TypeAlias = Annotated[tuple[Annotated[str, Meta(max_length=4096)], ...], Meta(max_length=100_000)]
Shape: TypeAlias = tuple[Side, Side]
"""Height and width in pixels."""
OUTSIDE = " (outside PyTorch)"
"""Ends the name of work that no operator did."""
MOST_KERNELS = 20
LONGEST_KERNEL = 160
"""Characters of a kernel's name: templates make some of them pages long."""
Whole: TypeAlias = Annotated[int, Meta(ge=-(2**62), le=2**62)]
"""Fits into JSON as this program reads and writes it."""
SettingValue: TypeAlias = bool | Whole | str | tuple[Whole, ...] | None


class Estimate(Part, frozen=True):
    """A figure with its interval.

    >>> Estimate(0.5, 0.375, 0.625).width
    0.5
    """

    value: Positive
    low: Positive | None = None
    """Lower bound; `None` with too few rounds for an interval."""
    high: Positive | None = None

    @property
    def width(self) -> float | None:
        """(high − low) / value; `None` without an interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / self.value


class Quality(Part, frozen=True):
    """Closeness of an SR image to its HR image, or its mean over images. JSON has no infinity."""

    psnr_rgb: Psnr | None
    """dB, over the three channels together; `None`: the images are identical."""
    ssim_rgb: Ssim
    """Mean over the three channels."""
    psnr_y: Psnr | None
    """dB, on luma rounded to 8 bits; `None`: the luma is identical."""
    ssim_y: Ssim
    """On the same luma."""


class QualityPart(Part, frozen=True):
    """A network's quality on the data set."""

    meaningful: bool
    """False with random weights."""
    mean: Quality
    images: tuple[Quality, ...]
    """In the order of the data set."""


class LiveMemory(Part, frozen=True):
    """Bytes alive at the peak of one pass over `Complexity.input_shape`; the same on every device."""

    weights: Count
    """All parameters and buffers."""
    input: Count
    activations: Count
    """Peak of the bytes that the pass allocates, output included."""

    @property
    def total(self) -> int:
        """Bytes of weights, input and activations together."""
        return self.weights + self.input + self.activations


class Complexity(Part, frozen=True):
    """The cost of one forward pass over one image, by three definitions of its operations."""

    input_shape: Annotated[tuple[Count, ...], Meta(max_length=8)]
    """1×3×height×width."""
    params: Count
    """Elements of all registered parameters, shared ones once."""
    flops: Count
    """Operations as the script of the challenge of 2022 counts them, blind spots included."""
    macs: Count
    """Multiply-accumulates of every convolution, matrix product and attention that the dispatcher sees."""
    activations: Count
    """Elements in the outputs of `Conv2d` and `ConvTranspose2d` modules."""
    convolutions: Count
    """Calls of such modules."""
    missed_by_hooks: Operators = field(default_factory=dict)
    """Operator -> MACs that the challenge's script does not see; most first."""
    without_formula: Operators = field(default_factory=dict)
    """Operator, or work that no operator did -> calls that `macs` leaves out; by name."""
    live_memory: LiveMemory | None = None
    scripted: Count = 0
    """TorchScript modules, whose work `flops`, `activations` and `convolutions` leave out."""
    flops_fvcore: Count | None = None
    """Operations as the challenges since 2024 count them; `None` in records older than the field."""


@dataclass
class Layer:
    """A module in a network's table: the sum of its calls in one forward pass."""

    path: str
    """Dotted path from the network; empty for the network itself."""
    type: str
    """Name of the module's class."""
    calls: int = 0
    """0 for a module that never runs itself, though its parameters may be used."""
    output_shape: tuple[int, ...] | None = None
    """Shape of the first tensor that its last call returned; `None` without one."""
    params: int = 0
    """Elements of its own parameters; a shared one is listed with the first module that holds it."""
    flops: int = 0
    """By the challenge's definition."""
    macs: int = 0
    """Multiply-accumulates outside any deeper module."""
    activations: int = 0
    """By the challenge's definition."""


class Memory(Part, frozen=True):
    """Peak memory of a pass."""

    memory_mib: Figure
    """MiB of 1024² bytes."""
    method: str
    """Description of the memory counted."""
    reserved_mib: Figure | None = None
    """Memory reserved by CUDA's caching allocator; `None` on the CPU."""
    lr_shape: Shape | None = None
    """Of the only image; `None` where the peak spans all images, as on a GPU and in the challenge's protocol."""
    device_mib: Figure | None = None
    """Memory of the GPU that the driver attributes to the worker; `None` on the CPU or where it does not tell."""


class Kernel(Part, frozen=True):
    """A kernel as torch's profiler names it; with cuDNN, its name tells the algorithm."""

    name: Annotated[str, Meta(max_length=LONGEST_KERNEL)]
    """Made printable, and cut."""
    calls: Count
    share: Annotated[float, Meta(ge=0, le=1.001)]
    """Of the time that all kernels of the pass took together; at most 1 but for rounding."""


class Failure(Part, frozen=True):
    """Failure that ended a network's measurement."""

    stage: Stage
    kind: FailureKind
    message: str
    """One line, made printable."""


class Device(Part, frozen=True):
    """The device a network ran on. On the CPU all but `kind` is `None`."""

    kind: Literal["cpu", "cuda"]
    name: str | None = None
    uuid: str | None = None
    compute_capability: str | None = None
    memory_mib: Figure | None = None
    multiprocessors: Count | None = None


class Cudnn(Part, frozen=True):
    """Switches of cuDNN and TF32, as torch reports them after they were set."""

    benchmark: bool
    deterministic: bool
    allow_tf32: bool
    available: bool

    @property
    def switched_on(self) -> list[str]:
        """Names of the switches that are on."""
        return [name for name in ("allow_tf32", "benchmark", "deterministic") if getattr(self, name)]


class Sandbox(Part, frozen=True):
    """Containment of a worker, as its parent verified it."""

    layers: tuple[SandboxLayer, ...]
    """Layers that held."""
    missing: dict[SandboxLayer, str]
    """Layer that did not hold -> the reason."""
    landlock_abi: Count = 0
    """Version of the kernel's Landlock in force; 0 without it."""


class WorkerReport(Part, frozen=True):
    """A worker's report about itself once its device is open."""

    pid: Count
    device: Device
    threads: Annotated[int, Meta(ge=0, le=10**6)]
    """Intra-operator CPU threads."""
    cpus: tuple[Count, ...] | None
    """Logical CPUs on which the worker may run; `None` where the system does not report them."""
    cudnn: Cudnn
    torch: str
    torch_cuda: str | None
    """CUDA version that torch was built with; `None` for a CPU build."""
    torch_cudnn: int | None
    torch_build: str
    python: str
    sandbox: Sandbox | None = None
    """`None` with `sandbox=off`, and in records older than the field."""


class Weights(Part, frozen=True):
    """The weights that were chosen."""

    source: WeightsSource
    path: str | None = None
    """Absolute; `None` for random weights."""
    sha256: Digest | None = None
    """Computed from the file, whether a digest was stated or not."""
    bytes: Count | None = None
    note: str | None = None
    """Note for the user: the reason why the bundled file replaces the published one."""


class OpenedFile(Part, frozen=True):
    """A file that a network's code opened while it was loaded."""

    path: Annotated[str, Meta(max_length=4096)]
    """Relative to the repository, absolute outside of it."""
    sha256: Digest | None
    """Computed by the parent process; `None` outside the repository, and for a file that is gone."""


class Repository(Part, frozen=True):
    """The challenge's repository that a network comes from."""

    path: str
    id: int
    """The network's number in its `select_model`."""
    commit: str | None
    """Git commit; `None` outside a checkout."""
    changed: tuple[str, ...] | None
    """Files that differ from the commit, untracked ones included; `None` where that is not known."""


class Loading(Part, frozen=True):
    """What a network did while it was built and moved to its device, as its worker saw it."""

    data_range: Figure
    """Largest value of input and output."""
    tile: Annotated[int, Meta(ge=1, le=10**6)] | None = None
    """Side of an LR tile that a repository's script asks for."""
    passes: Count = 0
    """Forward passes, made before any clock ran."""
    settings_reset: dict[str, SettingValue] = field(default_factory=dict)
    """Switches of cuDNN and TF32 that it set -> those values; they were reset."""
    strict: bool | None = None
    """False if a state dict was loaded with `strict=False`; `None` if the network's code loaded none."""
    missing: Names = ()
    """Entries of the network that the state dict lacks."""
    unexpected: Names = ()
    """Entries of the state dict that the network lacks."""
    stand_ins: Names = ()
    """Packages that are not installed, imported without being used."""
    files: tuple[OpenedFile, ...] = ()
    repository: Repository | None = None


class TruthCheck(Part, frozen=True):
    """A network's error against HR on images as they are, and on the altered inputs of its timed passes.

    Errors are mean absolute ones at sampled positions, over those of the input's own pixels there.
    """

    quality: Figure
    timed: Figure
    passes: Count
    """Timed passes compared with HR."""
    excess: float
    """timed / quality − 1, less the same of the other network where that one is better than its input: altered inputs
    are a little harder for every network."""


class OutputCheck(Part, frozen=True):
    """Comparison of timed passes, at sampled positions, with passes over the same inputs in a fresh process."""

    tolerance: Figure
    """Allowed difference in grey levels; whole levels in older records, which compare rounded values."""
    compared: Count = 0
    differing: Count = 0
    stale: Count = 0
    """Outputs over an altered input that equal those over the original image; of older records."""
    largest_difference: Figure = 0
    """Grey levels."""
    stochastic: bool = False
    """The same input gives another output where the random generators are seeded otherwise."""
    truth: TruthCheck | None = None
    """`None` without HR, and in older records."""


class WarmUp(Part, frozen=True):
    """Warm-up passes over one LR shape."""

    process: Count
    lr_shape: Shape
    ms: tuple[Figure, ...]
    settled: bool


class Block(Part, frozen=True):
    """One turn of a network: a few timed passes in a row."""

    block: Count
    """Number within the evaluation, over both networks."""
    round: Count
    process: Count
    parent_wall_ms: Figure
    """The parent's own clock, from each input sent to its output sampled."""
    reasons: tuple[ReasonName, ...] = ()
    """Telemetry's findings."""
    replaced: bool = False
    """Measured again; does not count."""


class Samples(Part, frozen=True):
    """Every timed pass, one value per pass in each column."""

    round: tuple[Count, ...]
    block: tuple[Count, ...]
    image: tuple[Count, ...]
    """Index into the data set."""
    altered: tuple[bool, ...]
    """The input was altered for this pass."""
    ms: tuple[Figure, ...]
    """CUDA events on a GPU, wall clock on the CPU."""
    wall_ms: tuple[Figure, ...]
    enqueue_ms: tuple[Figure, ...] | None
    """Host time until all of a pass was launched; `None` on the CPU, and in records older than the column."""
    outlier: tuple[bool, ...]
    """Modified z-score above 3.5 among the passes over this image."""
    parent_ms: tuple[Figure, ...] | None = None
    """The parent's clock from sending the input to the sampled output, less what the harness itself takes for an image
    of this size; `None` in records older than the column."""


class NetworkTiming(Part, frozen=True):
    """A network's own milliseconds; raw parts are decoded on demand."""

    runtime_ms: Estimate
    """Mean over the images of each image's median over the rounds."""
    runtime_ms_plain: Figure
    """Mean of every pass that counts, outliers in full."""
    median_ms: tuple[Figure, ...]
    """Of each image."""
    complete_rounds: Count
    outliers: Count
    """Passes flagged in the column `outlier`; kept in every estimate."""
    passes: Count
    """Length of the columns of `samples`."""
    warmup: Annotated[Raw, Meta(extra_json_schema={"type": "array", "items": {"$ref": "#/$defs/WarmUp"}})]
    samples: Annotated[Raw, Meta(extra_json_schema={"$ref": "#/$defs/Samples"})]
    blocks: Annotated[Raw, Meta(extra_json_schema={"type": "array", "items": {"$ref": "#/$defs/Block"}})]

    def load_warmup(self) -> tuple[WarmUp, ...]:
        """Decodes the warm-up passes.

        Raises:
            RecordError: They do not fit their type.
        """
        return load_raw(self.warmup, tuple[WarmUp, ...], "warmup")

    def load_samples(self) -> Samples:
        """Decodes the timed passes.

        Raises:
            RecordError: They do not fit their type.
        """
        return load_raw(self.samples, Samples, "samples")

    def load_blocks(self) -> tuple[Block, ...]:
        """Decodes the blocks.

        Raises:
            RecordError: They do not fit their type.
        """
        return load_raw(self.blocks, tuple[Block, ...], "blocks")


class Network(Part, frozen=True):
    """One of the two networks."""

    name: str
    card: Card
    weights: Weights
    failure: Failure | None
    worker: WorkerReport | None
    """`None` where the worker did not start."""
    quality: QualityPart | None
    complexity: Complexity | None
    memory: Memory | None
    timing: NetworkTiming | None
    output_check: OutputCheck
    precisions: dict[str, tuple[str, ...]]
    """Floating-point type other than float32 -> operators that returned it."""
    switches_changed: dict[str, SettingValue]
    """Settings the network changed (switches, float32 precision, threads, CPUs, priority) -> their new values."""
    loading: Loading | None = None
    """`None` where loading failed, and in records older than the part."""
    precision: Precision = "fp32"
    """Declared in the configuration, or found by the audit."""
    padded_to: Count | None = None
    """Multiple to which inputs were padded, and outputs cropped, because the network takes no other sizes."""
    uncounted: str | None = None
    """Reason why counting failed although the network ran on the images; `None` where it succeeded."""
    code_sha256: Digest | None = None
    """Of the source files that importing the network brought in; `None` in older records, and where none was found."""
    kernels: Annotated[tuple[Kernel, ...], Meta(max_length=MOST_KERNELS)] | None = None
    """Those that took longest in one untimed pass over the largest image after the last round; `None` on the CPU,
    where the profiler tells nothing, and in older records."""
    untimed_from: str | None = None
    """UUID of an earlier evaluation from which quality, counts, memory and audit are taken; `None`: measured anew."""
