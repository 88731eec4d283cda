"""Downloads that succeed: interrupted, resumed, several at once."""

import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from helpers.downloads import (
    CONTENT,
    CUT,
    OTHER,
    QUICK,
    SHA256,
    fetch,
    fetch_in_another_process,
    leave_part,
    part_of,
    refusal,
)
from helpers.faultserver import (
    Fault,
    FaultServer,
    answers,
    compresses,
    continues_elsewhere,
    cuts_after,
    hangs_up,
    ignores_if_range,
    redirects_to,
    stalls_after,
    streams,
)

from esr.errors import DownloadError
from esr.zoo.download import CHUNK, download, mismatch, sha256_of

pytestmark = pytest.mark.usefixtures("no_proxy_and_no_mirror")


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

    def test_a_wrong_file_that_is_there_is_named_and_left_alone(self, server: FaultServer, target: Path) -> None:
        target.parent.mkdir()
        target.write_bytes(b"mine")
        with pytest.raises(DownloadError, match="is there but has 4 bytes instead of the expected 200000; move it"):
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

    def test_a_length_the_server_does_not_tell_is_no_obstacle(self, server: FaultServer, target: Path) -> None:
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
    def test_the_download_goes_on_where_it_broke_off(self, server: FaultServer, target: Path, fault: Fault) -> None:
        server.faults += [fault]
        fetch(server, target)
        assert target.read_bytes() == CONTENT
        first, second = server.ranges_asked()
        assert first is None
        assert second == f"bytes={CUT}-"

    def test_a_body_of_untold_length_that_ends_early_is_continued(self, server: FaultServer, target: Path) -> None:
        server.faults += [streams(CONTENT[:CUT])]
        fetch(server, target)
        assert server.ranges_asked() == [None, f"bytes={CUT}-"]
        assert target.read_bytes() == CONTENT

    @pytest.mark.parametrize("fault", [hangs_up(), answers(500), answers(503), answers(429)])
    def test_a_server_that_recovers_is_asked_again(self, server: FaultServer, target: Path, fault: Fault) -> None:
        server.faults += [fault, fault]
        fetch(server, target)
        assert len(server.requests) == 3

    def test_cuts_that_bring_something_new_do_not_use_up_the_attempts(self, server: FaultServer, target: Path) -> None:
        server.faults += [cuts_after(CHUNK)] * 8
        fetch(server, target)
        assert len(server.requests) == 9

    def test_after_cuts_in_vain_the_part_stays_for_the_next_call(self, server: FaultServer, target: Path) -> None:
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

    def test_a_killed_process_leaves_no_half_file_and_the_next_goes_on(self, server: FaultServer, target: Path) -> None:
        server.faults += [stalls_after(CUT)]
        process = fetch_in_another_process(server, target)
        assert server.stalling.wait(30)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not target.exists()
        fetch(server, target)
        assert target.read_bytes() == CONTENT


class TestAnOldPart:
    def test_is_continued_if_the_digest_can_vouch_for_the_result(self, server: FaultServer, target: Path) -> None:
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

    def test_with_other_bytes_is_found_out_and_fetched_afresh(self, server: FaultServer, target: Path) -> None:
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
        assert "net.pth has been locked by another process for 0.1 s" in line


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
