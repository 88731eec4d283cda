"""Reports open in a browser, and the records behind them."""

import gzip
import shutil
from datetime import datetime, timezone

import msgspec
import numpy as np
import pytest
from helpers import many_networks, rankings
from helpers.browser import FLAGS, Page, sized

from esr.images import pictures
from esr.ranking.challenge import load_challenge
from esr.ranking.collection import collect, rank_records
from esr.ranking.published import published_entries
from esr.ranking.table import rank_entries
from esr.report import html
from esr.report.html.origin import Origin


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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
        views = pictures.Views(lr, hr, outputs)
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


@pytest.fixture(scope="session")
def measured_file(tmp_path_factory, challenge):
    folder = tmp_path_factory.mktemp("measured")
    file = folder / "report.html"
    file.write_text(measured_page(folder / "records", challenge), encoding="utf-8")
    return file


@pytest.fixture
def measured(browser, measured_file):
    return Page(browser, measured_file)


@pytest.fixture(scope="session")
def field(tmp_path_factory, challenge):
    """A challenge's whole field: its ranking, and the documents behind it."""
    folder = tmp_path_factory.mktemp("field")
    many_networks.write(folder)
    collection = collect([folder], whole=True)
    return rank_records(collection, challenge), collection.documents


@pytest.fixture(scope="session")
def field_file(tmp_path_factory, field):
    file = tmp_path_factory.mktemp("field_page") / "report.html"
    origin = Origin(datetime(2026, 11, 27, 8, 40, tzinfo=timezone.utc), "esr rank outputs --format html")
    file.write_text(html.render(*field, origin), encoding="utf-8")
    return file


@pytest.fixture
def wide(browser, field_file):
    """The whole field's page, at 1440 px."""
    with sized(browser, 1440, 900):
        yield Page(browser, field_file)


@pytest.fixture(scope="session")
def named_at_length_file(tmp_path_factory, challenge):
    """A page of networks, a data set and an image whose names are as long as they may be."""
    folder = tmp_path_factory.mktemp("named_at_length")
    names = [f"a_{'very_' * 37}long_{number}" for number in range(3)]
    for number, name in enumerate([*names, "超解像" * 60, "many short words " * 11, "a/b?c=d&e#f"]):
        made = rankings.document(name, 0.4 + number / 10, seed=number, team="team_" * 40, psnr=28.9 + number / 100)
        made["data"]["name"] = "a_set_with_a_long_name_" * 8
        made["data"]["images"][0]["name"] = "image_" * 30
        rankings.write(made, folder / str(number))
    collection = collect([folder], whole=True)
    file = folder / "report.html"
    file.write_text(html.render(rank_records(collection, challenge), collection.documents), encoding="utf-8")
    return file
