"""Collects records from files and folders as a ranking's entries.

An unusable file is left out and reported, so that one bad file does not stop the table.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from esr.config.terms import ROLES, Role
from esr.errors import RecordError
from esr.ranking.challenge import Challenge
from esr.ranking.eligibility import Eligibility, judged, rules_note
from esr.ranking.identity import Rankable, groups, keys, submission
from esr.ranking.joining import joined, networks, opposite_orders
from esr.ranking.published import published_figures, published_ranks
from esr.ranking.structures import COUNT_FIELDS, Constraints, Entry, Figures, Interval, Ranges, Ranking
from esr.ranking.table import rank_entries
from esr.records.document import Cpu, Document, decoded_images
from esr.records.files import FILE_NAME, NotARecord, Record, decode, read_bytes, require_unaltered
from esr.records.finding import LeftOut, json_files
from esr.records.network import Estimate, QualityPart, WorkerReport
from esr.records.reasons import CPU_NOTE, STATUSES
from esr.text import shown_path

CPU = "CPU"
MUST_AGREE = ("data set", "images", "timing protocol", "baseline", "input size of the counts")
"""Conditions without which nothing can be compared."""
MIXABLE = ("device", "settings")
"""Conditions across which the ratio to the baseline remains meaningful."""
_IN_HEAD = ("device", "settings", "timing protocol")
_MANY, _MOST_PROCESSES = 1000, 16
"""Records from which on several processes read them."""


class _Read(NamedTuple):
    """A record as it was read."""

    rankable: Rankable
    baseline: Entry


class Collection(msgspec.Struct, frozen=True):
    """Records found under the given paths."""

    kept: tuple[Rankable, ...]
    """One per network, machine and data set; a key is a network on a machine."""
    baselines: Mapping[str, Entry]
    """Data set -> baseline of its newest record, as a row of its own."""
    left_out: tuple[LeftOut, ...]
    read: tuple[Rankable, ...]
    """Every usable record, duplicates included."""
    documents: Mapping[str, Document]
    """The whole records of `kept` and `baselines`, by `Entry.path`; empty unless they were asked for."""
    notes: tuple[str, ...] = ()
    """How networks of one name differ."""

    def sets(self) -> list[str]:
        """Data sets that can be joined, since a network was measured on each; otherwise all."""
        return list(dict.fromkeys(one.data for one in self.read))

    def joinable(self) -> bool:
        """True if a network was measured on every data set."""
        measured: dict[str, set[str]] = defaultdict(set)
        for one in self.kept:
            measured[one.entry.key].add(one.data)
        every = len(self.sets())
        return any(len(sets) == every for sets in measured.values())

    def unlike(self) -> str:
        """Conditions in which records differ that cannot stand in one table; empty where they can."""
        if len(self.sets()) == 1 or not self.joinable():
            return self.differences(MUST_AGREE)
        apart = [self.differences([name for name in MUST_AGREE if name not in ("data set", "images")])]
        for data in self.sets():
            of_set = tuple(one for one in self.read if one.data == data)
            if images := replace(self, read=of_set).differences(["images"]):
                apart.append(f"{images} of {data}")
        return "; ".join(filter(None, apart))

    def differences(self, conditions: Sequence[str]) -> str:
        """Conditions that differ between records: how many share each value, and a file of the rarer ones."""
        counted = {name: self._values(name) for name in conditions}
        found = (f"{name} ({self._shares(name, values)})" for name, values in counted.items() if len(values) > 1)
        return "; ".join(found)

    def _values(self, name: str) -> Counter[str]:
        # A network that failed at once leaves its device unknown.
        return Counter(filter(None, [one.conditions[name] for one in self.read]))

    def _shares(self, name: str, values: Counter[str]) -> str:
        shares = []
        for place, (value, count) in enumerate(values.most_common(3)):
            label = f"set {place + 1}" if name == "images" else value
            example = next(one.entry.path for one in self.read if one.conditions[name] == value)
            shares.append(f"{label}: {count}, as {shown_path(example or '')}" if place else f"{label}: {count}")
        return "; ".join(shares)

    def shared(self) -> list[str]:
        """Conditions that all records share, for the table's head."""
        counted = [self._values(name) for name in _IN_HEAD]
        alike = [value for values in counted for value in values if len(values) == 1]
        return [" + ".join(self.sets()), *alike]


