"""Downloads that fail: whatever the server, the proxy or the disk does, they end in one clear line."""

import hashlib
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.downloads import (
    CONTENT,
    CUT,
    OTHER,
    QUICK,
    SHA256,
    fetch,
    part_of,
    refusal,
)
from helpers.faultserver import (
    FaultServer,
    answers,
    answers_raw,
    claims_length,
    cuts_after,
    redirects_to,
    sends,
    shows_page,
    streams,
    trickles,
)

from esr.errors import DownloadError
from esr.zoo.download import download

pytestmark = pytest.mark.usefixtures("no_proxy_and_no_mirror")


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
        assert "the web page that the server sends has 19 bytes instead of the expected 200000" in refusal(
            server.url, target
        )

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
    def test_a_final_answer_is_not_asked_for_twice(self, server: FaultServer, target: Path, status: int) -> None:
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
    def test_a_redirect_away_from_the_web_is_not_followed(self, server: FaultServer, target: Path, place: str) -> None:
        server.faults += [redirects_to(place)]
        assert "is not a valid address" in refusal(server.url, target)


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
        assert "nowhere.invalid cannot be reached: " in line
        assert "Failed to resolve" not in line
        assert "Errno" not in line
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

    def test_a_certificate_file_that_is_not_there_is_named(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
        line = refusal("https://127.0.0.1:9/net.pth", target)
        assert "/nowhere/bundle.pem" in line
        assert "REQUESTS_CA_BUNDLE" in line
        assert "make room" not in line

    @pytest.mark.parametrize("proxy", ["garbage://here", "http://[here"])
    def test_a_proxy_that_cannot_be_is_not_blamed_on_the_url_alone(
        self, target: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
    ) -> None:
        monkeypatch.setenv("http_proxy", proxy)
        assert "or the proxy is not a valid address" in refusal("http://nowhere.invalid/net.pth", target)

    def test_a_trickle_is_given_up_and_what_came_is_kept(self, server: FaultServer, target: Path) -> None:
        server.faults += [trickles(0.02)] * 9
        line = refusal(server.url, target, patience=replace(QUICK, slow_s=0.3))
        assert "bytes came in 0.3 s" in line
        assert "are kept in" in line
        assert part_of(target).stat().st_size > 0
        assert len(server.requests) == QUICK.attempts

    def test_a_trickle_is_an_interrupted_attempt_that_the_next_continues(
        self, server: FaultServer, target: Path
    ) -> None:
        server.faults += [trickles(0.02)]
        fetch(server, target, replace(QUICK, slow_s=0.3))
        assert target.read_bytes() == CONTENT
        first, second = server.ranges_asked()
        assert first is None
        assert second is not None
        assert 0 < int(second.removeprefix("bytes=").rstrip("-")) < CUT

    def test_a_slow_body_that_is_no_trickle_is_fetched_in_one_attempt(
        self, server: FaultServer, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("esr.zoo.download.CHUNK", 3)
        server.content = CONTENT[:40]
        server.faults += [trickles(0.02)]
        digest = hashlib.sha256(CONTENT[:40]).hexdigest()
        patience = replace(QUICK, slow_s=0.2)
        download(server.url, target, bytes=40, sha256=digest, patience=patience)
        assert len(server.requests) == 1

    def test_a_pause_that_a_server_asks_for_is_made(self, server: FaultServer, target: Path) -> None:
        server.faults += [answers(429, {"Retry-After": "1"})] * 2
        fetch(server, target, replace(QUICK, stall_s=2))
        assert len(server.requests) == 3

    def test_a_pause_that_is_too_long_is_not(self, server: FaultServer, target: Path) -> None:
        server.faults += [answers(429, {"Retry-After": "3600"})] * 9
        assert "429 Too Many Requests and asks to wait 3600 s" in refusal(server.url, target)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("head", "reason"),
        [
            (b"HTTP/1.1 404 \x1b[31mgone", "answers 404 \N{REPLACEMENT CHARACTER}[31mgone"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7", "contradicts itself"),
            (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd", "not a valid address"),
        ],
    )
    def test_answers_that_make_no_sense_are_told_safely(
        self, server: FaultServer, target: Path, head: bytes, reason: str
    ) -> None:
        server.faults += [answers_raw(head)]
        line = refusal(server.url, target)
        assert reason in line
        assert line.isprintable()

    def test_a_part_that_nobody_can_vouch_for_does_not_stay(self, server: FaultServer, target: Path) -> None:
        server.etag = None
        server.faults += [cuts_after(CUT)] * 9
        line = refusal(server.url, target, size=None, sha256=None)
        assert "kept" not in line
        assert not part_of(target).exists()

    @pytest.mark.parametrize("sha256", [SHA256, None])
    def test_a_folder_in_the_way_is_no_file(self, server: FaultServer, target: Path, sha256: str | None) -> None:
        target.mkdir(parents=True)
        with pytest.raises(DownloadError, match=r"net\.pth is there but is not a file; move it away"):
            download(server.url, target, sha256=sha256, patience=QUICK)

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

    def test_tls_that_fails_names_the_setting_for_inspecting_proxies(self, server: FaultServer, target: Path) -> None:
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
        assert "is not a valid address" in refusal(url, target)

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
        download("https://far.invalid/a/b/net.pth?raw=1", target, bytes=len(CONTENT), sha256=SHA256, patience=QUICK)
        assert server.requests[0][0] == "/copies/net.pth"

    def test_a_mirror_that_is_no_address_is_named(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ESR_MIRROR", "mirror.local")
        assert "ESR_MIRROR must begin with https:// or http://" in refusal("https://far.invalid/net.pth", target)


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
