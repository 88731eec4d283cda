"""Words for figures and findings, whatever the report is printed on."""

from collections.abc import Mapping
from typing import NamedTuple

from esr.ranking.challenge import Metric
from esr.ranking.structures import Interval
from esr.records.document import Data, Networks, Reason, Timing
from esr.records.files import Record
from esr.records.network import Estimate, Failure, Network
from esr.records.reasons import CPU_NOTE, REASONS, SEVERITIES, WARNING, WEIGHTS_NOTES, formula_note, scripted_note
from esr.text import escaped

DASH = "–"
"""Stands where there is no figure."""
SCOPES = {"gpu": "GPU", "module": "GPU and its module"}
"""Consumer of an energy -> its words."""
REUSED = "quality, counts and memory from an earlier evaluation; force=true measures them again"
UNWARMED = "one unwarmed pass, as the challenge's script takes it: no interval, not comparable with paired rounds"
ONE_PAIR = (
    "one pair of processes: on a CPU another pair's ratio may differ by a percent, which the interval does not "
    "include; with timing.processes=4 it does"
)


class CountFormat(NamedTuple):
    """A metric in tables."""

    words: str
    header: str
    symbol: str
    """Of the unit."""
    unit: float
    digits: int
    """Decimals."""


COUNTS: Mapping[Metric, CountFormat] = {
    "params": CountFormat("params", "params [M]", "M", 1e6, 3),
    "flops": CountFormat("FLOPs (hooks)", "FLOPs [G]", "G", 1e9, 2),
    "flops_fvcore": CountFormat("FLOPs (fvcore)", "FLOPs [G]", "G", 1e9, 2),
    "macs": CountFormat("MACs (dispatcher)", "MACs [G]", "G", 1e9, 2),
    "activations": CountFormat("activations", "acts [M]", "M", 1e6, 2),
    "memory": CountFormat("memory", "mem [MiB]", "MiB", 1, 1),
}
"""Every metric but runtime."""


def number(value: float | None, digits: int, unit: float = 1) -> str:
    """A figure in a unit, with so many decimals; a dash for `None`.

    >>> number(28.434, 2), number(317_000, 3, 1e6), number(None, 2)
    ('28.43', '0.317', '–')
    """
    return DASH if value is None else f"{value / unit:.{digits}f}"


def count(metric: Metric, value: float | None, without_formula: Mapping[str, int]) -> str:
    """A count in its unit; `≥` where work without a formula is left out, which the hooks of 2022 never saw anyway."""
    least = "≥ " if metric in ("macs", "flops_fvcore") and without_formula and value is not None else ""
    return least + number(value, COUNTS[metric].digits, COUNTS[metric].unit)


def interval(estimate: Estimate | None, digits: int) -> str:
    """An estimate with its interval.

    >>> interval(Estimate(0.5, 0.49, 0.51), 2), interval(Estimate(0.5), 2)
    ('0.50 [0.49, 0.51]', '0.50')
    """
    return DASH if estimate is None else number(estimate.value, digits) + bounds(estimate, digits)


def bounds(known: Estimate | Interval | None, digits: int) -> str:
    """An interval to follow its figure; empty without one."""
    if known is None or known.low is None or known.high is None:
        return ""
    return f" [{known.low:.{digits}f}, {known.high:.{digits}f}]"


def signed(difference: float, digits: int = 2) -> str:
    """A difference with its sign.

    >>> signed(-0.25), signed(-0.001)
    ('−0.25', '+0.00')
    """
    return f"{round(difference, digits) + 0:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def failure_words(failure: Failure) -> str:
    """Stage, kind and message of a failure, to follow `failed`."""
    return f"during '{failure.stage}' ({failure.kind}): {failure.message}"


def data_words(data: Data) -> str:
    """A data set with its number of images and the origin of LR."""
    images = len(data.load_images())
    return f"{data.name}: {images} image{'s' * (images != 1)}, LR {data.lr_words}"


def data_notes(data: Data) -> list[str]:
    """Images that are missing from the set, or beside it."""
    notes = []
    if data.skipped:
        where = ", ".join(data.skipped_from[:5]) + (", …" if data.skipped_from[5:] else "")
        notes.append(f"{data.skipped} images beside the set were skipped: {where}")
    if data.complete is not None and data.complete != len(data.load_images()):
        notes.append(f"{data.name} has {data.complete} images as published, here are {len(data.load_images())}")
    return notes


