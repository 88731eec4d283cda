"""The schema of `conf/`: every key, its type, its unit and its default.

Hydra merges the YAML files and the command line into these dataclasses, so that an unknown key or a wrong
type is refused before anything runs. `check_values` checks what a type cannot express.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar, get_args

from omegaconf import MISSING, OmegaConf

from esr.config.telemetry import TelemetryConf
from esr.config.terms import MOST_ROUNDS, Precision
from esr.errors import ConfigError
from esr.text import did_you_mean

Schema = TypeVar("Schema")
Limits: TypeAlias = Sequence[tuple[Sequence[str], Callable[[float], bool], str]]
"""Keys, the test of their values, and its wording."""

SCALE = 4
"""The upscaling factor of the challenge; every network here maps H×W to 4H×4W."""
CHANNELS = 3
"""Of an image: RGB."""
NETWORK_GROUPS = ("model", "baseline")
"""Groups whose options are networks, by name or by the path of a YAML."""


@dataclass
class TileConf:
    """Runs a network over overlapping tiles and averages the overlaps."""

    size: int | None = None
    """Side of a square LR tile, in pixels; `None`: the whole image at once."""
    overlap: int = 32
    """Pixels shared by neighbouring tiles."""


@dataclass
class CheckpointConf:
    """A published weight file, and the mapping of its state dict onto the network's own names."""

    file: str | None = None
    """File name in a zoo folder, or a path relative to the YAML that names it."""
    url: str | None = None
    """Address to download the file from; `None`: it has to be there already."""
    bytes: int | None = None
    """Size of the file in bytes, checked before it is opened."""
    sha256: str | None = None
    """Digest, checked before the file is opened."""
    licence: str | None = None
    """Licence of the weights."""
    state_dict_under: str | None = None
    """Key under which the file holds the state dict, for training checkpoints; dots lead into nested dicts. The file
    has to have it."""
    strip_prefix: str | None = None
    """Prefix taken off the keys, as `module.` from data-parallel training; a key of the file has to have it."""
    rename: dict[str, str] = field(default_factory=dict)
    """Regular expression -> replacement, applied to each published key in this order with `re.sub`."""
    drop: list[str] = field(default_factory=list)
    """Regular expressions of published keys that the network never uses."""


@dataclass
class RepositoryConf:
    """A network in a challenge's repository, built by the repository's own `select_model`."""

    root: str | None = None
    """Folder of the repository; `None`: the network is not one of a repository's."""
    id: int | None = None
    """The network's number in `select_model`; `None` in the baseline: the repository's own baseline."""


@dataclass
class ModelConf:
    """One network: its class, its weights, and its published figures."""

    _target_: str = MISSING
    """Dotted path of the network's class, a `torch.nn.Module`, or of a function that returns one."""
    args: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the class `_target_`."""
    after_load: Any = None
    """Method, or several, called once the weights are loaded, as one that fuses re-parameterisable blocks; a method
    that the network lacks is called on each of its modules that has it."""
    name: str | None = None
    """Short name; by default the YAML's or the class's."""
    title: str | None = None
    """The architecture's name as its authors write it."""
    team: str | None = None
    """Name of the team that submits it."""
    team_id: int | None = None
    """Number in the challenge's table; -1 and 0 are the two baselines."""
    paper: str | None = None
    """Reference to the paper."""
    note: str | None = None
    """A remark, shown with the card."""
    data_range: float = 1.0
    """Largest value of input and output: 1.0 or 255.0."""
    tile: TileConf = field(default_factory=TileConf)
    checkpoint: CheckpointConf = field(default_factory=CheckpointConf)
    repository: RepositoryConf = field(default_factory=RepositoryConf)
    precision: str | None = None
    """Declared precision class: fp32, tf32, fp16, bf16 or int8; `None`: found by the audit, which taints the rest."""
    published: dict[str, Any] | None = None
    """A row of the challenge's results table, as `esr.config.cards.Published` describes it."""
    requirements: str | None = None
    """File of packages that the network needs, relative to its YAML or repository; kept in a cached environment."""
    claims: dict[str, Any] | None = None
    """Figures that a participant states, with the keys of `published`; shown beside the measured ones."""
    source: str | None = None
    """Path of a participant's YAML, filled in by `model=PATH.yaml`: the class is looked for beside it."""


