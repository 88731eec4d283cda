"""A challenge's rules, read from `conf/challenge/NAME.yaml`: gates, tracks and their scores."""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import msgspec

import esr.conf
from esr.config.yaml_files import read_yaml
from esr.errors import ConfigError
from esr.text import did_you_mean, one_line

Metric = Literal["runtime", "params", "flops", "flops_fvcore", "macs", "activations", "memory"]
METRICS: tuple[Metric, ...] = get_args(Metric)
FLOPS: tuple[Metric, ...] = ("flops", "flops_fvcore")
"""Definitions of FLOPs, of which the tracks of a challenge use one."""
_PART_OF_A_SET = re.compile(r"_(hr|lr(_bicubic)?)(_?x4)?$")


class PsnrGate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The PSNR that a network must reach on one data set: relative to the baseline, or absolute."""

    data: str
    """Name of the data set in any spelling that `set_key` knows; `any` for every set that no other gate names."""
    below_baseline: float | None = None
    """Tolerance below the baseline, dB."""
    at_least: float | None = None
    """Least PSNR, dB."""
    binding: bool = True
    """False for a gate that the rules do not give: it is reported and excludes nobody."""


class Track(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ranking of the networks; the lowest score wins."""

    key: str
    title: str
    ranks: tuple[Metric, ...] = ()
    """Score: the sum of the ranks in these metrics; with one metric it is that metric's rank."""
    weights: dict[Metric, float] = {}
    """Score: Σ weight · exp(2 · figure / baseline's figure)."""
    enforce: tuple[Metric, ...] = ()
    """Metrics in which a network must be at least as good as the baseline under `constraints=enforce`."""


class Challenge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rules of one year."""

    name: str
    title: str
    baseline: str
    """The network that ratios, gates and scores are relative to."""
    references: tuple[str, ...] = ()
    """Networks shown without a rank."""
    psnr: tuple[PsnrGate, ...]
    tracks: tuple[Track, ...]
    published: str | None = None
    """CSV beside the YAML with the published figures and ranks."""
    published_note: str | None = None
    """Note on that table, such as the rows that it lacks."""

    def __post_init__(self) -> None:
        """Checks constraints that types cannot express; msgspec puts the place in front of the message."""
        for gate in self.psnr:
            if (gate.below_baseline is None) == (gate.at_least is None):
                raise ValueError(f"psnr gate of {gate.data}: needs either below_baseline or at_least")
        keys = [track.key for track in self.tracks]
        if not keys or len(set(keys)) < len(keys):
            raise ValueError("tracks: at least one is needed, and each needs a key of its own")
        for track in self.tracks:
            if bool(track.ranks) == bool(track.weights):
                raise ValueError(f"track {track.key}: needs either ranks or weights")
            if not all(math.isfinite(weight) and weight > 0 for weight in track.weights.values()):
                raise ValueError(f"track {track.key}: weights must be positive")

    def gate(self, data: str) -> PsnrGate | None:
        """The gate for a data set; `None` where the rules have none."""
        named = {set_key(gate.data): gate for gate in self.psnr}
        return named.get(set_key(data)) or named.get("any")


@lru_cache(maxsize=1024)
def set_key(name: str) -> str:
    """A data set's name in one spelling: lower case, words apart by underscores, without its mark of HR or LR.

    >>> set_key("DIV2K_LSDIR_valid_HR"), set_key("div2k-lsdir valid"), set_key("DIV2K_valid_LR_bicubic")
    ('div2k_lsdir_valid', 'div2k_lsdir_valid', 'div2k_valid')
    """
    return _PART_OF_A_SET.sub("", re.sub(r"[\W_]+", "_", name.casefold()).strip("_"))


def metrics_of(tracks: Sequence[Track]) -> tuple[Metric, ...]:
    """Metrics of a challenge's table: of the definitions of FLOPs only that which its tracks use.

    >>> metrics_of([Track(key="main", title="", weights={"flops_fvcore": 1.0})])
    ('runtime', 'params', 'flops_fvcore', 'macs', 'activations', 'memory')
    """
    own = flops_of(tracks)
    return tuple(metric for metric in METRICS if metric not in FLOPS or metric == own)


def flops_of(tracks: Sequence[Track]) -> Metric:
    """The definition of FLOPs that a challenge's tracks use; that of 2022 where none does."""
    used = {metric for track in tracks for metric in (*track.ranks, *track.weights, *track.enforce)}
    return next((metric for metric in FLOPS if metric in used), FLOPS[0])


def folder() -> Path:
    """The shipped `conf/challenge` folder."""
    return Path(esr.conf.__file__).parent / "challenge"


def names() -> list[str]:
    """The shipped challenges."""
    return sorted(file.stem for file in folder().glob("*.yaml"))


def load_challenge(choice: str) -> Challenge:
    """The rules by name, or from a path ending in `.yaml`.

    Raises:
        ConfigError: There is no such challenge, or the file does not fit.
    """
    path = Path(choice)
    if path.suffix not in (".yaml", ".yml"):
        if choice not in names():
            raise ConfigError(f"challenge={choice}: no such challenge; {did_you_mean(choice, names())}")
        path = folder() / f"{choice}.yaml"
    shown = f"challenge={choice}"
    rules: object = read_yaml(path, msgspec.yaml.decode, shown, "see docs/ranking.md")
    try:
        return msgspec.convert(rules, Challenge)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{shown}: {one_line(str(error))}") from error
