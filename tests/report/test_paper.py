"""A ranking in a paper: LaTeX that fits two columns, and charts as PDF and SVG."""

import re
import shutil
import subprocess
import sys

import pytest
from msgspec.structs import replace

from esr.errors import ConfigError
from esr.ranking.published import published_entries
from esr.ranking.table import rank_entries
from esr.report import latex, plots, table

PAPER = r"\documentclass[twocolumn]{article}\usepackage{booktabs}\begin{document}x%s\end{document}"


def compiled(folder, *texts):
    """What LaTeX says of a paper of two columns with these tables."""
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("no LaTeX here: apt-get install texlive-latex-extra")
    for number, text in enumerate(texts):
        (folder / f"part{number}.tex").write_text(text, encoding="utf-8")
    inputs = r"\clearpage".join(rf"\input{{part{number}}}" for number in range(len(texts)))
    (folder / "paper.tex").write_text(PAPER % inputs)
    command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def published(challenge):
    return rank_entries(published_entries(challenge), challenge)


def test_a_whole_field_fits_two_columns_without_an_overfull_box(tmp_path, field, published):
    ranking, _ = field
    texts = [latex.render(ranking), latex.render(published), latex.render(ranking, ["place", "network", "ratio"])]
    said = compiled(tmp_path, *texts)
    assert "Overfull" not in said
    assert r"\tiny" not in "".join(texts)


LONG = [f"a_{'very_' * 37}long_{number}" for number in range(2)] + ["超解像" * 60, "one short word " * 13 + "x"]


@pytest.fixture
def named_at_length(field):
    """The field with four networks, a team and a data set whose names are as long as they may be."""
    ranking, _ = field

    def renamed(row, key):
        figures = replace(row.entry.figures, psnr_rgb={"a_set_with_a_long_name_" * 8: 29.0})
        return replace(row, entry=replace(row.entry, key=key, team="team_" * 40, figures=figures))

    rows = [renamed(row, key) for row, key in zip(ranking.rows, LONG, strict=False)]
    rows[0] = replace(rows[0], notes=(f"PSNR on {'a_set_with_a_long_name_' * 8} is lower",))
    conditions = ("a_set_with_a_long_name_" * 8, *ranking.conditions)
    return replace(ranking, rows=(*rows, *ranking.rows[len(LONG) :]), conditions=conditions)


def test_names_of_any_length_fit_a_paper(tmp_path, named_at_length):
    texts = [latex.render(named_at_length), latex.render(named_at_length, ["network", "team", "ratio"])]
    assert "Overfull" not in compiled(tmp_path, *texts)
    assert all(r"\_0" in text and r"\_1" in text for text in texts)
    assert all(r"\ldots{}" in text for text in texts)


def test_names_of_any_length_leave_a_chart_its_room(named_at_length):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: esr[dev]")
    for plot in plots.PLOTS:
        text = plots.render(named_at_length, plot, "svg").decode()
        named = re.findall(r"<!-- (.*?) -->", text)
        assert any("long_0" in name for name in named)
        assert max(map(len, named)) <= 48


