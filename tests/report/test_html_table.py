"""The report's table in a real browser: fits every width, filters, is remembered by the address, and leads further."""

import json
import re
from urllib.parse import quote

import pytest
from helpers.browser import Page, sized
from helpers.cases import with_slow

from esr.report import data, table
from esr.report.html import marks

pytestmark = pytest.mark.browser
every_width = pytest.mark.parametrize("width", with_slow([1440, 1024, 768, 390], {1024, 768}))

SHOWN = (
    "return [...document.querySelectorAll('#table thead th')]"
    ".filter((head) => getComputedStyle(head).display !== 'none').map((head) => head.dataset.column)"
)
TEXTS = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"


def filtered(page, text):
    """Networks that a filter leaves in the table."""
    page.run("filter.box.value = arguments[0]; filter.apply()", text)
    return rows(page)


def rows(page):
    return page.run(TEXTS, "#table tbody tr:not([hidden]) th a[href*=network]")


def keys(found):
    return [row.entry.key for row in found]


@every_width
def test_no_column_is_cut_at_any_width(browser, field_file, width):
    with sized(browser, width, 900):
        page = Page(browser, field_file)
        shown = page.run(SHOWN)
        assert {"place", "network", "status", "psnr_rgb_div2k_valid", "ratio"} <= set(shown)
        every = page.run("return tables.columns.map(({ key }) => key)")
        assert (shown == every) is (width == 1440)
        words = page.find("#columns summary").text
        assert words == ("columns" if width == 1440 else f"columns: {len(shown)} of {len(every)}")
        across = "const table = document.getElementById('table');"
        assert page.run(f"{across} return table.scrollWidth - table.parentElement.clientWidth") <= 0
        assert page.run("const page = document.documentElement; return page.scrollWidth - page.clientWidth") == 0
        edges = "return [...document.querySelectorAll('#table td')].map((td) => td.getBoundingClientRect().right)"
        assert max(page.run(edges)) <= width


BROKEN = """
return [...document.querySelectorAll(".beside td, .beside th, #comparison td, #comparison th")].flatMap((cell) => {
  const text = cell.firstChild, range = document.createRange();
  return [...cell.textContent.matchAll(/[^ ]+/g)].filter((word) => {
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    return new Set([...range.getClientRects()].map(({ top }) => top)).size > 1;
  }).map(String);
});
"""
"""Words and intervals that stand in more than one line."""


@every_width
def test_no_example_of_a_filter_is_cut_and_no_word_of_a_small_table_is_broken(browser, field, field_file, width):
    ranking, _ = field
    with sized(browser, width, 900):
        page = Page(browser, field_file, "#" + "&".join(f"select={row.entry.key}" for row in ranking.rows[:3]))
        room = (
            "const box = page.byId('filter'), pen = document.createElement('canvas').getContext('2d');"
            "pen.font = getComputedStyle(box).font;"
            "return box.clientWidth - 18 - pen.measureText(box.placeholder).width"
        )
        assert page.run(room) > 0
        assert page.run("return document.querySelectorAll('#comparison td').length") > 20
        assert page.run(BROKEN) == []
        wide = "return [...document.querySelectorAll('.beside .scroll, #comparison .scroll')]"
        assert not any(page.run(f"{wide}.map((one) => one.scrollWidth > one.clientWidth)"))


def test_on_a_phone_the_other_tables_fold_into_cards(browser, field_file):
    with sized(browser, 390, 844):
        page = Page(browser, field_file)
        boxes = "return [...document.querySelectorAll('.scroll')]"
        assert page.run(f"{boxes}.filter((one) => one.scrollWidth > one.clientWidth).length") == 0
        cells = "return [...page.byId('published').rows[1].cells]"
        labels = f"{cells}.map((cell) => getComputedStyle(cell, '::before').content)"
        heads = "return [...page.byId('published').tHead.rows[0].cells].map((cell) => cell.textContent)"
        shown = page.run(heads)
        assert page.run(labels) == ["none", *(f'"{one}"' for one in shown[1:])]
        assert len(shown) > 4
        per_image = "return getComputedStyle(document.querySelector('#details tbody td.figure'), '::before').content"
        assert page.run(per_image) == '"PSNR [dB]"'
        first = "return page.byId('published').tBodies[0].rows[0].cells[0].textContent"
        before = page.run(first)
        page.run("page.byId('published').tHead.querySelector('[data-column=ratio] button').click()")
        page.run("page.byId('published').tHead.querySelector('[data-column=ratio] button').click()")
        assert page.run(first) != before
        button = "return page.byId('published').tHead.querySelector('button')"
        assert page.run(f"{button}.getBoundingClientRect().width") > 40
        with sized(browser, 1440, 900):
            assert page.run(labels) == ["none"] * len(shown)


