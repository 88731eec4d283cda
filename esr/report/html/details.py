"""One network's section of the page, shown once the network is chosen."""

import re
from collections.abc import Mapping, Sequence
from datetime import timezone
from pathlib import Path
from typing import TypeAlias

import msgspec

from esr.config.terms import Role
from esr.errors import RecordError
from esr.ranking.structures import Ranking, Row
from esr.records.document import Document, Image
from esr.records.network import Block, Network, Samples, WorkerReport
from esr.records.reasons import TAINT
from esr.report.html.crops import Crop, Pool, crops
from esr.report.html.marks import flag, tags
from esr.report.html.trace import Series, Shade, series, shades
from esr.report.table import Line, set_words
from esr.report.wording import DASH, failure_words, number, reason_line, signed
from esr.text import duration

Pairs: TypeAlias = list[tuple[str, str]]
"""Labels and values."""
MOST_IMAGES = 1000
"""Rows of the table of images; a data set of the challenge has 100."""
MOST_PASSES = 500
"""Passes drawn of each network, evenly spaced in rising order, the fastest and the slowest included."""
SHOWN_DIGEST = 12
_PAPERS = (
    (re.compile(r"(https?://[^\s\"'<>]+)"), ""),
    (re.compile(r"arXiv:\s*([\w.-]+(?:/\d+)?)", re.IGNORECASE), "https://arxiv.org/abs/"),
    (re.compile(r"doi:\s*(10\.[\w.]+/[\w.()/-]+)", re.IGNORECASE), "https://doi.org/"),
)
"""Spelling of an address, and its beginning."""