def collect(paths: Sequence[str | os.PathLike[str]], *, whole: bool = False) -> Collection:
    """Reads every record under files and folders; of several of one network the newest clean one is kept.

    Args:
        paths: Record files, and folders of them.
        whole: Keeps the documents as well, which take as much memory as the files.

    Raises:
        RecordError: A path does not exist.
    """
    left_out: list[LeftOut] = []
    read = _read(json_files(paths, left_out))
    return _collected((one for one in read if one is not None), left_out, whole)


def collect_records(records: Sequence[Record]) -> Collection:
    """As `collect`, of records at hand; one that was never written goes by its place in the sequence."""
    named = ((str(one.path or f"record {place}"), one.document) for place, one in enumerate(records, 1))
    return _collected(map(_rankable, named), [], whole=False)


def _read(files: Iterator[tuple[str, bool]]) -> Iterator[_Read | LeftOut | None]:
    """Every record, or why it is left out; `None` for a file that is no record and was not named as one.

    Many records are read by all cores: each is recomputed from its samples, which takes most of a ranking's time.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    first = [*islice(files, _MANY)]
    files = chain(first, files)
    if len(first) < _MANY or cores == 1:
        yield from map(_read_one, files)
        return
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415 - usual rankings do without
    from multiprocessing import get_context  # noqa: PLC0415

    with ProcessPoolExecutor(min(cores, _MOST_PROCESSES), get_context("fork")) as pool:
        yield from pool.map(_read_one, files, chunksize=100)  # begins while files are still found


def _read_one(file: tuple[str, bool]) -> _Read | LeftOut | None:
    path, named = file
    try:
        document = decode(raw := read_bytes(path))
        require_unaltered(document, raw)
    except RecordError as error:
        is_record = named or os.path.basename(path) == FILE_NAME or not isinstance(error, NotARecord)
        return LeftOut(Path(path), str(error)) if is_record else None
    return _rankable((path, document))


def _rankable(read: tuple[str, Document]) -> _Read:
    file, document = read
    conditions = _conditions(document)
    machine = conditions["device"], conditions["settings"]
    own, beside = (_figures(document, role) for role in ROLES)
    entry = _entry(file, document, "candidate", own, beside)
    baseline = _entry(file, document, "baseline", beside, beside)
    return _Read(Rankable(entry, submission(document, machine), conditions, document.ended), baseline)


def _collected(records: Iterable[_Read | LeftOut], left_out: list[LeftOut], whole: bool) -> Collection:
    found: list[Rankable] = []
    newest: dict[str, tuple[datetime, Entry]] = {}
    for one in records:
        if isinstance(one, LeftOut):
            left_out.append(one)
            continue
        found.append(one.rankable)
        ended, data = one.rankable.ended, one.rankable.data
        if data not in newest or ended >= newest[data][0]:
            newest[data] = ended, one.baseline
    submissions, duplicates = _newest_clean(found)
    baselines = {data: entry for data, (_, entry) in newest.items()}
    distinct, notes = keys([one[0] for one in submissions])
    kept = tuple(
        one if one.entry.key == key else replace(one, entry=replace(one.entry, key=key))
        for key, several in zip(distinct, submissions, strict=True)
        for one in several
    )
    shown = (*(one.entry for one in kept), *baselines.values())
    documents = {entry.path: decode(read_bytes(entry.path)) for entry in shown if whole and entry.path}
    return Collection(kept, baselines, (*left_out, *duplicates), tuple(found), documents, tuple(notes))


def rank_records(
    collection: Collection,
    challenge: Challenge,
    constraints: Constraints = "report",
    mixed: bool = False,
    rules: Eligibility = Eligibility(),  # noqa: B008 - immutable
    ranges: Ranges = "together",
) -> Ranking:
    """Ranks every measured network, and shows their baseline; records of one network on several sets are joined.

    Args:
        collection: Records found.
        challenge: Rules; names the networks that are shown without a rank.
        constraints: As for `rank_entries`.
        mixed: Allows records of several devices or settings; their ratios are ranked, and figures that depend on the
            device (milliseconds, memory, energy) are left out.
        rules: Who may be ranked.
        ranges: Certainty of ranges and brackets, as for `uncertainty`.

    Raises:
        RecordError: There is nothing to rank, or the records cannot stand in one table.
        ConfigError: An exclusion names no network.
    """
    if not collection.baselines:
        raise RecordError("no record that can be ranked; esr model=NAME makes one")
    if unlike := collection.unlike():
        raise RecordError(f"the records differ in {unlike}; rank those that agree separately")
    apart = collection.differences(MIXABLE)
    if apart and not mixed:
        remedy = "rank those that agree separately, or pass --mixed to rank ratios to the baseline"
        raise RecordError(f"the records differ in {apart}; {remedy}")
    sets = collection.sets()
    baseline = joined(collection.baselines, sets)
    entries = networks(collection.kept, sets)
    if baseline.name not in {entry.name for entry in entries}:
        entries.append(baseline)
    notes = list(collection.notes)
    if len(sets) > 1:
        notes.append(f"runtime: mean over {', '.join(sets)}; ratio: of those means")
    if apart:
        own = {"runtime_ms": None, "memory_mib": None, "energy_mj": None}
        entries = [replace(entry, figures=replace(entry.figures, **own)) for entry in entries]
        notes.append(f"mixed: records differ in {apart}; only figures that carry over are compared")
    else:
        notes += opposite_orders(entries)
    if baseline.name != challenge.baseline:
        notes.append(f"ratios are relative to {baseline.name}; the challenge's baseline is {challenge.baseline}")
    if any(one.conditions["device"].startswith(CPU) for one in collection.read):
        notes.append(CPU_NOTE)
    entries = [_under(challenge, entry) for entry in entries]
    return rank_entries(
        judged(entries, rules),
        challenge,
        constraints,
        ranges=ranges,
        baseline=baseline.name,
        conditions=collection.shared(),
        notes=[*notes, *rules_note(rules)],
    )


def _under(challenge: Challenge, entry: Entry) -> Entry:
    """An entry as one challenge sees it: its references, and no figures that another one published."""
    if entry.published_in != challenge.name:
        entry = replace(entry, published=None, published_in=None, published_ranks={})
    return replace(entry, reference=True) if entry.name in challenge.references else entry


def _newest_clean(found: Sequence[Rankable]) -> tuple[list[list[Rankable]], list[LeftOut]]:
    """Submissions, each with one record per data set: clean before tainted before failed, then the newest."""
    kept: list[list[Rankable]] = []
    left_out = []
    for several in groups(found):
        by_set: dict[str, list[Rankable]] = defaultdict(list)
        for one in several:
            by_set[one.data].append(one)
        kept.append([])
        for group in by_set.values():
            best = max(group, key=lambda one: (-STATUSES.index(one.entry.verdict), one.ended))
            kept[-1].append(best)
            for entry in (other.entry for other in group if other is not best):
                ranked_by = f"is ranked by {shown_path(best.entry.path or '')} ({best.entry.verdict})"
                left_out.append(LeftOut(Path(entry.path or ""), f"{entry.name} ({entry.verdict}) {ranked_by}"))
    return kept, left_out


def _entry(file: str, document: Document, role: Role, figures: Figures, beside: Figures) -> Entry:
    network, baseline = document.networks.of(role), document.networks.baseline
    card, counted, timing, verdict = network.card, network.complexity, document.timing, document.verdict
    worker = network.worker or baseline.worker
    own = role == "candidate"
    return Entry(
        key=network.name,
        name=network.name,
        title=card.title,
        team=card.team,
        team_id=card.team_id,
        source="measured",
        figures=figures,
        baseline=beside,
        reference=not own,
        published=published_figures(card.published, baseline.card.published) if card.published else None,
        published_in=card.published.challenge if card.published else None,
        published_ranks=published_ranks(card.published) if card.published else {},
        claims=published_figures(card.claims, None) if card.claims else None,
        confidence=timing.confidence,
        verdict=verdict.status if own else "clean",
        reasons=verdict.reasons if own else (),
        failure=network.failure.kind if own and network.failure else None,
        identical=_identical(document) if own else (),
        weights=network.weights.source,
        baseline_weights=baseline.weights.source,
        precision=network.precision,
        missed_by_hooks=counted.missed_by_hooks if counted else {},
        without_formula=counted.without_formula if counted else {},
        path=file,
        device=_device(document, worker) if worker else None,
        torch=worker.torch if worker else None,
    )


def _figures(document: Document, role: Role) -> Figures:
    network, ratio = document.networks.of(role), document.timing.ratio
    if ratio and role == "baseline":
        ratio = Estimate(1.0)
    counted = network.complexity
    energy = document.telemetry.energy_per_image.get(role)
    spent = energy and (energy.gpu or energy.host)
    psnr = _psnr(document, role)
    return Figures(
        runtime_ms=network.timing.runtime_ms.value if network.timing else None,
        ratio=ratio.value if ratio else None,
        ratio_interval=Interval(ratio.low, ratio.high) if ratio and ratio.low and ratio.high else None,
        memory_mib=network.memory.memory_mib if network.memory else None,
        energy_mj=spent.joules_per_image * 1000 if spent else None,
        psnr_rgb={} if psnr is None else {document.data.name: psnr},
        **{name: getattr(counted, name) for name in COUNT_FIELDS if counted},
    )


def _psnr(document: Document, role: Role) -> float | None:
    """Mean PSNR; where an image's is infinite for either network, over the other images, for both networks."""
    quality = document.networks.of(role).quality
    if quality is None or not quality.meaningful:
        return None
    both = [one.quality for one in (document.networks.candidate, document.networks.baseline) if one.quality]
    if all(one.mean.psnr_rgb is not None for one in both):
        return quality.mean.psnr_rgb
    infinite = {index for one in both for index in _infinite(one)}
    finite = [one.psnr_rgb for index, one in enumerate(quality.images) if index not in infinite]
    known = [value for value in finite if value is not None]
    return sum(known) / len(known) if known else None


