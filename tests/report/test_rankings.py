"""A ranking in every format: complete, readable, and nothing that a stranger wrote does more than show."""

import csv
import io
import json
import os
import re
import shutil
import subprocess

import pytest
from helpers import rankings
from msgspec.structs import replace
from rich.cells import cell_len

from esr.errors import ConfigError
from esr.ranking.collection import collect, rank_records
from esr.ranking.published import published_entries
from esr.ranking.table import rank_entries
from esr.report import data, latex, markdown, table
from esr.report.output import write_bytes
from esr.report.ranking_table import MOST_ROWS, print_ranking
from esr.system.console import captured

HOSTILE = [
    r"\input{/etc/passwd}",
    r"\write18{rm}$x_1^2$",
    "50 % & #1 ~^{}",
    "[a](javascript:x) `b` |c|",
    "<img src=x onerror=y>",
    '=HYPERLINK("x")',
    "[bold red]rich[/]",
    "团队 ﬁ é ø",
    "".join(map(chr, range(0xA0, 0x180))),
    "*star*",
]


@pytest.fixture(scope="module")
def published(challenge):
    return rank_entries(published_entries(challenge), challenge)


@pytest.fixture
def measured(tmp_path, challenge):
    """A dozen networks measured, some of them within each other's noise, one with operators that hooks miss."""
    for number in range(12):
        made = rankings.document(
            f"net{number:02}",
            0.4 + number // 2 / 10,
            seed=number,
            team=f"team {number}",
            params=100_000 * (12 - number),
            flops=10**9 * (number + 1),
            macs=10**9 * (30 if number == 0 else number + 1),
        )
        candidate = made["networks"]["candidate"]
        candidate["card"]["published"] = {"runtime_ms": 27.11, "params_m": 0.317, "ranks": {"runtime": 1}}
        made["networks"]["baseline"]["card"]["published"] = {"runtime_ms": 50.86}
        if number == 0:
            candidate["complexity"]["missed_by_hooks"] = {"aten.mm": 29 * 10**9}
        if number == 1:
            made["verdict"] = {
                "status": "tainted",
                "reasons": [{"reason": "warmup_cap", "severity": "taint", "role": "candidate", "detail": "x"}],
            }
        rankings.write(made, tmp_path / str(number))
    return rank_records(collect([tmp_path]), challenge)


@pytest.fixture
def hostile(challenge):
    """The published table with names that try everything."""
    entries = published_entries(challenge)
    named = [
        replace(one, key=name, team=f"{name} team", name=name) for one, name in zip(entries, HOSTILE, strict=False)
    ]
    return rank_entries([*named, *entries[len(HOSTILE) :]], challenge)


def printed(ranking, width):
    return captured(lambda screen: print_ranking(ranking, screen), width)


