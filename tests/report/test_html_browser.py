"""The report in a real browser: sorts, filters, draws and compares, runs nothing of a stranger, asks for nothing."""

import gzip
import json
import shutil
import time
from urllib.parse import quote

import msgspec
import numpy as np
import pytest
from helpers import rankings
from msgspec.structs import replace

from esr.images import pictures
from esr.ranking import load_challenge, published_entries, rank_entries
from esr.ranking.collection import collect, rank_records
from esr.report import html

pytestmark = pytest.mark.browser

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1280,900"),
)
HOSTILE = '<img src=x onerror="window.hit=1"></script><script>window.hit=1</script>{{7*7}}%{text}\''


@pytest.fixture(scope="module")
def challenge():
    return load_challenge("ntire2022")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium with a profile of its own; skips where there is none."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: esr[dev]")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    running.set_page_load_timeout(240)
    yield running
    running.quit()


class Page:
    """A report that is open, and what it did meanwhile."""

    def __init__(self, browser, file):
        self._browser = browser
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        browser.get("about:blank")
        browser.get(file.as_uri())
        self.address = file.as_uri()

    def run(self, script, *arguments):
        return self._browser.execute_script(script, *arguments)

    def find(self, selector):
        return self._browser.find_element("css selector", selector)

    def soon(self, selector, words):
        """Waits until an element's text holds these words: a new address is shown only after the click has returned."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        deadline = time.monotonic() + 20
        while words not in (shown := self.run(script, selector)):
            assert time.monotonic() < deadline, f"{selector} still shows {shown!r}, not {words!r}"
            time.sleep(0.05)

    def column(self, number):
        return self.run(
            "return [...document.querySelectorAll('#table tbody tr:not([hidden])')]"
            ".map((row) => row.cells[arguments[0]].dataset.key ?? null)",
            number,
        )

    def head(self, column):
        return self.find(f'#table th[data-column="{column}"]')

    def size(self, width, height):
        """The viewport; headless windows cannot be narrower than 500 px."""
        self._browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )

    def usual_size(self):
        self._browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def scheme(self, name):
        features = [{"name": "prefers-color-scheme", "value": name}]
        self._browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def complaints(self):
        return [entry["message"] for entry in self._browser.get_log("browser")]

    def requests(self):
        """Every address asked for, those inside the file itself apart."""
        events = (json.loads(entry["message"])["message"] for entry in self._browser.get_log("performance"))
        asked = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(("data:", "blob:", "about:", self.address))]


@pytest.fixture(scope="module")
def published_file(tmp_path_factory, challenge):
    file = tmp_path_factory.mktemp("published") / "report.html"
    file.write_text(html.render(rank_entries(published_entries(challenge), challenge)), encoding="utf-8")
    return file


@pytest.fixture
def published(browser, published_file):
    return Page(browser, published_file)


def measured_page(folder, challenge):
    """Six networks with pictures and a trace, one of them tainted."""
    random = np.random.default_rng(0)
    hr, bicubic = (random.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(2))
    lr = np.ascontiguousarray(hr[::4, ::4])
    lines = ["time_s,host_total_s,host_busy_s,host_own_s,cpu0_mhz"]
    lines += [f"{second},{2 * second},{second},{second / 2},2000" for second in range(30)]
    for number in range(6):
        own = folder / str(number)
        made = rankings.document(f"net{number}", 0.4 + number / 10, seed=number, params=100_000 * (number + 1))
        outputs = {"candidate": np.full_like(hr, 40 * number), "baseline": bicubic}
        views = pictures.Views(lr, bicubic, hr, outputs)
        saved = pictures.save(own, "a", 0, views, pictures.Box(0, 0, *hr.shape[:2]))
        made["pictures"] = {"comparison": None, "images": [msgspec.to_builtins(saved)]}
        made["telemetry"] = {"enabled": True, "trace": "telemetry.csv.gz", "windows": []}
        if number == 0:
            block = made["networks"]["candidate"]["timing"]["blocks"]
            block.append(
                {
                    "block": 0,
                    "round": 0,
                    "parent_wall_ms": 1,
                    "process": 0,
                    "reasons": ["host_load"],
                    "replaced": False,
                }
            )
            made["telemetry"]["windows"] = [{"block": 0, "role": "candidate", "images": 1, "start": 5, "end": 9}]
            reason = {"reason": "host_load", "severity": "taint", "role": "candidate", "detail": "busy"}
            made["verdict"] = {"status": "tainted", "reasons": [reason]}
        rankings.write(made, own)
        (own / "telemetry.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    collection = collect([folder], whole=True)
    return html.render(rank_records(collection, challenge), collection.documents)


@pytest.fixture(scope="module")
def measured_file(tmp_path_factory, challenge):
    folder = tmp_path_factory.mktemp("measured")
    file = folder / "report.html"
    file.write_text(measured_page(folder / "records", challenge), encoding="utf-8")
    return file


@pytest.fixture
def measured(browser, measured_file):
    return Page(browser, measured_file)


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


def test_the_filter_hides_rows_and_dims_bubbles(published):
    box = published.find("#filter")
    box.send_keys("byte")
    assert published.column(1) == ["byteesr"]
    assert published.find("#shown").text == "1 of 45"
    opacities = published.run(
        "return document.getElementById('chart').data.filter((one) => one.customdata)"
        ".flatMap((one) => one.marker.opacity)"
    )
    assert sum(value > 0.5 for value in opacities) == 1
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
    assert not any(x < a and y > b for a, b in front for x, y in expected)


def test_the_axes_can_be_chosen_and_bars_are_intervals(measured):
    bars = measured.run("return document.getElementById('chart').data.find((one) => one.name === 'ranked').error_x")
    ratios = points(measured, "ranked")[0]
    assert bars["array"] == pytest.approx([0.01 * ratio for ratio in ratios])
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(browser, measured_file, scheme):
    page = Page(browser, measured_file)
    try:
        page.scheme(scheme)
        page.size(375, 800)
        page = Page(browser, measured_file)
        assert page.run("return document.documentElement.scrollWidth") == 375
        paper = page.run("return getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")
        colour = page.run("return document.getElementById('chart').layout.font.color")
        assert colour == ("#1b1f24" if scheme == "light" else "#e6e8eb")
    finally:
        page.usual_size()
        page.scheme("light")


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
