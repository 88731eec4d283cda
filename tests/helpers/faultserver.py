"""A web server on 127.0.0.1 that serves files and misbehaves on request, one fault per connection."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

LONGEST_STALL_S = 30.0


class FaultServer:
    """Serves what `files` has for a path's last component, else `content`; a fault is used up by one request.

    `requests` keeps the path and headers of every request.
    """

    def __init__(self, content: bytes, *, etag: str | None = '"first"', ranges: bool = True) -> None:
        self.content = content
        self.files: dict[str, bytes] = {}
        self.etag = etag
        self.ranges = ranges
        self.faults: deque[Fault] = deque()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stalling = threading.Event()
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> FaultServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.root}/zoo/net.pth"

    def ranges_asked(self) -> list[str | None]:
        """The Range header of every request, `None` where it is missing."""
        return [headers.get("Range") for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: FaultServer

    def do_GET(self) -> None:
        self.site.requests.append((self.path, dict(self.headers)))
        self.close_connection = True
        fault = self.site.faults.popleft() if self.site.faults else None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            (fault or serve)(self)

    def end_headers(self) -> None:
        self.send_header("Connection", "close")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


Fault = Callable[[_Handler], None]


def serve(
    handler: _Handler,
    *,
    content: bytes | None = None,
    sent: int | None = None,
    claimed: int | None = None,
    shift: int = 0,
) -> None:
    """An orderly answer, but for what is asked: other content, fewer bytes, a false length or place."""
    site = handler.site
    stored = site.files.get(handler.path.rpartition("/")[2], site.content)
    whole = stored if content is None else content
    asked = handler.headers.get("Range")
    condition = handler.headers.get("If-Range")
    begin = 0
    if asked and site.ranges and condition in (None, site.etag):
        begin = int(asked.removeprefix("bytes=").rstrip("-")) + shift
    if asked and begin >= len(whole):
        answer(handler, 416, {"Content-Range": f"bytes */{len(whole)}"})
        return
    body = whole[begin:]
    handler.send_response(206 if begin else 200)
    if begin:
        handler.send_header("Content-Range", f"bytes {begin}-{len(whole) - 1}/{len(whole)}")
    if site.etag:
        handler.send_header("ETag", site.etag)
    handler.send_header("Content-Length", str(len(body) if claimed is None else claimed))
    handler.end_headers()
    handler.wfile.write(body[:sent])
    handler.wfile.flush()


def answer(handler: _Handler, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def cuts_after(count: int) -> Fault:
    """Closes the connection after so many bytes of the body."""
    return lambda handler: serve(handler, sent=count)


def stalls_after(count: int) -> Fault:
    """Keeps the connection open after so many bytes of the body, and sends no more."""

    def fault(handler: _Handler) -> None:
        serve(handler, sent=count)
        handler.site.stalling.set()
        handler.site.closing.wait(LONGEST_STALL_S)

    return fault


def hangs_up() -> Fault:
    """Closes the connection without an answer."""
    return lambda handler: None


def answers(status: int, headers: dict[str, str] | None = None) -> Fault:
    return lambda handler: answer(handler, status, headers)


def answers_raw(head: bytes) -> Fault:
    """A status line and headers as no well-behaved server would send them."""
    return lambda handler: handler.wfile.write(head + b"\r\n\r\n") and None


def trickles(pause_s: float) -> Fault:
    """One byte after the other, with pauses too short to count as silence."""

    def fault(handler: _Handler) -> None:
        serve(handler, sent=0)
        for number in range(len(handler.site.content)):
            handler.wfile.write(handler.site.content[number : number + 1])
            if handler.site.closing.wait(pause_s):
                return

    return fault


def sends(content: bytes) -> Fault:
    """Other bytes than the file's."""
    return lambda handler: serve(handler, content=content)


def shows_page(page: bytes) -> Fault:
    """A web page, as a login portal does."""
    return lambda handler: answer(handler, 200, {"Content-Type": "text/html; charset=utf-8"}, page)


def claims_length(length: int) -> Fault:
    return lambda handler: serve(handler, claimed=length)


def continues_elsewhere(shift: int) -> Fault:
    """A range that begins so many bytes after the one asked for."""
    return lambda handler: serve(handler, shift=shift)


def ignores_if_range() -> Fault:
    """Continues the file although the ETag has changed."""

    def fault(handler: _Handler) -> None:
        del handler.headers["If-Range"]
        serve(handler)

    return fault


def redirects_to(path: str) -> Fault:
    return lambda handler: answer(handler, 302, {"Location": path})


def compresses() -> Fault:
    """A gzip body although none was asked for."""

    def fault(handler: _Handler) -> None:
        answer(handler, 200, {"Content-Encoding": "gzip"}, gzip.compress(handler.site.content))

    return fault


def streams(content: bytes) -> Fault:
    """A body in chunks, whose length the headers do not state."""

    def fault(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(content), 10_000):
            part = content[start : start + 10_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    return fault
