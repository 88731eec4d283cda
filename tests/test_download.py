"""Downloads: whatever the server, the line, the disk or the user does, the right file or one clear line."""

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from faultserver import (
    Fault,
    FaultServer,
    answers,
    claims_length,
    compresses,
    continues_elsewhere,
    cuts_after,
    hangs_up,
    ignores_if_range,
    redirects_to,
    sends,
    shows_page,
    stalls_after,
    streams,
)
from filelock import FileLock

from esr.download import CHUNK, Patience, download, mismatch, sha256_of
from esr.errors import DownloadError

CONTENT = random.Random(0).randbytes(200_000)
OTHER = random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CUT = 5 * CHUNK
QUICK = Patience(connect_s=0.5, stall_s=0.3, attempts=3, backoff_s=0.01, lock_s=20)


@pytest.fixture(autouse=True)
def no_proxy_and_no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("ESR_MIRROR", raising=False)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(CONTENT) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "zoo" / "net.pth"


def fetch(server: FaultServer, target: Path, patience: Patience = QUICK) -> Path:
    return download(server.url, target, bytes=len(CONTENT), sha256=SHA256, patience=patience)


def refusal(
    url: str,
    target: Path,
    *,
    size: int | None = len(CONTENT),
    sha256: str | None = SHA256,
    patience: Patience = QUICK,
) -> str:
    """The one line that a download ends in."""
    with pytest.raises(DownloadError) as caught:
        download(url, target, bytes=size, sha256=sha256, patience=patience)
    line = str(caught.value)
    assert "\n" not in line
    assert not target.exists()
    return line


def fetch_in_another_process(server: FaultServer, target: Path) -> subprocess.Popen[bytes]:
    script = "import sys, pathlib, esr.download as d; d.download(sys.argv[1], pathlib.Path(sys.argv[2]))"
    return subprocess.Popen([sys.executable, "-c", script, server.url, str(target)])


def part_of(target: Path) -> Path:
    return Path(f"{target}.part")


def leave_part(target: Path, content: bytes, etag: str | None = None) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(content)
    if etag:
        Path(f"{target}.part.etag").write_text(etag)


class TestAnOrderlyServer:
    def test_the_file_arrives_and_nothing_else_is_left(self, server: FaultServer, target: Path) -> None:
        assert fetch(server, target) == target
        assert target.read_bytes() == CONTENT
        assert list(target.parent.iterdir()) == [target]

    def test_size_and_digest_need_not_be_known(self, server: FaultServer, target: Path) -> None:
        download(server.url, target, patience=QUICK)
        assert target.read_bytes() == CONTENT

    def test_a_digest_in_capitals_is_the_same_digest(self, server: FaultServer, target: Path) -> None:
        download(server.url, target, sha256=SHA256.upper(), patience=QUICK)
        assert target.exists()

    def test_a_file_that_is_there_is_not_fetched_again(self, server: FaultServer, target: Path) -> None:
        fetch(server, target)
        fetch(server, target)
        assert len(server.requests) == 1

    def test_a_wrong_file_that_is_there_is_named_and_left_alone(
        self, server: FaultServer, target: Path
    ) -> None:
        target.parent.mkdir()
        target.write_bytes(b"mine")
        with pytest.raises(
            DownloadError, match="is there but has 4 bytes instead of the expected 200000; move it"
        ):
            fetch(server, target)
        assert target.read_bytes() == b"mine"
        assert server.requests == []

    def test_progress_runs_from_nothing_to_everything(self, server: FaultServer, target: Path) -> None:
        seen: list[tuple[int, int | None]] = []
        download(server.url, target, patience=QUICK, progress=lambda done, total: seen.append((done, total)))
        assert seen[0] == (0, len(CONTENT))
        assert seen[-1] == (len(CONTENT), len(CONTENT))
        assert seen == sorted(seen)

    def test_redirects_are_followed(self, server: FaultServer, target: Path) -> None:
        server.faults += [redirects_to("/elsewhere/net.pth")]
        fetch(server, target)
        assert [path for path, _ in server.requests] == ["/zoo/net.pth", "/elsewhere/net.pth"]

    def test_a_length_the_server_does_not_tell_is_no_obstacle(
        self, server: FaultServer, target: Path
    ) -> None:
        server.faults += [streams(CONTENT)]
        download(server.url, target, patience=QUICK)
        assert target.read_bytes() == CONTENT

    def test_the_bytes_are_asked_for_as_they_are(self, server: FaultServer, target: Path) -> None:
        fetch(server, target)
        _, headers = server.requests[0]
        assert headers["Accept-Encoding"] == "identity"
        assert headers["User-Agent"].startswith("esr/")

    def test_a_body_compressed_on_the_way_is_unpacked(self, server: FaultServer, target: Path) -> None:
        server.faults += [compresses()]
        fetch(server, target)
        assert target.read_bytes() == CONTENT


