"""Finds records in files and folders and makes entries of them for a ranking.

What cannot be used is left out and said, so that one bad file does not stop the table.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from esr.errors import RecordError
from esr.ranking import Entry, Figures, Interval
from esr.ranking.challenge import Challenge
from esr.ranking.structures import Reason
from esr.records.files import CPU_NOTE, FILE_NAME
from esr.records.finding import LeftOut, json_files
from esr.records.reading import (
    Complexity,
    Cpu,
    Document,
    Estimate,
    Network,
    NotARecord,
    Published,
    PublishedRanks,
    Reader,
)
from esr.text import shown_path

CPU = "CPU"
_CLEANEST = {"clean": 2, "tainted": 1, "failed": 0}


@dataclass(frozen=True)
class Conditions:
    """What has to be alike for figures to stand in one table."""

    data: str
    """Name of the data set."""
    images: str
    """Same for the same LR pixels."""
    protocol: str
    baseline: str
    counted_on: str
    """Input size of the counts."""
    device: str
    settings: str
    """cuDNN switches and threads."""


MUST_AGREE = {
    "data": "data set",
    "images": "images",
    "protocol": "timing protocol",
    "baseline": "baseline",
    "counted_on": "input size of the counts",
}
"""Without these alike nothing can be compared."""
MIXABLE = {"device": "device", "settings": "settings"}
"""Across these the ratio to the baseline still means something."""


@dataclass(frozen=True)
class Measured:
    """A record that can be ranked."""

    entry: Entry
    conditions: Conditions
    ended: datetime


@dataclass(frozen=True)
class Collection:
    """What was found."""

    measured: tuple[Measured, ...]
    """One per network, with distinct keys."""
    baseline: Entry | None
    """What the newest was paired with, as a row of its own."""
    left_out: tuple[LeftOut, ...]
    read: tuple[Measured, ...]
    """Every usable record, duplicates included."""

    def differences(self, names: dict[str, str]) -> list[str]:
        """Conditions that are not the same in all records: how many have which value, and a file of the rarer ones."""
        return [
            f"{words} ({'; '.join(self._shares(name, counts))})"
            for name, words in names.items()
            if len(counts := self._values(name)) > 1
        ]

    def _values(self, name: str) -> Counter[str]:
        # A network that failed at once says nothing about where it ran.
        return Counter(value for one in self.read if (value := getattr(one.conditions, name)))

    def _shares(self, name: str, counts: Counter[str]) -> Iterator[str]:
        for place, (value, count) in enumerate(counts.most_common(3)):
            label = f"set {place + 1}" if name == "images" else value
            example = next(one.entry.path for one in self.read if getattr(one.conditions, name) == value)
            yield f"{label}: {count}, as {shown_path(example or '')}" if place else f"{label}: {count}"

    def phrases(self) -> list[str]:
        """The conditions that all records share, for the table's head."""
        names = ("data", "device", "settings", "protocol")
        return [next(iter(values)) for name in names if len(values := self._values(name)) == 1]


@dataclass(frozen=True)
class Ranked:
    """What `esr.ranking.rank_entries` is asked to rank."""

    entries: tuple[Entry, ...]
    baseline: str
    conditions: tuple[str, ...]
    notes: tuple[str, ...]


def collect(paths: Sequence[str | os.PathLike[str]]) -> Collection:
    """Reads every record under files and folders; of several of one network the newest clean one stays.

    Raises:
        RecordError: A path does not exist.
    """
    reader = Reader()
    found: list[Measured] = []
    left_out: list[LeftOut] = []
    newest: tuple[Path, Document] | None = None
    for file, named in json_files(paths, left_out):
        try:
            document, images = reader.read(file)
        except NotARecord as error:
            if named or file.name == FILE_NAME:
                left_out.append(LeftOut(file, str(error), "unusable"))
        except RecordError as error:
            left_out.append(LeftOut(file, str(error), "unusable"))
        else:
            found.append(Measured(_candidate(file, document), _conditions(document, images), document.ended))
            if newest is None or document.ended >= newest[1].ended:
                newest = file, document
    measured, duplicates = _newest_clean(found)
    beside = _baseline(*newest) if newest else None
    return Collection(tuple(_distinct(measured)), beside, (*left_out, *duplicates), tuple(found))


