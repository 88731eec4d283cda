"""A challenge's rules, read from `conf/challenge/NAME.yaml`: gates, tracks and their scores."""

import math
from pathlib import Path
from typing import Literal, get_args

import msgspec

import esr.conf
from esr.errors import ConfigError
from esr.text import did_you_mean, one_line

Metric = Literal["runtime", "params", "flops", "macs", "activations", "memory"]
METRICS: tuple[Metric, ...] = get_args(Metric)


class PsnrGate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The PSNR that a network must reach on one data set: relative to the baseline, or absolute."""

    data: str
    """Name of the data set; `any` for every set that no other gate names."""
    below_baseline: float | None = None
    """Tolerance below the baseline, dB."""
    at_least: float | None = None
    """Least PSNR, dB."""


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
        named = {gate.data: gate for gate in self.psnr}
        return named.get(data) or named.get("any")


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
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Challenge)
    except OSError as error:
        raise ConfigError(f"challenge={choice}: cannot be read ({error.strerror})") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"challenge={choice}: {error}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"challenge={choice}: not YAML ({one_line(str(error))})") from error
