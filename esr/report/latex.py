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
}
_LAST_KNOWN = 0x17F
"""Every LaTeX sets characters up to here; a later one is printed by its number, so that the file always compiles."""


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
    r"""A stranger's text as LaTeX that prints it and does nothing else.

    >>> escape(r"\input{x}"), escape("50 % & more"), escape("名")
    ('\\textbackslash{}input\\{x\\}', '50 \\% \\& more', '(U+540D)')
    """
    safe = "".join(_character(character) for character in unicodedata.normalize("NFC", text))
    # At the start of a row these would be taken for an option of the line break before it.
    return f"{{}}{safe}" if safe.startswith(("[", "*")) else safe


def _character(character: str) -> str:
    if character in _REPLACED:
        return _REPLACED[character]
    if character.isspace():
        return " "
    known = ord(character) <= _LAST_KNOWN and character.isprintable()
    return character if known else f"(U+{ord(character):04X})"


def _float(caption: str, tabular: str, notes: Sequence[str]) -> str:
    below = (
        [r"\par\medskip\parbox{\textwidth}{\footnotesize " + r"\newline ".join(notes) + "}"] if notes else []
    )
    lines = [
        r"\begin{table*}[tp]",
        r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}",
        rf"\caption{{{escape(caption)}}}",
        tabular,
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