def test_the_terminal_table_is_whole_at_a_hundred_columns(published, measured):
    for ranking in (published, measured):
        text = printed(ranking, 100)
        assert all(cell_len(line) <= 100 for line in text.splitlines())
        assert "…" not in text
        for key in ("sub1", "sub2", "params", "FLOPs"):
            assert key in text
    assert "27.11₁ " in printed(published, 100)
    assert re.search(r"^ *9 NKU-ESR .* 12₅ +48₇$", printed(published, 100), re.MULTILINE)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_narrower_terminal_shows_less_and_says_so(measured, width):
    text = printed(measured, width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert ("not shown at this width" in text) is (width < 200)
    assert "0.4" in text


def test_ranks_come_with_intervals_and_brackets(measured):
    text = printed(measured, 120)
    assert "1–2 a" in text
    assert [row.rank_interval for row in measured.rows[:3]] == [(1, 2), (1, 2), (3, 4)]


def test_a_taint_is_a_footnote(measured):
    text = printed(measured, 120)
    assert "net01¹" in text
    assert "¹ tainted: warm-up limit reached" in text


def test_changed_places_name_the_operators(measured):
    for text in (printed(measured, 200), markdown.render(measured), latex.render(measured)):
        plain = text.replace("\\", "")
        assert "net00: 1 by FLOPs (1.00 G), 12 by MACs (30.00 G); the challenge's hooks missed aten.mm 29.00 G" in plain
        assert "net01: 2 by FLOPs (2.00 G), 1 by MACs (2.00 G); the hooks missed nothing of it" in plain


def test_a_long_table_ends_on_the_terminal_but_not_in_files(challenge):
    (one, *_) = published_entries(challenge)
    many = [replace(one, key=f"net{number:03}", published_ranks={}) for number in range(MOST_ROWS + 5)]
    ranking = rank_entries(many, challenge)
    assert "5 more networks" in printed(ranking, 120)
    assert len(data.to_csv(ranking).splitlines()) == MOST_ROWS + 6


def test_markdown_tables_are_rectangular(published, measured, hostile):
    for ranking in (published, measured, hostile):
        lines = [line for line in markdown.render(ranking).splitlines() if line.startswith("| ")]
        cells = [re.split(r"(?<!\\)\|", line) for line in lines]
        assert len({len(row) for row in cells[: len(ranking.rows) + 1]}) == 1


def test_markdown_shows_names_and_does_nothing_else(hostile):
    text = markdown.render(hostile)
    assert "<img" not in text
    assert not re.search(r"(?<!\\)\]\(java", text)
    assert "&lt;img src=x onerror=y&gt;" in text


def test_published_stands_beside_measured(measured):
    text = markdown.render(measured)
    assert table.PUBLISHED_TITLE in text
    assert re.search(r"\| net00 \| 1 \(1\) \| 0\.40\d \(0\.533\) \| 1\.200 \(0\.317\) \|", text)


def test_a_figure_that_no_network_has_is_no_column_beside_the_published(measured):
    def keys(ranking):
        (_, _, grid), *_ = table.grids_beside(ranking)
        return [column.key for column in grid.columns]

    def bare(row):
        return replace(row, entry=replace(row.entry, figures=replace(row.entry.figures, activations=None)))

    assert "activations" in keys(measured)
    assert "activations" not in keys(replace(measured, rows=tuple(map(bare, measured.rows))))


def test_csv_is_read_back_unrounded(measured):
    rows = list(csv.DictReader(io.StringIO(data.to_csv(measured))))
    assert [row["network"] for row in rows] == [row.entry.key for row in measured.rows]
    assert float(rows[0]["ratio"]) == measured.rows[0].entry.figures.ratio
    assert rows[0]["rank_main"] == "1"
    assert (rows[0]["rank_runtime_low"], rows[0]["rank_runtime_high"], rows[0]["brackets"]) == ("1", "2", "a")
    assert rows[-1]["ranked"] == "False"


def test_no_cell_of_csv_is_a_formula(hostile):
    for row in csv.reader(io.StringIO(data.to_csv(hostile))):
        assert not any(cell.startswith(("=", "@", "+")) for cell in row)


def test_json_has_a_stable_structure(measured):
    document = json.loads(data.to_json(measured))
    assert (document["format"], document["version"]) == ("esr-ranking", 2)
    assert list(document) == [
        *("format", "version", "challenge", "title", "baseline", "constraints", "tracks", "source"),
        *("conditions", "rows", "correlations", "changes", "ranges", "notes"),
    ]
    row = document["rows"][0]
    assert list(row) == [
        *("entry", "gates", "ranked", "excluded", "ranks", "places"),
        *("rank_interval", "brackets", "notes"),
    ]
    assert row["places"]["sub1"] == {"rank": row["places"]["sub1"]["rank"], "score": 13.0, "excluded": None}
    assert row["ranks"]["runtime"] == 1


def test_the_whole_ranking_is_the_same_every_time(measured, challenge):
    entries = [row.entry for row in reversed(measured.rows)]
    again = rank_entries(
        entries, challenge, baseline=measured.baseline, conditions=measured.conditions, notes=measured.notes[:1]
    )
    assert data.to_json(again) == data.to_json(measured)


def test_latex_compiles_whatever_the_names(tmp_path, published, measured, hostile):
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("no LaTeX here")
    for name, ranking in (("published", published), ("measured", measured), ("hostile", hostile)):
        (tmp_path / f"{name}.tex").write_text(latex.render(ranking), encoding="utf-8")
    inputs = r"\input{published}\clearpage\input{measured}\clearpage\input{hostile}"
    (tmp_path / "paper.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{inputs}\end{{document}}"
    )
    done = subprocess.run(
        [compiler, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Output written on paper.pdf" in done.stdout


def test_latex_is_ascii_whatever_the_alphabet():
    latin = "".join(map(chr, range(0x20, 0x250)))
    assert latex.escape(latin).isascii()
    assert latex.escape("Çelik, Škoda, Øre, señor") == r"\c{C}elik, \v{S}koda, \O{}re, se\~{n}or"


def test_latex_has_no_command_of_a_strangers(hostile):
    text = latex.render(hostile)
    assert r"\input{" not in text
    assert r"\write18" not in text
    assert r"\textbackslash{}input\{/etc/passwd\}" in text


def test_hostile_names_are_plain_on_the_terminal(hostile):
    text = printed(hostile, 160)
    assert "[bold red]rich[/]" in text


@pytest.mark.parametrize("form", ["table", "markdown", "csv", "latex", "json"])
def test_every_format_goes_to_the_screen_or_to_a_file(tmp_path, run_esr, form):
    screen = run_esr("rank", "--published", "--format", form)
    assert screen.code == 0
    assert screen.err == ""
    written = run_esr("rank", "--published", "--format", form, "--out", "new/report.txt")
    assert written.code == 0
    assert written.out == ""
    text = (tmp_path / "new" / "report.txt").read_text(encoding="utf-8")
    assert "ByteESR" in text
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["report.txt"]
    if form != "table":  # whose width differs
        assert text == screen.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to rank"),
        (["missing"], "missing: no such file or folder"),
        (["--published", "challenge=ntire2023"], "challenge=ntire2023: its published table is not shipped"),
        (["--published", "results"], "--published results: no such challenge; known: ntire2022"),
        (["--published", "ntire2022", "."], "leave out ."),
        (["--published", "challange=ntire2022"], "did you mean challenge?"),
        (["--published", "constraints=strict"], "constraints=strict: no such choice"),
        (["--published", "--format", "docx"], "--format: docx: no such choice"),
        (["--published", "--out", "/dev/null/x"], "cannot be written"),
    ],
)
def test_mistakes_end_in_one_line(run_esr, arguments, words):
    run = run_esr("rank", *arguments)
    assert run.code == 2
    assert run.out == ""
    assert len(run.err.splitlines()) == 1
    assert words in run.err


def test_a_link_is_followed_and_a_device_is_written_to(tmp_path, run_esr):
    (tmp_path / "old.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("old.csv")
    os.mkfifo(tmp_path / "pipe")
    with open(os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK), "rb", 0) as pipe:
        for name in ("link.csv", "pipe"):
            assert run_esr("rank", "--published", "--format", "csv", "--out", name).code == 0
        assert pipe.read(1000).startswith(b"network,")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "old.csv").read_text().startswith("network,")