@pytest.mark.slow
def test_a_name_breaks_after_its_signs(browser, field_file):
    with sized(browser, 390, 844):
        page = Page(browser, field_file)
        inside = page.run(
            "return [...document.querySelectorAll('#table tbody th > a')].filter((one) =>"
            "/[_-]/.test(one.textContent) && !one.querySelector('wbr')).length"
        )
        assert inside == 0
        assert page.run("return document.querySelector('a[href=\"#network=njust_restorarion\"]').textContent") == (
            "njust_restorarion"
        )


@every_width
def test_names_of_any_length_leave_the_columns_that_matter(browser, named_at_length_file, width):
    with sized(browser, width, 900):
        page = Page(browser, named_at_length_file)
        assert {"place", "network", "status", "ratio"} <= set(page.run(SHOWN))
        boxes = "return [...document.querySelectorAll(arguments[0])].map((one) => one.getBoundingClientRect().right)"
        assert page.run("return document.documentElement.scrollWidth") <= width
        for own in ("#table td", "#details > *", ".beside td"):
            assert max(page.run(boxes, own)) <= width
        for box in page.run("return [...document.querySelectorAll('#table .pick')].slice(0, 3)"):
            page.run("arguments[0].click()", box)
        assert max(page.run(boxes, "#comparison *")) <= width
        beneath = page.run("return [...document.querySelectorAll('#samples .xtick')].map((one) => one.textContent)")
        assert [*map(len, beneath)] == [28] * 3
        labels = page.run("return document.getElementById('chart').layout.annotations.map((one) => one.text)")
        assert labels
        assert max(map(len, labels)) <= 28
        assert page.complaints() == []


def test_long_names_cover_nothing_on_paper(browser, named_at_length_file):
    page = Page(browser, named_at_length_file)
    page.print_media(True)
    try:
        overlap = page.run(
            "return [...document.querySelectorAll('#table tbody :is(th > a, td > span)')].filter((one) =>"
            "one.getBoundingClientRect().right > one.parentElement.getBoundingClientRect().right + 1).length"
        )
        assert page.run("const page = document.documentElement; return page.scrollWidth - page.clientWidth") <= 0
        assert overlap == 0
    finally:
        page.print_media(False)


def test_every_control_has_a_name(browser, field_file):
    page = Page(browser, field_file)
    named = {"button", "link", "checkbox", "combobox", "searchbox", "slider", "region"}
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    found = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]]
    assert {"button", "link", "checkbox", "combobox", "searchbox", "region"} <= {role for role, _ in found}
    assert not [role for role, name in found if role in named and not name]
    assert page.complaints() == []


def test_columns_are_chosen_and_the_address_keeps_them(browser, wide, field_file):
    wide.run("document.querySelector('#columns').open = true")
    wide.find('#columns input[value="macs"]').click()
    assert "macs" not in wide.run(SHOWN)
    again = Page(browser, field_file, wide.run("return location.hash"))
    assert again.run(SHOWN) == wide.run(SHOWN)
    wide.run("document.querySelector('#columns button').click()")
    assert "macs" in wide.run(SHOWN)
    assert wide.run("return location.hash") == ""


class TestTheFilter:
    @pytest.fixture(scope="class")
    def opened(self, browser, field_file):
        """The whole field's page for all filters, of which each takes the place of the one before."""
        with sized(browser, 1440, 900):
            yield Page(browser, field_file)

    @pytest.mark.parametrize(
        ("text", "chosen"),
        [
            ("params < 0.3", lambda row: row.entry.figures.params < 0.3e6),
            ("params<0.3 psnr>=29", lambda row: row.entry.figures.params < 0.3e6 and psnr(row) >= 29),
            ("mem > 800 ratio <= 1", lambda row: row.entry.figures.memory_mib > 800 and row.entry.figures.ratio <= 1),
            ('"FLOPs [G]" > 40', lambda row: row.entry.figures.flops > 40e9),
            ("rank <= 3", lambda row: bool(row.places) and row.places["main"].rank <= 3),
            ("ms < 40 tainted", lambda row: row.entry.figures.runtime_ms < 40 and row.entry.verdict == "tainted"),
            ("not ranked", lambda row: not row.ranked and not row.entry.reference),
            ("super", lambda row: "super" in row.entry.key),
            ("macs > 0 not ranked", lambda row: not row.ranked and not row.entry.reference),
        ],
    )
    def test_figures_tags_and_words_filter(self, field, opened, text, chosen):
        ranking, _ = field
        expected = keys(row for row in ranking.rows if chosen(row))
        assert filtered(opened, text) == expected
        assert opened.find("#shown").text == f"{len(expected)} of {len(ranking.rows)} networks"


