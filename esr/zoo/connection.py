"""HTTP requests that are repeated where that may help, and network failures in words."""

import re
from types import TracebackType
from urllib.parse import urlsplit

import requests
from requests import exceptions
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError, ResponseError
from urllib3.util import Retry

ELSEWHERE = "set ESR_MIRROR=URL to fetch it from elsewhere"
OFFLINE = f"check the network and HTTPS_PROXY, or {ELSEWHERE}"
_BUNDLE = "set REQUESTS_CA_BUNDLE=FILE"
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""Status codes after which a repeated request may succeed."""


class _LimitedRetry(Retry):
    """Gives up at once where a server asks for a pause longer than `backoff_max`."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> "_LimitedRetry":
        """See `Retry.increment`."""
        if response and (self.get_retry_after(response) or 0) > self.backoff_max:
            raise MaxRetryError(_pool, url or "", ResponseError("Retry-After is too long"))  # type: ignore[arg-type]
        return super().increment(method, url, response, error, _pool, _stacktrace)


def session(attempts: int, backoff_s: float, longest_pause_s: float) -> requests.Session:
    """A session that repeats requests after a transient answer or a connection cut before the answer.

    A host that cannot be reached is not asked again: an offline machine should get on quickly.

    Args:
        attempts: Requests in all.
        backoff_s: Pause after the second one, in seconds; doubles with each further one.
        longest_pause_s: Longest pause between two, `Retry-After` included.
    """
    retry = _LimitedRetry(
        attempts - 1,
        connect=0,
        other=0,
        status_forcelist=_TRANSIENT,
        backoff_factor=backoff_s,
        backoff_max=longest_pause_s,
        raise_on_status=False,
    )
    opened = requests.Session()
    for scheme in ("http://", "https://"):
        opened.mount(scheme, HTTPAdapter(max_retries=retry))
    return opened


def is_unreachable(error: Exception) -> bool:
    """True if there was no connection at all; also for a name that cannot be resolved."""
    no_connection = isinstance(error, exceptions.ProxyError | exceptions.ConnectTimeout)
    return no_connection or isinstance(_cause(error), NewConnectionError)


def explained(error: Exception, url: str, connect_s: float, stall_s: float) -> tuple[str, str]:
    """Reason and remedy of a failed request, in words.

    Args:
        error: From `requests` or `urllib3`.
        url: The address requested.
        connect_s: The connection timeout, in seconds.
        stall_s: The read timeout, in seconds.
    """
    host = urlsplit(getattr(getattr(error, "request", None), "url", None) or url).hostname
    cause = _cause(error)
    match error:
        case exceptions.SSLError():
            return f"TLS failed ({cause})", f"behind a proxy that inspects TLS {_BUNDLE}, or {ELSEWHERE}"
        case exceptions.TooManyRedirects():
            return "the server redirects in circles", f"check the URL, or {ELSEWHERE}"
        case exceptions.InvalidHeader():
            return "the server's answer contradicts itself", ELSEWHERE
        case exceptions.ProxyError():
            return "the proxy cannot be reached or refuses", OFFLINE
        case exceptions.ConnectTimeout():
            return f"{host} does not answer within {connect_s:g} s", OFFLINE
        case ValueError():
            return "the URL, a redirect or the proxy is not a valid address", f"correct it, or {ELSEWHERE}"
        case OSError() if not isinstance(error, requests.RequestException):
            return f"{error}", f"{_BUNDLE}, or unset it"  # the only file that a request opens
    if isinstance(cause, NewConnectionError):
        return f"{host} cannot be reached: {str(cause).rpartition(': ')[2]}", OFFLINE
    if "timed out" in str(error):
        limit = re.search(r"read timeout=([\d.]+)", str(error))  # in a TLS handshake, that of connecting
        return f"no data came for {float(limit[1]) if limit else stall_s:g} s", OFFLINE
    return "the connection was cut", OFFLINE


def shown(url: str) -> str:
    """A URL without its possible secrets: user, password and query."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


def _cause(error: Exception) -> Exception:
    """The reason that urllib3 gives for an error of requests."""
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", None)
    return reason if isinstance(reason, Exception) else error