def test_nothing_stands_in_the_papers_own_text(field):
    ranking, _ = field
    lines = table.change_lines(ranking)
    assert lines
    for one in (ranking, replace(ranking, correlations=())):
        text = latex.render(one)
        outside = re.sub(r"\\begin\{(table\*?)\}.*?\\end\{\1\}|^%.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert outside.strip() == ""
        assert all(latex._breaking(line) in text for line in lines)


def test_the_estimated_width_is_not_below_latexs_own(tmp_path, field):
    ranking, _ = field
    grid = latex._fitting(table.ranking_grid(ranking))
    measure = r"\setbox0\hbox{\fontsize{7}{8.4}\selectfont\setlength{\tabcolsep}{2.5pt}%s}\typeout{width=\the\wd0}"
    said = compiled(tmp_path, measure % latex._tabular(grid, table.leaders(grid)))
    width = float(re.search(r"width=([\d.]+)pt", said)[1])
    assert 0.7 * latex._width(grid) < width <= latex._width(grid) <= latex.PAGE_PT


def test_a_narrow_table_takes_one_column_and_each_has_a_label(field):
    ranking, _ = field
    wide, narrow = latex.render(ranking), latex.render(ranking, ["place", "network", "ratio"])
    assert r"\begin{table*}" in wide
    assert r"\begin{table}[tp]" in narrow.partition(r"\end{table")[0]
    assert re.findall(r"\\label{(.*?)}", wide) == ["tab:esr-ranking", "tab:esr-published", "tab:esr-correlations"]


def test_columns_are_chosen_ranks_among_them(field):
    ranking, _ = field
    text = latex.render(ranking, ["network", "params", "rank_params"])
    first = next(row for row in ranking.rows if row.ranked)
    line = next(line for line in text.splitlines() if line.startswith(first.entry.key))
    assert line.split(" & ")[2] == rf"{first.ranks['params']} \\"
    assert r"\begin{tabular}[b]{@{}r@{}}params \\ {}[M]\end{tabular}" in text
    with pytest.raises(ConfigError, match=r"columns=parms: no such column; did you mean params"):
        latex.render(ranking, ["network", "parms"])


def test_a_table_names_the_columns_it_left_out(field):
    ranking, _ = field
    text = latex.render(ranking)
    (left_out,) = re.findall(r"% left out: (.*?);", text)
    assert {"convolutions", "team"} <= set(left_out.split(", "))
    assert not {"network", "ratio", "params"} & set(left_out.split(", "))


def test_the_best_is_bold_and_the_second_underlined(field):
    ranking, _ = field
    text = latex.render(ranking, ["network", "ratio"])
    best, second = sorted((row for row in ranking.rows if row.ranked), key=lambda row: row.entry.figures.ratio)[:2]
    assert rf"\textbf{{{best.entry.figures.ratio:.3f}}} [" in text
    assert rf"\underline{{{second.entry.figures.ratio:.3f}}} [" in text


@pytest.mark.parametrize("plot", plots.PLOTS)
@pytest.mark.parametrize(("form", "start"), [("pdf", b"%PDF-"), ("svg", b"<?xml")])
def test_charts_are_drawn_the_same_every_time(field, plot, form, start):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: esr[dev]")
    ranking, _ = field
    drawn = plots.render(ranking, plot, form)
    assert drawn.startswith(start)
    assert drawn == plots.render(ranking, plot, form)


def test_no_name_of_a_chart_covers_a_bubble_or_another_name(field, monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: esr[dev]")
    drawn = []
    names = plots._names
    monkeypatch.setattr(plots, "_names", lambda axes, labelled: (names(axes, labelled), drawn.append(axes)))
    plots.render(field[0], "runtime", "svg")
    (axes,) = drawn
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) > 3
    assert not [1 for at, box in enumerate(boxes) for other in boxes[:at] if box.overlaps(other)]
    spots = [spot for one in axes.collections for spot in axes.transData.transform(one.get_offsets())]
    assert not [1 for box in boxes for spot in spots if box.contains(*spot)]


def test_a_strangers_name_is_no_formula_and_no_markup(field):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: esr[dev]")
    ranking, _ = field
    name = r"$\frac{1}{</svg><script>}$ 团队"
    first, *rest = ranking.rows
    changed = replace(ranking, rows=(replace(first, entry=replace(first.entry, key=name)), *rest))
    for plot in plots.PLOTS:
        text = plots.render(changed, plot, "svg").decode()
        assert "<script" not in text
        assert text.count("</svg>") == 1


def test_no_figure_no_chart(field):
    ranking, _ = field
    none = replace(ranking, rows=tuple(replace(row, ranks={}) for row in ranking.rows))
    with pytest.raises(ConfigError, match="chart=ranks: no network here has the figures for it"):
        plots.render(none, "ranks", "pdf")


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch, field):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"--format svg needs matplotlib.*pip install matplotlib"):
        plots.render(field[0], "runtime", "svg")


def test_the_command_writes_charts_and_chosen_columns(tmp_path, run_esr):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: esr[dev]")
    run = run_esr("rank", "--published", "--format", "pdf", "chart=ranks", "--out", "ranks.pdf")
    assert run.code == 0
    assert (tmp_path / "ranks.pdf").read_bytes().startswith(b"%PDF-")
    run = run_esr("rank", "--published", "--format", "markdown", "columns=network,rank_params")
    assert run.out.splitlines()[2] == r"| network | rank by params |"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["columns=network"], "columns=network: chooses columns of markdown and latex only"),
        (["--format", "latex", "columns=nets"], "columns=nets: no such column"),
        (["chart=ranks"], "chart=ranks: chooses the chart of --format pdf and svg"),
        (["--format", "svg", "chart=rank"], "chart=rank: no such choice; did you mean ranks?"),
    ],
)
def test_mistakes_end_in_one_line(run_esr, arguments, words):
    run = run_esr("rank", "--published", *arguments)
    assert (run.code, run.out) == (2, "")
    assert len(run.err.splitlines()) == 1
    assert words in run.err
