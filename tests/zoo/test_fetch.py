"""`esr fetch`: the catalogue, downloads, folders, and evaluations that find the files there."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.faultserver import FaultServer, stalls_after
from helpers.zips import png, tree, zipped

from esr.config.compose import compose
from esr.data.datasets import load_dataset
from esr.images.files import read_rgb
from esr.zoo.download import CHUNK

WEIGHTS = random.Random(0).randbytes(200_000)
"""Stands for the one published file whose digest is not known."""
SET5 = zipped(
    {
        f"Set5/image_SRF_4/img_{n}_SRF_4_{kind}.png": png(side, n)
        for n in (1, 2)
        for kind, side in (("HR", 64), ("LR", 16))
    }
)
CUT = 5 * CHUNK


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(WEIGHTS) as running:
        running.files["set5.zip"] = SET5
        yield running


@pytest.fixture
def settings(server, tmp_path, monkeypatch) -> dict[str, str]:
    """The environment of a user with a mirror, whose zoo and data folder are empty."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return {
        "ESR_OFFLINE": "",
        "ESR_MIRROR": server.root,
        "ESR_ZOO": str(tmp_path / "zoo"),
        "ESR_DATA": str(tmp_path / "data"),
    }


@pytest.fixture
def fetch(run_esr, settings):
    return lambda *words, **more: run_esr("fetch", *words, env={**settings, **more})


