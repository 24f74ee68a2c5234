"""Fetching a picture from an untrusted address: http(s) to public hosts only, bounded in size and time.

An address in a dump must not reach hosts of the local network. So the host name is resolved once, the IP
address is checked, and the connection is made to this very address: a second look-up by the HTTP library
could give another one. urllib3 gets the checked IP address, and the host name for the certificate only. A
redirect is a new address and is checked again. Connections stay open for further pictures of the same host.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import IncompleteRead
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

REDIRECTS = 5
CHUNK = 1 << 16
AGENT = "tssr (pictures for recommendation research)"

_SIGNATURES = ((b"\xff\xd8\xff", "jpg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"))


class FetchError(Exception):
    """Why a picture could not be had; `passing` says whether trying again may help."""

    def __init__(self, reason: str, *, passing: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.passing = passing
        self.wait = wait


_CARRIERS = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96")))  # of IPv4 in the last 32 bits


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, and so does an IPv4 address that it carries."""
    ip = ipaddress.ip_address(address)
    if not ip.is_global or ip.is_multicast:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return True
    if ip.is_site_local:
        return False
    carried = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if any(ip in network for network in _CARRIERS):
        carried.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return all(each is None or each.is_global for each in carried)


@dataclass(frozen=True)
class Limits:
    """What a fetch may cost."""

    seconds: float = 20.0
    bytes: int = 16 << 20
    allowed: Callable[[str], bool] = is_public


def picture_suffix(data: bytes) -> str | None:
    """The suffix that fits the first bytes of a picture, or None for what is no picture."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((suffix for start, suffix in _SIGNATURES if data.startswith(start)), None)


def fetch(url: str, limits: Limits) -> bytes:
    """The body of a picture; raises FetchError."""
    deadline = time.monotonic() + limits.seconds
    for _ in range(REDIRECTS + 1):
        try:
            body, location = _once(url, limits, deadline)
            if location is None:
                return body
            url = urljoin(url, location)
        except (OSError, HTTPError) as error:
            slow = time.monotonic() >= deadline
            raise FetchError("too slow" if slow else _first_cause(error), passing=True) from None
        except ValueError:  # of urllib and of the coding of host names
            raise FetchError("no well-formed address") from None
    raise FetchError(f"more than {REDIRECTS} redirects")


def _first_cause(error: BaseException) -> str:
    """What happened below the library, without ports and addresses, so that equal reasons count as one."""
    while (cause := error.__cause__) is not None and not isinstance(error, IncompleteRead):
        error = cause
    return "cut off" if isinstance(error, IncompleteRead) else str(error) or type(error).__name__


def _once(url: str, limits: Limits, deadline: float) -> tuple[bytes, str | None]:
    """One request: (body, None), or (b"", where a redirect points to)."""
    parts = _parts(url)
    pool = _pool(parts, limits)
    response = pool.urlopen(
        "GET",
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        headers={"Host": _host_header(parts), "User-Agent": AGENT, "Accept": "image/*"},
        redirect=False,
        retries=False,
        preload_content=False,
        decode_content=False,  # what is unpacked could be of any size
        timeout=urllib3.Timeout(_left(deadline)),
    )
    try:
        if response.status in (301, 302, 303, 307, 308):
            return b"", response.headers.get("Location") or ""
        if response.status != 200:
            passing = response.status == 429 or response.status >= 500
            raise FetchError(f"HTTP {response.status}", passing=passing, wait=_asked_wait(response))
        return _body(response, limits, deadline), None
    finally:
        response.close()  # of a body that was read to its end the connection is in the pool already


def _host_header(parts: SplitResult) -> str:
    host = str(parts.hostname)
    name = f"[{host}]" if ":" in host else host.encode("idna").decode()
    return f"{name}:{parts.port}" if parts.port else name


def _parts(url: str) -> SplitResult:
    """The parts of an address that is http or https and well-formed; raises FetchError for any other."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise FetchError("no address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise FetchError(f"{parts.scheme or 'no'} address, only http and https are fetched")
    if not (parts.path + parts.query).isascii() or any(sign <= " " for sign in url):
        raise FetchError("no well-formed address")
    return parts


def _pool(parts: SplitResult, limits: Limits) -> urllib3.HTTPConnectionPool:
    """The connections to an address of the host of `parts`; raises FetchError where one is not public."""
    host = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not all(map(limits.allowed, addresses)):
        raise FetchError(f"{host} is no public host")
    names = {"server_hostname": host, "assert_hostname": host} if parts.scheme == "https" else {}
    return _POOLS.connection_from_host(addresses[0], port, parts.scheme, names)


@contextlib.contextmanager
def _cut_in_time(connection: HTTPConnection) -> Iterator[None]:
    """Close the connection when the time for an answer is over.

    A socket's timeout is not enough: it begins anew with every byte that a slow server sends.
    """
    watch = threading.Timer(float(connection.timeout or 0), _cut, (connection.sock,))
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _cut(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)


class _Plain(HTTPConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        with _cut_in_time(self):
            return super().getresponse()


class _Secure(HTTPSConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        with _cut_in_time(self):
            return super().getresponse()


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = urllib3.PoolManager(num_pools=64, maxsize=64)
_POOLS.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


def _body(response: BaseHTTPResponse, limits: Limits, deadline: float) -> bytes:
    declared = response.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > limits.bytes:
        raise FetchError(f"larger than {limits.bytes >> 20} MiB")
    body = b""
    while chunk := response.read1(CHUNK):
        body += chunk
        if len(body) > limits.bytes:
            raise FetchError(f"larger than {limits.bytes >> 20} MiB")
        _left(deadline)
    _left(deadline)
    return body


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _asked_wait(response: BaseHTTPResponse) -> float:
    value = response.headers.get("Retry-After") or ""
    return float(value) if value.isdecimal() else 0.0
