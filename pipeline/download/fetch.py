"""Fetching a picture from an address a stranger wrote: http(s) to public hosts, bounded in size and time.

The address of the host is resolved once, judged, and connected to, so that a name cannot point elsewhere
between the judgement and the connection. A redirect is a new address and is judged again.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

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
        except (OSError, http.client.HTTPException) as error:
            slow = time.monotonic() >= deadline
            raise FetchError(
                "too slow" if slow else str(error) or type(error).__name__, passing=True
            ) from None
        except ValueError:  # of urllib and of the coding of host names
            raise FetchError("no well-formed address") from None
    raise FetchError(f"more than {REDIRECTS} redirects")


def _once(url: str, limits: Limits, deadline: float) -> tuple[bytes, str | None]:
    """One request: (body, None), or (b"", where a redirect points to)."""
    connection, target = _connected(url, limits, deadline)
    # A server that drips a byte now and then never meets a socket's timeout: the watch cuts the line.
    watch = threading.Timer(_left(deadline), _cut, (connection.sock,))
    watch.start()
    try:
        connection.request("GET", target, headers={"User-Agent": AGENT, "Accept": "image/*"})
        response = connection.getresponse()
        if response.status in (301, 302, 303, 307, 308):
            return b"", response.getheader("Location") or ""
        if response.status != 200:
            passing = response.status == 429 or response.status >= 500
            raise FetchError(f"HTTP {response.status}", passing=passing, wait=_asked_wait(response))
        return _body(response, limits, deadline), None
    finally:
        watch.cancel()
        connection.close()


def _cut(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)


def _connected(url: str, limits: Limits, deadline: float) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise FetchError("no address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise FetchError(f"{parts.scheme or 'no'} address, only http and https are fetched")
    if not (parts.path + parts.query).isascii() or any(sign <= " " for sign in url):
        raise FetchError("no well-formed address")
    secure = parts.scheme == "https"
    port = port or (443 if secure else 80)
    addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not all(map(limits.allowed, addresses)):
        raise FetchError(f"{host} is no public host")
    link = socket.create_connection((addresses[0], port), timeout=_left(deadline))
    connection = http.client.HTTPConnection(host, port)
    connection.sock = ssl.create_default_context().wrap_socket(link, server_hostname=host) if secure else link
    return connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _body(response: http.client.HTTPResponse, limits: Limits, deadline: float) -> bytes:
    declared = response.length
    if declared is not None and declared > limits.bytes:
        raise FetchError(f"larger than {limits.bytes >> 20} MiB")
    body = b""
    while chunk := response.read1(CHUNK):
        body += chunk
        if len(body) > limits.bytes:
            raise FetchError(f"larger than {limits.bytes >> 20} MiB")
    _left(deadline)
    if declared is not None and len(body) < declared:
        raise ConnectionError("cut off")
    return body


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _asked_wait(response: http.client.HTTPResponse) -> float:
    value = response.getheader("Retry-After") or ""
    return float(value) if value.isdecimal() else 0.0
