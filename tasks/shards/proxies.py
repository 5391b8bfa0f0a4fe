"""The proxies of the environment: which one leads to an address, if any; this machine itself is reached without."""

import ipaddress
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from urllib.parse import urlsplit, urlunsplit

import httpx

from tasks.contracts.errors import ConfigError
from tasks.contracts.model import is_loopback
from tasks.contracts.text import shown

KINDS = ("http", "https", "socks5", "socks5h")
DEFAULT_PORTS = {"http": 80, "https": 443}
HOW = "Write http://HOST:PORT or socks5://HOST:PORT, or unset it"


@dataclass(frozen=True)
class Proxy:
    """A proxy, and the variable that names it."""

    url: str  # with its password, if it has one
    variable: str

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS rather than HTTP."""
        return self.url.startswith("socks")

    def __str__(self) -> str:
        """Name it as messages may: without a password."""
        return f"the proxy {shown(self.url)} ({self.variable})"


def proxy_for(address: str) -> Proxy | None:
    """Return the proxy through which the environment sends an address; None where it is asked directly.

    Raises:
        ConfigError: the variable names no proxy that can be used.
    """
    parts = urlsplit(address)
    host = (parts.hostname or "").rstrip(".")
    if _is_own(host) or _is_spared(host, parts.port or DEFAULT_PORTS.get(parts.scheme)):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        variable, value = _variable(name)
        if value:
            return Proxy(_checked(variable, value), variable)
    return None


class Routed(httpx.BaseTransport):
    """A transport that sends each request, redirected ones too, through the proxy of its address.

    httpx's own reading of the environment sends loopback through the proxy and fails at its first malformed variable.
    """

    def __init__(self, make: Callable[[httpx.Proxy | None], httpx.HTTPTransport]) -> None:
        self._make = make
        self._made: dict[str | None, httpx.HTTPTransport] = {}
        self._lock = Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, by the connections of its proxy."""
        proxy = proxy_for(str(request.url))
        return self._transport(proxy.url if proxy else None).handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for transport in self._made.values():
                transport.close()

    def _transport(self, url: str | None) -> httpx.HTTPTransport:
        with self._lock:
            if url not in self._made:
                self._made[url] = self._make(httpx.Proxy(url) if url else None)
            return self._made[url]


def _variable(name: str) -> tuple[str, str]:
    """Return a variable's name and value; written in lower case it goes first, even if it is empty."""
    if name in os.environ:
        return name, os.environ[name].strip()
    upper = name.upper()
    if upper == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ:  # a header of a CGI script's client (httpoxy)
        return upper, ""
    return upper, os.environ.get(upper, "").strip()


def _checked(variable: str, value: str) -> str:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and (parts.port is None or parts.port > 0) and not re.search(r"\s", url)
    except ValueError:  # a port that is no number, brackets that hold no address
        parts, sound = None, False
    if parts is None or not sound:
        raise ConfigError(f"{variable} names no proxy: {shown(value)!r}. {HOW}.")
    if parts.scheme.lower() not in KINDS:
        raise ConfigError(
            f"{variable} names a proxy of the kind {shown(parts.scheme)!r}, which is not supported. {HOW}."
        )
    return urlunsplit(parts._replace(scheme=parts.scheme.lower()))


def _is_own(host: str) -> bool:
    """Say whether a host is this machine, however it is written (`127.1`, `localhost`, `0.0.0.0`)."""
    found = _ip(host)
    if found is not None:
        return found.is_loopback or found.is_unspecified
    return is_loopback(host.lower()) or host.lower().endswith(".localhost")


def _is_spared(host: str, port: int | None) -> bool:
    """Say whether NO_PROXY names a host: by its name, one above it, its address, a network (CIDR), or `*`."""
    _, listed = _variable("no_proxy")
    return any(_fits(entry, host.lower(), port) for entry in re.split(r"[\s,;]+", listed.lower()) if entry)


def _fits(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
        found = _ip(host)
        return found is not None and found in network
    match = re.fullmatch(r"\[(?P<six>[^]]*)](?::(?P<port6>\d+))?|(?P<name>[^:]*):(?P<port>\d+)", entry)
    if match:
        wanted = match["port6"] or match["port"]
        if wanted and int(wanted) != port:
            return False
        entry = match["six"] or match["name"] or ""
    entry = entry.removeprefix("*").strip(".")
    if not entry:
        return False
    address = _ip(entry)
    return _ip(host) == address if address else f".{host}".endswith(f".{entry}")


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if re.match(r"[0-9]", host) else None
    except OSError:
        return None
