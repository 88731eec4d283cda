"""The shipped networks and their cards; a card is read from `conf/model/NAME.yaml` without Hydra or torch."""

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

import esr.conf
from esr.config.terms import Count, Figure, Number, Psnr, Rank
from esr.errors import ConfigError
from esr.text import did_you_mean

if TYPE_CHECKING:
    from esr.config.schema import ModelConf

CONFIDENTIAL_TEAMS = (7, 21, 32, 41)
"""Teams of the challenge whose networks were never published."""


ChallengeName: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[\w.-]{1,64}$")]
"""Name of a file in `conf/challenge`, or of a user's own rules."""


class Ranks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published ranks; `None` where the paper gives none."""

    main: Rank | None = None
    sub1: Rank | None = None
    sub2: Rank | None = None
    sub3: Rank | None = None
    runtime: Rank | None = None
    params: Rank | None = None
    flops: Rank | None = None
    flops_fvcore: Rank | None = None
    activations: Rank | None = None
    memory: Rank | None = None


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of a challenge's results table, as printed."""

    challenge: ChallengeName = "ntire2022"
    """Name of the challenge in `conf/challenge`; figures of one year say nothing under the rules of another."""
    psnr_rgb: dict[str, Psnr] = {}
    """Data set -> dB."""
    runtime_ms: Figure | None = None
    """Mean of the validation and the test set's milliseconds per image."""
    params_m: Figure | None = None
    """Millions."""
    flops_g: Figure | None = None
    """10⁹, by module hooks as until 2023."""
    flops_fvcore_g: Figure | None = None
    """10⁹, by fvcore as since 2024."""
    activations_m: Figure | None = None
    """Millions."""
    memory_mib: Figure | None = None
    convolutions: Count | None = None
    ranks: Ranks = Ranks()


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published facts about a network; figures carry the unit in their name."""

    name: str
    """Short name, as in `model=NAME`."""
    title: str
    """The architecture's name as its authors write it."""
    team: str | None = None
    team_id: Number | None = None
    """Number in the challenge's table; -1 and 0 are the two baselines, `None`: not of the challenge."""
    paper: str | None = None
    note: str | None = None
    data_range: Figure = 1.0
    """Largest value of the network's input and output: 1.0 or 255.0."""
    licence: str | None = None
    """Licence of the published weights."""
    published: Published | None = None
    """Row of the challenge's table; `None` where there is none."""
    claims: Published | None = None
    """Figures that a participant states."""


OPTION_GROUPS = ("data", "timing", "device", "cudnn", "telemetry")
"""Groups of `conf/` beside the networks, a few YAML files each; `conf/train` belongs to `esr train`."""
_AS_CONFIGURED = ("team", "team_id", "paper", "note", "data_range", "published", "claims")
_PUBLISHED_KEYS = (*Published.__struct_fields__, *Ranks.__struct_fields__)


def folder() -> Path:
    """The shipped `conf/model` folder."""
    return Path(esr.conf.__file__).parent / "model"


@cache
def model_names() -> list[str]:
    """Names of the shipped networks: baselines first, then by team."""
    return sorted((file.stem for file in folder().glob("*.yaml")), key=lambda name: (_team_id(name), name))


@cache
def _team_id(name: str) -> float:
    # Only this line is read: parsing forty files would cost half of `esr --help`.
    found = re.search("^team_id:(.*)", (folder() / f"{name}.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    return float(found[1]) if found else float("inf")


SHIPPED = "esr.models."
"""Beginning of the class path of every shipped network."""
RECOGNISED = "esr.networks.recognised.Recognised"
"""The class in `conf/repository/spandrel.yaml`: no class, since only the weight file tells which it is."""
NO_FILE = "spandrel: the weight file tells the architecture; add weights=FILE to model=spandrel"


def model_file(choice: str, group: str = "model") -> Path | None:
    """The YAML of a network.

    Args:
        choice: A name, a team as `team04` or `team4`, `repo`, `spandrel`, or a path ending in `.yaml`.
        group: The group that it is chosen for, `model` or `baseline`.

    Returns:
        `None` if there is none.
    """
    path = Path(choice)
    if path.suffix in (".yaml", ".yml"):
        return path if os.path.exists(path) else None
    if file := {"repo": group, "spandrel": "spandrel"}.get(choice):
        return folder().with_name("repository") / f"{file}.yaml"
    name = team_network(int(choice[4:])) if re.fullmatch(r"team\d{1,2}", choice) else choice
    return folder() / f"{name}.yaml" if name in model_names() else None


def team_network(team_id: int) -> str | None:
    """The network of a team of the challenge; `None` if there is no such team.

    Raises:
        ConfigError: The team's network was never published.
    """
    if team_id in CONFIDENTIAL_TEAMS:
        raise ConfigError(f"team{team_id:02}: its network is confidential, so there is none to measure")
    return next((name for name in model_names() if _team_id(name) == team_id and team_id > 0), None)


@cache
def card(name: str) -> Card:
    """The card of a shipped network.

    Raises:
        ConfigError: There is no network of that name.
    """
    if name not in model_names():
        raise ConfigError(f"{name}: no such network; {did_you_mean(name, model_names())}")
    return card_of_model(_shipped(name))


@cache
def _shipped(name: str) -> "ModelConf":
    from esr.config.schema import ModelConf  # noqa: PLC0415 - names alone do without OmegaConf

    return msgspec.yaml.decode((folder() / f"{name}.yaml").read_bytes(), type=ModelConf)


def is_as_shipped(model: "ModelConf") -> bool:
    """True if a network is a shipped one, with the checkpoint of its YAML."""
    if model.source or model.name not in model_names():
        return False
    shipped = _shipped(model.name)
    return (model._target_, model.checkpoint) == (shipped._target_, shipped.checkpoint)


def card_of_model(model: "ModelConf", where: str = "") -> Card:
    """The card in a network's configuration, a shipped one's or a participant's.

    Args:
        model: The network's configuration.
        where: Start of an error's line, as `my.yaml: `.

    Raises:
        ConfigError: A published figure has an unknown key or is out of range.
    """
    name = model.name or model._target_.rpartition(".")[2]
    facts = {"name": name, "title": model.title or name, "licence": model.checkpoint.licence}
    try:
        return msgspec.convert(facts | {key: getattr(model, key) for key in _AS_CONFIGURED}, Card)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        unknown = re.search("unknown field `(.*)`", reason)
        hint = f"; {did_you_mean(unknown[1], _PUBLISHED_KEYS)}" if unknown else ""
        raise ConfigError(f"{where}{path.rstrip('`')}: {reason}{hint}") from None
