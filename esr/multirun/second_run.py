"""A second run of a record's measurement, with secrets of its own, and the judgement on both."""

import secrets
from collections.abc import Mapping
from typing import Literal

import msgspec
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from esr.config.mistakes import first_line
from esr.config.participant import check_settings
from esr.config.schema import EsrConf, typed
from esr.config.terms import ROLES, Role
from esr.errors import ConfigError, RecordError
from esr.records.compare import Comparison, compare
from esr.records.files import Record
from esr.records.network import Network
from esr.records.reasons import DISQUALIFYING
from esr.text import did_you_mean, one_line
from esr.zoo import weights as zoo
from esr.zoo.own_code import code_digest

Agreement = Literal["agree", "disagree", "inconclusive"]
CHANGEABLE = (
    *("out", "lock", "sandbox", "weights", "baseline_weights", "data.root", "data.hr", "data.lr"),
    *("model.source", "baseline.source", "model.repository.root", "baseline.repository.root"),
    *("timing.rounds", "timing.max_seconds", "timing.precision", "timing.processes", "timing.timeout_s"),
    *("device.index", "device.cpus"),
)
"""Keys that a second run may set: places, and how long is measured."""
_OWN = {"sandbox": "auto", "lock": "wait", "force": False, "out": "."}
"""Keys that are not taken from the record: a stranger's must not switch the sandbox off, nor say where is written."""
PSNR_DB, STOCHASTIC_DB = 0.01, 0.1
"""Differences of PSNR that rounding, or a network's own chance, explains."""


class SecondRun(msgspec.Struct, frozen=True):
    """A record, its repetition, and the conclusion."""

    comparison: Comparison
    """Of the ratios; A is the record."""
    outcome: Agreement
    reasons: tuple[str, ...]
    """What differs; of the ratio what `comparison` says."""


def settings_of(record: Record, words: Mapping[str, str]) -> EsrConf:
    """The record's configuration, with another seed.

    Args:
        record: Any version's; not trusted.
        words: Keys of `CHANGEABLE` and their values as on the command line.

    Raises:
        ConfigError: A key may not be changed, a value is wrong, or the configuration is none of this version's.
    """
    for key in words:
        if key not in CHANGEABLE:
            raise ConfigError(f"{key}: a second run keeps the record's; {did_you_mean(key, CHANGEABLE)}")
    where = "the record's configuration" if not words else f"{', '.join(words)} over the record's configuration"
    try:
        recorded = OmegaConf.create({key: _plain(value) for key, value in record.document.load_config().items()})
        given = OmegaConf.from_dotlist([f"{key}={value}" for key, value in {**_OWN, **words}.items()])
        settings = typed(EsrConf, OmegaConf.merge(recorded, given))
    except (OmegaConfBaseException, ValueError) as error:
        fault = first_line(error) if isinstance(error, OmegaConfBaseException) else str(error)
        raise ConfigError(f"{where}: cannot be composed ({one_line(fault)})") from error
    settings.timing.seed = secrets.randbelow(2**32)
    check_settings(settings)
    return settings


def _plain(value: object) -> object:
    """A copy in which no text is an interpolation."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.replace("${", r"\${") if isinstance(value, str) else value


def require_unchanged(record: Record, settings: EsrConf) -> None:
    """Refuses, before anything is measured, weights or code that are not the record's.

    Raises:
        RecordError: They are others; the line names network and remedy.
        EsrError: They are missing.
    """
    chosen = ((settings.model, settings.weights), (settings.baseline, settings.baseline_weights))
    for role, (model, choice) in zip(ROLES, chosen, strict=True):
        network = record.document.networks.of(role)
        name = one_line(network.name)
        key = "weights" if role == "candidate" else "baseline_weights"
        if zoo.resolve(model, choice).sha256 != network.weights.sha256:
            raise RecordError(f"{name}: the weights are not those of the record; name its file with {key}=FILE")
        found = code_digest(model)
        if None not in (found, network.code_sha256) and found != network.code_sha256:
            key = "model" if role == "candidate" else "baseline"
            raise RecordError(
                f"{name}: the source files are not those of the record; name its YAML with {key}.source=FILE, or "
                "measure it anew"
            )


def judge(first: Record, second: Record, margin: float) -> SecondRun:
    """Tells whether two runs agree: in the ratio, in quality, counts, files, and in what the verdict says.

    Args:
        first: The record.
        second: Its repetition.
        margin: Fraction of the ratio that counts as the same.

    Raises:
        RecordError: Both measured other images, or by another protocol.
    """
    comparison = compare(first, second, margin, force=True)
    others = [one.key for one in comparison.voiding if one.key in ("images", "timing.protocol")]
    if others:
        raise RecordError(f"{others[0]} are not those of the record: name the set's folder with data.root=DIR")
    reasons = [f"{one.key} differ" for one in comparison.voiding]
    for role in ROLES:
        one, other = first.document.networks.of(role), second.document.networks.of(role)
        reasons += [f"{role}: {line}" for line in _differing(one, other)]
    reasons += [
        f"{role}: only {label} says {reason}"
        for label, record, other in (("the record", first, second), ("the second run", second, first))
        for role, reason in sorted(_disqualified(record) - _disqualified(other))
    ]
    if comparison.outcome in ("faster", "slower"):
        reasons.append(f"the network is {comparison.outcome} than the record says")
    outcome: Agreement = "disagree" if reasons else "agree" if comparison.outcome == "same" else "inconclusive"
    return SecondRun(comparison, outcome, tuple(reasons))


def _differing(one: Network, other: Network) -> list[str]:
    lines = []
    if bool(one.failure) != bool(other.failure):
        lines.append("failed in one run only")
    chance = one.output_check.stochastic or other.output_check.stochastic
    psnr, again = (part.quality and part.quality.mean.psnr_rgb for part in (one, other))
    if None not in (psnr, again) and abs((psnr or 0) - (again or 0)) > (STOCHASTIC_DB if chance else PSNR_DB):
        lines.append(f"PSNR {psnr:.3f} dB in the record, {again:.3f} dB in the second run")
    if one.precision != other.precision:
        lines.append(f"computes in {one.precision} in the record, in {other.precision} in the second run")
    files, now = (
        {file.path: file.sha256 for file in part.loading.files} if part.loading else {} for part in (one, other)
    )
    changed = [path for path in files.keys() & now.keys() if files[path] != now[path]]
    lines += [f"opened another {one_line(path)}" for path in sorted(changed)[:3]]
    return lines


def _disqualified(record: Record) -> set[tuple[Role, str]]:
    """Reasons against one network; one against both in a single run is a busy machine's doing."""
    found = {role: {one.reason for one in record.verdict.reasons if one.role == role} for role in ROLES}
    common = found["candidate"] & found["baseline"]
    return {(role, name) for role in ROLES for name in (found[role] - common) & DISQUALIFYING}
