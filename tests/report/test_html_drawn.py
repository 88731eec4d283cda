"""The report's chart in a real browser, and the page on paper."""

import io
import itertools
import os
import pty
import re
import subprocess
import sys

import pytest
from helpers.browser import Page, sized
from helpers.cases import with_slow

from esr.report import html
from esr.report.html.chart import chart, front

pytestmark = pytest.mark.browser

LABELS = (
    "return [...document.querySelectorAll('#chart .annotation-text-g')].map((one) => {"
    "const box = one.getBoundingClientRect(); return [one.textContent, box.left, box.top, box.right, box.bottom]; })"
)
LETTER = (965, 725)
"""Pixels of a sheet of US letter, turned, within the page's margins; A4 is wider."""


def test_the_front_is_that_of_the_networks_that_pass_the_gate(field, wide):
    ranking, _ = field
    shown = chart(ranking)
    expected = front(shown, shown.x[0], shown.y[0])
    assert wide.run("return chart.pareto(chart.axis('x'), chart.axis('y'))") == expected
    assert all(ranking.rows[index].ranked for index in expected)
    costs = next(axis for axis in shown.y if axis.id == "params")
    place = [axis.id for axis in shown.y].index("params")
    wide.run("page.byId('chart-y').selectedIndex = arguments[0]; chart.store()", place)
    assert wide.run("return chart.pareto(chart.axis('x'), chart.axis('y'))") == front(shown, shown.x[0], costs)


def test_failing_networks_and_baselines_are_not_on_the_front(wide):
    wide.run(
        "chart.data.networks.forEach((one, i) => { if (i < 3) one.kind = ['unranked', 'baseline', 'ranked'][i]; })"
    )
    left = wide.run("return chart.pareto(chart.axis('x'), chart.axis('y'))")
    assert not {0, 1} & set(left)


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize(
    ("x", "y"), with_slow([("ratio", ""), ("rank", "params"), ("runtime_ms", "memory")], {"rank", "ratio"})
)
def test_labels_do_not_overlap_and_the_winner_has_one(browser, field, field_file, width, x, y):
    ranking, _ = field
    with sized(browser, width, 900):
        page = Page(browser, field_file, f"#x={x}&y={y}" if y else "")
        labels = page.run(LABELS)
        assert ranking.rows[0].entry.key in [name for name, *_ in labels]
        for (one, *a), (other, *b) in itertools.combinations(labels, 2):
            apart = a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
            assert apart, f"{one} covers {other}"
        box = page.run("const box = page.byId('chart').getBoundingClientRect(); return [box.left, box.right]")
        assert all(box[0] <= left and right <= box[1] for _, left, _, right, _ in labels)


def test_axes_begin_where_one_expects(wide):
    def spans(x, y):
        wide.run(
            "for (const [name, id] of [['x', arguments[0]], ['y', arguments[1]]])"
            "page.byId(`chart-${name}`).selectedIndex = chart.data[name].findIndex((axis) => axis.id === id);"
            "chart.store()",
            *(x, y),
        )
        return wide.run("const { xaxis, yaxis } = page.byId('chart').layout; return [xaxis.range, yaxis.range]")

    assert [low for low, _ in spans("rank", "params")] == [0, 0]
    (_, _), (low, high) = spans("ratio", "psnr_rgb_div2k_valid")
    assert 28 < low < 29 < high < 30


@pytest.mark.slow
def test_published_rows_have_neither_bars_nor_a_verdict(published):
    assert published.run("return chart.data.x.every((axis) => !axis.low)")
    traces = "return page.byId('chart').data.filter((one) => one.customdata).map((one) => one.error_x?.array ?? null)"
    assert set(published.run(traces)) == {None}
    words = published.run(
        "return [...new Set([...document.querySelectorAll('#table .flag')].map((a) => a.textContent))]"
    )
    assert sorted(words) == ["baseline", "not ranked", "ranked"]
    assert "intervals;" not in published.find("#quality .caption").text


