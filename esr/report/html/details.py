"""One network's section of the page, shown once the network is chosen."""

from collections.abc import Mapping, Sequence
from datetime import timezone
from pathlib import Path
from typing import TypeAlias

import msgspec

from esr.config.terms import ROLES, Role
from esr.errors import RecordError
from esr.ranking import Ranking, Row
from esr.records.document import Document, Environment
from esr.records.files import decode, read_bytes
from esr.records.network import Network, Quality
from esr.records.reasons import TAINT
from esr.report.html.crops import Crop, Pool, crops
from esr.report.html.page_table import flag
from esr.report.html.trace import Series, Shade, series, shades
from esr.report.table import Cell, Column, set_words
from esr.report.wording import DASH, duration, failure_words, number, reason_line

Pairs: TypeAlias = list[tuple[str, str]]
"""Labels and values."""
MIB_PER_GIB = 1024
MOST_IMAGES = 1000
"""Rows of the table of images; a data set of the challenge has 100."""
SHOWN_DIGEST = 12
_SWITCHES = ("allow_tf32", "benchmark", "deterministic")


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """A network for the page's scripts, as far as the ranking knows it."""

    name: str
    flag: str | None
    facts: Pairs
    notes: list[str]
    missing: str | None = None
    """Reason why the record adds nothing."""


class MeasuredDetails(Details, frozen=True, kw_only=True):
    """A network with what its record adds."""

    role: Role
    roles: dict[Role, str]
    """Names of both networks."""
    card: Pairs
    environment: Pairs
    findings: list[str]
    images: list[list[str]]
    """Cells of the table of images."""
    crops: list[Crop]
    crops_missing: bool
    series: list[Series]
    shades: list[Shade]


def details(row: Row, cells: Sequence[tuple[Column, Cell]], ranking: Ranking, file: Path | None, pool: Pool) -> Details:
    """A network for the page's scripts.

    Args:
        row: The network.
        cells: Its cells in the ranking's table.
        ranking: The whole ranking.
        file: Its record; `None` without one.
        pool: Takes its pictures.
    """
    said = Details(
        name=row.entry.key,
        flag=flag(row),
        facts=_facts(row, cells, ranking),
        notes=[*([f"not ranked: {row.excluded}"] if row.excluded else []), *row.notes],
    )
    if file is None:
        return said
    try:
        return _measured(said, row.entry.name, decode(read_bytes(file)), file.parent, pool)
    except RecordError:
        return msgspec.structs.replace(said, missing="its record could not be read again")


def _measured(said: Details, name: str, document: Document, folder: Path, pool: Pool) -> MeasuredDetails:
    candidate, baseline = document.networks.candidate, document.networks.baseline
    network, beside = (candidate, baseline) if candidate.name == name else (baseline, None)
    telemetry, pictures = document.telemetry, document.pictures.images
    blocks = {
        role: {block.block: block for block in timing.load_blocks()}
        for role in ROLES
        if (timing := document.networks.of(role).timing)
    }
    shaded = shades(telemetry.load_windows(), blocks)
    images = _images(document, network, beside)
    shown = crops(folder, pictures, pool)
    return MeasuredDetails(
        name=said.name,
        flag=said.flag,
        facts=said.facts,
        # The record's own findings say the same, with figures.
        notes=[note for note in said.notes if not note.startswith(f"{TAINT}ed: ")],
        role="candidate" if beside else "baseline",
        roles={"candidate": candidate.name, "baseline": baseline.name},
        card=_card(network),
        environment=_environment(document, network),
        findings=[reason_line(document.networks, found) for found in document.verdict.reasons],
        images=images,
        crops=shown,
        crops_missing=bool(pictures) and not shown,
        series=series(folder, telemetry.trace) if telemetry.trace else [],
        shades=shaded,
    )


