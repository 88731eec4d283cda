"""A record as a table on the terminal, and a progress bar while it is made."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from esr.records.files import Record
from esr.report.wording import (
    Network,
    count,
    footnotes,
    interval,
    live_memory,
    number,
    published_rows,
    verdict_words,
)


def record_table(record: Record) -> Table:
    """One evaluation: a row per figure, a column per network, and the published figure beside the measured one."""
    data = record.document["data"]
    table = Table(
        title=f"{record.candidate['name']} against {record.baseline['name']} on {data['name']}",
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    table.add_column(escape(record.candidate["name"]), justify="right")
    table.add_column(f"{escape(record.baseline['name'])} (baseline)", justify="right")
    published = published_rows(record.candidate)
    if published:
        table.add_column(f"{escape(record.candidate['name'])}, published", justify="right", style="dim")
    for label, render in _rows(record):
        cells = [escape(label), render(record.candidate), render(record.baseline)]
        table.add_row(*cells, *([published.get(label, "")] if published else []))
    return table


def _rows(record: Record) -> list[tuple[str, Callable[[Network], str]]]:
    ratio, plain = record.ratio, record.document["timing"]["ratio_plain"]
    return [
        ("PSNR RGB [dB]", lambda network: number(_quality(network, "psnr_rgb"), 2)),
        ("SSIM RGB", lambda network: number(_quality(network, "ssim_rgb"), 4)),
        ("PSNR luma [dB]", lambda network: number(_quality(network, "psnr_y"), 2)),
        ("SSIM luma", lambda network: number(_quality(network, "ssim_y"), 4)),
        ("ms per image", lambda network: interval((network["timing"] or {}).get("ms_per_image"), 2)),
        ("ratio to baseline", lambda network: interval(ratio, 3) if network is record.candidate else "1"),
        (
            "ratio, outliers in full",
            lambda network: interval(plain, 3) if network is record.candidate else "1",
        ),
        ("params", lambda network: count(network, "params", 1e6, "M", 3)),
        ("FLOPs (challenge)", lambda network: count(network, "flops", 1e9, "G", 2)),
        ("MACs (dispatcher)", lambda network: count(network, "macs", 1e9, "G", 2)),
        ("activations", lambda network: count(network, "activations", 1e6, "M", 2)),
        ("convolutions", lambda network: count(network, "convolutions", 1, "", 0)),
        ("tensor memory [MiB]", lambda network: number(live_memory(network), 1)),
        ("peak memory [MiB]", lambda network: number((network["memory"] or {}).get("mib"), 1)),
        ("verdict", lambda network: escape(verdict_words(record, network))),
    ]


def _quality(network: Network, key: str) -> float | None:
    quality: dict[str, Any] | None = network["quality"]
    return quality["mean"][key] if quality and quality["meaningful"] else None


def print_record(record: Record, console: Console | None = None) -> None:
    """Prints the table, its footnotes, and where the record and the picture lie."""
    console = console or Console()
    console.print(record_table(record))
    for note in footnotes(record):
        console.print(f"· {note}", markup=False, highlight=False)
    if record.path is None:
        return
    console.print(f"record: {record.path}", markup=False, highlight=False, soft_wrap=True)
    if comparison := record.document["pictures"]["comparison"]:
        picture = record.path.parent / comparison
        console.print(f"picture: {picture}", markup=False, highlight=False, soft_wrap=True)


class Bar:
    """Shows each stage of an evaluation on standard error where that is a terminal; a context manager."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, title: str, steps: int | None) -> None:
        """See `esr.system.progress.Progress`."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(escape(title), total=steps)

    def advance(self, steps: int = 1) -> None:
        """See `esr.system.progress.Progress`."""
        if self._task is not None:
            self._progress.advance(self._task, steps)

    def at(self, done: int, steps: int | None) -> None:
        """See `esr.system.progress.Progress`."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=steps)
