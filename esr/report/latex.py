"""A ranking as LaTeX: `table*` environments for an `input`; the preamble has to load booktabs and nothing else."""

import unicodedata
from collections.abc import Sequence

from esr.ranking import Ranking, Row
from esr.report import table
from esr.report.table import Column

_REPLACED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': "''",
    "`": "'",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "≥": r"$\ge$",
    "·": r"$\cdot$",
    "σ": r"$\sigma$",
    "|": r"$|$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "\N{LATIN SMALL LETTER DOTLESS I}": r"\i{}",
}
_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING BREVE}": "u",
    "\N{COMBINING CARON}": "v",
    "\N{COMBINING RING ABOVE}": "r",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
    "\N{COMBINING CEDILLA}": "c",
}
"""Those of LaTeX's first encoding, which every installation has."""


def render(ranking: Ranking) -> str:
    """The whole ranking as one file."""
    notes = table.footnotes(ranking)
    marked = [f"$^{{{count}}}$ {escape(note)}." for count, note in enumerate(notes.numbered, 1)]
    parts = [
        r"% \usepackage{booktabs}",
        _float(
            table.title(ranking),
            _tabular(table.columns(ranking), ranking.rows, notes.marks),
            [*marked, *(f"{escape(note)}." for note in notes.general)],
        ),
    ]
    if printed := table.published_columns(ranking):
        body = _tabular(printed, table.published_rows(ranking), {})
        parts.append(_float(table.PUBLISHED_TITLE, body, []))
    if ranking.correlations:
        body = _lines(("metric", "Spearman", "Kendall"), table.correlation_rows(ranking))
        parts.append(_float("Rank correlation with runtime, with 95 % intervals", body, []))
    if changes := table.change_lines(ranking):
        parts.append("\n\n".join(f"{escape(line)}." for line in changes))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    r"""A stranger's text as LaTeX that prints it and does nothing else; what LaTeX may not know is printed by number.

    >>> escape(r"\input{x}"), escape("50 % & more"), escape("Élan 名 ą")
    ('\\textbackslash{}input\\{x\\}', '50 \\% \\& more', "\\'{E}lan (U+540D) (U+0105)")
    """
    safe = "".join(_character(character) for character in unicodedata.normalize("NFC", text))
    # At the start of a row these would be taken for an option of the line break before it.
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
    below = (
        [r"\par\medskip\parbox{\textwidth}{\footnotesize " + r"\newline ".join(notes) + "}"] if notes else []
    )
    lines = [
        r"\begin{table*}[tp]",
        r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}",
        rf"\caption{{{escape(caption)}}}",
        r"\def\esrtable{%",
        f"{tabular}}}",
        # Smaller where it would be wider than the page: only LaTeX knows.
        r"\setbox0=\hbox{\esrtable}\ifdim\wd0>\textwidth\tiny\setlength{\tabcolsep}{1pt}\fi",
        r"\esrtable",
        *below,
        r"\end{table*}",
    ]
    return "\n".join(lines)


def _tabular(columns: Sequence[Column], rows: Sequence[Row], marks: dict[str, tuple[int, ...]]) -> str:
    def cell(column: Column, row: Row) -> str:
        found = column.cell(row)
        text = escape(found.text)
        if found.rank is not None:
            text += f"$_{{({found.rank})}}$"
        if column.key == "network" and row.entry.key in marks:
            text += f"$^{{{','.join(map(str, marks[row.entry.key]))}}}$"
        return text

    head = [escape(column.header) for column in columns]
    body = [[cell(column, row) for column in columns] for row in rows]
    return _booktabs("".join("l" if column.left else "r" for column in columns), head, body)


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return _booktabs("l" + "r" * (len(header) - 1), header, [[escape(text) for text in row] for row in rows])


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
