"""`esr fetch` from a faulty server: one clear line, exit code 2, and a clean folder."""

import hashlib
import random
from dataclasses import replace
from functools import partial

import pytest
from helpers.faultserver import (
    FaultServer,
    answers,
    claims_length,
    cuts_after,
    hangs_up,
    redirects_to,
    sends,
    shows_page,
    stalls_after,
)
from helpers.zips import HOSTILE, png, tree, zipped

from esr.cli.command import main
from esr.zoo import catalogue
from esr.zoo.catalogue import Asset, Remote
from esr.zoo.download import CHUNK, PATIENCE, download
from esr.zoo.weights import fetch_to

CONTENT = random.Random(0).randbytes(200_000)
ARCHIVE = zipped({"HR/a.png": png(128)})
CUT = 2 * CHUNK
KEPT = {"stalls for ever"}
"""Faults after which the part stays, for the next attempt to go on from."""

FAULTS = {
    "stalls for ever": ([stalls_after(CUT), *[stalls_after(0)] * 9], "no data came for 0.2 s"),
    "cuts every line": ([hangs_up()] * 9, "the connection was cut"),
    "claims more than it should": ([claims_length(10**9)], "has 1000000000 bytes instead of the expected"),
    "sends less than it claims": ([cuts_after(0)] * 9, "the connection"),
    "redirects in circles": ([redirects_to("/again")] * 99, "redirects in circles"),
    "redirects to nothing": ([redirects_to("/gone"), answers(404)], "the server answers 404"),
    "is overloaded": ([answers(503)] * 9, "the server answers 503"),
    "sends other bytes": (None, "instead of the expected"),
    "shows a login page": ([shows_page(b"<p>Log in</p>")], "the web page that the server sends has 13 bytes"),
}


@pytest.fixture
def shop(tmp_path, monkeypatch, capsys):
    """A server with weights `net` and a set `set5`, both with digests, and an impatient user."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("ESR_MIRROR", "ESR_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ESR_ZOO", str(tmp_path / "here"))
    monkeypatch.setenv("ESR_DATA", str(tmp_path / "here"))
    hasty = replace(PATIENCE, connect_s=1, stall_s=0.2, attempts=2, backoff_s=0.01)
    monkeypatch.setitem(download.__kwdefaults__, "patience", hasty)
    monkeypatch.setattr(fetch_to, "__defaults__", (None, hasty))
    with FaultServer(CONTENT) as server:

        def known(name: str, kind: str, file: str, content: bytes) -> dict[str, Asset]:
            server.files[file] = content
            digest = hashlib.sha256(content).hexdigest()
            remote = Remote(file, f"{server.root}/{file}", len(content), digest)
            return {name: Asset(name, kind, (remote,), page="https://example.org")}

        def fetch(*words: str) -> tuple[int, str, str]:
            with pytest.raises(SystemExit) as left:
                main(["fetch", *words])
            return (left.value.code, *capsys.readouterr())

        monkeypatch.setattr(catalogue, "weights", partial(known, "net", "weights", "net.pth", CONTENT))
        monkeypatch.setattr(catalogue, "data_sets", partial(known, "set5", "data", "set5.zip", ARCHIVE))
        server.fetch = fetch
        yield server


@pytest.mark.parametrize("name", ["net", "set5"])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_ends_in_one_line_and_a_clean_folder(kind, name, shop, tmp_path):
    faults, reason = FAULTS[kind]
    size = len(CONTENT) if name == "net" else len(ARCHIVE)
    shop.faults += [sends(random.Random(9).randbytes(size))] * 2 if faults is None else faults
    code, out, err = shop.fetch(name)
    (line,) = (line for line in err.splitlines() if line.startswith("esr: "))
    assert (code, out) == (2, "")
    assert line.startswith(f"esr: {name}: ")
    assert reason in line
    assert "or download http://127.0.0.1" in line
    assert f"into {tmp_path}/here" in line
    assert "Traceback" not in err
    left = [left for left in tree(tmp_path / "here") if ".part" not in left and left != ".fetched"]
    assert left == []
    assert bool(list((tmp_path / "here").rglob("*.part"))) == (kind in KEPT)


@pytest.mark.parametrize("name", ["net", "set5"])
def test_after_the_fault_the_next_attempt_goes_on(name, shop, tmp_path):
    shop.faults += [stalls_after(CUT), *[hangs_up()] * 2]
    assert shop.fetch(name)[0] == 2
    code, _, err = shop.fetch(name)
    assert code == 0, err
    assert shop.ranges_asked()[-1] == f"bytes={CUT}-"
    assert not list((tmp_path / "here").rglob("*.part*"))


def test_a_redirect_and_a_cut_line_are_got_over(shop, tmp_path):
    shop.faults += [redirects_to("/other/net.pth"), cuts_after(CUT), cuts_after(CHUNK)]
    code, _, err = shop.fetch("net")
    assert code == 0, err
    assert (tmp_path / "here/net.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_leaves_nothing_behind(kind, shop, tmp_path, monkeypatch):
    content, reason = HOSTILE[kind]
    remote = Remote("set5.zip", f"{shop.root}/set5.zip")
    monkeypatch.setattr(catalogue, "data_sets", lambda: {"set5": Asset("set5", "data", (remote,))})
    shop.files["set5.zip"] = content
    code, out, err = shop.fetch("set5")
    assert (code, out) == (2, "")
    (line,) = (line for line in err.splitlines() if line.startswith("esr: "))
    assert reason in line
    assert tree(tmp_path / "here") == []
    assert not list(tmp_path.parent.rglob("escaped.png"))


def test_a_hostile_archive_from_the_user_is_refused_and_stays(shop, tmp_path, monkeypatch):
    remote = Remote("set5.zip")
    monkeypatch.setattr(catalogue, "data_sets", lambda: {"set5": Asset("set5", "data", (remote,))})
    (tmp_path / "here").mkdir()
    (tmp_path / "here/set5.zip").write_bytes(HOSTILE["a link"][0])
    code, _, err = shop.fetch("set5")
    assert code == 2
    assert "is a link" in err
    assert tree(tmp_path / "here") == ["set5.zip"]


@pytest.mark.parametrize("folder", ["here", "/proc/1"])
def test_a_folder_that_cannot_be_written_is_one_line(shop, tmp_path, folder):
    (tmp_path / "here").write_text("in the way")
    for name in ("net", "set5"):
        code, _, err = shop.fetch(name, "--folder", str(tmp_path / folder))
        assert code == 2
        assert "cannot be written" in err
        assert "Traceback" not in err