class TestALineThatBreaks:
    @pytest.mark.parametrize("fault", [cuts_after(CUT), stalls_after(CUT)], ids=["cut", "stall"])
    def test_the_download_goes_on_where_it_broke_off(
        self, server: FaultServer, target: Path, fault: Fault
    ) -> None:
        server.faults += [fault]
        fetch(server, target)
        assert target.read_bytes() == CONTENT
        first, second = server.ranges_asked()
        assert first is None
        assert second == f"bytes={CUT}-"

    def test_a_body_of_untold_length_that_ends_early_is_continued(
        self, server: FaultServer, target: Path
    ) -> None:
        server.faults += [streams(CONTENT[:CUT])]
        fetch(server, target)
        assert server.ranges_asked() == [None, f"bytes={CUT}-"]
        assert target.read_bytes() == CONTENT

    @pytest.mark.parametrize("fault", [hangs_up(), answers(500), answers(503), answers(429)])
    def test_a_server_that_recovers_is_asked_again(
        self, server: FaultServer, target: Path, fault: Fault
    ) -> None:
        server.faults += [fault, fault]
        fetch(server, target)
        assert len(server.requests) == 3

    def test_cuts_that_bring_something_new_do_not_use_up_the_attempts(
        self, server: FaultServer, target: Path
    ) -> None:
        server.faults += [cuts_after(CHUNK)] * 8
        fetch(server, target)
        assert len(server.requests) == 9

    def test_after_cuts_in_vain_the_part_stays_for_the_next_call(
        self, server: FaultServer, target: Path
    ) -> None:
        server.faults += [cuts_after(CUT), cuts_after(0), cuts_after(0), cuts_after(0)]
        line = refusal(server.url, target)
        assert f"81,920 bytes are kept in {part_of(target)} for the next attempt" in line
        assert part_of(target).read_bytes() == CONTENT[:CUT]
        fetch(server, target)
        assert target.read_bytes() == CONTENT
        assert server.ranges_asked()[-1] == f"bytes={CUT}-"

    def test_a_server_that_only_stalls_is_given_up(self, server: FaultServer, target: Path) -> None:
        server.faults += [stalls_after(0)] * 3
        assert "no data came for 0.3 s" in refusal(server.url, target)

    def test_without_ranges_every_attempt_starts_from_zero(self, target: Path) -> None:
        with FaultServer(CONTENT, ranges=False) as server:
            server.faults += [cuts_after(CUT)]
            fetch(server, target)
        assert target.read_bytes() == CONTENT

    def test_without_ranges_a_cut_at_one_place_does_not_go_on_for_ever(self, target: Path) -> None:
        with FaultServer(CONTENT, ranges=False) as server:
            server.faults += [cuts_after(CUT)] * 50
            refusal(server.url, target)
            assert len(server.requests) == 1 + QUICK.attempts

    def test_a_killed_process_leaves_no_half_file_and_the_next_goes_on(
        self, server: FaultServer, target: Path
    ) -> None:
        server.faults += [stalls_after(CUT)]
        process = fetch_in_another_process(server, target)
        assert server.stalling.wait(30)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not target.exists()
        fetch(server, target)
        assert target.read_bytes() == CONTENT


