"""A ranking as LaTeX: `table*` environments for an `input`; the preamble has to load booktabs and nothing else."""

import unicodedata
from collections.abc import Iterable, Sequence

from esr.ranking import Ranking
from esr.report import table
from esr.report.table import Cell, Grid, RowType

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
    notes = [f"$^{{{number}}}$ {escape(note)}." for number, note in enumerate(table.numbered_notes(ranking), 1)]
    notes += [f"{escape(note)}." for note in ranking.notes]
    parts = [r"% \usepackage{booktabs}", _float(table.title(ranking), table.ranking_grid(ranking), notes)]
    if printed := table.published_grid(ranking):
        parts.append(_float(table.PUBLISHED_TITLE, printed))
    if correlations := table.correlation_grid(ranking):
        parts.append(_float(table.CORRELATIONS_TITLE, correlations))
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


def _float(caption: str, grid: Grid[RowType], notes: Sequence[str] = ()) -> str:
    below = r"\par\medskip\parbox{\textwidth}{\footnotesize " + r"\newline ".join(notes) + "}\n" if notes else ""
    # Smaller type where it would be wider than the page, which only LaTeX can tell.
    return rf"""\begin{{table*}}[tp]
\centering\scriptsize\setlength{{\tabcolsep}}{{2.5pt}}
\caption{{{escape(caption)}}}
\def\esrtable{{%
{_tabular(grid)}}}
\setbox0=\hbox{{\esrtable}}\ifdim\wd0>\textwidth\tiny\setlength{{\tabcolsep}}{{1pt}}\fi
\esrtable
{below}\end{{table*}}"""


def _tabular(grid: Grid[RowType]) -> str:
    align = "".join("l" if column.left else "r" for column in grid.columns)
    head = _row(escape(column.header) for column in grid.columns)
    body = [_row(_cell(cell) for _, cell in line) for _, line in grid.lines]
    lines = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    rank = "" if cell.rank is None else f"$_{{({cell.rank})}}$"
    notes = f"$^{{{','.join(map(str, cell.notes))}}}$" if cell.notes else ""
    return f"{escape(cell.text)}{rank}{notes}"