def _facts(row: Row, cells: Sequence[tuple[Column, Cell]], ranking: Ranking) -> Pairs:
    """Places, then every figure in the table, then gates."""
    facts: Pairs = []
    for track in ranking.tracks:
        place = row.places.get(track.key)
        if place is not None and place.rank is not None:
            facts.append((track.title, f"rank {place.rank}"))
        elif place is not None and place.excluded and row.ranked:
            facts.append((track.title, place.excluded))
    skipped = {"place", "network", "team", *(track.key for track in ranking.tracks)}
    labels = {"rank_interval": "rank range (95 % CI)"}
    facts += [
        (labels.get(column.key, column.header), cell.text)
        for column, cell in cells
        if column.key not in skipped and cell.text != DASH
    ]
    for gate in row.gates:
        margin = "" if gate.margin is None else f" by {gate.margin:+.4f} dB"
        decides = "; rounding would decide otherwise" if gate.rounding_decides else ""
        reason = f" ({gate.reason})" if gate.reason else ""
        facts.append((f"PSNR gate on {set_words(gate.data)}", f"{gate.verdict}{margin}{reason}{decides}"))
    return facts


def _card(network: Network) -> Pairs:
    card, weights = network.card, network.weights
    digest = f", sha256 {weights.sha256[:SHOWN_DIGEST]}…" if weights.sha256 else ""
    return _known(
        {
            "title": card.title,
            "team": card.team,
            "paper": card.paper,
            "weights": f"{weights.source}{digest}",
            "about the weights": weights.note,
            "licence": card.licence,
            "note": card.note,
            "failed": failure_words(network.failure) if network.failure else None,
        }
    )


def _environment(document: Document, network: Network) -> Pairs:
    machine, worker = document.environment, network.worker
    started = document.started.astimezone(timezone.utc)
    known: dict[str, str | None] = {}
    if worker:
        device = worker.device
        on = [name for name in _SWITCHES if getattr(worker.cudnn, name)]
        known = {
            "device": device.name or device.kind.upper(),
            "device memory": _gib(device.memory_mib) if device.memory_mib else None,
            "threads": str(worker.threads),
            "torch": worker.torch,
            "CUDA": worker.torch_cuda,
            "cuDNN": ", ".join((str(worker.torch_cudnn), *on)) if worker.torch_cudnn else None,
        }
    return _known(
        {
            **known,
            "processor": _processor(machine),
            "memory": _gib(machine.memory_mib),
            "driver": machine.driver.version,
            "system": f"{machine.os.name or machine.os.system}, {machine.os.system} {machine.os.release}",
            "container": machine.container,
            "Python": machine.python,
            "esr": machine.esr.version + (f", commit {machine.esr.commit}" if machine.esr.commit else ""),
            "measured": f"{started:%Y-%m-%d %H:%M:%S} UTC, {duration(document.duration_s)}",
        }
    )


def _processor(machine: Environment) -> str:
    cpu = machine.cpu
    cores = f"{cpu.usable_cores} cores" if cpu.usable_cores else None
    governor = f"governor {cpu.governor}" if cpu.governor else None
    return ", ".join(word for word in (cpu.model, cores, governor) if word)


def _gib(mib: float) -> str:
    return f"{mib / MIB_PER_GIB:.1f} GiB"


def _known(values: Mapping[str, str | None]) -> Pairs:
    return [(label, value) for label, value in values.items() if value]


def _images(document: Document, network: Network, beside: Network | None) -> list[list[str]]:
    """Per image: name, LR size, PSNR, its difference to the baseline, SSIM, milliseconds, their ratio."""
    rows = []
    for index, image in enumerate(document.data.load_images()[:MOST_IMAGES]):
        own, other = _quality(network, index), _quality(beside, index)
        ms, base = _median_ms(network, index), _median_ms(beside, index)
        psnr, base_psnr = (one.psnr_rgb if one else None for one in (own, other))
        rows.append(
            [
                image.name,
                f"{image.lr_shape[1]}×{image.lr_shape[0]}",
                number(psnr, 2),
                DASH if psnr is None or base_psnr is None else f"{psnr - base_psnr:+.2f}",
                number(own.ssim_rgb if own else None, 4),
                number(ms, 2),
                number(ms / base if ms and base else None, 3),
            ]
        )
    return rows


def _quality(network: Network | None, index: int) -> Quality | None:
    """Quality of one image; `None` where it is not meaningful or not measured."""
    quality = network.quality if network else None
    images = quality.images if quality and quality.meaningful else ()
    return images[index] if index < len(images) else None


def _median_ms(network: Network | None, index: int) -> float | None:
    medians = network.timing.median_ms if network and network.timing else ()
    return medians[index] if index < len(medians) else None