def psnr(row):
    return row.entry.figures.psnr_rgb["div2k_valid"]


def test_every_word_of_the_status_finds_the_rows_in_which_it_stands(field, wide):
    ranking, _ = field
    for chip in wide.run("return [...document.querySelectorAll('.chip')].map((chip) => chip.textContent)"):
        wide.run("document.querySelector(`.chip[data-tag='${arguments[0]}']`).click()", chip)
        expected = keys(row for row in ranking.rows if chip in marks.tags(row))
        assert rows(wide) == expected
        cells = wide.run(TEXTS, "#table tr:not([hidden]) .flag")
        assert cells.count(chip) == len(expected) > 0
        wide.run("document.querySelector('.chip[aria-pressed=true]').click()")
    assert wide.find("#filter").get_attribute("value") == ""


def test_the_heads_counts_are_the_tables(field, wide):
    ranking, _ = field
    counted = dict(reversed(line.split(" ", 1)) for line in wide.run(
        "return [...document.querySelectorAll('.tallies span')].map((one) => one.textContent)"
    ))  # fmt: skip
    assert int(counted.pop("networks")) == len(rows(wide))
    assert sum(int(counted[tag]) for tag in ("ranked", "not ranked", "baseline")) == len(ranking.rows)
    for tag, count in counted.items():
        assert len(filtered(wide, f'"{tag}"')) == int(count)


def test_a_filter_that_finds_nothing_says_so_and_is_cleared(wide):
    assert filtered(wide, "zzz") == []
    assert wide.find("#nothing").text.startswith("No network matches “zzz”.")
    assert filtered(wide, "parms < 1") == []
    assert wide.find("#nothing").text.startswith("There is no column parms. Columns: #, PSNR div2k valid, ms, ")
    for unfinished in ("params < 0,3", "params <", "< 3", "status=ranked"):
        assert filtered(wide, unfinished) == []
        assert "is no condition: write a column, a sign and a number" in wide.find("#nothing").text
    wide.find("#clear").click()
    assert not wide.find("#nothing").is_displayed()
    assert len(rows(wide)) > 40


def test_the_filter_holds_for_chart_bars_labels_and_the_second_table(wide):
    left = filtered(wide, "params < 0.3 ranked")
    drawn = wide.run(
        "return document.getElementById('chart').data.filter((one) => one.customdata)"
        ".flatMap((one) => one.customdata.map((i, at) => [chart.data.networks[i].key, one.error_x.array[at]]))"
    )
    assert sorted(name for name, _ in drawn) == sorted(left)
    assert all(bar is not None for _, bar in drawn)
    labels = wide.run("return document.getElementById('chart').layout.annotations.map((one) => one.text)")
    assert set(labels) <= set(left)
    second = wide.run(TEXTS, "#published tbody tr:not([hidden]) th a")
    assert sorted(second) == sorted(left)


def test_sort_filter_selection_and_axes_are_in_the_address(browser, wide, field_file):
    wide.run("document.querySelector('#table [data-column=params] button').click()")
    filtered(wide, "params < 0.3")
    first, second, *_ = rows(wide)
    for box in wide.run("return [...document.querySelectorAll('#table tr:not([hidden]) .pick')].slice(0, 2)"):
        box.click()
    wide.run("page.byId('chart-x').selectedIndex = 2; chart.store(); network.choose(5)")
    again = Page(browser, field_file, wide.run("return location.hash"))
    assert rows(again) == rows(wide)
    assert again.head("params").get_attribute("aria-sort") == "ascending"
    assert again.find("#filter").get_attribute("value") == "params < 0.3"
    assert again.find("#selected").text == f"selected: {first}, {second}"
    assert again.run("return [page.byId('chart-x').selectedIndex, page.byId('choice').selectedIndex]") == [2, 5]
    assert again.complaints() == []


def test_back_returns_to_the_network_before(wide):
    wide.run("network.choose(3); network.choose(7); history.back()")
    wide.soon("#details h3", wide.run("return page.byId('choice').options[3].textContent"))


def test_csv_and_json_are_downloaded_as_filtered(field, wide, tmp_path):
    ranking, _ = field
    wide.downloads_to(tmp_path)
    wide.find("#save-csv").click()
    assert wide.downloaded(tmp_path / "ranking.csv") == data.to_csv(ranking)
    left = filtered(wide, "tainted")
    (tmp_path / "ranking.csv").unlink()
    wide.find("#save-csv").click()
    lines = wide.downloaded(tmp_path / "ranking.csv").splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == left
    wide.find("#save-json").click()
    saved = json.loads(wide.downloaded(tmp_path / "ranking.json"))
    assert [row["entry"]["key"] for row in saved["rows"]] == left
    assert {**saved, "rows": []} == {**json.loads(data.to_json(ranking)), "rows": []}
    assert wide.complaints() == []