def start(settings: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """`esr fetch` in the background."""
    command = [str(Path(sys.executable).with_name("esr")), "fetch", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
        env={**os.environ, **settings},
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - it takes no lock that another thread could hold
    )


def wait_until(reached: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def heed_ctrl_c() -> None:
    """Undoes what a shell's `&` hands down: a process that ignores the signal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_the_list_names_everything_and_needs_no_network(fetch, tmp_path):
    run = fetch("--list", ESR_OFFLINE="1")
    assert run.code == 0, run.err
    rows = {row.split()[0]: row for row in run.out.splitlines() if row.strip()}
    assert {"imdn", "rlfn", "hnct", "set5", "set14", "b100", "urban100", "div2k_valid", "div2k_test"} <= set(rows)
    assert "3.6 MB" in rows["imdn"]
    assert "MIT" in rows["imdn"]
    assert "480.5 MB" in rows["div2k_valid"]
    assert "academic research only" in rows["div2k_valid"]
    assert "by hand, see https://" in rows["set5"]
    assert not (tmp_path / "zoo").exists()


def test_the_list_says_where_things_are(fetch, tmp_path):
    assert fetch("hnct", "set5").code == 0
    run = fetch("--list", "hnct", "set5", "set14")
    assert str(tmp_path / "zoo" / "team12_hnct.pth") in run.out
    assert str(tmp_path / "data" / "set5") in run.out
    assert run.out.count("not here") == 1
    assert "imdn" not in run.out


def test_weights_of_a_network_and_of_a_team_come_once(fetch, server, tmp_path):
    run = fetch("hnct", "team12")
    assert run.code == 0, run.err
    assert run.out == f"hnct: {tmp_path}/zoo/team12_hnct.pth (fetched)\n"
    assert (tmp_path / "zoo/team12_hnct.pth").read_bytes() == WEIGHTS
    assert [path for path, _ in server.requests] == ["/team12_hnct.pth"]
    again = fetch("hnct")
    assert again.out == f"hnct: {tmp_path}/zoo/team12_hnct.pth (there already)\n"
    assert len(server.requests) == 1


def test_a_fetched_set_is_found_by_its_name(fetch, settings, tmp_path, monkeypatch):
    run = fetch("set5")
    assert run.code == 0, run.err
    assert run.out == f"set5: {tmp_path}/data/set5 (2 images, but the whole set has 5)\n"
    assert tree(tmp_path / "data") == ["set5", "set5/image_SRF_4"] + [
        f"set5/image_SRF_4/img_{n}_SRF_4_{kind}.png" for n in (1, 2) for kind in ("HR", "LR")
    ]
    monkeypatch.setenv("ESR_DATA", settings["ESR_DATA"])
    dataset = load_dataset(compose_data("set5"))
    assert [pair.lr_shape for pair in dataset.pairs] == [(16, 16), (16, 16)]
    assert dataset.lr_origin == "files"
    np.testing.assert_array_equal(
        dataset.pairs[0].hr(), read_rgb(tmp_path / "data/set5/image_SRF_4/img_1_SRF_4_HR.png")
    )
    elsewhere = compose_data("set5", f"data.root={tmp_path / 'nowhere'}")
    assert elsewhere.root == str(tmp_path / "nowhere")


def compose_data(name: str, *more: str):
    from esr.config.schema import EsrConf, typed

    return typed(EsrConf, compose(["model=imdn", f"data={name}", *more])).data


@pytest.mark.parametrize(
    ("members", "images"),
    [
        (["a.png", "b.png"], 2),
        (["Set5/a.png", "Set5/b.png"], 2),
        (["Set5/HR/a.png", "Set5/LR_x4/ax4.png"], 1),
        (["deep/down/HR/a.png", "deep/down/LR_x4/ax4.png"], 1),
        (["Set5/LR/a.png"], 1),
    ],
)
def test_archives_are_laid_out_in_many_ways(members, images, fetch, server, tmp_path):
    server.files["set5.zip"] = zipped({name: png(seed=number) for number, name in enumerate(members)})
    run = fetch("set5")
    assert run.code == 0, run.err
    assert f"({images} images, but the whole set has 5)" in run.out
    if members == ["Set5/LR/a.png"]:
        assert (tmp_path / "data/set5/LR/a.png").is_file()


METHODS = ("HR", "LR", "A+", "bicubic", "glasner", "Kim", "nearest", "SCSR", "SelfExSR", "SRCNN")


@pytest.mark.parametrize(("name", "images", "folder"), [("set5", 5, "Set5"), ("set14", 14, "Set14_SR/Set14")])
def test_the_layout_of_the_page_that_is_named_is_read(name, images, folder, run_esr, settings, tmp_path, monkeypatch):
    members = {
        f"{folder}/image_SRF_{scale}/img_{n:03}_SRF_{scale}_{kind}.png": png(64 // scale if kind == "LR" else 64, n)
        for n in range(1, images + 1)
        for scale in (2, 3, 4)
        for kind in METHODS
    }
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{name}.zip").write_bytes(zipped(members))
    run = run_esr("fetch", name, env=settings)
    assert run.code == 0, run.err
    assert run.out == f"{name}: {tmp_path}/data/{name} ({images} images)\n"
    monkeypatch.setenv("ESR_DATA", settings["ESR_DATA"])
    dataset = load_dataset(compose_data(name))
    assert (len(dataset.pairs), dataset.lr_folder) == (images, "image_SRF_4")
    assert sum(one.images for one in dataset.skipped) == images * 8 + 2 * images * 10
    assert run_esr("fetch", name, env=settings).out.endswith(f"({images} images, there already)\n")


def test_an_archive_whose_images_do_not_pair_is_refused_with_the_page(run_esr, settings, tmp_path):
    members = {f"Set5/{role}/{n}.png": png(64, n) for role in ("HR", "LR") for n in range(5)}
    del members["Set5/LR/3.png"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "set5.zip").write_bytes(zipped(members))
    run = run_esr("fetch", "set5", env=settings)
    assert run.code == 2
    assert (
        "data=set5 could not use it: no LR image in Set5/LR belongs to 3.png; get the whole set from https://"
        in run.err
    )
    assert tree(tmp_path / "data") == ["set5.zip"]


def test_an_archive_that_the_user_put_there_is_taken_and_left(fetch, server, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/set14.zip").write_bytes(SET5)
    run = fetch("set14", ESR_OFFLINE="1")
    assert run.code == 0, run.err
    assert (tmp_path / "data/set14.zip").is_file()
    assert server.requests == []


def test_an_empty_folder_is_filled_and_a_wrong_one_is_left(fetch, tmp_path):
    (tmp_path / "data/set5").mkdir(parents=True)
    assert fetch("set5").code == 0
    (tmp_path / "data/set14").mkdir()
    (tmp_path / "data/set14/notes.txt").write_text("mine")
    run = fetch("set14")
    assert run.code == 2
    assert f"move {tmp_path}/data/set14 away" in run.err
    assert (tmp_path / "data/set14/notes.txt").read_text() == "mine"


def test_another_folder_takes_weights_and_sets(fetch, tmp_path):
    run = fetch("hnct", "set5", "--folder", "here", "--jobs", "1")
    assert run.code == 0, run.err
    assert {"team12_hnct.pth", "set5"} <= {path.name for path in (tmp_path / "here").iterdir()}
    assert not (tmp_path / "zoo").exists()
    assert str(tmp_path / "here/set5") in fetch("--list", "set5", "--folder", "here").out


def test_without_a_network_each_thing_says_what_to_download_and_where_to_put_it(fetch, tmp_path):
    run = fetch("imdn", "div2k_valid", "set5", ESR_OFFLINE="1", ESR_MIRROR="")
    assert run.code == 2
    lines = {line.split(": ")[1]: line for line in run.err.splitlines() if line.startswith("esr: ")}
    for part in ("/model_zoo/imdn_baseline.pth (3589744 bytes, sha256 115b4cc5", f"into {tmp_path}/zoo"):
        assert part in lines["imdn"]
    for part in (
        "X4.zip (31505881 bytes, sha256 a50a5d1c",
        "HR.zip (448993893 bytes",
        f"into {tmp_path}/data",
    ):
        assert part in lines["div2k_valid"]
    for part in ("no official address is known", "github.com", f"{tmp_path}/data/set5.zip", "ESR_MIRROR=URL"):
        assert part in lines["set5"]
    assert len(lines) == len(run.err.splitlines()) == 3
    assert run.out == ""


def test_a_folder_whose_name_cannot_be_is_one_line(fetch):
    long = f"/tmp/{'a' * 300}"
    for words in (("hnct",), ("set5",), ("hnct", "--format", "safetensors")):
        run = fetch(*words, "--folder", long)
        assert run.code == 2
        assert len([line for line in run.err.splitlines() if line.startswith("esr: ")]) == 1
        assert "name too long" in run.err
        assert "Traceback" not in run.err
    assert fetch("--list", "hnct", "--folder", long).code == 0


def test_one_that_fails_does_not_stop_the_others(fetch, server, tmp_path):
    run = fetch("imdn", "hnct", "set5")
    assert run.code == 2
    assert "imdn: imdn_baseline.pth could not be fetched" in run.err
    assert [line.partition(":")[0] for line in sorted(run.out.splitlines())] == ["hnct", "set5"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "nothing to fetch: name networks or data sets, or pass --all"),
        (("imdm",), "imdm: nothing to fetch by that name; did you mean imdn or imdtn?"),
        (("team07",), "team07: its network is confidential"),
        (("imdn", "--jobs", "0"), "expected a number from 1 to 64"),
        (("imdn", "--format", "onnx"), "onnx: no such choice"),
    ],
)
def test_mistakes_end_in_one_line(words, line, fetch):
    run = fetch(*words)
    assert run.code == 2
    assert line in run.err
    assert len(run.err.splitlines()) == 1


def test_all_asks_for_every_published_file(server, settings, monkeypatch):
    from esr.zoo.catalogue import select, weights

    assert [thing.name for thing in select(["set5", "imdn"], every_weights=True)] == [*weights(), "set5"]
    assert len(weights()) == 43


def test_converted_weights_are_the_same_tensors(fetch, reference, server, tmp_path):
    import torch
    from safetensors import safe_open

    published = reference / "model_zoo" / "team04_rlfn.pth"
    server.files["team04_rlfn.pth"] = published.read_bytes()
    run = fetch("rlfn", "--format", "safetensors")
    assert run.code == 0, run.err
    assert run.out == f"rlfn: {tmp_path}/zoo/team04_rlfn.safetensors (fetched, converted)\n"
    state = torch.load(published, weights_only=True)
    with safe_open(tmp_path / "zoo/team04_rlfn.safetensors", "pt") as file:
        assert file.metadata()["licence"] == "MIT"
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(name), value) for name, value in state.items())
    (tmp_path / "plain").touch()
    modes = {(tmp_path / name).stat().st_mode for name in ("plain", "zoo/team04_rlfn.safetensors")}
    assert len(modes) == 1, "as readable as any other file"


def test_what_is_no_weights_is_not_converted(fetch, tmp_path):
    run = fetch("hnct", "--format", "safetensors")
    assert run.code == 2
    assert "neither a safetensors nor a PyTorch file" in run.err
    assert tree(tmp_path / "zoo") == ["team12_hnct.pth"]


def test_fetching_does_not_wait_for_torch():
    program = "import sys; from esr.cli import fetch_screen; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_ctrl_c_leaves_whole_files_and_what_is_continued(server, settings, tmp_path):
    server.faults += [stalls_after(CUT)]
    running = start(settings, "hnct", "set5", "--jobs", "1")
    part = tmp_path / "zoo" / "team12_hnct.pth.part"
    wait_until(lambda: part.exists() and part.stat().st_size == CUT)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert out == ""
    left = {name for name in tree(tmp_path / "zoo") if not name.endswith(".lock")}
    assert left == {"team12_hnct.pth.part", "team12_hnct.pth.part.etag"}
    assert not (tmp_path / "data").exists()
    again = start(settings, "hnct", "set5")
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert server.ranges_asked()[1:] in ([f"bytes={CUT}-", None], [None, f"bytes={CUT}-"])
    assert tree(tmp_path / "zoo") == ["team12_hnct.pth"]


def test_two_fetches_of_one_set_make_one_download(server, settings, tmp_path):
    server.files["set5.zip"] = zipped({f"{n}.png": png(128, n) for n in range(4)})
    server.faults += [stalls_after(CUT)]
    first = start(settings, "set5")
    assert server.stalling.wait(60)
    second = start(settings, "set5")
    assert second.stderr is not None
    assert second.stderr.readline() == "set5: waiting for another esr fetch\n"
    server.closing.set()
    results = [(running.communicate(timeout=60)[0], running.returncode) for running in (first, second)]
    where = f"set5: {tmp_path}/data/set5"
    words = "4 images, but the whole set has 5"
    assert results == [(f"{where} ({words})\n", 0), (f"{where} ({words}, there already)\n", 0)]
    assert server.ranges_asked() == [None, f"bytes={CUT}-"]
    assert [name for name in tree(tmp_path / "data") if "/" not in name] == ["set5"]
