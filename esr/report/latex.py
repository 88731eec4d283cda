"""A ranking as LaTeX: tables for an `input`; the preamble has to load booktabs and nothing else."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from esr.ranking.structures import Ranking, Row
from esr.report import table
from esr.report.table import Cell, Column, Grid, RowType
from esr.text import shortened

PAGE_PT = 410
"""Width of a page in the class `article` with two columns, pt; those of conferences are wider."""
COLUMN_PT = 200
"""Width of one of its columns, pt."""
GAP_PT = 2.5
"""On either side of a column, pt."""
_LEFT_OUT_FIRST = ("convolutions", "team", "energy", "macs", "runtime_ms", "rank_interval", "activations", "memory")
"""Columns that a page does without, in this order."""
_LONGEST = 32
"""Characters of a name or a header; of letters that are printed by number, a quarter."""
_DIGIT_PT, _NARROW_PT, _WIDE_PT = 4.0, 2.7, 6.5
"""Widths of characters at 7 pt, rounded up."""
_NARROW, _WIDE = " .,:;'|[]()ijlt", "ABCDEFGHKLMNOPQRTUVWXYZmw≥∞%&@"
_MARKS = {"best": "textbf", "second": "underline"}

_TABLE = r"""
\ \textbackslash{}  ~ \textasciitilde{}  ^ \textasciicircum{}  < \textless{}  > \textgreater{}  { \{  } \}
& \&  % \%  $ \$  # \#  _ \_  " ''  ` '  | $|$  – --  − $-$  × $\times$  ≥ $\ge$  ∞ $\infty$  · $\cdot$  σ $\sigma$
ß \ss{}  æ \ae{}  Æ \AE{}  œ \oe{}  Œ \OE{}  ø \o{}  Ø \O{}  ł \l{}  Ł \L{}  … \ldots{}
"""
"""Characters, each before the LaTeX that prints it."""
_WORDS = _TABLE.split()
_REPLACED = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True)) | {"\N{LATIN SMALL LETTER DOTLESS I}": r"\i{}"}
_COMBINING = "\u0300\u0301\u0302\u0303\u0308\u0304\u0307\u0306\u030c\u030a\u030b\u0327"
_ACCENTS = dict(zip(_COMBINING, "`'^~\"=.uvrHc", strict=True))
"""Combining accents of LaTeX's first encoding, which every installation has: grave, acute, circumflex, tilde,
diaeresis, macron, dot, breve, caron, ring, double acute, cedilla."""


def render(ranking: Ranking, columns: Sequence[str] = ()) -> str:
    """The whole ranking as one file.

    Args:
        ranking: The ranking.
        columns: Keys of the columns to print; by default those that fit across a page of two columns.

    Raises:
        ConfigError: There is no such column.
    """
    whole = table.ranking_grid(ranking)
    grid = table.chosen(ranking, columns) if columns else _fitting(whole)
    notes = [f"$^{{{number}}}$ {_breaking(note)}." for number, note in enumerate(table.numbered_notes(ranking), 1)]
    notes += [f"{_breaking(note)}." for note in ranking.notes]
    changes = [f"{_breaking(line)}." for line in table.change_lines(ranking)]
    correlations = table.correlation_grid(ranking)
    notes += [] if correlations else changes
    head = [r"% \usepackage{booktabs}"]
    if left_out := [column.key for column in whole.columns if column.key not in {one.key for one in grid.columns}]:
        head.append(f"% left out: {', '.join(map(_comment, left_out))}; columns=KEY,KEY,... chooses, also rank_METRIC")
    marked = table.leaders(grid)
    parts = ["\n".join(head), _float(table.title(ranking), "ranking", grid, notes, marked)]
    for name, title, beside in table.grids_beside(ranking):
        parts.append(_float(title, name, _fitting(beside)))
    if correlations:
        parts.append(_float(table.CORRELATIONS_TITLE, "correlations", correlations, changes))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    r"""A stranger's text as LaTeX that only prints it; characters that LaTeX may not know are printed by number.

    >>> escape(r"\input{x}"), escape("50 % & more"), escape("Élan 名 ą")
    ('\\textbackslash{}input\\{x\\}', '50 \\% \\& more', "\\'{E}lan (U+540D) (U+0105)")
    """
    safe = "".join(_character(character) for character in unicodedata.normalize("NFC", text))
    # At the start of a row, LaTeX would read these as an option of the line break before it.
    return f"{{}}{safe}" if safe.startswith(("[", "*")) else safe


def _character(character: str) -> str:
    if character in _REPLACED:
        return _REPLACED[character]
    if character.isspace():
        return " "
    decomposed = unicodedata.normalize("NFD", character)
    letter, marks = decomposed[0], decomposed[1:]
    if letter.isascii() and letter.isprintable():
        if not marks:
            return character
        if marks in _ACCENTS:
            return rf"\{_ACCENTS[marks]}{{{letter}}}"
    return f"(U+{ord(character):04X})"


def _float(
    caption: str,
    label: str,
    grid: Grid[RowType],
    notes: Sequence[str] = (),
    marked: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> str:
    """A table, as narrow as one column where it fits, or across the page."""
    name = "table" if _width(grid) <= COLUMN_PT else "table*"
    below = "\n" + r"\par\smallskip\raggedright " + " ".join(notes) if notes else ""
    return rf"""\begin{{{name}}}[tp]