@pytest.mark.slow
def test_the_tables_head_is_printed_on_each_of_its_pages(wide, field):
    pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed: esr[dev]")
    ranking, _ = field
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(wide.printed())).pages]
    names = [row.entry.key for row in ranking.rows]
    holding = [text for text in pages if sum(name in text for name in names) > 12]
    assert len(holding) >= 3  # the ranking on two pages at least, and the second table
    for text in holding:
        head = re.sub(r"\s+", " ", text)
        assert "network" in head
        assert "ratio to imdn" in head


@pytest.fixture
def paper(browser, field_file):
    with sized(browser, *LETTER):
        page = Page(browser, field_file, "#select=byteesr&select=vap")
        page.print_media(True)
        page.run("dispatchEvent(new Event('beforeprint'))")
        yield page
        page.print_media(False)


@pytest.mark.slow
def test_no_chart_goes_over_the_papers_edge(paper):
    edges = "return [...document.querySelectorAll('.main-svg')].map((svg) => svg.getBoundingClientRect())"
    boxes = paper.run(f"{edges}.map((box) => [box.left, box.right, box.height])")
    assert len(boxes) >= 6
    for left, right, height in boxes:
        assert left >= 0
        assert right <= LETTER[0]
        assert height <= LETTER[1]
    assert paper.run("return document.documentElement.scrollWidth") <= LETTER[0]


def test_ranks_of_two_digits_are_whole_on_paper(paper):
    cut = paper.run(
        "return [...document.querySelectorAll('#table sub')].filter((sub) => sub.textContent.length > 1)"
        ".map((sub) => [sub.scrollWidth - sub.clientWidth,"
        " sub.getBoundingClientRect().right - sub.closest('td').getBoundingClientRect().right])"
    )
    assert len(cut) > 100
    assert all(inner <= 0 and outer <= 0 for inner, outer in cut)


def test_paper_is_white_and_shows_every_row_and_column(paper, field):
    ranking, _ = field
    assert paper.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert paper.run("return document.querySelectorAll('#table tbody tr:not([hidden])').length") == len(ranking.rows)
    assert paper.run("return tables.sheet.cssRules.length") == 0


@pytest.mark.parametrize("form", ["html", "pdf"])
def test_a_whole_file_is_not_poured_onto_a_terminal(form):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "esr", "rank", "--published", "--format", form]
    run = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    os.close(ours)
    assert run.returncode == 2
    assert run.stderr == f"esr: --format {form}: a whole file would fill the terminal; add --out report.{form}\n"


def test_a_page_still_goes_through_a_pipe(run_esr):
    run = run_esr("rank", "--published", "--format", "html")
    assert run.code == 0
    assert run.out.startswith("<!DOCTYPE html>")
    assert f'data-first="{html.FIRST_ROWS}"' in run.out


@pytest.mark.slow
def test_a_thinned_chart_keeps_the_baseline_and_opens_the_network_that_is_clicked(
    browser, tmp_path, field, monkeypatch
):
    monkeypatch.setattr(sys.modules["esr.report.html.chart"], "MOST_BUBBLES", 3)
    ranking, documents = field
    file = tmp_path / "report.html"
    file.write_text(html.render(ranking, documents), encoding="utf-8")
    page = Page(browser, file)
    *first, last = page.run("return chart.data.networks.map((one) => one.index)")
    assert (first, ranking.rows[last].entry.reference) == ([0, 1, 2], True)
    page.find("#filter").send_keys("baseline")
    shown = "return page.byId('chart').data.flatMap((one) => one.customdata ?? [])"
    assert page.run(shown) == [last]
    page.run("page.byId('chart').emit('plotly_click', { points: [{ customdata: arguments[0] }] })", last)
    page.soon("#details h3", ranking.rows[last].entry.key)
    marked = "return page.byId('chart').data.find((one) => one.name === 'baseline').marker.line.width"
    assert page.run(marked) == [3]
