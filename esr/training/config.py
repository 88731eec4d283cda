"""The schema of `conf/train/` and of `esr train`: every key, its type, its unit and its default."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from esr.config import compose as composition
from esr.config import schema
from esr.config.mistakes import all_keys, in_one_line, key_of, unknown_key
from esr.config.quoting import readable
from esr.config.schema import DeviceConf, Limits, ModelConf
from esr.errors import ConfigError

RECIPE_GROUP = "train"


@dataclass
class PhaseConf:
    """Consecutive steps with one loss and one learning rate; Adam's averages start from zero."""

    steps: int = 0
    """Optimiser steps; 0 leaves the phase out."""
    lr: float = 1e-3
    """Adam's learning rate after warm-up, for outputs scaled to 0..1."""
    warmup: int = 0
    """Steps over which the learning rate rises linearly."""
    schedule: str = "cosine"
    """`cosine` (falls to zero at the phase's end), `halving` or `constant`."""
    halve_every: int = 200000
    """Steps after which `halving` halves the learning rate."""


@dataclass
class TrainConf:
    """Configuration of one training; the schedule depends on steps alone, never on time."""

    model: ModelConf = field(default_factory=ModelConf)
    data_root: str = MISSING
    """Folder of HR images to train on."""
    validate_root: str | None = None
    """Folder of HR images to validate on, such as Set5's; `None`: no validation."""
    out: str | None = None
    """Folder for checkpoint, weights and log; `None`: `outputs/training/NAME` in `$ESR_OUT`, or here."""

    init: str = "scratch"
    """`scratch` (the constructor's values), `interpolation` (the same, set up to interpolate, for networks built as
    esr's own), `short` (an interpolation where that is possible, else the constructor's values), or weights to
    fine-tune: `auto`, `published`, `bundled` or a path."""
    seed: int = 0
    """Seeds the constructor's values and every batch."""
    batch: int = 16
    """Patches per step."""
    patch: int = 48
    """Side of a square LR patch, in pixels; HR patches are four times as large."""
    l1: PhaseConf = field(default_factory=PhaseConf)
    """The first phase: mean absolute error."""
    l2: PhaseConf = field(default_factory=PhaseConf)
    """The second phase: mean squared error."""
    ema: float = 0.999
    """Decay per step of the exponential moving average of the weights; the average is validated and saved."""

    device: DeviceConf = field(default_factory=DeviceConf)
    """As in an evaluation: `device=auto`, `device=cuda device.index=1`, `device=cpu device.threads=4`."""
    save_as: str = "float16"
    """Precision of the saved weights: `float16` or `float32`."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    validate_every: int = 5000
    """Steps between validations."""
    log_every: int = 100
    """Steps between rows of the log."""

    @property
    def steps(self) -> int:
        """Optimiser steps of all phases."""
        return self.l1.steps + self.l2.steps


_AT_LEAST_ONE = ("batch", "patch", "device.threads", "checkpoint_every", "validate_every", "log_every")
_NOT_NEGATIVE = ("seed", "device.index")
_RANGES: Limits = (
    (_AT_LEAST_ONE, lambda value: value >= 1, "at least 1"),
    (_NOT_NEGATIVE, lambda value: value >= 0, "0 or more"),
    (("ema",), lambda value: 0 <= value < 1, "0 or more and less than 1, as 0.999"),
    (("l1.steps", "l1.warmup", "l2.steps", "l2.warmup"), lambda value: value >= 0, "at least 0"),
    (("l1.halve_every", "l2.halve_every"), lambda value: value >= 1, "at least 1"),
    (("l1.lr", "l2.lr"), lambda value: 0 < value < float("inf"), "positive and finite"),
)
_MOST = {
    **dict.fromkeys(("l1.steps", "l2.steps", "l1.warmup", "l2.warmup"), 10**10),
    **dict.fromkeys(("l1.lr", "l2.lr"), 1000),
    **dict.fromkeys(("batch", "patch"), 10_000),
    **{key: schema.MOST[key] for key in ("model.data_range", "device.index")},
    "seed": schema.MOST["timing.seed"],
}
_CHOICES = {
    "device.kind": ("auto", "cuda", "cpu"),
    "save_as": ("float16", "float32"),
    "l1.schedule": ("cosine", "halving", "constant"),
    "l2.schedule": ("cosine", "halving", "constant"),
}


def compose(overrides: Sequence[str]) -> TrainConf:
    """The checked configuration for overrides as on the command line, without `esr train`.

    Raises:
        ConfigError: An override is wrong; the line names it and the nearest valid names.
    """
    _refuse_unknown(overrides)
    overrides = readable(overrides)
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConf)
    defaults = ["train_schema", {"model": None}, {"device": "auto"}, {RECIPE_GROUP: "default"}, "_self_"]
    store.store(name="train_run", node={"defaults": defaults})
    with in_one_line(overrides):
        composed = composition.compose_unchecked("train_run", overrides)
        composition.require_network(composed)
        if OmegaConf.is_missing(composed, "data_root"):
            raise ConfigError("no images to train on: add data_root=FOLDER, a folder of HR images")
        settings = schema.typed(TrainConf, composed)
    check_values(settings)
    return settings


def check_values(settings: TrainConf) -> None:
    """Checks what a type cannot express.

    Raises:
        ConfigError: A value is out of range; the line names key, value and valid range.
    """
    schema.check_ranges(settings, _RANGES)
    schema.check_limits(settings, _MOST, {"model.data_range": schema.LEAST["model.data_range"]})
    schema.check_choices(settings, _CHOICES)
    if settings.steps == 0:
        raise ConfigError("l1.steps=0 l2.steps=0: nothing to train; give one of them a number of steps")


def _refuse_unknown(words: Sequence[str]) -> None:
    """Refuses unknown keys before Hydra does, whose message would list the keys of an evaluation."""
    known = [*all_keys(OmegaConf.structured(TrainConf)), RECIPE_GROUP]
    for word in words:
        if "=" not in word:
            raise ConfigError(f"{word}: an override is written KEY=VALUE; esr train --help says more")
        if key_of(word) not in known and not key_of(word).startswith("model.args."):
            raise ConfigError(unknown_key(word, known, "esr config --train explains them"))