def assemble(collection: Collection, challenge: Challenge, mixed: bool = False) -> Ranked:
    """The entries of one ranking: every network measured, and the baseline they were paired with.

    Args:
        collection: What was found.
        challenge: Says which networks are shown without a rank.
        mixed: Allows records of several devices or settings; their ratios are ranked, and what a device decides
            (milliseconds, memory, energy) is left out.

    Raises:
        RecordError: There is nothing to rank, or the records can't stand in one table.
    """
    beside = collection.baseline
    if beside is None:
        raise RecordError("not one record that can be ranked; esr model=NAME makes one")
    if unlike := collection.differences(MUST_AGREE):
        raise RecordError(f"the records differ in {'; '.join(unlike)}; rank those that agree on their own")
    apart = collection.differences(MIXABLE)
    if apart and not mixed:
        raise RecordError(
            f"the records differ in {'; '.join(apart)}; rank those that agree on their own, or pass --mixed to rank "
            "ratios to the baseline"
        )
    entries = [
        replace(one.entry, reference=one.entry.name in challenge.references) for one in collection.measured
    ]
    if beside.name not in {entry.name for entry in entries}:
        entries.append(beside)
    notes = []
    if apart:
        entries = [replace(entry, figures=_travelling(entry.figures)) for entry in entries]
        notes.append(
            f"mixed: records differ in {'; '.join(apart)}; only what travels between machines is compared"
        )
    if beside.name != challenge.baseline:
        notes.append(
            f"ratios are relative to {beside.name}; the challenge's baseline is {challenge.baseline}"
        )
    if any(one.conditions.device.startswith(CPU) for one in collection.read):
        notes.append(CPU_NOTE)
    return Ranked(tuple(entries), beside.name, tuple(collection.phrases()), tuple(notes))


def _travelling(figures: Figures) -> Figures:
    return replace(figures, runtime_ms=None, memory_mib=None, energy_mj=None)


def _newest_clean(found: Sequence[Measured]) -> tuple[list[Measured], list[LeftOut]]:
    """One record per network: a clean one before a tainted one before a failed one, then the newest."""
    groups: dict[tuple[object, ...], list[Measured]] = defaultdict(list)
    for one in found:
        groups[one.entry.name, one.entry.team, one.entry.team_id].append(one)
    kept, left_out = [], []
    for group in groups.values():
        best = max(group, key=lambda one: (_CLEANEST[one.entry.verdict], one.ended))
        kept.append(best)
        left_out += [
            LeftOut(
                Path(other.entry.path or ""),
                f"{other.entry.name} ({other.entry.verdict}) is ranked by {shown_path(best.entry.path or '')} "
                f"({best.entry.verdict})",
                "duplicate",
            )
            for other in group
            if other is not best
        ]
    return kept, left_out


def _distinct(measured: Sequence[Measured]) -> list[Measured]:
    """Networks of different teams may share a name: the key then says whose it is, and counts what still is alike."""
    names = Counter(one.entry.name for one in measured)
    taken: Counter[str] = Counter()
    distinct = []
    for one in measured:
        key = one.entry.key if names[one.entry.name] == 1 else _key(one.entry)
        taken[key] += 1
        if taken[key] > 1:
            key = f"{key} #{taken[key]}"
        distinct.append(replace(one, entry=replace(one.entry, key=key)) if key != one.entry.key else one)
    return distinct


def _key(entry: Entry) -> str:
    return f"{entry.name} ({entry.team or 'no team'}, {'-' if entry.team_id is None else entry.team_id})"


def _candidate(file: Path, document: Document) -> Entry:
    network, timing = document.networks.candidate, document.timing
    counted = network.complexity or Complexity()
    return Entry(
        key=network.name,
        name=network.name,
        title=network.card.title,
        team=network.card.team,
        team_id=network.card.team_id,
        source="measured",
        figures=_figures(document, network, "candidate", timing.ratio),
        baseline=_beside(document),
        published=_published(network.card.published, document.networks.baseline.card.published.time_ms),
        published_ranks=_published_ranks(network.card.published.ranks),
        ratio_per_round=timing.ratio_per_round,
        process_of_round=timing.process_of_round,
        verdict=document.verdict.status,
        reasons=tuple(Reason(one.reason, one.severity, one.network) for one in document.verdict.reasons),
        failure=network.failure.kind if network.failure else None,
        weights=network.weights.source,
        baseline_weights=document.networks.baseline.weights.source,
        missed_by_hooks=counted.missed_by_hooks,
        without_formula=counted.without_formula,
        path=str(file),
    )