def _infinite(quality: QualityPart | None) -> set[int]:
    """Images whose output is the HR image itself, bit by bit."""
    if quality is None or not quality.meaningful or quality.mean.psnr_rgb is not None:
        return set()
    return {index for index, one in enumerate(quality.images) if one.psnr_rgb is None}


def _identical(document: Document) -> tuple[str, ...]:
    """The data set, if an output is perfect that the baseline's is not: an image of one colour is perfect for both."""
    networks = document.networks
    more = _infinite(networks.candidate.quality) - _infinite(networks.baseline.quality)
    return (document.data.name,) if more else ()


def _conditions(document: Document) -> Mapping[str, str]:
    counted = document.networks.candidate.complexity
    device = settings = ""
    if worker := document.networks.worker:
        on_cpu, device = worker.device.kind == "cpu", _device(document, worker)
        threads = [f"threads={worker.threads}"] if on_cpu else []
        settings = ", ".join([f"torch {worker.torch}", *threads, *worker.cudnn.switched_on])
    return {
        "data set": document.data.name,
        "images": _image_set(bytes(document.data.images)),
        "timing protocol": f"{document.timing.protocol}, {document.timing.confidence:.0%} intervals",
        "baseline": document.networks.baseline.name,
        "input size of the counts": "×".join(map(str, counted.input_shape)) if counted else "",
        "device": device,
        "settings": settings,
    }


@lru_cache(maxsize=64)
def _image_set(raw: bytes) -> str:
    """The same for the same LR pixels."""
    return " ".join(sorted(image.lr_sha256 for image in decoded_images(raw)))


def _device(document: Document, worker: WorkerReport) -> str:
    """Name of the device on which both networks ran."""
    on_cpu = worker.device.kind == "cpu"
    return worker.device.name or (_processor(document.environment.cpu) if on_cpu else "cuda")


def _processor(cpu: Cpu) -> str:
    cores = f", {cpu.usable_cores} cores" if cpu.usable_cores else ""
    return f"{CPU} ({cpu.model or 'unknown'}{cores})"
