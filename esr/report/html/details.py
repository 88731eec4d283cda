"""What the page says of one network once it is chosen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from esr.ranking import Ranking, Row
from esr.records.files import REASONS, TAINT
from esr.report import table
from esr.report.html.crops import Pool, crops
from esr.report.html.document import Document, Environment, Figures, Network, read
from esr.report.html.trace import series, shades
from esr.report.table import DASH
from esr.report.wording import number

Pairs = list[tuple[str, str]]
MIB_PER_GIB = 1024
MOST_IMAGES = 1000
"""Rows of the table of images; a data set of the challenge has 100."""
SHOWN_DIGEST = 12


def details(row: Row, ranking: Ranking, file: Path | None, pool: Pool) -> dict[str, Any]:
    """A network for the page's scripts.

    Returns:
        `name`, `flag`, `facts` (label, value), `notes`; and with a readable record `card`, `environment` (label,
        value), `findings`, `images` (a line per image), `crops`, `series` and `shades`.
    """
    entry = row.entry
    said: dict[str, Any] = {
        "name": entry.key,
        "flag": None if entry.verdict == "clean" else entry.verdict,
        "facts": _facts(row, ranking),
        "notes": [*([f"not ranked: {row.excluded}"] if row.excluded else []), *row.notes],
        "missing": None,
    }
    if file is None:
        return said
    document = read(file)
    if document is None:
        return said | {"missing": "its record could not be read again"}
    role = "candidate" if document.networks.candidate.name == entry.name else "baseline"
    # The record's own findings say the same with their figures.
    said["notes"] = [note for note in said["notes"] if not note.startswith(f"{TAINT}ed: ")]
    return said | _measured(document, role, file.parent, pool)


def _measured(document: Document, role: str, folder: Path, pool: Pool) -> dict[str, Any]:
    candidate, baseline = document.networks.candidate, document.networks.baseline
    network = candidate if role == "candidate" else baseline
    blocks = {
        name: one.timing.blocks
        for name, one in (("candidate", candidate), ("baseline", baseline))
        if one.timing
    }
    telemetry = document.telemetry
    lines = series(folder, telemetry.trace) if telemetry.trace else []
    shown = crops(folder, document.pictures.images, pool)
    return {
        "role": role,
        "roles": {"candidate": candidate.name, "baseline": baseline.name},
        "card": _card(network),
        "environment": _environment(document, network),
        "findings": _findings(document),
        "images": _images(document, network, None if role == "baseline" else baseline),
        "crops": shown,
        "crops_missing": bool(document.pictures.images) and not shown,
        "series": lines,
        "shades": shades(telemetry.windows, blocks),
    }


def _facts(row: Row, ranking: Ranking) -> Pairs:
    """Places first, then every column that the table has for it."""
    places: Pairs = []
    for track in ranking.tracks:
        place = row.places.get(track.key)
        if place is not None and place.rank is not None:
            places.append((track.title, f"rank {place.rank}"))
        elif place is not None and place.excluded and row.ranked:
            places.append((track.title, place.excluded))
    tracks = {track.key for track in ranking.tracks}
    skipped = {"place", "network", "team", *tracks}
    cells = (
        (column, column.cell(row).text) for column in table.columns(ranking) if column.key not in skipped
    )
    labels = {"rank_interval": "ranks by runtime that the measurements allow"}
    figures = [(labels.get(column.key, column.header), text) for column, text in cells if text != DASH]
    return [*places, *figures, *_gates(row)]


def _gates(row: Row) -> Pairs:
    words = []
    for gate in row.gates:
        margin = "" if gate.margin is None else f" by {gate.margin:+.4f} dB"
        decides = "; rounding would decide otherwise" if gate.rounding_decides else ""
        reason = f" ({gate.reason})" if gate.reason else ""
        words.append(
            (f"PSNR gate on {gate.data.replace('_', ' ')}", f"{gate.verdict}{margin}{reason}{decides}")
        )
    return words


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
            "failed": _failure(network),
        }
    )


def _failure(network: Network) -> str | None:
    failure = network.failure
    if failure is None:
        return None
    return f"while doing '{failure.stage}' ({failure.kind}): {failure.message}"


def _environment(document: Document, network: Network) -> Pairs:
    machine, runtime = document.environment, network.runtime
    device = runtime.device
    on = sorted(name for name, value in runtime.cudnn.items() if value and name != "available")
    return _known(
        {
            "device": (device.name or device.kind.upper()) if device else None,
            "device memory": _gib(device.memory_mib) if device and device.memory_mib else None,
            "processor": _processor(machine),
            "threads": None if runtime.threads is None else str(runtime.threads),
            "memory": _gib(machine.memory_mib),
            "torch": runtime.torch,
            "CUDA": runtime.torch_cuda,
            "cuDNN": runtime.torch_cudnn and f"{runtime.torch_cudnn}{', ' if on else ''}{', '.join(on)}",
            "driver": machine.driver.version,
            "system": f"{machine.os.name or machine.os.system}, {machine.os.system} {machine.os.release}",
            "container": machine.container,
            "Python": machine.python,
            "esr": machine.esr.version + (f", commit {machine.esr.commit}" if machine.esr.commit else ""),
            "measured": f"{document.started.replace('T', ' ')[:19]} UTC, {_duration(document.duration_s)}",
        }
    )


def _processor(machine: Environment) -> str | None:
    cores = machine.cpu.usable_cores
    named = (
        machine.cpu.model,
        cores and f"{cores} cores",
        machine.cpu.governor and f"governor {machine.cpu.governor}",
    )
    return ", ".join(word for word in named if word) or None


def _gib(mib: float) -> str:
    return f"{mib / MIB_PER_GIB:.1f} GiB"


def _duration(seconds: float) -> str:
    """Words for a span.

    >>> _duration(75), _duration(4.2)
    ('1 min 15 s', '4 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _known(values: Mapping[str, str | float | None]) -> Pairs:
    return [(label, str(value)) for label, value in values.items() if value]


def _findings(document: Document) -> list[str]:
    """The verdict's reasons as sentences."""
    names = {"candidate": document.networks.candidate.name, "baseline": document.networks.baseline.name}
    return [
        ("" if found.severity == TAINT else "warning: ")
        + (f"{names[found.network]}: " if found.network in names else "")
        + f"{REASONS.get(found.reason, found.reason)} ({found.detail})"
        for found in document.verdict.reasons
    ]


def _images(document: Document, network: Network, beside: Network | None) -> list[list[str]]:
    """Per image: name, LR size, PSNR, its difference to the baseline, SSIM, milliseconds, their ratio."""
    rows = []
    for index, image in enumerate(document.data.images[:MOST_IMAGES]):
        own, other = _quality(network, index), _quality(beside, index)
        ms, base = _ms(network, index), _ms(beside, index)
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


def _quality(network: Network | None, index: int) -> Figures | None:
    """Of one image; none where it means nothing or was not measured."""
    quality = network and network.quality
    images = quality.images if quality and quality.meaningful else ()
    return images[index] if index < len(images) else None


def _ms(network: Network | None, index: int) -> float | None:
    images = network.timing.images if network and network.timing else ()
    return images[index].median_ms if index < len(images) else None
