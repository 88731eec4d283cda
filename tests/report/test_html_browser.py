"""The report in a real browser: sorts, filters, draws and compares, runs nothing of a stranger, asks for nothing."""

from urllib.parse import quote

import numpy as np
import pytest
from helpers import rankings
from helpers.browser import Page, sized
from helpers.cases import with_slow
from msgspec.structs import replace

from esr.ranking.published import published_entries
from esr.ranking.table import rank_entries
from esr.report import html

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="window.hit=1"></script><script>window.hit=1</script>{{7*7}}%{text}\''


def points(page, name):
    return page.run(
        "const trace = document.getElementById('chart').data.find((one) => one.name === arguments[0]);"
        "return trace ? [trace.x, trace.y] : null",
        name,
    )


def test_a_columns_head_sorts_both_ways_with_the_keyboard(published):
    head = published.head("params")
    column = published.run("return arguments[0].cellIndex", head)
    head.find_element("tag name", "button").send_keys("\n")
    assert head.get_attribute("aria-sort") == "ascending"
    up = [float(value) for value in published.column(column) if value is not None]
    assert up == sorted(up)
    assert len(up) > 30
    head.find_element("tag name", "button").send_keys(" ")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(value) for value in published.column(column) if value is not None] == sorted(up, reverse=True)
    assert published.run("return document.querySelectorAll('#table [aria-sort]').length") == 1


def test_what_is_not_known_sorts_last_both_ways(published):
    button = published.head("place").find_element("tag name", "button")
    for _ in range(2):
        button.click()
        ranks = published.column(0)
        known = [rank for rank in ranks if rank is not None]
        assert 0 < len(known) < len(ranks)
        assert ranks[: len(known)] == known


def test_psnr_is_sorted_best_first_and_names_as_text(published):
    psnr = published.head("psnr_rgb_div2k_valid")
    psnr.find_element("tag name", "button").click()
    assert psnr.get_attribute("aria-sort") == "descending"
    published.head("network").find_element("tag name", "button").click()
    names = published.column(1)
    assert names == sorted(names, key=str.casefold) or names[0] < names[-1]
    assert published.find("#table tbody tr").get_attribute("data-words").startswith(names[0])


def test_the_filter_leaves_rows_and_bubbles(published):
    box = published.find("#filter")
    box.send_keys("byte")
    assert published.column(1) == ["byteesr"]
    assert published.find("#shown").text == "1 of 45 networks"
    assert (
        published.run("return document.getElementById('chart').data.flatMap((one) => one.customdata ?? []).length") == 1
    )
    box.clear()
    box.send_keys(" zzz")
    assert published.column(1) == []
    box.clear()
    box.send_keys(" ")
    assert len(published.column(1)) == 45


def test_the_chart_shows_every_network_where_it_belongs(published, challenge):
    entries = published_entries(challenge)
    drawn = [
        point for name in ("ranked", "not ranked", "baseline") for point in zip(*points(published, name), strict=True)
    ]
    expected = [
        (entry.figures.ratio, entry.figures.psnr_rgb["div2k_valid"])
        for entry in entries
        if entry.figures.ratio and "div2k_valid" in entry.figures.psnr_rgb
    ]
    assert np.array(sorted(drawn)) == pytest.approx(np.array(sorted(expected)))
    front = list(zip(*points(published, "Pareto front"), strict=True))
    assert front == sorted(front)
    ranked = [*zip(*points(published, "ranked"), strict=True)]
    assert set(front) <= set(ranked)
    assert not any(x < a and y > b for a, b in front for x, y in ranked)


@pytest.mark.slow
def test_the_axes_can_be_chosen_and_bars_are_intervals(measured):
    bars = measured.run("return document.getElementById('chart').data.find((one) => one.name === 'ranked').error_x")
    ratios = points(measured, "ranked")[0]
    estimates = [rankings.document("net", 0.4 + number / 10, seed=number)["timing"]["ratio"] for number in range(6)]
    above = {round(one["value"], 9): one["high"] - one["value"] for one in estimates}
    assert bars["array"] == pytest.approx([above[round(ratio, 9)] for ratio in ratios])
    options = measured.run("return [...document.getElementById('chart-x').options].map((one) => one.textContent)")
    measured.find("#chart-x").send_keys("rank by runtime")
    assert "rank by runtime" in options
    assert sorted(points(measured, "ranked")[0]) == [1, 2, 3, 4, 5, 6]
    measured.find("#chart-y").send_keys("params")
    assert sorted(points(measured, "ranked")[1]) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def test_the_legend_shows_a_full_mark_for_each_kind_whatever_its_first_bubble(measured):
    shown = measured.run(
        "return document.getElementById('chart').data.filter((one) => one.showlegend !== false)"
        ".map((one) => [one.name, one.marker?.symbol ?? 'circle'])"
    )
    first = measured.run(
        "return document.getElementById('chart').data.find((one) => one.name === 'ranked').marker.symbol[0]"
    )
    assert first == "circle-open"
    assert shown == [["Pareto front", "circle"], ["ranked", "circle"], ["baseline", "circle"]]