class TestAnOldPart:
    def test_is_continued_if_the_digest_can_vouch_for_the_result(
        self, server: FaultServer, target: Path
    ) -> None:
        leave_part(target, CONTENT[:CUT])
        fetch(server, target)
        assert server.ranges_asked() == [f"bytes={CUT}-"]

    def test_is_continued_if_the_etag_vouches_for_it(self, server: FaultServer, target: Path) -> None:
        leave_part(target, CONTENT[:CUT], '"first"')
        download(server.url, target, patience=QUICK)
        assert server.ranges_asked() == [f"bytes={CUT}-"]
        assert target.read_bytes() == CONTENT

    def test_is_thrown_away_if_nothing_vouches_for_it(self, server: FaultServer, target: Path) -> None:
        leave_part(target, OTHER[:CUT])
        download(server.url, target, patience=QUICK)
        assert server.ranges_asked() == [None]
        assert target.read_bytes() == CONTENT

    def test_of_a_file_that_has_changed_since_is_replaced_by_the_same_request(
        self, server: FaultServer, target: Path
    ) -> None:
        leave_part(target, OTHER[:CUT], '"older"')
        download(server.url, target, patience=QUICK)
        assert server.ranges_asked() == [f"bytes={CUT}-"]
        assert target.read_bytes() == CONTENT

    def test_of_a_changed_file_is_thrown_away_if_the_server_continues_it_all_the_same(
        self, server: FaultServer, target: Path
    ) -> None:
        leave_part(target, OTHER[:CUT], '"older"')
        server.faults += [ignores_if_range()]
        download(server.url, target, patience=QUICK)
        assert server.ranges_asked() == [f"bytes={CUT}-", None]
        assert target.read_bytes() == CONTENT

    def test_with_other_bytes_is_found_out_and_fetched_afresh(
        self, server: FaultServer, target: Path
    ) -> None:
        leave_part(target, OTHER[:CUT])
        fetch(server, target)
        assert server.ranges_asked() == [f"bytes={CUT}-", None]
        assert target.read_bytes() == CONTENT

    def test_that_is_complete_needs_no_network(self, target: Path) -> None:
        leave_part(target, CONTENT)
        download("http://127.0.0.1:9/net.pth", target, bytes=len(CONTENT), sha256=SHA256, patience=QUICK)
        assert target.read_bytes() == CONTENT

    def test_that_is_too_long_is_thrown_away(self, server: FaultServer, target: Path) -> None:
        leave_part(target, CONTENT + b"more")
        fetch(server, target)
        assert target.read_bytes() == CONTENT

    def test_longer_than_the_servers_file_is_thrown_away(self, server: FaultServer, target: Path) -> None:
        leave_part(target, OTHER + b"more", '"first"')
        download(server.url, target, patience=QUICK)
        assert target.read_bytes() == CONTENT

    def test_continued_at_the_wrong_place_is_thrown_away(self, server: FaultServer, target: Path) -> None:
        leave_part(target, CONTENT[:CUT], '"first"')
        server.faults += [continues_elsewhere(100)]
        download(server.url, target, patience=QUICK)
        assert server.ranges_asked() == [f"bytes={CUT}-", None]
        assert target.read_bytes() == CONTENT

    def test_is_never_continued_on_the_word_of_a_weak_etag(self, target: Path) -> None:
        with FaultServer(CONTENT, etag='W/"weak"') as server:
            server.faults += [cuts_after(CUT)]
            download(server.url, target, patience=QUICK)
            assert server.ranges_asked() == [None, None]