def footnotes(record: Record) -> list[str]:
    """Every note on the figures, the gravest first: reasons, data, networks, conditions; the same text once."""
    networks = record.document.networks
    candidate, baseline = networks.candidate, networks.baseline
    reasons = sorted(record.verdict.reasons, key=lambda found: SEVERITIES.index(found.severity))
    notes = [reason_line(networks, found) for found in reasons]
    notes += data_notes(record.document.data)
    notes += [f"{candidate.name}: {line}" for line in _all_network_notes(candidate)]
    notes += [f"{baseline.name} (baseline): {line}" for line in _all_network_notes(baseline)]
    if baseline.untimed_from is not None:
        notes.append(f"{baseline.name} (baseline): {REUSED}")
    timing = record.document.timing
    if timing.protocol == "single":
        notes.append(UNWARMED)
    elif timing.ratio is not None:
        own = [network.timing for network in (candidate, baseline) if network.timing]
        flagged, passes = sum(one.outliers for one in own), sum(one.passes for one in own)
        notes.append(
            f"in brackets: {timing.confidence * 100:g} % interval over "
            f"{len(timing.ratio_per_round)} rounds{_in_processes(timing)}; "
            f"{flagged} of {passes} passes are flagged as outliers, all are kept"
        )
    if timing.aa:
        notes.append("A/A: the same network twice; the ratio's distance from 1 is this machine's noise")
    if (worker := networks.worker) and worker.device.kind == "cpu":
        has_interval = timing.ratio is not None and timing.ratio.low is not None
        notes += [*([ONE_PAIR] if has_interval and len(timing.processes) == 1 else []), CPU_NOTE]
    return list(dict.fromkeys(notes))


def _in_processes(timing: Timing) -> str:
    processes, spread = len(timing.processes), timing.spread
    if processes < 2 or spread is None:  # noqa: PLR2004 - a single process differs from none
        return ""
    within, between = (number((part or 0) * 100, 2) for part in (spread.within, spread.between))
    return f" in {processes} fresh processes; spread within {within} %, between {between} %"


def reason_line(networks: Networks, found: Reason) -> str:
    """A reason of the verdict as a sentence: network, meaning and figures."""
    who = f"{networks.of(found.role).name}: " if found.role else ""
    mark = "warning: " if found.severity == WARNING else ""
    return f"{mark}{who}{warning(found)}"


def warning(found: Reason) -> str:
    """A reason's meaning and figures, without its network."""
    return f"{REASONS[found.reason]} ({found.detail})"


def loading_notes(network: Network) -> list[str]:
    """What a network did while it was loaded, and the repository that it comes from."""
    found = network.loading
    padded = f"inputs padded to multiples of {network.padded_to}, outputs cropped: it takes no other sizes"
    notes = [padded] if network.padded_to else []
    if found is None:
        return notes
    if found.passes:
        notes.append(
            f"made {found.passes} forward pass{'es' * (found.passes != 1)} while it was loaded, before any clock ran"
        )
    if found.settings_reset:
        changed = ", ".join(f"{escaped(name)}={value}" for name, value in found.settings_reset.items())
        notes.append(f"set {changed} while it was loaded; reset")
    if found.missing or found.unexpected:
        counts = f"{len(found.missing)} entries missing, {len(found.unexpected)} unexpected"
        notes.append(f"its script loads weights with strict=False: {counts}")
    if source := found.repository:
        dirty = f", changed files: {len(source.changed)}" if source.changed else ""
        at = f" at {source.commit[:7]}" if source.commit else ""
        notes.append(f"id {source.id} of {escaped(source.path)}{at}{dirty}")
    return notes


def _all_network_notes(network: Network) -> list[str]:
    weights, words = network.weights, WEIGHTS_NOTES.get(network.weights.source, "")
    why = (weights.note or "").removeprefix(f"{weights.source} weights")
    failed = f"failed {failure_words(network.failure)}" if network.failure else None
    notes = [words + why if words else weights.note, failed, *network_notes(network)]
    return [note for note in notes if note]


def network_notes(network: Network) -> list[str]:
    """Omissions and peculiarities of a network, apart from its weights and its failure."""
    uncounted, complexity = network.uncounted, network.complexity
    notes = [
        f"not counted: {uncounted}; try complexity.height and complexity.width" if uncounted else None,
        *loading_notes(network),
        scripted_note(complexity.scripted) if complexity and complexity.scripted else None,
        formula_note(complexity.without_formula) if complexity and complexity.without_formula else None,
    ]
    return [note for note in notes if note]