@dataclass
class DataConf:
    """A set of LR images, with their HR counterparts if quality is to be measured."""

    name: str = MISSING
    """Name of the set, in the record and in tables."""
    kind: str = "folder"
    """`demo`: the bundled photographs; `folder`: files on disk."""
    root: str | None = None
    """Folder of the set, in any layout that `esr.data.layouts` knows; `None`: `$ESR_DATA/NAME`."""
    hr: str | None = None
    """HR folder, relative to root or absolute; without `lr`, LR is made by MATLAB-compatible bicubic."""
    lr: str | None = None
    """LR folder, relative to root or absolute; without `hr`, no quality is measured."""
    limit: int | None = None
    """Number of images to take, from the first on; `None`: all."""
    images: int | None = None
    """Number of images of the whole set, where it is a known one."""
    url: str | None = None
    """Address of the set, for the message when it is missing."""


@dataclass
class WarmupConf:
    """Evidence that ends warm-up, with a lower and an upper limit."""

    min_passes: int = 3
    """Passes per distinct LR shape before the evidence is evaluated."""
    max_passes: int = 30
    """Passes per distinct LR shape after which warm-up ends anyway, and the record says so."""
    window: int = 3
    """Number of consecutive passes that are compared with as many before them."""
    tolerance: float = 0.05
    """Level: the medians of the last two windows differ by less than this fraction."""
    spread: float = 0.1
    """Spread: the median distance from the median over both windows is less than this fraction of it."""
    max_seconds: float = 60.0
    """Seconds after which warm-up ends although passes are not stable, or the GPU's temperature or clock still rises;
    the record says so. Each LR shape has one pass in any case."""


@dataclass
class TimingConf:
    """Timing protocol and its precision."""

    protocol: str = "paired"
    """`paired`: interleaved rounds against the baseline; `single`: the challenge's one unwarmed pass."""
    rounds: int | None = None
    """Number of rounds in each process, of both networks over every image; `None`: until `precision` is reached."""
    precision: float | None = None
    """Rounds end when the ratio's interval is narrower than this fraction of the ratio; `None`: 0.005 on a GPU, 0.05 on
    a CPU."""
    min_rounds: int = 10
    """Rounds before the interval is evaluated."""
    max_seconds: float = 60.0
    """Seconds of rounds, in all processes together, after which timing ends in any case, and the record says so."""
    processes: int | None = None
    """Repetitions in fresh processes, each of which may select other algorithms; `None`: 4 on a CPU, unless `rounds`
    are given, else 1."""
    retries: int = 2
    """Repetitions of a block that telemetry found disturbed."""
    cuda_graph: bool = False
    """Time replays of a captured CUDA graph, without the host's launches, of each network that can be captured."""
    block_s: float = 2.0
    """Approximate seconds for which one network runs before the other takes its turn."""
    warmup: WarmupConf = field(default_factory=WarmupConf)
    confidence: float = 0.95
    """Confidence of the intervals."""
    seed: int | None = None
    """Seeds the order of networks and images; `None`: drawn for each run, and recorded."""
    timeout_s: float = 600.0
    """Seconds without an answer after which a worker is terminated."""


@dataclass
class DeviceConf:
    """Device, CPU threads and cores of the networks."""

    kind: str = "auto"
    """`auto` (CUDA if available), `cuda` or `cpu`."""
    index: int = 0
    """Index among the visible GPUs."""
    threads: int | None = None
    """CPU threads inside an operator; `None`: torch's own choice, or as many as `cpus`."""
    cpus: list[int] | None = None
    """Logical CPUs on which the workers may run; `None`: all that the process may use."""


@dataclass
class CudnnConf:
    """cuDNN and TF32 switches; applied in every worker, read back and recorded."""

    benchmark: bool = False
    """cuDNN times its algorithms for each input shape, and takes the fastest."""
    deterministic: bool = False
    """cuDNN takes only algorithms whose results repeat bit for bit."""
    allow_tf32: bool = False
    """Convolutions and matrix products in TF32, on GPUs that have it."""


@dataclass
class ComplexityConf:
    """Size of the LR input on which operations are counted, in pixels."""

    height: int = 256
    """Height of the LR input on which operations are counted, in pixels."""
    width: int = 256
    """Width of the LR input on which operations are counted, in pixels."""


@dataclass
class QualityConf:
    """PSNR, SSIM and pictures."""

    border: int = 4
    """Pixels cut at each border of SR and HR."""
    save: str = "none"
    """Pictures beside the record: `none`, `crops` (the most telling crop of each image) or `images` (whole)."""


