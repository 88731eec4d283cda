"""A record on the terminal: the answer, the verdict, a table, and notes."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from esr.config.cards import Published
from esr.config.terms import ROLES, Status
from esr.ranking.challenge import Metric
from esr.records.files import Record
from esr.records.network import Complexity, Network
from esr.records.telemetry import Telemetry
from esr.report import wording
from esr.report.answer import answer, notes, verdict_line
from esr.report.fitting import NAME, brief, fitted, left_out_line
from esr.report.table import Cell, Column, Grid
from esr.report.wording import COUNTS, DASH, count, interval, number
from esr.text import escaped, one_line, shortened, shown_path

Detail: TypeAlias = Literal["first look", "figures", "everything"]
"""The figures by which networks are compared; every figure; every figure and every note."""
MOST_NOTES = 3
"""Notes below the table of a first look."""
MOST_LINES = 40
"""Lines of a first look and of every figure; notes for which there is no room are counted."""
_STYLES: dict[Status, str] = {
    "clean": "bold green",
    "imprecise": "bold",
    "tainted": "bold yellow",
    "failed": "bold red",
}
_RATIO = "ratio to baseline"
_COUNTED: tuple[Metric, ...] = ("params", "flops", "flops_fvcore", "macs", "activations")
_FIRST_LOOK = (
    *(_RATIO, "runtime [ms]", "PSNR RGB [dB]", "PSNR luma [dB]", "precision class"),
    *(COUNTS[metric].words for metric in _COUNTED),
    "peak memory [MiB]",
)
_STATED = ("claimed", "published")
"""Columns that a narrow terminal does without, in this order."""


class FigureRow(NamedTuple):
    """A figure of both networks, and the candidate's as it was published or claimed."""

    label: str
    candidate: str
    baseline: str
    published: str = ""
    claimed: str = ""

    @property
    def is_measured(self) -> bool:
        """False for a row that stands only for published or claimed figures."""
        return {self.candidate, self.baseline} != {DASH} or not (self.published or self.claimed)


def print_record(record: Record, screen: Console, detail: Detail = "first look") -> None:
    """Prints the answer, the verdict, the table and its notes, and the paths of the record and the picture.

    Args:
        record: One evaluation.
        screen: Where it is printed.
        detail: How much of it.
    """
    within = () if detail == "everything" else (record,)  # records whose long names are cut
    style = _STYLES[record.verdict.status]
    title = f"{record.candidate.name} against {record.baseline.name} on {wording.data_words(record.document.data)}"
    lines = _first_look(record) if detail == "first look" else _every_figure(record)
    table, dropped = _fitted(record, lines, screen.width)
    top: list[RenderableType] = [Text(one_line(brief(answer(record), *within)), style)]
    if verdict := verdict_line(record):
        top.append(Text(one_line(brief(verdict, *within)), style.removeprefix("bold ")))
    top += ["", one_line(brief(title, *within)), table]
    below = left_out_line(dropped, "a wider terminal shows them")
    places = _places(record)

    found = notes(record) if detail == "first look" else wording.footnotes(record)
    said = [f"· {one_line(brief(note, *within))}" for note in found]
    shown = said
    if detail != "everything":
        others = [*top, *below, _more(record, detail, len(said)), *places]
        most = MOST_NOTES if detail == "first look" else len(said)
        shown = _with_room(said, most, screen, MOST_LINES - sum(_height(one, screen) for one in others))
    for one in [*top, *shown, *below]:
        screen.print(one)
    for line in (_more(record, detail, len(said) - len(shown)), *places):
        if line:
            screen.print(line, soft_wrap=True)


def _fitted(record: Record, lines: Sequence[FigureRow], width: int) -> tuple[Table, list[str]]:
    """The table and the columns left out, with which go the rows that stand for nothing else."""
    table, dropped = fitted(Grid(_columns(record, lines), lines), width, _STATED, gap=2)
    if dropped:
        kept = [key for key in _STATED if key not in dropped]
        lines = [line for line in lines if line.is_measured or any(getattr(line, key) for key in kept)]
        columns = [column for column in _columns(record, lines) if column.key not in dropped]
        table, _ = fitted(Grid(columns, lines), width, gap=2)
    return table, dropped


def _with_room(said: Sequence[str], most: int, screen: Console, room: int) -> list[str]:
    """The first notes that fit; one that is too long makes way for the next."""
    shown: list[str] = []
    for note in said:
        height = _height(note, screen)
        if height <= room and len(shown) < most:
            shown.append(note)
            room -= height
    return shown


def _height(one: RenderableType, screen: Console) -> int:
    return len(screen.render_lines(one, pad=False))


def _more(record: Record, detail: Detail, left: int) -> str:
    """The line that says how to read the rest, so many notes among it; empty where all has been printed."""
    rest = [f"{left} more note{'s' * (left != 1)}"] if left else []
    if record.path is None:
        return rest[0] if rest else ""
    command = ["esr", "show", shown_path(_near(record.path.parent))]
    if detail == "first look":
        return f"{', '.join(['every figure', *rest])}: {shlex.join(command)}"
    return f"{rest[0]}: {shlex.join([*command, '-v'])}" if rest else ""


def _places(record: Record) -> list[str]:
    """Paths of the record and of its picture."""
    if record.path is None:
        return []
    folder = _near(record.path.parent)
    found = [f"record: {shown_path(folder / record.path.name)}"]
    if comparison := record.document.pictures.comparison:
        found.append(f"picture: {shown_path(folder / comparison)}")
    return found