def test_help_names_every_setting(run_esr):
    run = run_esr("rank", "--help")
    assert run.code == 0
    for word in ("challenge=", "constraints=", "--mixed", "--published", "--format", "--out"):
        assert word in run.out


def test_a_report_goes_where_a_link_leads_but_not_round_in_circles(tmp_path):
    target, link, loop = (tmp_path / name for name in ("report.md", "link.md", "loop.md"))
    link.symlink_to(target)
    write_bytes(b"new", link)
    assert target.read_text(encoding="utf-8") == "new"
    assert link.is_symlink()
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match=r"loop\.md: cannot be written .*symbolic links.*choose another --out"):
        write_bytes(b"new", loop)


def test_claims_stand_beside_the_measured_figures_in_every_format(tmp_path, challenge):
    stated = {"psnr_rgb": {"Demo_HR": 28.95, "<b>elsewhere": 28.5}, "params_m": 0.25, "runtime_ms": 5.0}
    for name, claims in (("net", stated), ("silent", None)):
        made = rankings.document(name)
        made["networks"]["candidate"]["card"]["claims"] = claims
        rankings.write(made, tmp_path / name)
    ranking = rank_records(collect([tmp_path]), challenge)
    ((key, title, grid),) = table.grids_beside(ranking)
    assert key == "claimed"
    (line,) = [cells for _, cells in grid.lines]
    shown = {column.key: cell.text for column, cell in line}
    assert shown.keys() == {"network", "psnr_rgb_demo", "params"}  # a GPU's milliseconds are not beside a CPU's
    assert (shown["psnr_rgb_demo"], shown["params"]) == ("28.90 (28.95)", "0.300 (0.250)")
    for text in (
        markdown.render(ranking),
        latex.render(ranking),
        captured(lambda screen: print_ranking(ranking, screen)),
    ):
        assert title in text
        assert "28.90 (28.95)" in text
        assert "elsewhere" not in text
    rows = {row["network"]: row for row in csv.DictReader(io.StringIO(data.to_csv(ranking)))}
    assert (rows["net"]["claimed_params"], rows["net"]["claimed_runtime_ms"]) == ("250000", "5.0")
    assert rows["silent"]["claimed_params"] == ""