class TestSomethingElseComes:
    def test_wrong_bytes_are_refused_and_removed(self, server: FaultServer, target: Path) -> None:
        server.faults += [sends(OTHER)]
        line = refusal(server.url, target)
        assert f"has sha256 {hashlib.sha256(OTHER).hexdigest()} instead of the expected {SHA256}" in line
        assert "ESR_MIRROR" in line
        assert not part_of(target).exists()

    @pytest.mark.parametrize("length", [100, 300_000])
    def test_a_wrong_length_is_refused_before_anything_is_written(
        self, server: FaultServer, target: Path, length: int
    ) -> None:
        server.faults += [claims_length(length)]
        assert f"has {length} bytes instead of the expected 200000" in refusal(server.url, target)
        assert not part_of(target).exists()

    def test_a_login_page_is_called_a_web_page(self, server: FaultServer, target: Path) -> None:
        server.faults += [shows_page(b"<html>log in</html>")]
        assert "a web page, has 19 bytes instead of the expected 200000" in refusal(server.url, target)

    def test_never_more_than_the_stated_bytes_are_written(self, server: FaultServer, target: Path) -> None:
        server.faults += [streams(CONTENT * 3)]
        written: list[int] = []
        with pytest.raises(DownloadError, match="sends more than the expected 200000 bytes"):
            download(
                server.url,
                target,
                bytes=200_000,
                patience=QUICK,
                progress=lambda done, _: written.append(done),
            )
        assert max(written) <= 200_000
        assert not part_of(target).exists()

    def test_a_length_longer_than_the_body_counts_as_a_cut(self, server: FaultServer, target: Path) -> None:
        server.faults += [claims_length(len(CONTENT) + 10)] * 9
        server.ranges = False
        line = refusal(server.url, target, size=None)
        assert f"bytes are kept in {part_of(target)}" in line

    @pytest.mark.parametrize("status", [401, 403, 404, 410, 204])
    def test_a_final_answer_is_not_asked_for_twice(
        self, server: FaultServer, target: Path, status: int
    ) -> None:
        server.faults += [answers(status)]
        line = refusal(server.url, target)
        assert f"net.pth could not be fetched from {server.url}: the server answers {status}" in line
        assert len(server.requests) == 1

    def test_a_server_that_stays_broken_is_given_up(self, server: FaultServer, target: Path) -> None:
        server.faults += [answers(500)] * 9
        assert "the server answers 500 Internal Server Error" in refusal(server.url, target)
        assert len(server.requests) == QUICK.attempts

    def test_redirects_in_circles_end(self, server: FaultServer, target: Path) -> None:
        server.faults += [redirects_to("/zoo/net.pth")] * 100
        assert "redirects in circles" in refusal(server.url, target)

    @pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/net.pth", "http://[bad/"])
    def test_a_redirect_away_from_the_web_is_not_followed(
        self, server: FaultServer, target: Path, place: str
    ) -> None:
        server.faults += [redirects_to(place)]
        assert "is not a valid one" in refusal(server.url, target)


class TestNoWayToTheServer:
    def test_a_refused_connection_fails_at_once(self, target: Path) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        line = refusal(f"http://127.0.0.1:{port}/net.pth", target, patience=replace(QUICK, backoff_s=1000))
        assert "127.0.0.1 cannot be reached" in line
        assert "Connection refused" in line
        assert "HTTPS_PROXY" in line

    def test_an_unknown_host_fails_at_once(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*args: object, **named: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        line = refusal("http://nowhere.invalid/net.pth", target, patience=replace(QUICK, backoff_s=1000))
        assert "nowhere.invalid cannot be reached" in line
        assert "Name or service not known" in line

    def test_a_host_that_swallows_connections_fails_after_one_time_limit(self, target: Path) -> None:
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for client in (first, second):
                client.setblocking(False)
                client.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}/net.pth"
            line = refusal(url, target, patience=replace(QUICK, connect_s=0.2, backoff_s=1000))
        assert "127.0.0.1 does not answer within 0.2 s" in line

    def test_a_server_lost_on_the_way_is_tried_again(self, server: FaultServer, target: Path) -> None:
        server.faults += [cuts_after(CUT)]
        dead_then_alive = iter([False, True])
        connect = socket.getaddrinfo

        def flaky(*args: object, **named: object) -> object:
            if len(server.requests) == 1 and not next(dead_then_alive):
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return connect(*args, **named)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", flaky)
            fetch(server, target)
        assert target.read_bytes() == CONTENT

    def test_tls_that_fails_names_the_setting_for_inspecting_proxies(
        self, server: FaultServer, target: Path
    ) -> None:
        line = refusal(server.url.replace("http:", "https:"), target)
        assert "TLS failed" in line
        assert "REQUESTS_CA_BUNDLE" in line

    @pytest.mark.parametrize(
        "url",
        ["ftp://127.0.0.1/net.pth", "file:///etc/passwd", "net.pth", "", "http://", "http://[bad/net.pth"],
    )
    def test_only_http_and_https_are_fetched(self, target: Path, url: str) -> None:
        assert "must begin with https:// or http://" in refusal(url, target)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:99999/net.pth", f"http://{'a' * 80}.com/net.pth"])
    def test_a_host_or_port_that_cannot_be_is_one_line(self, target: Path, url: str) -> None:
        assert "is not a valid one" in refusal(url, target)

    def test_user_password_and_query_are_not_shown(self, server: FaultServer, target: Path) -> None:
        server.faults += [answers(403)]
        secret = server.url.replace("http://", "http://someone:hunter2@") + "?token=hunter3"
        line = refusal(secret, target)
        assert server.url in line
        assert "hunter" not in line
        assert "someone" not in line


