"""The report as a file: complete, closed against whatever a record holds, reading nothing but a record's folder."""

import gzip
import json
import os
import re
import struct
import zlib

import msgspec
import numpy as np
import pytest
from helpers import rankings
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image

from esr.images import pictures
from esr.images.bicubic import bicubic_upscale
from esr.ranking.collection import collect, rank_records
from esr.ranking.published import published_entries
from esr.ranking.table import rank_entries
from esr.records.document import Picture
from esr.records.network import Block
from esr.records.telemetry import Window
from esr.report import html
from esr.report.html import crops, trace
from esr.report.html.chart import pareto
from esr.report.html.crops import Pool
from esr.report.html.details import paper_link

HOSTILE = '</script><script>alert("x")</script>'
SHAPE = (64, 64, 3)


@pytest.fixture(scope="module")
def published(challenge):
    return rank_entries(published_entries(challenge), challenge)


def embedded(page, id_):
    return json.loads(re.search(rf'<script type="application/json" id="{id_}">(.*?)</script>', page)[1])


def save_pictures(folder, made):
    random = np.random.default_rng(0)
    hr, sr = (random.integers(0, 256, SHAPE, np.uint8) for _ in range(2))
    lr = np.ascontiguousarray(hr[::4, ::4])
    outputs = {"candidate": sr, "baseline": bicubic_upscale(lr)}
    views = pictures.Views(lr, hr, outputs)
    saved = pictures.save(folder, "a", 0, views, pictures.Box(0, 0, 64, 64))
    made["pictures"] = {"comparison": None, "images": [msgspec.to_builtins(saved)]}


def rendered(folder, challenge):
    collection = collect([folder], whole=True)
    return html.render(rank_records(collection, challenge), collection.documents)


def one_record(folder, challenge, change=lambda made: None):
    made = rankings.document("tiny", team="a team")
    save_pictures(folder, made)
    change(made)
    rankings.write(made, folder)
    return embedded(rendered(folder, challenge), "network-0")


def test_the_published_table_is_whole(published):
    page = html.render(published)
    body = re.search(r'<table id="table".*?</table>', page, re.DOTALL)[0]
    assert len(re.findall(r"<tr data-index", body)) == len(published.rows)
    assert "ByteESR" in body
    assert [embedded(page, f"network-{index}")["name"] for index in range(3)] == [
        "ByteESR",
        "NJU_Jet",
        "NEESR",
    ]
    assert [one["label"] for one in embedded(page, "correlation-data")] == [
        *("params", "FLOPs (hooks)", "activations", "memory"),
    ]


def test_it_is_the_same_every_time(published):
    assert html.render(published) == html.render(published)


def test_nothing_of_a_stranger_is_markup(published, challenge):
    entries = [
        replace(entry, key=f"{HOSTILE}{number}", name=HOSTILE, title=HOSTILE, team=HOSTILE)
        for number, entry in enumerate(published_entries(challenge))
    ]
    page = html.render(rank_entries(entries, challenge))
    assert "alert(" in page
    assert "<script>alert" not in page
    assert page.count("<script") == html.render(published).count("<script")


def test_json_in_a_script_cannot_end_it():
    text = html.script_json({"team": f"{HOSTILE}\u2028\u2029&<!--"})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text)["team"] == f"{HOSTILE}\u2028\u2029&<!--"


def test_the_policy_lets_its_own_scripts_run_and_nothing_leave(published):
    page = html.render(published)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    assert "http" not in policy


def test_the_file_refers_to_nothing_outside(published):
    page = re.sub(r"<script>.*?</script>", "", html.render(published), flags=re.DOTALL)
    assert set(re.findall(r'(?:src|href)="([^"#]*)', page)) <= {"", "data:,"}
    assert "url(" not in page
    assert "@import" not in page


def test_a_record_gives_card_images_crops_and_machine(tmp_path, challenge):
    details = one_record(tmp_path, challenge)
    assert ["team", "a team"] in details["card"]
    assert details["images"][0][:2] == ["a.png", "8×8"]
    assert [panel["role"] for panel in details["crops"][0]["panels"]] == [
        *("lr", "bicubic", "baseline", "candidate", "hr"),
    ]
    assert details["crops"][0]["panels"][1]["psnr"] == details["crops"][0]["panels"][2]["psnr"]
    assert "device" in dict(details["environment"])