\centering
\caption{{{_breaking(caption)}}}
\label{{tab:esr-{label}}}
\fontsize{{7}}{{8.4}}\selectfont\setlength{{\tabcolsep}}{{{GAP_PT}pt}}
{_tabular(grid, marked)}{below}
\end{{{name}}}"""


def _tabular(grid: Grid[RowType], marked: Mapping[tuple[str, str], str]) -> str:
    align = "".join("l" if column.left else "r" for column in grid.columns)
    head = _row(_header(column) for column in grid.columns)
    body = []
    for row, line in grid.lines:
        key = row.entry.key if isinstance(row, Row) else ""
        body.append(_row(_cell(column, cell, marked.get((column.key, key))) for column, cell in line))
    begin = rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}"
    return "\n".join([begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"])


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _header(column: Column[RowType]) -> str:
    lines = r" \\ ".join(map(escape, _header_lines(column.header)))
    side = "l" if column.left else "r"
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{lines}\end{{tabular}}"


def _header_lines(header: str) -> list[str]:
    """A header on two lines of like length; the unit stands on the second.

    >>> _header_lines("params [M]"), _header_lines("PSNR div2k valid"), _header_lines("#")
    (['params', '[M]'], ['PSNR div2k', 'valid'], ['#'])
    """
    words = shortened(header, _LONGEST).split()
    if len(words) == 1:
        return words
    breaks = [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words))]
    return [*min(breaks, key=lambda lines: max(map(len, lines)))]


def _cell(column: Column[RowType], cell: Cell, leader: str | None) -> str:
    text = escape(_text(column, cell))
    if leader:
        figure, space, rest = text.partition(" ")  # its interval follows as it is
        text = rf"\{_MARKS[leader]}{{{figure}}}{space}{rest}"
    notes = f"$^{{{','.join(map(str, cell.notes))}}}$" if cell.notes else ""
    return f"{text}{notes}"


def _fitting(grid: Grid[RowType]) -> Grid[RowType]:
    """A table without its least important columns, as far as the width of a page requires."""
    for key in ("", *_LEFT_OUT_FIRST):
        grid = replace(grid, columns=[column for column in grid.columns if column.key != key])
        if _width(grid) <= PAGE_PT:
            break
    return grid


def _text(column: Column[RowType], cell: Cell) -> str:
    """A cell's text, names cut so that none needs more than a third of a page."""
    longest = _LONGEST if "(U+" not in escape(cell.text) else _LONGEST // 4
    return shortened(cell.text, longest) if column.left else cell.text


def _width(grid: Grid[RowType]) -> float:
    """Width of a table in points, at most, in Computer Modern; Times is narrower."""
    texts = [_header_lines(column.header) for column in grid.columns]
    for _, line in grid.lines:
        for column_texts, (column, cell) in zip(texts, line, strict=True):
            column_texts.append(_text(column, cell) + "," * len(cell.notes) + "1" * len(cell.notes))
    return sum(max(map(_text_width, column)) + 2 * GAP_PT for column in texts)


def _text_width(text: str) -> float:
    numbered = "".join(shown if (shown := _character(mark)).startswith("(U+") else mark for mark in text)
    return sum(_NARROW_PT if mark in _NARROW else _WIDE_PT if mark in _WIDE else _DIGIT_PT for mark in numbered)


def _breaking(text: str) -> str:
    """Text whose long names may break after an underscore."""
    return escape(text).replace(r"\_", r"\_\allowbreak{}")


def _comment(key: str) -> str:
    """A key within a comment, which a line break would end."""
    return escape(key).replace("\\", "")