@dataclass
class EsrConf:
    """Configuration of one evaluation."""

    model: ModelConf = field(default_factory=ModelConf)
    baseline: ModelConf = field(default_factory=ModelConf)
    data: DataConf = field(default_factory=DataConf)
    weights: str = "auto"
    """`auto`, `published`, `bundled`, `random` or a path, for the candidate."""
    baseline_weights: str = "auto"
    """`auto`, `published`, `bundled`, `random` or a path, for the baseline."""
    timing: TimingConf = field(default_factory=TimingConf)
    device: DeviceConf = field(default_factory=DeviceConf)
    cudnn: CudnnConf = field(default_factory=CudnnConf)
    quality: QualityConf = field(default_factory=QualityConf)
    complexity: ComplexityConf = field(default_factory=ComplexityConf)
    telemetry: TelemetryConf = field(default_factory=TelemetryConf)
    repo: str | None = None
    """With `model=repo` or `baseline=repo`: folder of a challenge's repository."""
    id: int | None = None
    """Number of the candidate in that repository; with `-m` several, or `all`."""
    baseline_id: int | None = None
    """Number of the baseline; `None`: the repository's own."""
    sandbox: str = "auto"
    """Containment of the networks' code: `auto` (all that the machine allows), `require` (or nothing runs), `off`."""
    lock: str = "wait"
    """If another measurement holds the device: `wait` for its end, or `fail`."""
    force: bool = False
    """In a multirun, measure again what has a record."""
    out: str = MISSING
    """Folder for results."""


def typed(schema: type[Schema], config: Any) -> Schema:
    """A configuration, composed or as plain data, as the dataclass that is its schema.

    Raises:
        OmegaConfBaseException: A key is unknown, a value has the wrong type, or an interpolation leads nowhere.
    """
    settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), config))
    if not isinstance(settings, schema):
        raise TypeError(f"the configuration has lost its schema, {schema.__name__}")
    return settings


def network_name(model: ModelConf) -> str:
    """Name of a network: its `name`, else its class's."""
    return model.name or model._target_.rpartition(".")[2]


_AT_LEAST_ONE = (
    "data.limit", "timing.rounds", "timing.min_rounds", "timing.processes",
    "timing.warmup.min_passes", "timing.warmup.window", "device.threads", "complexity.height",
    "complexity.width", "model.tile.size", "baseline.tile.size",
)  # fmt: skip
_NOT_NEGATIVE = (
    "device.index", "timing.seed", "timing.retries", "timing.warmup.tolerance", "timing.warmup.spread",
    "timing.warmup.max_seconds", "quality.border", "telemetry.sm_clock_spread",
    "telemetry.temperature_rise_c", "telemetry.host_load", "telemetry.steady_s", "telemetry.steady_rise_c",
    "model.tile.overlap", "baseline.tile.overlap",
)  # fmt: skip
_POSITIVE = (
    "timing.block_s", "timing.timeout_s", "timing.precision", "timing.max_seconds", "telemetry.max_share",
    "model.data_range", "baseline.data_range",
)  # fmt: skip
_RATES = ("telemetry.gpu_hz", "telemetry.host_hz")
RANGES: Limits = (
    (_AT_LEAST_ONE, lambda value: value >= 1, "at least 1"),
    (_NOT_NEGATIVE, lambda value: 0 <= value < float("inf"), "0 or more, and finite"),
    (_POSITIVE, lambda value: 0 < value < float("inf"), "positive and finite"),
    (_RATES, lambda value: 0 < value <= 10, "above 0 and at most 10"),  # noqa: PLR2004 - NVML's calls stall launches
    (("timing.confidence",), lambda value: 0 < value < 1, "between 0 and 1, as 0.95"),
)
MOST: Mapping[str, float] = {
    **dict.fromkeys(("timing.rounds", "timing.min_rounds"), MOST_ROUNDS),
    **dict.fromkeys(("timing.warmup.min_passes", "timing.warmup.max_passes", "timing.warmup.window"), 100_000),
    **dict.fromkeys(("timing.max_seconds", "timing.timeout_s", "timing.block_s"), 1e6),
    **dict.fromkeys(("timing.warmup.max_seconds", "telemetry.steady_s"), 1e5),
    **dict.fromkeys(("timing.processes", "timing.retries"), 1000),
    **dict.fromkeys(("complexity.height", "complexity.width"), 100_000),
    **dict.fromkeys(("model.tile.size", "baseline.tile.size", "quality.border", "data.limit"), 10_000_000),
    **dict.fromkeys(("model.data_range", "baseline.data_range"), 1e6),
    "device.index": 4096,
    "timing.precision": 100,
    "telemetry.max_share": 1,
    "timing.confidence": 0.9999,
    "timing.seed": 2**32 - 1,
}
"""Key -> largest value: beyond any use, and far from what overflows or never ends."""
LEAST: Mapping[str, float] = {
    **dict.fromkeys(_RATES, 0.01),
    **dict.fromkeys(("telemetry.max_share", "timing.block_s", "timing.max_seconds"), 1e-6),
    **dict.fromkeys(("model.data_range", "baseline.data_range", "timing.timeout_s"), 1e-6),
    "timing.precision": 1e-9,  # never reached: rounds until `max_seconds`
}
_MOST_CPUS = 65_536
CHOICES = {
    "timing.protocol": ("paired", "single"),
    "device.kind": ("auto", "cuda", "cpu"),
    "data.kind": ("demo", "folder"),
    "quality.save": ("none", "crops", "images"),
    "sandbox": ("auto", "require", "off"),
    "lock": ("wait", "fail"),
}


