"""HTTP requests that are repeated where that may help, and network failures in words."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests import exceptions
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError, ResponseError
from urllib3.util import Retry

from esr import __version__

ELSEWHERE = "set ESR_MIRROR=URL to fetch it from elsewhere"
CHECK_URL = f"check the URL, or {ELSEWHERE}"
CHECK_NETWORK = f"check the network and HTTPS_PROXY, or {ELSEWHERE}"
_BUNDLE = "set REQUESTS_CA_BUNDLE=FILE"
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""Status codes after which a repeated request may succeed."""


@dataclass(frozen=True)
class Patience:
    """Time limits and number of attempts of a download."""

    connect_s: float = 3.0
    """Seconds for a connection to each address of the host; short, so that offline machines get on."""
    stall_s: float = 20.0
    """Seconds without a byte after which a connection counts as lost; also the longest pause between requests."""
    slow_s: float = 30.0
    """Seconds in which more than a trickle has to come: `esr.zoo.download.CHUNK` bytes."""
    attempts: int = 4
    """Attempts in a row that bring next to nothing."""
    backoff_s: float = 0.5
    """Pause before another attempt; doubles with each one in vain."""
    lock_s: float = 600.0
    """Seconds to wait for another process that fetches the same file."""


class _LimitedRetry(Retry):
    """Gives up at once where a server asks for a pause longer than `backoff_max`."""

    def increment(self, *request: Any, **outcome: Any) -> "_LimitedRetry":
        """See `Retry.increment`."""
        response = outcome.get("response")
        if response and (self.get_retry_after(response) or 0) > self.backoff_max:
            raise MaxRetryError(outcome["_pool"], "", ResponseError("Retry-After is too long"))
        return super().increment(*request, **outcome)


def session(patience: Patience, *, reconnect: bool) -> requests.Session:
    """A session that repeats a request after a transient answer, or a connection cut before the answer.

    Args:
        patience: The limits.
        reconnect: Repeats it also if the host cannot be reached; an offline machine should get on quickly.
    """
    retry = _LimitedRetry(
        patience.attempts - 1,
        connect=None if reconnect else 0,
        other=0,
        status_forcelist=_TRANSIENT,
        backoff_factor=patience.backoff_s,
        backoff_max=patience.stall_s,
        raise_on_status=False,
    )
    opened = requests.Session()
    opened.headers.update({"User-Agent": f"esr/{__version__}", "Accept-Encoding": "identity"})
    opened.mount("http://", HTTPAdapter(max_retries=retry))
    opened.mount("https://", HTTPAdapter(max_retries=retry))
    return opened


def explained(error: Exception, url: str, patience: Patience) -> tuple[str, str]:
    """Reason and remedy of a failed request, in words.

    Args:
        error: From `requests` or `urllib3`.
        url: The address requested.
        patience: The limits that applied.
    """
    host = urlsplit(getattr(getattr(error, "request", None), "url", None) or url).hostname
    cause = getattr(error.args[0] if error.args else None, "reason", None) or error  # as urllib3 gives it
    known = (
        (exceptions.SSLError, f"TLS failed ({cause})", f"behind a proxy that inspects TLS {_BUNDLE}"),
        (exceptions.TooManyRedirects, "the server redirects in circles", "check the URL"),
        (exceptions.InvalidHeader, "the server's answer contradicts itself", "try again later"),
        (exceptions.ProxyError, "the proxy cannot be reached or refuses", "check HTTPS_PROXY"),
        (ValueError, "the URL, a redirect or the proxy is not a valid address", "correct it"),
    )
    for kind, reason, remedy in known:
        if isinstance(error, kind):
            return reason, f"{remedy}, or {ELSEWHERE}"
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return f"{error}", f"{_BUNDLE}, or unset it"  # the only file that a request opens
    if isinstance(error, exceptions.ConnectTimeout):
        reason = f"{host} does not answer within {patience.connect_s:g} s"
    elif isinstance(cause, NewConnectionError):  # also for a name that cannot be resolved
        # Without what names the host again.
        reason = f"{host} cannot be reached: {str(cause).rpartition(': ')[2].rpartition('] ')[2].rstrip(')')}"
    elif "timed out" in str(error):
        limit = re.search(r"read timeout=([\d.]+)", str(error))  # in a TLS handshake, that of connecting
        reason = f"no data came for {float(limit[1]) if limit else patience.stall_s:g} s"
    else:
        reason = "the connection was cut"
    return reason, CHECK_NETWORK


def shown(url: str) -> str:
    """A URL without its possible secrets: user, password and query."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])
