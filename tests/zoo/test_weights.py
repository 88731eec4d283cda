"""The choice of a network's weight file, and the error messages where there is no file."""

import hashlib
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.faultserver import FaultServer, answers, sends, shows_page, stalls_after

from esr.config.schema import CheckpointConf, ModelConf
from esr.errors import EsrError, WeightsError
from esr.records.network import Weights
from esr.zoo import weights as zoo
from esr.zoo.download import PATIENCE, sha256_of
from esr.zoo.weights import resolve, zoo_folders

CONTENT = random.Random(0).randbytes(50_000)
OTHER = random.Random(1).randbytes(50_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class House:
    """Every place where weights may stand, in one temporary folder, and a server that has them."""

    def __init__(self, root: Path, server: FaultServer) -> None:
        self.server = server
        self.zoo = root / "zoo"
        self.cache = root / "cache" / "esr" / "zoo"
        self.shipped = root / "shipped"
        self.submission = root / "submission"
        self.shipped.mkdir()
        self.submission.mkdir()

    def model(self, *, url: bool = True, file: str | None = "net.pth", source: bool = False) -> ModelConf:
        """A network of esr, or of a participant, whose checkpoint states everything."""
        checkpoint = CheckpointConf(file=file, url=self.server.url if url else None, bytes=len(CONTENT), sha256=SHA256)
        origin = str(self.submission / "net.yaml") if source else None
        return ModelConf(_target_="mine.Net", name="net", checkpoint=checkpoint, source=origin)

    def bundle(self) -> Path:
        return put(self.shipped / "net.safetensors", OTHER)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("ESR_MIRROR", "ESR_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with FaultServer(CONTENT) as server:
        house = House(tmp_path, server)
        monkeypatch.setenv("ESR_ZOO", str(house.zoo))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(zoo, "SHIPPED", house.shipped)
        monkeypatch.chdir(tmp_path)
        yield house


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def refusal(model: ModelConf, weights: str) -> str:
    with pytest.raises(WeightsError) as caught:
        resolve(model, weights)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestZooFolders:
    def test_come_from_the_environment_the_cache_and_the_package(self, house: House) -> None:
        assert zoo_folders() == [house.zoo, house.cache, house.shipped]

    def test_several_may_be_given(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ESR_ZOO", os.pathsep.join(["/a", "", "~/b", "c"]))
        assert zoo_folders()[:3] == [Path("/a"), Path.home() / "b", Path.cwd() / "c"]

    def test_a_user_without_a_home_has_no_cache(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("~/.cache/esr"))
        assert zoo_folders() == [house.zoo, house.shipped]


class TestAuto:
    def test_takes_the_published_file_from_the_first_folder_that_has_it(self, house: House) -> None:
        put(house.shipped / "net.pth")
        put(house.cache / "net.pth")
        assert resolve(house.model(), "auto").path == str(house.cache / "net.pth")
        put(house.zoo / "net.pth")
        assert resolve(house.model(), "auto").path == str(house.zoo / "net.pth")
        assert house.server.requests == []

    def test_finds_a_published_file_that_stands_in_the_package(self, house: House) -> None:
        path = put(house.shipped / "net.pth")
        assert resolve(house.model(), "auto") == Weights("published", str(path), SHA256, len(CONTENT))

    def test_looks_past_folders_that_cannot_be_looked_into(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        put(house.cache / "net.pth")
        not_a_folder = put(house.submission / "file")
        monkeypatch.setenv("ESR_ZOO", f"/nowhere{os.pathsep}{not_a_folder}")
        assert resolve(house.model(), "auto").path == str(house.cache / "net.pth")

    def test_downloads_into_the_zoo_that_was_named(self, house: House) -> None:
        found = resolve(house.model(), "auto")
        assert found == Weights("published", str(house.zoo / "net.pth"), SHA256, len(CONTENT))
        assert (house.zoo / "net.pth").read_bytes() == CONTENT

    def test_downloads_into_the_cache_if_the_zoo_is_not_writable(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ESR_ZOO", f"{put(house.submission / 'file')}/zoo{os.pathsep}/proc/zoo")
        assert resolve(house.model(), "auto").path == str(house.cache / "net.pth")

    def test_downloads_once(self, house: House) -> None:
        assert resolve(house.model(), "auto") == resolve(house.model(), "auto")
        assert len(house.server.requests) == 1

    def test_tells_how_far_the_download_is(self, house: House) -> None:
        seen: list[tuple[int, int | None]] = []
        resolve(house.model(), "auto", progress=lambda done, total: seen.append((done, total)))
        assert seen[-1] == (len(CONTENT), len(CONTENT))

    def test_prefers_the_published_file_to_the_bundled_one(self, house: House) -> None:
        house.bundle()
        assert resolve(house.model(), "auto").source == "published"

    def test_falls_back_on_the_bundled_file_and_says_why(self, house: House) -> None:
        path = house.bundle()
        house.server.faults += [answers(404)]
        found = resolve(house.model(), "auto")
        assert (found.source, found.path, found.bytes) == ("bundled", str(path), len(OTHER))
        assert found.sha256 == hashlib.sha256(OTHER).hexdigest()
        assert found.note == (
            f"bundled weights, because net.pth could not be fetched from {house.server.url}: "
            "the server answers 404 Not Found"
        )

    def test_falls_back_on_the_bundled_file_if_something_else_comes(self, house: House) -> None:
        house.bundle()
        house.server.faults += [sends(OTHER)]
        found = resolve(house.model(), "auto")
        assert found.source == "bundled"
        assert found.note is not None
        assert "instead of the expected" in found.note
        assert list(house.zoo.glob("net.pth*")) == []

    def test_does_not_try_the_network_when_offline(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        house.bundle()
        monkeypatch.setenv("ESR_OFFLINE", "1")
        found = resolve(house.model(), "auto")
        assert found.note == "bundled weights, because net.pth is not fetched while ESR_OFFLINE is set"
        assert house.server.requests == []
        assert not house.zoo.exists()

    def test_offline_zero_means_online(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ESR_OFFLINE", "0")
        assert resolve(house.model(), "auto").source == "published"

    def test_of_a_network_that_was_never_published_is_the_bundled_file_without_a_note(self, house: House) -> None:
        house.bundle()
        found = resolve(house.model(file=None), "auto")
        assert (found.source, found.note) == ("bundled", None)

    def test_with_nothing_to_fall_back_on_names_everything_that_can_be_done(self, house: House) -> None:
        model = house.model()
        model.checkpoint.url = "http://127.0.0.1:9/net.pth"
        line = refusal(model, "auto")
        assert line.startswith(f"net: net.pth could not be fetched from {model.checkpoint.url}")
        assert "HTTPS_PROXY" in line
        assert "ESR_MIRROR=URL" in line
        assert f"download {model.checkpoint.url} (50000 bytes, sha256 {SHA256}) into {house.zoo}" in line
        assert "weights=random or weights=PATH" in line

    def test_without_a_url_says_where_it_looked(self, house: House) -> None:
        line = refusal(house.model(url=False), "auto")
        assert f"net.pth is not in {house.zoo}, {house.cache}, {house.shipped}" in line
        assert f"put net.pth into {house.zoo}" in line

    def test_with_no_folder_to_write_to_says_so(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ESR_ZOO")
        monkeypatch.setenv("XDG_CACHE_HOME", str(put(house.submission / "file")))
        assert "net.pth cannot be stored" in refusal(house.model(), "auto")
        assert house.server.requests == []


class TestAnUnknownSizeAndDigest:
    def model(self, house: House) -> ModelConf:
        return replace(house.model(), checkpoint=CheckpointConf(file="net.pth", url=house.server.url))

    def test_the_download_is_taken_as_it_is_and_its_digest_reported(self, house: House) -> None:
        assert resolve(self.model(house), "published").sha256 == SHA256
        assert [path.name for path in house.zoo.iterdir()] == ["net.pth"]

    def test_a_login_page_is_refused(self, house: House) -> None:
        house.server.faults += [shows_page(b"<p>Log in</p>")]
        assert "sends a web page" in refusal(self.model(house), "published")
        assert list(house.zoo.iterdir()) == []


class TestAWrongFileInTheZoo:
    @pytest.mark.parametrize("weights", ["auto", "published"])
    def test_is_refused_with_what_was_expected_and_found(self, house: House, weights: str) -> None:
        house.bundle()
        path = put(house.zoo / "net.pth", OTHER)
        line = refusal(house.model(), weights)
        assert f"net: {path} has sha256 {sha256_of(path)} instead of the expected {SHA256}" in line
        assert f"weights={path}" in line
        assert path.read_bytes() == OTHER
        assert house.server.requests == []

    def test_of_another_size_is_not_even_read(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        put(house.zoo / "net.pth", CONTENT[:-1])
        monkeypatch.setattr("esr.zoo.download.sha256_of", lambda path: pytest.fail("it was read"))
        assert "has 49999 bytes instead of the expected 50000" in refusal(house.model(), "auto")

    def test_may_still_be_used_by_its_path(self, house: House) -> None:
        path = put(house.zoo / "net.pth", OTHER)
        assert resolve(house.model(), str(path)).path == str(path)

    def test_a_checkpoint_that_states_nothing_accepts_any_file(self, house: House) -> None:
        put(house.zoo / "net.pth", OTHER)
        model = ModelConf(_target_="mine.Net", name="net", checkpoint=CheckpointConf(file="net.pth"))
        assert resolve(model, "auto").sha256 == hashlib.sha256(OTHER).hexdigest()

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_that_may_not_be_read_is_named(self, house: House) -> None:
        put(house.zoo / "net.pth").chmod(0)
        assert "cannot be read (Permission denied)" in refusal(house.model(), "auto")


class TestPublished:
    def test_never_falls_back(self, house: House) -> None:
        house.bundle()
        house.server.faults += [answers(404)]
        assert "the server answers 404" in refusal(house.model(), "published")

    def test_needs_a_checkpoint(self, house: House) -> None:
        house.bundle()
        line = refusal(house.model(file=None), "published")
        assert line.startswith("net has no weights, none were given: pass weights=")


class TestBundled:
    def test_is_the_file_that_ships(self, house: House) -> None:
        path = house.bundle()
        put(house.zoo / "net.pth")
        assert resolve(house.model(), "bundled").path == str(path)

    def test_is_refused_where_none_ships(self, house: House) -> None:
        put(house.zoo / "net.pth")
        assert refusal(house.model(), "bundled").startswith("net has no bundled weights: pass weights=auto")

    def test_is_never_a_participants_even_if_the_names_agree(self, house: House) -> None:
        house.bundle()
        refusal(house.model(source=True), "bundled")
        refusal(house.model(source=True, file=None), "auto")


class TestAParticipantsYaml:
    @pytest.mark.parametrize("file", ["net.pth", "weights/best.pth", "../elsewhere/net.pth"])
    def test_names_a_file_relative_to_itself(self, house: House, file: str) -> None:
        put(house.submission / file)
        put(house.zoo / "net.pth", OTHER)
        found = resolve(house.model(source=True, file=file, url=False), "auto")
        assert found.sha256 == SHA256

    def test_may_name_an_absolute_path(self, house: House, tmp_path: Path) -> None:
        path = put(tmp_path / "far" / "net.pth")
        put(house.submission / "net.pth", OTHER)
        assert resolve(house.model(source=True, file=str(path), url=False), "auto").path == str(path)

    def test_may_leave_its_file_in_a_zoo_folder(self, house: House) -> None:
        put(house.zoo / "net.pth")
        assert resolve(house.model(source=True, url=False), "auto").path == str(house.zoo / "net.pth")

    def test_gets_its_download_beside_itself_where_no_other_submission_finds_it(self, house: House) -> None:
        assert resolve(house.model(source=True), "auto").path == str(house.submission / "net.pth")

    def test_that_names_no_weights_says_what_to_do(self, house: House) -> None:
        line = refusal(house.model(source=True, file=None), "auto")
        assert line == (
            f"net has no weights, {house.submission}/net.yaml names none: set checkpoint.file there, or "
            "pass weights=random or weights=PATH (baseline_weights=... for the baseline)"
        )

    def test_whose_file_is_missing_says_where_it_was_expected(self, house: House) -> None:
        line = refusal(house.model(source=True, url=False), "auto")
        assert f"net.pth is not in {house.submission}, {house.zoo}" in line
        assert f"put net.pth into {house.submission}" in line


class TestRandom:
    def test_needs_no_file(self, house: House) -> None:
        assert resolve(house.model(file=None), "random") == Weights("random", None, None, None, None)


class TestAPath:
    def test_is_relative_to_the_working_directory(self, house: House, tmp_path: Path) -> None:
        put(tmp_path / "my.pth", OTHER)
        digest = hashlib.sha256(OTHER).hexdigest()
        assert resolve(house.model(), "my.pth") == Weights("path", str(tmp_path / "my.pth"), digest, len(OTHER))

    def test_may_begin_at_home(self, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        put(tmp_path / "my.pth")
        assert resolve(house.model(), "~/my.pth").path == str(tmp_path / "my.pth")

    def test_may_have_the_name_of_a_choice(self, house: House, tmp_path: Path) -> None:
        put(tmp_path / "random")
        assert resolve(house.model(), "./random").source == "path"

    def test_needs_no_stated_size_or_digest(self, house: House, tmp_path: Path) -> None:
        put(tmp_path / "my.pth", OTHER)
        assert resolve(house.model(source=True, file=None), "my.pth").source == "path"

    @pytest.mark.parametrize("weights", ["missing.pth", "/missing/net.pth", "~nobody-here/net.pth", "", "a\0b"])
    def test_that_is_missing_is_refused(self, house: House, weights: str) -> None:
        assert f"weights={weights}: no such file" in refusal(house.model(), weights)

    def test_that_looks_like_a_choice_gets_a_hint(self, house: House) -> None:
        assert "did you mean published?" in refusal(house.model(), "publishd")

    def test_that_is_a_folder_is_refused(self, house: House) -> None:
        assert "is a folder: name the file in it" in refusal(house.model(), str(house.shipped))


class TestASilentServer:
    """A short delay only where the bundled file can stand in."""

    def test_leads_to_the_bundled_file_after_the_short_limits(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house.bundle()
        house.server.faults += [stalls_after(0)] * 9
        monkeypatch.setattr(zoo, "HASTY", replace(zoo.HASTY, stall_s=0.1, backoff_s=0.01))
        chosen = resolve(house.model(), "auto")
        assert chosen.source == "bundled"
        assert chosen.note is not None
        assert "no data came for 0.1 s" in chosen.note
        assert len(house.server.requests) == zoo.HASTY.attempts < PATIENCE.attempts

    def test_that_takes_no_connection_costs_one_connection_timeout(self, house: House) -> None:
        house.bundle()
        model = house.model()
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for client in (first, second):
                client.setblocking(False)
                client.connect_ex(full.getsockname())
            model.checkpoint.url = f"http://127.0.0.1:{full.getsockname()[1]}/net.pth"
            start = time.monotonic()
            chosen = resolve(model, "auto")
        assert zoo.HASTY.connect_s <= time.monotonic() - start < zoo.HASTY.connect_s + 2
        assert chosen.source == "bundled"
        assert chosen.note is not None
        assert "127.0.0.1 does not answer within 1.5 s" in chosen.note


def test_every_fault_is_an_esr_error_with_an_exit_code() -> None:
    assert issubclass(WeightsError, EsrError)
    assert WeightsError.exit_code == 2


def test_choosing_weights_needs_no_torch() -> None:
    script = "import sys, esr.zoo.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