def _baseline(file: Path, document: Document) -> Entry:
    network = document.networks.baseline
    counted = network.complexity or Complexity()
    return Entry(
        key=network.name,
        name=network.name,
        title=network.card.title,
        team=network.card.team,
        team_id=network.card.team_id,
        source="measured",
        figures=_beside(document),
        baseline=_beside(document),
        reference=True,
        published=_published(network.card.published, network.card.published.time_ms),
        published_ranks=_published_ranks(network.card.published.ranks),
        weights=network.weights.source,
        baseline_weights=network.weights.source,
        missed_by_hooks=counted.missed_by_hooks,
        without_formula=counted.without_formula,
        path=str(file),
    )


def _beside(document: Document) -> Figures:
    itself = Estimate(1.0, None, None) if document.timing.ratio else None
    return _figures(document, document.networks.baseline, "baseline", itself)


def _figures(document: Document, network: Network, role: str, ratio: Estimate | None) -> Figures:
    counted = network.complexity or Complexity()
    quality = network.quality
    psnr = quality.mean.psnr_rgb if quality and quality.meaningful else None
    energy = document.telemetry.energy_per_image.get(role, {})
    spent = energy.get("gpu") or energy.get("host")
    return Figures(
        runtime_ms=network.timing.ms_per_image.value if network.timing else None,
        ratio=ratio.value if ratio else None,
        ratio_interval=_interval(ratio),
        params=counted.params,
        flops=counted.flops,
        macs=counted.macs,
        activations=counted.activations,
        memory_mib=network.memory.mib if network.memory else None,
        convolutions=counted.convolutions,
        energy_mj=spent.joules_per_image * 1000 if spent else None,
        psnr={} if psnr is None else {document.data.name: psnr},
    )


def _interval(ratio: Estimate | None) -> Interval | None:
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    return Interval(ratio.low, ratio.high)


def _published(printed: Published, baseline_ms: float | None) -> Figures | None:
    if all(getattr(printed, name) is None for name in printed.__struct_fields__):
        return None
    sets = {"div2k_valid": printed.psnr_valid, "div2k_test": printed.psnr_test}
    return Figures(
        runtime_ms=printed.time_ms,
        ratio=printed.time_ms / baseline_ms if printed.time_ms and baseline_ms else None,
        params=_times(printed.params_m, 1e6),
        flops=_times(printed.flops_g, 1e9),
        activations=_times(printed.activations_m, 1e6),
        memory_mib=printed.memory_mib,
        convolutions=printed.convolutions,
        psnr={name: value for name, value in sets.items() if value is not None},
    )


def _times(value: float | None, unit: float) -> float | None:
    return None if value is None else round(value * unit)


def _published_ranks(ranks: PublishedRanks | None) -> dict[str, int]:
    if ranks is None:
        return {}
    return {
        "runtime" if name == "time" else name: rank
        for name in ranks.__struct_fields__
        if (rank := getattr(ranks, name)) is not None
    }


def _processor(cpu: Cpu) -> str:
    cores = f", {cpu.usable_cores} cores" if cpu.usable_cores else ""
    return f"{CPU} ({cpu.model or 'unknown'}{cores})"


def _conditions(document: Document, images: str) -> Conditions:
    candidate, baseline = document.networks.candidate, document.networks.baseline
    runtime = candidate.runtime if candidate.runtime.device else baseline.runtime
    device = runtime.device
    counted = candidate.complexity or Complexity()
    name, settings = "", ""
    if device is not None:
        name = device.name or (_processor(document.environment.cpu) if device.kind == "cpu" else device.kind)
        switches = [key for key, on in sorted(runtime.cudnn.items()) if on and key != "available"]
        threads = [f"threads={runtime.threads}"] if device.kind == "cpu" else []
        settings = ", ".join([f"torch {runtime.torch}", *threads, *switches])
    return Conditions(
        data=document.data.name,
        images=images,
        protocol=f"{document.timing.protocol}, {document.timing.confidence:.0%} intervals",
        baseline=baseline.name,
        counted_on="×".join(map(str, counted.input_shape)),
        device=name,
        settings=settings,
    )