def check_ranges(config: object, ranges: Limits) -> None:
    """Checks numbers; `None` is always allowed.

    Raises:
        ConfigError: A value is out of range; the line names key, value and valid range.
    """
    for keys, allowed, wording in ranges:
        for key in keys:
            value = attrgetter(key)(config)
            if value is not None and not allowed(value):
                raise ConfigError(f"{key}={value}: must be {wording}")


def check_choices(config: object, known: Mapping[str, Sequence[str]]) -> None:
    """Checks words; `None` is always allowed.

    Raises:
        ConfigError: A word is not among its key's choices; the line names the nearest ones.
    """
    for key, choices in known.items():
        word = attrgetter(key)(config)
        if word is not None and word not in choices:
            raise ConfigError(f"{key}={word}: no such choice; {did_you_mean(word, choices)}")


def check_limits(config: object, most: Mapping[str, float], least: Mapping[str, float]) -> None:
    """Refuses numbers that would run for ever or overflow; `None` is always allowed.

    Raises:
        ConfigError: A value is out of range; the line names key, value and limit.
    """
    for limits, word, sign in ((most, "most", 1), (least, "least", -1)):
        for key, limit in limits.items():
            value = attrgetter(key)(config)
            if value is not None and sign * value > sign * limit:
                raise ConfigError(f"{key}={value:.12g}: must be at {word} {limit:.10g}")


def check_values(config: EsrConf) -> None:
    """Checks what a type cannot express.

    Raises:
        ConfigError: A value is out of range; the line names key, value and valid range.
    """
    if not config.out.strip():
        raise ConfigError("out=: no folder given; out=. is the current one")
    check_ranges(config, RANGES)
    check_choices(config, CHOICES)
    check_limits(config, MOST, LEAST)
    timing, cpus = config.timing, config.device.cpus
    processes = timing.processes or 1
    if (timing.rounds or 1) * processes > MOST_ROUNDS:
        raise ConfigError(
            f"timing.rounds={timing.rounds}: must be at most {MOST_ROUNDS} in all processes together, "
            f"timing.processes={processes}"
        )
    if cpus is not None and any(one >= _MOST_CPUS for one in cpus):
        raise ConfigError(f"device.cpus={cpus[:8]}: must be numbers of CPUs, as [0,1]")
    if timing.cuda_graph and timing.protocol == "single":
        raise ConfigError(
            "timing.cuda_graph=true: not with timing.protocol=single, since a capture warms the network up"
        )
    warmup = timing.warmup
    if warmup.max_passes < max(warmup.min_passes, 2 * warmup.window):
        raise ConfigError(
            f"timing.warmup.max_passes={warmup.max_passes}: must be at least min_passes={warmup.min_passes} "
            f"and twice window={warmup.window}"
        )
    check_choices(config, dict.fromkeys(("model.precision", "baseline.precision"), get_args(Precision)))
    for role, model in (("model", config.model), ("baseline", config.baseline)):
        if model.tile.size is not None and 2 * model.tile.overlap > model.tile.size:
            raise ConfigError(
                f"{role}.tile.overlap={model.tile.overlap}: must be at most half of tile.size={model.tile.size}"
            )
