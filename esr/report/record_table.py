"""A record as a table on the terminal."""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from esr.config.terms import ROLES
from esr.records.files import Record
from esr.records.network import Network, Quality
from esr.report import wording
from esr.report.wording import count, interval, number
from esr.system.console import console


def record_table(record: Record) -> Table:
    """One evaluation: a row per figure, a column per network, published figures beside measured ones."""
    candidate, baseline = record.candidate, record.baseline
    table = Table(
        title=f"{candidate.name} against {baseline.name} on {record.document.data.name}",
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    table.add_column(candidate.name, justify="right")
    table.add_column(f"{baseline.name} (baseline)", justify="right")
    published = wording.published_rows(candidate)
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


def _quality(digits: int, figure: Callable[[Quality], float | None]) -> Callable[[Network], str]:
    def cell(network: Network) -> str:
        quality = network.quality
        return number(figure(quality.mean) if quality and quality.meaningful else None, digits)

    return cell


_ROWS: dict[str, Callable[[Network], str]] = {
    "PSNR RGB [dB]": _quality(2, lambda mean: mean.psnr_rgb),
    "SSIM RGB": _quality(4, lambda mean: mean.ssim_rgb),
    "PSNR luma [dB]": _quality(2, lambda mean: mean.psnr_y),
    "SSIM luma": _quality(4, lambda mean: mean.ssim_y),
    "runtime [ms]": lambda network: interval(network.timing.runtime_ms if network.timing else None, 2),
    "params": lambda network: count(network.complexity, "params", 1e6, "M", 3),
    "FLOPs (challenge)": lambda network: count(network.complexity, "flops", 1e9, "G", 2),
    "MACs (dispatcher)": lambda network: count(network.complexity, "macs", 1e9, "G", 2),
    "activations": lambda network: count(network.complexity, "activations", 1e6, "M", 2),
    "convolutions": lambda network: count(network.complexity, "convolutions", 1, "", 0),
    "tensor memory [MiB]": lambda network: number(wording.live_memory(network), 1),
    "peak memory [MiB]": lambda network: number(network.memory.memory_mib if network.memory else None, 1),
}
"""Label -> a network's figure."""


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
