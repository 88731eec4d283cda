"""A ranking as LaTeX: `table*` environments for an `input`; the preamble has to load booktabs and nothing else."""

import unicodedata
from collections.abc import Sequence

from esr.ranking import Ranking
from esr.report import table
from esr.report.table import Cell, Grid

_TABLE = r"""
\ \textbackslash{}  ~ \textasciitilde{}  ^ \textasciicircum{}  < \textless{}  > \textgreater{}  { \{  } \}
& \&  % \%  $ \$  # \#  _ \_  " ''  ` '  | $|$  – --  − $-$  × $\times$  ≥ $\ge$  · $\cdot$  σ $\sigma$
ß \ss{}  æ \ae{}  Æ \AE{}  œ \oe{}  Œ \OE{}  ø \o{}  Ø \O{}  ł \l{}  Ł \L{}
"""
"""Characters, each before the LaTeX that prints it."""
_WORDS = _TABLE.split()
_REPLACED = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True)) | {"\N{LATIN SMALL LETTER DOTLESS I}": r"\i{}"}
_COMBINING = "\u0300\u0301\u0302\u0303\u0308\u0304\u0307\u0306\u030c\u030a\u030b\u0327"
_ACCENTS = dict(zip(_COMBINING, "`'^~\"=.uvrHc", strict=True))
"""Combining accents of LaTeX's first encoding, which every installation has: grave, acute, circumflex, tilde,
diaeresis, macron, dot, breve, caron, ring, double acute, cedilla."""


def render(ranking: Ranking) -> str:
    """The whole ranking as one file."""
    numbered = enumerate(table.numbered_notes(ranking), 1)
    notes = [f"$^{{{number}}}$ {escape(note)}." for number, note in numbered]
    notes += [f"{escape(note)}." for note in ranking.notes]
    parts = [
        r"% \usepackage{booktabs}",
        _float(table.title(ranking), _tabular(table.ranking_grid(ranking)), notes),
    ]
    if printed := table.published_grid(ranking):
        parts.append(_float(table.PUBLISHED_TITLE, _tabular(printed), []))
    if ranking.correlations:
        rows = [[escape(text) for text in row] for row in table.correlation_rows(ranking)]
        parts.append(_float(table.CORRELATIONS_TITLE, _booktabs("lrr", table.CORRELATIONS_HEADER, rows), []))
    if changes := table.change_lines(ranking):
        parts.append("\n\n".join(f"{escape(line)}." for line in changes))
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


def _float(caption: str, tabular: str, notes: Sequence[str]) -> str:
    below = [r"\par\medskip\parbox{\textwidth}{\footnotesize " + r"\newline ".join(notes) + "}"] if notes else []
    lines = [
        r"\begin{table*}[tp]",
        r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}",
        rf"\caption{{{escape(caption)}}}",
        r"\def\esrtable{%",
        f"{tabular}}}",
        # Smaller type where it would be wider than the page, which only LaTeX can tell.
        r"\setbox0=\hbox{\esrtable}\ifdim\wd0>\textwidth\tiny\setlength{\tabcolsep}{1pt}\fi",
        r"\esrtable",
        *below,
        r"\end{table*}",
    ]
    return "\n".join(lines)


def _tabular(grid: Grid) -> str:
    align = "".join("l" if column.left else "r" for column in grid.columns)
    head = [escape(column.header) for column in grid.columns]
    return _booktabs(align, head, [[_cell(cell) for cell in line] for line in grid.cells])


def _cell(cell: Cell) -> str:
    rank = "" if cell.rank is None else f"$_{{({cell.rank})}}$"
    notes = f"$^{{{','.join(map(str, cell.notes))}}}$" if cell.notes else ""
    return f"{escape(cell.text)}{rank}{notes}"


def _booktabs(align: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)