def test_every_figure_has_a_whole_label(tmp_path, challenge):
    details = one_record(tmp_path, challenge, lambda made: made["networks"]["candidate"].update(quality=None))
    labels = [label for label, _ in details["facts"]]
    assert [label for label in labels if label.startswith("PSNR gate")] == ["PSNR gate"]
    assert not [label for label in labels if label != label.strip() or label.endswith(" on")]


def test_each_record_is_decoded_once(tmp_path, challenge):
    save_pictures(tmp_path, made := rankings.document("tiny"))
    file = rankings.write(made, tmp_path)
    collection = collect([tmp_path], whole=True)
    assert set(collection.documents) == {str(file)}
    file.unlink()  # nothing reads it again
    page = html.render(rank_records(collection, challenge), collection.documents)
    assert "card" in embedded(page, "network-0")
    assert "card" in embedded(page, "network-1")


def test_a_row_stands_without_its_record(tmp_path, challenge):
    rankings.write(rankings.document("tiny"), tmp_path)
    collection = collect([tmp_path])
    assert collection.documents == {}
    assert "card" not in embedded(html.render(rank_records(collection, challenge)), "network-0")


def test_the_baseline_has_a_page_of_its_own(tmp_path, challenge):
    save_pictures(tmp_path, made := rankings.document("tiny"))
    rankings.write(made, tmp_path)
    page = rendered(tmp_path, challenge)
    assert embedded(page, "network-1")["role"] == "baseline"
    assert page.count('id="image-') == 4  # LR, HR, the candidate's, and one for bicubic and baseline: they are equal


def test_a_record_that_does_not_fit_leaves_its_row(tmp_path, challenge):
    details = one_record(tmp_path, challenge, lambda made: made["networks"]["candidate"]["timing"].update(blocks=[7]))
    assert details["missing"] == "its record could not be read to the end"
    assert "card" not in details


def test_pictures_outside_the_records_folder_are_not_opened(tmp_path):
    outside = tmp_path / "secret.png"
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(outside)
    folder = tmp_path / "record"
    folder.mkdir()
    (folder / "link.png").symlink_to(outside)
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    for name in (
        "../secret.png",
        str(outside),
        "link.png",
        "loop.png",
        "pipe.png",
        "nul\0.png",
        "",
        "x" * 5000,
    ):
        assert crops.crops(folder, (Picture(0, (0, 0, 64, 64), {"bicubic": name}),), Pool()) == [], name