def test_a_bubble_opens_its_network(measured):
    measured.run(
        "const chart = document.getElementById('chart');chart.emit('plotly_click', { points: [{ customdata: 3 }] })"
    )
    assert measured.run("return decodeURIComponent(location.hash)") == "#network=net3"
    measured.soon("#details h3", "net3")
    measured.soon("#table tr.chosen a", "net3")


def test_names_and_buttons_open_networks(measured):
    measured.find('#table a[href="#network=net5"]').click()
    measured.soon("#details h3", "net5")
    measured.find("#previous").click()
    measured.soon("#details h3", "net4")
    assert measured.run("return document.getElementById('choice').selectedIndex") == 4


def test_the_slider_uncovers_one_picture_over_the_other(measured):
    def shown():
        return measured.run("return getComputedStyle(document.querySelector('.stage .over')).clipPath")

    def right():
        return float(shown().split()[1].removesuffix("%").split("(")[-1].split("%")[0])

    assert right() == 50
    measured.find("#slider").send_keys("\ue014" * 10)  # ten times the right arrow
    assert right() == 40
    assert measured.find(".stage .left").text == "bicubic"
    assert measured.find(".stage .right").text == "net0"
    measured.find("#crop-left").send_keys("HR")
    assert measured.find(".stage .left").text == "HR"
    assert measured.run(
        "return [...document.querySelectorAll('.stage img, .panels img')].every((one) => one.naturalWidth > 0)"
    )


def test_tainted_windows_are_shaded(measured):
    shapes = measured.run("return document.getElementById('trace').layout.shapes.map((one) => [one.x0, one.x1])")
    assert shapes == [[5, 9]]
    assert "host_load in 1" in measured.find("#details").text


def test_every_network_opens_without_a_complaint_and_nothing_is_asked_for(measured, published_file, browser):
    for number in range(7):
        measured.run("network.show(arguments[0])", number)
    assert measured.complaints() == []
    assert measured.requests() == []
    published = Page(browser, published_file)
    published.run("chart.draw()")
    assert published.complaints() == []
    assert published.requests() == []


def test_the_policy_refuses_what_a_script_would_ask_for(published):
    failed = published.run("return fetch('https://example.invalid/').then(() => 'sent', () => 'refused')")
    assert failed == "refused"
    published.run("document.body.insertAdjacentHTML('beforeend', '<b onclick=\"window.hit=1\" id=b>x</b>')")
    published.run("document.getElementById('b').click()")
    assert published.run("return window.hit ?? null") is None


def test_names_are_shown_and_do_nothing(browser, tmp_path, challenge):
    entries = [
        replace(entry, key=f"{number} {HOSTILE}", title=HOSTILE, team=HOSTILE)
        for number, entry in enumerate(published_entries(challenge))
    ]
    file = tmp_path / "report.html"
    file.write_text(html.render(rank_entries(entries, challenge)), encoding="utf-8")
    page = Page(browser, file)
    page.run("location.hash = arguments[0]", "#network=" + quote(entries[3].key, safe=""))
    page.run("Plotly.Fx.hover('chart', [{ curveNumber: 1, pointNumber: 0 }])")
    assert page.run("return window.hit ?? null") is None
    assert page.run("return document.querySelectorAll('img, #table script').length") == 0
    assert HOSTILE in page.find("#table a").text
    assert page.complaints() == []
    assert page.requests() == []


@pytest.mark.parametrize("scheme", with_slow(["light", "dark"], {"light"}))
def test_a_phone_needs_no_sideways_scrolling(browser, measured_file, scheme):
    page = Page(browser, measured_file)
    try:
        page.scheme(scheme)
        with sized(browser, 375, 800):
            page = Page(browser, measured_file)
            assert page.run("return document.documentElement.scrollWidth") == 375
            paper = page.run("return getComputedStyle(document.body).backgroundColor")
            assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")
            colour = page.run("return document.getElementById('chart').layout.font.color")
            assert colour == ("#1b1f24" if scheme == "light" else "#e6e8eb")
    finally:
        page.scheme("light")


@pytest.mark.slow
def test_a_thousand_networks_sort(browser, tmp_path, challenge):
    (one, *_) = published_entries(challenge)
    many = [
        replace(
            one,
            key=f"net{number:04}",
            reference=False,
            figures=replace(one.figures, params=1e6 - 7919 * number % 1e6),
        )
        for number in range(1000)
    ]
    file = tmp_path / "report.html"
    file.write_text(html.render(rank_entries(many, challenge)), encoding="utf-8")
    page = Page(browser, file)
    assert len(page.column(0)) == html.FIRST_ROWS
    head = page.head("params")
    head.find_element("tag name", "button").click()
    place = page.run("return arguments[0].cellIndex", head)
    first = [float(key) for key in page.column(place)]
    page.find("#table-more").click()
    keys = [float(key) for key in page.column(place)]
    assert len(keys) == 1000
    assert keys == sorted(keys)
    assert first == keys[: html.FIRST_ROWS]
    assert page.complaints() == []
