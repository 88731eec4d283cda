"""Different networks against each other as text: a sentence for two, a small matrix for more."""

from collections.abc import Sequence

from rich.console import Console

from esr.records.contest import Contest
from esr.records.files import Record
from esr.report import markdown
from esr.report.answer import faster_or_slower
from esr.report.fitting import brief, named, print_fitting
from esr.report.table import Cell, Column, Grid
from esr.report.wording import DASH, bounds, number, signed
from esr.text import indented, one_line, shortened

_LONGEST = 16
"""Cells of a name in the matrix's header."""
_TITLE = "Runtime of each row's network over each column's, with 95 % intervals (below 1: the row's is faster)"


def answer(one: Contest) -> str:
    """Which of two networks is faster, by how much, with which certainty."""
    a, b = one.a.candidate.name, one.b.candidate.name
    if one.ratio is None or one.ratio.low is None or one.outcome == "inconclusive":
        ratio = f", ratio {number(one.ratio.value, 3)}{bounds(one.ratio, 3)}" if one.ratio else ""
        return one_line(f"inconclusive: {a} against {b}{ratio}: {one.why}")
    said = faster_or_slower(a, b, one.ratio, one.a.document.timing.confidence)
    return one_line(f"{said}, {_psnr(one)}")


def _psnr(one: Contest) -> str:
    own, other = (record.candidate.quality for record in (one.a, one.b))
    if not (own and other and own.meaningful and other.meaningful and own.mean.psnr_rgb and other.mean.psnr_rgb):
        return "no PSNR to compare"
    return f"PSNR {signed(own.mean.psnr_rgb - other.mean.psnr_rgb)} dB"


def notes(contests: Sequence[Contest]) -> list[str]:
    """Common baseline, grounds and differences, each once; without the first one's grounds, which its answer gives."""
    first = contests[0].a
    said = [f"each was measured beside {first.baseline.name} on {first.document.data.name}; their ratios are divided"]
    grounds: dict[str, list[str]] = {}
    for at, one in enumerate(contests):
        if any(one.a is other.b and one.b is other.a for other in contests[:at]):
            continue
        own = [one.why] if (at if one.outcome == "inconclusive" else "tainted" in one.why) else []
        for why in [*own, *(f"void, {found.key} differs" for found in one.voiding)]:
            grounds.setdefault(why, []).append(f"{one.a.candidate.name} and {one.b.candidate.name}")
    for why, pairs in grounds.items():
        more = f" and {left} more pair{'s' * (left != 1)}" if (left := len(pairs) - 2) > 0 else ""
        said.append(f"{', '.join(pairs[:2])}{more}: {why}")
    return [one_line(line) for line in said]


def _grid(records: Sequence[Record], contests: Sequence[Contest]) -> Grid[Record]:
    found = {(id(one.a), id(one.b)): one for one in contests}
    names = [shortened(one_line(record.candidate.name), _LONGEST) for record in records]

    def column(at: int, other: Record) -> Column[Record]:
        def cell(record: Record) -> Cell:
            one = found.get((id(record), id(other)))
            if one is None or one.ratio is None:
                return Cell("" if record is other else DASH)
            mark = "?" if one.outcome == "inconclusive" else ""
            return Cell(f"{number(one.ratio.value, 3)}{bounds(one.ratio, 3)}{mark}")

        return Column(str(at), names[at], cell)

    first: Column[Record] = Column("network", "", lambda record: Cell(one_line(record.candidate.name)), left=True)
    return Grid([first, *(column(at, other) for at, other in enumerate(records))], records)


def print_contests(records: Sequence[Record], contests: Sequence[Contest], screen: Console) -> None:
    """Prints a sentence for two networks, for more the fastest one's and a matrix.

    Args:
        records: Fastest first.
        contests: Of every ordered pair, the fastest network's first.
        screen: Where it is printed.
    """
    screen.print(brief(answer(contests[0]), *records), style="bold")
    if len(records) > 2:  # noqa: PLR2004 - two need no matrix
        screen.print(f"\n{_TITLE}; ?: inconclusive")
        slowest_first = [str(at) for at in range(len(records) - 1, 0, -1)]
        print_fitting(_grid(records, contests), screen, slowest_first, named, gap=2)
    for line in notes(contests):
        screen.print(f"· {brief(line, *records)}")


def to_markdown(records: Sequence[Record], contests: Sequence[Contest]) -> str:
    """The sentence, the matrix and the notes."""
    parts = [markdown.escape(answer(contests[0])), markdown.drawn(_grid(records, contests))]
    return "\n\n".join([*parts, markdown.bullets(notes(contests))]) + "\n"


def to_json(contests: Sequence[Contest]) -> str:
    """An array with one object per ordered pair."""
    plain = [
        {
            "a": one.a.candidate.name,
            "b": one.b.candidate.name,
            "outcome": one.outcome,
            "ratio": one.ratio,
            "why": one.why,
            "records": [str(record.path) for record in (one.a, one.b)],
            "voiding": one.voiding,
        }
        for one in contests
    ]
    return f"{indented(plain)}\n"
