"""A record as a table on the terminal."""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from esr.config.terms import ROLES
from esr.ranking import Metric
from esr.records.files import Record
from esr.records.network import Network
from esr.report import wording
from esr.report.wording import COUNTS, DASH, count, interval, number
from esr.system.console import console


def record_table(record: Record) -> Table:
    """One evaluation: a row per figure, a column per network, published figures beside measured ones."""
    candidate, baseline = record.candidate, record.baseline
    title = f"{candidate.name} against {baseline.name} on {record.document.data.name}"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    table.add_column(candidate.name, justify="right")
    table.add_column(f"{baseline.name} (baseline)", justify="right")
    published = _published(candidate)
    if published:
        table.add_column(f"{candidate.name}, published", justify="right", style="dim")
    for label, cell in _ROWS.items():
        cells = [label, cell(candidate), cell(baseline)]
        if label == "params":
            table.add_row("ratio to baseline", interval(record.ratio, 3), "1")
            table.add_row("ratio of total times", interval(record.document.timing.ratio_plain, 3), "1")
        table.add_row(*cells, *([published.get(label, "")] if published else []))
    table.add_row("verdict", *(wording.verdict_words(record, role) for role in ROLES))
    return table


def _quality(name: str, digits: int) -> Callable[[Network], str]:
    def cell(network: Network) -> str:
        quality = network.quality
        return number(getattr(quality.mean, name) if quality and quality.meaningful else None, digits)

    return cell


def _count(metric: Metric) -> Callable[[Network], str]:
    def cell(network: Network) -> str:
        counts = network.complexity
        if counts is None:
            return DASH
        return f"{count(metric, getattr(counts, metric), counts.without_formula)} {COUNTS[metric].symbol}"

    return cell


def _tensor_memory(network: Network) -> str:
    """MiB of live tensors at the peak of one pass over the counted size, weights and input included."""
    live = network.complexity and network.complexity.live_memory
    return number(live.total if live else None, 1, 2**20)


_COUNTED: tuple[Metric, ...] = ("params", "flops", "macs", "activations")
_ROWS: dict[str, Callable[[Network], str]] = {
    "PSNR RGB [dB]": _quality("psnr_rgb", 2),
    "SSIM RGB": _quality("ssim_rgb", 4),
    "PSNR luma [dB]": _quality("psnr_y", 2),
    "SSIM luma": _quality("ssim_y", 4),
    "runtime [ms]": lambda network: interval(network.timing.runtime_ms if network.timing else None, 2),
    **{COUNTS[metric].words: _count(metric) for metric in _COUNTED},
    "convolutions": lambda network: number(network.complexity.convolutions if network.complexity else None, 0),
    "tensor memory [MiB]": _tensor_memory,
    "peak memory [MiB]": lambda network: number(network.memory.memory_mib if network.memory else None, 1),
}
"""Label -> a network's figure."""
_PUBLISHED = {
    "runtime [ms]": ("runtime_ms", 2, ""),
    "params": ("params_m", 3, " M"),
    "FLOPs (challenge)": ("flops_g", 2, " G"),
    "activations": ("activations_m", 2, " M"),
    "convolutions": ("convolutions", 0, ""),
    "peak memory [MiB]": ("memory_mib", 1, ""),
}
"""Label -> published figure, decimals and unit."""


def _published(network: Network) -> dict[str, str]:
    """Published figures that are known, by label."""
    return {
        label: number(value, digits) + unit
        for label, (name, digits, unit) in _PUBLISHED.items()
        if (value := getattr(network.card.published, name, None)) is not None
    }


def print_record(record: Record, screen: Console | None = None) -> None:
    """Prints the table, its footnotes, and the paths of the record and the picture."""
    screen = screen or console()
    screen.print(record_table(record))
    for note in wording.footnotes(record):
        screen.print(f"· {note}")
    if record.path is None:
        return
    screen.print(f"record: {record.path}", soft_wrap=True)
    if comparison := record.document.pictures.comparison:
        screen.print(f"picture: {record.path.parent / comparison}", soft_wrap=True)