def _near(folder: Path) -> Path:
    """A path relative to the current folder where it lies below."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return folder
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _columns(record: Record, lines: Sequence[FigureRow]) -> list[Column[FigureRow]]:
    candidate, baseline = (shortened(one_line(network.name), NAME) for network in (record.candidate, record.baseline))
    columns: list[Column[FigureRow]] = [
        Column("label", "", lambda line: Cell(line.label), left=True),
        Column("candidate", candidate, lambda line: Cell(line.candidate)),
        Column("baseline", f"{baseline} (baseline)", lambda line: Cell(line.baseline)),
        Column("published", "published", lambda line: Cell(line.published)),
        Column("claimed", "claimed", lambda line: Cell(line.claimed)),
    ]
    return [column for column in columns if column.key == "label" or any(getattr(line, column.key) for line in lines)]


def _first_look(record: Record) -> list[FigureRow]:
    """The figures by which networks are compared; a row that neither has, as PSNR without HR, is left out."""
    lines = {line.label: line for line in _every_figure(record)}
    return [line for label in _FIRST_LOOK if (line := lines.get(label)) and {line.candidate, line.baseline} != {DASH}]


def _every_figure(record: Record) -> list[FigureRow]:
    """Ratios, quality, runtime, counts, memory and energy; published and claimed figures beside the measured ones."""
    card, timing = record.candidate.card, record.document.timing
    published, claimed = _stated(card.published, record), _stated(card.claims, record)
    ratios = {
        _RATIO: timing.ratio,
        "ratio of total times": timing.ratio_plain,
        "ratio in GPU cycles": timing.cycles.ratio if timing.cycles else None,
        "ratio of energies": timing.energy.ratio if timing.energy else None,
    }
    lines = [FigureRow(label, interval(ratio, 3), "1") for label, ratio in ratios.items() if ratio or label == _RATIO]
    classes = (record.candidate.precision, record.baseline.precision)
    lines += [FigureRow("precision class", *classes)] if set(classes) != {"fp32"} else []
    own, other = _figures(record.candidate), _figures(record.baseline)
    lines += [FigureRow(name, own[name], other[name], published.pop(name, ""), claimed.pop(name, "")) for name in own]
    if energies := _energies(record.document.telemetry):
        lines.append(FigureRow(*energies))
    rest = dict.fromkeys([*published, *claimed])
    return lines + [FigureRow(label, DASH, DASH, published.get(label, ""), claimed.get(label, "")) for label in rest]


def _figures(network: Network) -> dict[str, str]:
    """A network's figures, by label."""
    mean = network.quality.mean if network.quality and network.quality.meaningful else None
    counts = network.complexity
    live = counts.live_memory if counts else None
    return {
        "PSNR RGB [dB]": _number(mean, "psnr_rgb", 2),
        "SSIM RGB": _number(mean, "ssim_rgb", 4),
        "PSNR luma [dB]": _number(mean, "psnr_y", 2),
        "SSIM luma": _number(mean, "ssim_y", 4),
        "runtime [ms]": interval(network.timing.runtime_ms if network.timing else None, 2),
        **{COUNTS[metric].words: _count(metric, counts) for metric in _COUNTED},
        "convolutions": _number(counts, "convolutions", 0),
        # Of one pass over the counted size, weights and input included.
        "tensor memory [MiB]": number(live.total if live else None, 1, 2**20),
        "peak memory [MiB]": _number(network.memory, "memory_mib", 1),
    }


def _energies(telemetry: Telemetry) -> list[str]:
    """Joules per image of the GPU, their consumer in the label; empty where no network has any."""
    found = [share.gpu if (share := telemetry.energy_per_image.get(role)) else None for role in ROLES]
    scopes = {wording.SCOPES[energy.scope] for energy in found if energy and energy.scope}
    if not any(found):
        return []
    label = ", ".join(["energy [J/image]", *sorted(scopes)])
    return [label, *(number(energy.joules_per_image if energy else None, 3) for energy in found)]


def _number(part: object, name: str, digits: int) -> str:
    return number(getattr(part, name, None), digits)


def _count(metric: Metric, counts: Complexity | None) -> str:
    if counts is None:
        return DASH
    counted = getattr(counts, metric)
    return DASH if counted is None else f"{count(metric, counted, counts.without_formula)} {COUNTS[metric].symbol}"


def _stated(row: Published | None, record: Record) -> dict[str, str]:
    """Published or claimed figures that are known, by label; milliseconds and memory only beside a GPU's."""
    psnr = row.psnr_rgb if row else {}
    worker = record.document.networks.worker
    figures = {
        **{_psnr_label(data, record): number(value, 2) for data, value in psnr.items()},
        "params": f"{_number(row, 'params_m', 3)} M",
        COUNTS["flops"].words: f"{_number(row, 'flops_g', 2)} G",
        COUNTS["flops_fvcore"].words: f"{_number(row, 'flops_fvcore_g', 2)} G",
        "activations": f"{_number(row, 'activations_m', 2)} M",
        "convolutions": _number(row, "convolutions", 0),
    }
    if worker and worker.device.kind == "cuda":
        figures |= {
            "runtime [ms]": _number(row, "runtime_ms", 2),
            "peak memory [MiB]": _number(row, "memory_mib", 1),
        }
    return {label: text for label, text in figures.items() if not text.startswith(DASH)}


def _psnr_label(data: str, record: Record) -> str:
    """A row of its own for another data set than the one that was measured."""
    return "PSNR RGB [dB]" if data == record.document.data.name else f"PSNR {escaped(data, 30)}"
