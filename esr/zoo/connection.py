"""Whether a host answers at all, and what goes wrong on the way to it, in words."""

import contextlib
import queue
import re
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import requests
from requests import exceptions
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import NewConnectionError

ELSEWHERE = "set ESR_MIRROR=URL to fetch it from elsewhere"
_BUNDLE = "set REQUESTS_CA_BUNDLE=FILE"


class BrokenOff(Exception):  # noqa: N818 - asks for another attempt, never seen by users
    """An attempt that ended in a way that another attempt may get over.

    Args:
        reason: in words.
        unreachable: there was no connection, and another attempt at once would bring none.
        pause_s: seconds for which the server asks to be left alone.
    """

    def __init__(self, reason: str, *, unreachable: bool = False, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.unreachable = unreachable
        self.pause_s = pause_s


def is_silent(url: str, limit_s: float) -> bool:
    """Whether neither an answer nor a refusal comes from a URL's host in time; behind a proxy nobody can tell.

    `requests` has no limit for looking up a name and waits for one address after the other, so that a firewall
    which swallows packets would cost half a minute. Here all addresses are asked at once.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # the request itself will refuse it
        return False
    if select_proxy(url, get_environ_proxies(url)):
        return False
    ended = threading.Event()
    threading.Thread(target=_connect, args=(parts.hostname, port, limit_s, ended), daemon=True).start()
    return not ended.wait(limit_s)


def _connect(host: str, port: int, limit_s: float, ended: threading.Event) -> None:
    """Sets `ended` once an address has taken a connection, or all have refused."""

    def to(family: int, address: tuple[str, int]) -> None:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.settimeout(2 * limit_s)  # silence is the waiting side's to notice
            tried.connect(address)
            ended.set()

    with contextlib.suppress(OSError, UnicodeError):  # the request itself will name the reason
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        tries = [threading.Thread(target=to, args=(one[0], one[4]), daemon=True) for one in found]
        for thread in tries:
            thread.start()
        for thread in tries:
            thread.join()
    ended.set()


def asked(ask: Callable[[], requests.Response], limit_s: float) -> requests.Response:
    """An answer whose headers are complete in time.

    The limits of `requests` hold for each packet, so that a server which drips its headers would never reach one.

    Args:
        ask: Sends the request; left to itself where its answer doesn't come.
        limit_s: For all of it, redirections included.

    Raises:
        BrokenOff: It was not complete in time.
    """
    answers: queue.SimpleQueue[requests.Response | Exception] = queue.SimpleQueue()

    def wait() -> None:
        try:
            answers.put(ask())
        except Exception as error:  # whatever it is, the asking side raises it
            answers.put(error)

    threading.Thread(target=wait, daemon=True).start()
    try:
        answer = answers.get(timeout=limit_s)
    except queue.Empty:
        raise BrokenOff(f"the headers of the answer are not complete after {limit_s:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def hopeless(error: Exception) -> tuple[str, str] | None:
    """Reason and remedy of a failure that no further attempt can get over; none for the others."""
    if isinstance(error, exceptions.SSLError):
        told = (
            f"TLS failed ({_innermost(error)})",
            f"behind a proxy that inspects TLS {_BUNDLE}, or {ELSEWHERE}",
        )
    elif isinstance(error, exceptions.TooManyRedirects):
        told = "the server redirects in circles", f"check the URL, or {ELSEWHERE}"
    elif isinstance(error, exceptions.InvalidHeader):
        told = "the server's answer contradicts itself", ELSEWHERE
    elif isinstance(error, ValueError):
        told = (
            "this URL, one it redirects to, or the proxy's is not a valid one",
            f"correct it, or {ELSEWHERE}",
        )
    elif isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        told = f"{error}", f"{_BUNDLE}, or unset it"  # the one file that a request opens
    else:
        return None
    return told


def broken_off(error: Exception, url: str, connect_s: float, stall_s: float) -> BrokenOff:
    """A network error in words.

    Args:
        error: from `requests` or `urllib3`.
        url: what was asked for.
        connect_s: the limit for connecting that held.
        stall_s: the limit for silence that held.
    """
    request = getattr(error, "request", None)
    host = urlsplit(getattr(request, "url", None) or url).hostname
    cause = _innermost(error)
    if isinstance(error, exceptions.ProxyError):
        return BrokenOff("the proxy cannot be reached or refuses", unreachable=True)
    if isinstance(error, exceptions.ConnectTimeout):
        return silent(url, connect_s)
    if isinstance(cause, NewConnectionError):  # also where the name cannot be resolved
        detail = str(cause).rpartition(": ")[2]
        return BrokenOff(f"{host} cannot be reached: {detail}", unreachable=True)
    if isinstance(error, exceptions.Timeout) or "timed out" in str(error):
        limit = re.search(r"read timeout=([\d.]+)", str(error))  # that of connecting, in a TLS handshake
        return BrokenOff(f"no data came for {float(limit[1]) if limit else stall_s:g} s")
    return BrokenOff("the connection was cut")


def silent(url: str, connect_s: float) -> BrokenOff:
    """What is said of a host that swallows every packet."""
    return BrokenOff(f"{urlsplit(url).hostname} does not answer within {connect_s:g} s", unreachable=True)


def shown(url: str) -> str:
    """A URL without what may be secret: user, password and query."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


def _innermost(error: Exception) -> Exception:
    """What urllib3 gives as the reason for an error of requests."""
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", None)
    return reason if isinstance(reason, Exception) else error
