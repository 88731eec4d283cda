"""A record as a table on the terminal."""

from rich.console import Console
from rich.table import Table

from esr.config.cards import Published
from esr.config.terms import ROLES
from esr.ranking import Metric
from esr.records.files import Record
from esr.records.network import Complexity, Network
from esr.records.telemetry import Telemetry
from esr.report import wording
from esr.report.wording import COUNTS, DASH, count, interval, number
from esr.text import escaped


def record_table(record: Record) -> Table:
    """One evaluation: a row per figure, a column per network, published figures beside measured ones."""
    candidate, baseline = record.candidate, record.baseline
    title = f"{candidate.name} against {baseline.name} on {wording.data_words(record.document.data)}"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    table.add_column(candidate.name, justify="right")
    table.add_column(f"{baseline.name} (baseline)", justify="right")
    stated = {"published": _stated(candidate.card.published), "claimed": _stated(candidate.card.claims)}
    beside_measured = {words: figures for words, figures in stated.items() if figures}
    for words in beside_measured:
        table.add_column(f"{candidate.name}, {words}", justify="right", style="dim")
    cells = zip(_figures(candidate).items(), _figures(baseline).values(), strict=True)
    for (label, text), beside in cells:
        if label == "params":
            if {candidate.precision, baseline.precision} != {"fp32"}:
                table.add_row("precision class", candidate.precision, baseline.precision)
            table.add_row("ratio to baseline", interval(record.ratio, 3), "1")
            timing = record.document.timing
            table.add_row("ratio of total times", interval(timing.ratio_plain, 3), "1")
            if timing.cycles:
                table.add_row("ratio in GPU cycles", interval(timing.cycles.ratio, 3), "1")
            if timing.energy:
                table.add_row("ratio of energies", interval(timing.energy.ratio, 3), "1")
        table.add_row(label, text, beside, *(figures.get(label, "") for figures in beside_measured.values()))
    if energies := _energies(record.document.telemetry):
        table.add_row(*energies)
    table.add_row("verdict", *(wording.verdict_words(record, role) for role in ROLES))
    return table


def _figures(network: Network) -> dict[str, str]:
    """A network's figures, by label."""
    mean = network.quality.mean if network.quality and network.quality.meaningful else None
    counts = network.complexity
    live = counts.live_memory if counts else None
    counted: tuple[Metric, ...] = ("params", "flops", "flops_fvcore", "macs", "activations")
    return {
        "PSNR RGB [dB]": _number(mean, "psnr_rgb", 2),
        "SSIM RGB": _number(mean, "ssim_rgb", 4),
        "PSNR luma [dB]": _number(mean, "psnr_y", 2),
        "SSIM luma": _number(mean, "ssim_y", 4),
        "runtime [ms]": interval(network.timing.runtime_ms if network.timing else None, 2),
        **{COUNTS[metric].words: _count(metric, counts) for metric in counted},
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
    return f"{count(metric, getattr(counts, metric), counts.without_formula)} {COUNTS[metric].symbol}"


def _stated(row: Published | None) -> dict[str, str]:
    """Published or claimed figures that are known, by label."""
    psnr = row.psnr_rgb if row else {}
    figures = {
        "PSNR RGB [dB]": ", ".join(f"{value:.2f} ({escaped(data)})" for data, value in psnr.items()) or DASH,
        "runtime [ms]": _number(row, "runtime_ms", 2),
        "params": f"{_number(row, 'params_m', 3)} M",
        COUNTS["flops"].words: f"{_number(row, 'flops_g', 2)} G",
        COUNTS["flops_fvcore"].words: f"{_number(row, 'flops_fvcore_g', 2)} G",
        "activations": f"{_number(row, 'activations_m', 2)} M",
        "convolutions": _number(row, "convolutions", 0),
        "peak memory [MiB]": _number(row, "memory_mib", 1),
    }
    return {label: text for label, text in figures.items() if not text.startswith(DASH)}


def print_record(record: Record, screen: Console) -> None:
    """Prints the table, its footnotes, and the paths of the record and the picture."""
    screen.print(record_table(record))
    for note in wording.footnotes(record):
        screen.print(f"· {note}")
    if record.path is None:
        return
    screen.print(f"record: {record.path}", soft_wrap=True)
    if comparison := record.document.pictures.comparison:
        screen.print(f"picture: {record.path.parent / comparison}", soft_wrap=True)