class TestProxyAndMirror:
    def test_a_proxy_is_taken_from_the_environment(
        self, server: FaultServer, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", server.root)
        download("http://far.invalid/net.pth", target, bytes=len(CONTENT), sha256=SHA256, patience=QUICK)
        assert server.requests[0][0] == "http://far.invalid/net.pth"

    def test_a_dead_proxy_is_named_at_once(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        line = refusal("http://far.invalid/net.pth", target, patience=replace(QUICK, backoff_s=1000))
        assert "the proxy cannot be reached or refuses" in line

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_a_mirror_replaces_all_but_the_last_component(
        self, server: FaultServer, target: Path, monkeypatch: pytest.MonkeyPatch, slash: str
    ) -> None:
        monkeypatch.setenv("ESR_MIRROR", f"{server.root}/copies{slash}")
        download(
            "https://far.invalid/a/b/net.pth?raw=1", target, bytes=len(CONTENT), sha256=SHA256, patience=QUICK
        )
        assert server.requests[0][0] == "/copies/net.pth"

    def test_a_mirror_that_is_no_address_is_named(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ESR_MIRROR", "mirror.local")
        assert "ESR_MIRROR must begin with https:// or http://" in refusal(
            "https://far.invalid/net.pth", target
        )


class TestADiskThatRefuses:
    def test_too_little_room_is_found_out_before_anything_is_written(
        self, server: FaultServer, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage("/")._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
        line = refusal(server.url, target)
        assert "it needs 200,000 bytes" in line
        assert "1,000 free" in line
        assert not part_of(target).exists()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
    def test_a_disk_that_fills_up_on_the_way_is_one_line(self, server: FaultServer, target: Path) -> None:
        target.parent.mkdir()
        part_of(target).symlink_to("/dev/full")
        assert "(No space left on device); make room" in refusal(server.url, target)

    def test_a_folder_that_cannot_be_made_is_one_line(self, server: FaultServer, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(DownloadError, match=r"cannot be written to .*ESR_ZOO=FOLDER"):
            fetch(server, tmp_path / "file" / "zoo" / "net.pth")
        assert server.requests == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_a_folder_without_write_permission_is_one_line(self, server: FaultServer, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        line = refusal(server.url, tmp_path / "net.pth")
        tmp_path.chmod(0o700)
        assert "Permission denied" in line


class TestSeveralAtOnce:
    def test_two_downloads_of_one_file_make_one_request(self, server: FaultServer, target: Path) -> None:
        server.faults += [stalls_after(CUT)]
        first = fetch_in_another_process(server, target)
        assert server.stalling.wait(30)
        second = threading.Thread(target=fetch, args=(server, target))
        second.start()
        second.join(0.2)
        assert second.is_alive()
        assert len(server.requests) == 1
        server.closing.set()
        first.wait()
        second.join()
        assert target.read_bytes() == CONTENT
        assert [path.name for path in target.parent.iterdir()] == ["net.pth"]

    def test_waiting_for_another_process_ends(self, server: FaultServer, target: Path) -> None:
        target.parent.mkdir()
        with FileLock(target.with_name(".net.pth.lock")):
            line = refusal(server.url, target, patience=replace(QUICK, lock_s=0.1))
        assert "net.pth has been in the hands of another process for 0.1 s" in line


class TestMismatch:
    def test_a_right_file_has_none(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(CONTENT)
        assert sha256_of(file) == SHA256
        assert mismatch(file, len(CONTENT), SHA256) is None
        assert mismatch(file, None, None) is None

    def test_the_size_is_looked_at_first(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"short")
        assert mismatch(file, 6, "0" * 64) == "has 5 bytes instead of the expected 6"