class Details(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network for the page's scripts; the fields from `role` on come from its record."""

    name: str
    flag: str | None
    facts: Pairs
    notes: list[str]
    missing: str | None = None
    """Reason why the record adds nothing."""
    role: Role | None = None
    roles: dict[Role, str] | None = None
    """Names of both networks."""
    ratios: tuple[float, ...] = ()
    """Ratio to the baseline in each round."""
    passes: list[float] = []
    """Each pass that counts over the baseline's median of its image, in rising order, thinned."""
    link: str | None = None
    """Address of the paper."""
    card: Pairs | None = None
    environment: Pairs | None = None
    findings: list[str] | None = None
    images: list[list[str]] | None = None
    """Cells of the table of images."""
    crops: list[Crop] | None = None
    crops_missing: bool = False
    series: list[Series] | None = None
    shades: list[Shade] | None = None


def details(row: Row, cells: Line[Row], ranking: Ranking, documents: Mapping[str, Document], pool: Pool) -> Details:
    """A network for the page's scripts.

    Args:
        row: The network.
        cells: Its cells in the ranking's table.
        ranking: The whole ranking.
        documents: Records by `Entry.path`.
        pool: Takes its pictures.
    """
    notes = [*([f"not ranked: {row.excluded}"] if row.excluded else []), *row.notes]
    facts = [("status", ", ".join(tags(row))), *_facts(row, cells, ranking)]
    known = Details(name=row.entry.key, flag=flag(row), facts=facts, notes=notes)
    file = row.entry.path
    if file is None or file not in documents:
        return known
    try:
        return _measured(known, row.entry.name, documents[file], Path(file).parent, pool)
    except RecordError:  # in its raw parts, which are decoded only here
        return msgspec.structs.replace(known, missing="its record could not be read to the end")


def _measured(known: Details, name: str, document: Document, folder: Path, pool: Pool) -> Details:
    """Adds what the record holds."""
    candidate, baseline = document.networks.candidate, document.networks.baseline
    network, beside = (candidate, baseline) if candidate.name == name else (baseline, None)
    telemetry, pictures = document.telemetry, document.pictures.images
    timings = [one.timing for one in (candidate, baseline) if one.timing]
    blocks = {block.block: block for timing in timings for block in timing.load_blocks()}
    windows, images = telemetry.load_windows(), document.data.load_images()
    samples = network.timing.load_samples() if network.timing and baseline.timing else None
    shown = crops(folder, pictures, pool)
    return msgspec.structs.replace(
        known,
        # The record's own findings say the same, with figures.
        notes=[note for note in known.notes if not note.startswith(f"{TAINT}ed: ")],
        role="candidate" if beside else "baseline",
        roles={"candidate": candidate.name, "baseline": baseline.name},
        ratios=document.timing.ratio_per_round if beside else (),
        passes=_passes(samples, baseline.timing.median_ms, blocks) if samples and baseline.timing else [],
        link=paper_link(network.card.paper),
        card=_known(_card(network)),
        environment=_known(_environment(document, network)),
        findings=[reason_line(document.networks, found) for found in document.verdict.reasons],
        images=_images(images[:MOST_IMAGES], network, beside),
        crops=shown,
        crops_missing=bool(pictures) and not shown,
        series=series(folder, telemetry.trace) if telemetry.trace else [],
        shades=shades(windows, blocks),
    )


def _facts(row: Row, cells: Line[Row], ranking: Ranking) -> Pairs:
    """Places, then every figure in the table, then gates."""
    facts: Pairs = []
    for track in ranking.tracks:
        if (place := row.places.get(track.key)) and row.ranked:
            facts += _known({track.title: place.excluded if place.rank is None else f"rank {place.rank}"})
    skipped = {"place", "network", "team", "status", *(track.key for track in ranking.tracks)}
    facts += [
        ("rank range (95 % CI)" if column.key == "rank_interval" else column.header, cell.text)
        for column, cell in cells
        if column.key not in skipped and cell.text != DASH
    ]
    for gate in row.gates:
        margin = "" if gate.margin is None else f" by {signed(gate.margin, 4)} dB"
        decides = "; rounding would decide otherwise" if gate.rounding_decides else ""
        reason = f" ({gate.reason})" if gate.reason else ""
        where = f" on {set_words(gate.data)}" if gate.data else ""
        facts.append((f"PSNR gate{where}", f"{gate.verdict}{margin}{reason}{decides}"))
    return facts


def _card(network: Network) -> Mapping[str, str | None]:
    card, weights = network.card, network.weights
    digest = f", sha256 {weights.sha256[:SHOWN_DIGEST]}…" if weights.sha256 else ""
    return {
        "title": card.title,
        "team": card.team,
        "paper": card.paper,
        "weights": f"{weights.source}{digest}",
        "about the weights": weights.note,
        "licence": card.licence,
        "note": card.note,
        "failed": failure_words(network.failure) if network.failure else None,
    }


def paper_link(paper: str | None) -> str | None:
    """An address that a card's text names: a URL, an arXiv number or a DOI; `None` without one.

    >>> paper_link('Li et al., "BSRN", CVPR workshops 2022, arXiv:2205.05996')
    'https://arxiv.org/abs/2205.05996'
    """
    for pattern, prefix in _PAPERS:
        if found := pattern.search(paper or ""):
            return prefix + found[1].rstrip(".,;)")
    return None


def _passes(samples: Samples, medians: Sequence[float], blocks: Mapping[int, Block]) -> list[float]:
    void = {number for number, block in blocks.items() if block.replaced}
    counted = zip(samples.ms, samples.image, samples.block, strict=True)
    ratios = sorted(ms / medians[image] for ms, image, block in counted if block not in void and medians[image])
    step = max(1.0, (len(ratios) - 1) / (MOST_PASSES - 1))
    return [float(f"{ratios[round(place * step)]:.4g}") for place in range(min(len(ratios), MOST_PASSES))]


def _environment(document: Document, network: Network) -> Mapping[str, str | None]:
    machine, cpu = document.environment, document.environment.cpu
    cores = f"{cpu.usable_cores} cores" if cpu.usable_cores else None
    governor = f"governor {cpu.governor}" if cpu.governor else None
    started = document.started.astimezone(timezone.utc)
    return {
        **(_device(network.worker) if network.worker else {}),
        "processor": ", ".join(filter(None, (cpu.model, cores, governor))),
        "memory": f"{number(machine.memory_mib, 1, 1024)} GiB",
        "driver": machine.driver.version,
        "system": f"{machine.os.name or machine.os.system}, {machine.os.system} {machine.os.release}",
        "container": machine.container,
        "Python": machine.python,
        "esr": machine.esr.version + (f", commit {machine.esr.commit}" if machine.esr.commit else ""),
        "measured": f"{started:%Y-%m-%d %H:%M:%S} UTC, {duration(document.duration_s)}",
    }


def _device(worker: WorkerReport) -> Mapping[str, str | None]:
    device = worker.device
    return {
        "device": device.name or device.kind.upper(),
        "device memory": f"{number(device.memory_mib, 1, 1024)} GiB" if device.memory_mib else None,
        "threads": str(worker.threads),
        "torch": worker.torch,
        "CUDA": worker.torch_cuda,
        "cuDNN": ", ".join((str(worker.torch_cudnn), *worker.cudnn.switched_on)) if worker.torch_cudnn else None,
    }


def _known(values: Mapping[str, str | None]) -> Pairs:
    return [(label, value) for label, value in values.items() if value]


def _images(images: Sequence[Image], network: Network, beside: Network | None) -> list[list[str]]:
    """Per image: name, LR size, PSNR, its difference to the baseline, SSIM, milliseconds, their ratio."""
    rows = []
    for index, image in enumerate(images):
        psnr, ssim, ms = _figures(network, index)
        base_psnr, _, base_ms = _figures(beside, index) if beside else (None, None, None)
        difference = DASH if psnr is None or base_psnr is None else signed(psnr - base_psnr)
        ratio = number(ms / base_ms if ms and base_ms else None, 3)
        height, width = image.lr_shape
        size = f"{width}×{height}"
        rows.append([image.name, size, number(psnr, 2), difference, number(ssim, 4), number(ms, 2), ratio])
    return rows


def _figures(network: Network, index: int) -> tuple[float | None, float | None, float | None]:
    """PSNR, SSIM and milliseconds of one image; `None` where not meaningful or not measured."""
    images = network.quality.images if network.quality and network.quality.meaningful else ()
    medians = network.timing.median_ms if network.timing else ()
    ms = medians[index] if index < len(medians) else None
    if index >= len(images):
        return None, None, ms
    return images[index].psnr_rgb, images[index].ssim_rgb, ms