def test_the_best_is_bold_and_the_second_underlined(field, wide):
    ranking, _ = field
    leaders = table.leaders(table.ranking_grid(ranking))
    fastest = min((row for row in ranking.rows if row.ranked), key=lambda row: row.entry.figures.ratio)
    assert leaders["ratio", fastest.entry.key] == "best"
    found = wide.run(
        "return [...document.querySelectorAll('#table td > span:first-child')].map((span) => ["
        "tables.columns[span.parentElement.cellIndex].key, span.closest('tr').querySelector('a').textContent,"
        "getComputedStyle(span).fontWeight >= 700 ? 'best'"
        " : getComputedStyle(span).textDecorationLine === 'underline' ? 'second' : null]).filter((one) => one[2])"
    )
    assert {(column, key): mark for column, key, mark in found} == leaders


def test_intervals_are_drawn_in_their_cells(field, wide):
    ranking, _ = field
    drawn = wide.run(
        "return [...document.querySelectorAll('#table .span')].map((span) => {"
        "const [cell, bar] = [span.getBoundingClientRect(), getComputedStyle(span, '::before')];"
        "return [cell.width, parseFloat(bar.left), parseFloat(bar.width)]; })"
    )
    measured = [row for row in ranking.rows if row.entry.figures.ratio_interval]
    assert len(drawn) == len(measured)
    starts = {row.entry.key: left / width for row, (width, left, _) in zip(measured, drawn, strict=True) if row.ranked}
    lows = {row.entry.key: row.entry.figures.ratio_interval.low for row in measured if row.ranked}
    assert sorted(starts, key=starts.get) == sorted(lows, key=lows.get)
    assert all(bar >= 2 and left + bar < width + 3 for width, left, bar in drawn)


def test_two_or_three_networks_are_compared_with_their_samples(field, wide):
    ranking, documents = field
    boxes = wide.run("return [...document.querySelectorAll('#table .pick')].slice(0, 4)")
    boxes[0].click()
    assert not wide.find("#compared").is_displayed()
    boxes[1].click()
    boxes[2].click()
    assert not boxes[3].is_enabled()
    chosen = ranking.rows[:3]
    heads = wide.run("return [...document.querySelectorAll('#comparison thead th')].map((one) => one.textContent)")
    assert heads == ["", *keys(chosen)]
    assert "ratio to imdn" in wide.find("#comparison tbody").text
    drawn = wide.run("return document.getElementById('samples').data.map((one) => [one.name, [...one.y]])")
    for row, (name, rounds), (_, passes) in zip(chosen, drawn[:3], drawn[3:], strict=True):
        expected = documents[row.entry.path].timing.ratio_per_round
        assert (name, rounds) == (row.entry.key, pytest.approx(expected))
        assert passes == pytest.approx(sorted(expected), rel=1e-3)  # one image: a round is a pass
    wide.find("#unselect").click()
    assert not wide.find("#compared").is_displayed()
    assert wide.complaints() == []


def test_a_footnotes_mark_leads_to_it_and_shows_it(field, wide):
    ranking, _ = field
    notes = table.numbered_notes(ranking)
    mark = wide.find("#table sup a")
    number = int(mark.text)
    assert mark.get_attribute("title") == notes[number - 1]
    wide.run("document.querySelector('#notes details').open = false; filter.box.value = 'tainted'; filter.apply()")
    before = wide.run("return location.hash")
    wide.find("#table tr:not([hidden]) sup a").click()
    target = wide.find(f"#note-{wide.find('#table tr:not([hidden]) sup a').text}")
    assert target.is_displayed()
    assert wide.run("return location.hash") == before


def test_the_paper_is_a_link_and_the_head_tells_the_origin(wide):
    link = wide.find("#details dd a")
    assert link.get_attribute("href") == "https://arxiv.org/abs/2205.05996"
    origin = wide.find(".origin").text
    assert "esr rank outputs --format html" in origin
    assert re.search(r"made\n2026-11-27 08:40 UTC, esr \d", origin)
    assert "measured\n2026-01-01, esr x" in origin
    assert "machine\nCPU (unknown), torch x" in origin


@pytest.mark.slow
def test_links_of_older_reports_still_open_their_network(browser, field, field_file):
    ranking, _ = field
    page = Page(browser, field_file, f"#network={quote(ranking.rows[4].entry.key, safe='')}")
    page.soon("#details h3", ranking.rows[4].entry.key)