def png_of_size(width, height):
    """A few bytes that claim to be a picture of that size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return b"\x89PNG\r\n\x1a\n" + chunk


@pytest.mark.parametrize(
    "content",
    [b"", b"<svg onload='alert(1)'/>", b"GIF89a", b"\x89PNG\r\n\x1a\n", png_of_size(100_000, 100_000)],
)
def test_only_sound_pngs_are_shown(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert crops.crops(tmp_path, (Picture(0, (0, 0, 64, 64), {"bicubic": "a.png"}),), Pool()) == []


def test_pictures_are_encoded_anew(tmp_path):
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("ab") as file:
        file.write(b"<script>")
    pool = Pool()
    crops.crops(tmp_path, (Picture(0, (0, 0, 64, 64), {"bicubic": "a.png", "hr": "missing.png"}),), pool)
    (uri,) = pool.uris.values()
    assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", uri)


def test_a_large_picture_is_cut_to_its_telling_part(tmp_path):
    image = np.zeros((400, 800, 3), np.uint8)
    image[100:110, 700:710] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    picture = Picture(0, (0, 0, 400, 800), {"bicubic": "a.png"})
    (crop,) = crops.crops(tmp_path, (picture,), Pool())
    assert crop.side == (crops.LARGEST_SIDE, crops.LARGEST_SIDE)


def test_a_report_holds_only_so_many_pictures(tmp_path):
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "a.png")
    pool = Pool(budget=1)
    picture = Picture(0, (0, 0, 64, 64), {"bicubic": "a.png"})
    assert len(crops.crops(tmp_path, (picture, picture), pool)) == 1
    assert crops.crops(tmp_path, (picture,), pool) == []


def test_a_trace_becomes_series_and_tainted_windows_shades(tmp_path):
    lines = ["time_s,gpu_sm_mhz,host_total_s,host_busy_s,host_own_s,cpu0_mhz,cpu1_mhz"]
    lines += [f"{second},{1500 - second},{4 * second},{3 * second},{2 * second},1000,3000" for second in range(4)]
    (tmp_path / "t.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    found = {(one.name, one.unit): one for one in trace.series(tmp_path, "t.gz")}
    assert found["GPU clock", "MHz"].y == [1500, 1499, 1498, 1497]
    assert found["mean core clock", "MHz"].y == [2000] * 4
    assert found["esr", "cores"].y == [2, 2, 2]
    assert found["others", "cores"].y == [1, 1, 1]
    windows = [
        Window(block=0, role="candidate", images=1, start=0.0, end=1.0),
        Window(block=1, role="baseline", images=1, start=1.0, end=2.0),
    ]
    blocks = {0: Block(0, 0, 0, 1.0, ("host_load",), replaced=True), 1: Block(1, 0, 0, 1.0)}
    assert trace.shades(windows, blocks) == [trace.Shade("candidate", 0.0, 1.0, ("host_load",), True)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"time_s\n1\n",
        gzip.compress(b"time_s,gpu_sm_mhz\nnan,inf\n1,x\n"),
        gzip.compress(b"\0" * (trace.LARGEST_BYTES + 1)),
        gzip.compress(b"time_s\n1\n2\n")[:-4],
        gzip.compress(b"time_s\n1\n2\n")[:10] + b"\xff" * 20,
    ],
    ids=["empty", "not compressed", "not finite", "too large", "cut off", "damaged"],
)
def test_a_trace_that_is_none_is_left_out(tmp_path, content):
    (tmp_path / "t.gz").write_bytes(content)
    assert trace.series(tmp_path, "t.gz") == []


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=600), st.integers(1, 40))
def test_thinning_keeps_extremes_and_order(values, buckets):
    points = list(enumerate(values))
    kept = trace.thinned(points, buckets)
    assert len(kept) <= max(2 * buckets, 2)
    assert kept == sorted(kept)
    assert {min(values), max(values)} <= {y for _, y in kept}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_the_pareto_front_is_what_nothing_beats(points):
    x, y = [a for a, _ in points], [b for _, b in points]
    unbeaten = {
        index
        for index, (a, b) in enumerate(points)
        if not any((c <= a and d >= b) and (c, d) != (a, b) for c, d in points)
    }
    assert set(pareto(x, y, y_up=True)) == unbeaten


def test_the_command_writes_it(tmp_path, run_esr):
    save_pictures(tmp_path / "records", made := rankings.document("tiny"))
    rankings.write(made, tmp_path / "records")
    run = run_esr("rank", "records", "--format", "html", "--out", "report.html")
    assert (run.code, run.out) == (0, "")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert len(embedded(page, "network-0")["crops"]) == 1


@pytest.mark.parametrize(
    ("paper", "link"),
    [
        ("A paper, arXiv:2205.05996.", "https://arxiv.org/abs/2205.05996"),
        ("https://example.org/a?b=1 (2022)", "https://example.org/a?b=1"),
        ("A paper, doi:10.1109/CVPRW56347.2022.00099", "https://doi.org/10.1109/CVPRW56347.2022.00099"),
        ("javascript:alert(1)", None),
        ("data:text/html,<script>", None),
        ('https://x.org/"onclick="y', "https://x.org/"),
        (None, None),
    ],
)
def test_a_paper_is_linked_by_its_address_only(paper, link):
    assert paper_link(paper) == link


def test_the_status_of_a_row_is_the_word_that_the_filter_finds(published):
    page = html.render(published)
    for tag, text in re.findall(r'data-tags="([^"]*)".*?<span class="flag [^"]*">([^<]*)<', page, re.DOTALL):
        assert tag.split(",")[0] == text
    assert "reference" not in re.findall(r'data-tags="([^"]*)"', page)
