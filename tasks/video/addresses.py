"""HTTP connections to public addresses only, after every redirect and DNS answer, with bounded pages."""

import io
import ipaddress
import socket
import zlib
from collections.abc import Callable
from typing import Any
from urllib.response import addinfourl

Resolve = Callable[..., list[tuple[Any, Any, int, str, Any]]]  # as socket.getaddrinfo
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last four bytes
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291: all that is public in IPv6
# Global by Python's account, and yet not public: one that is reached only from within a cloud, where it tells machines
# their secrets, and those that the IETF keeps for its protocols (RFC 6890; Python 3.11 knows some of these only).
SET_ASIDE = (ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.0.0.0/24"))


class RefusedAddressError(OSError):
    """A host whose address is private."""


def is_public(address: str) -> bool:
    """Say whether an IP address is of the public internet: not private, shared, local, multicast or reserved."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if not found.is_global or found.is_multicast or _is_set_aside(found):
        return False
    inner = _carried(found)
    return inner is None or is_public(str(inner))


class AddressGuard:
    """Opens connections to public addresses; remembers what it refused, as libraries hide the reason.

    Args:
        allow_private: admit every address.
        resolve: what a host's addresses are.
        admits: whether an address is connected to.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        resolve: Resolve = socket.getaddrinfo,
        admits: Callable[[str], bool] = is_public,
    ) -> None:
        self.refused: str | None = None
        self.allow_private = allow_private
        self._resolve = resolve
        self._admits = admits

    def connect(self, address: tuple[str, int], timeout: object = None, source_address: Any = None) -> socket.socket:  # noqa: ANN401
        """Connect as `socket.create_connection` does, to an address that is admitted.

        Raises:
            RefusedAddressError: the host has only addresses that are not.
            OSError: none of those that are can be connected to.
        """
        host, port = address
        found = self._resolve(host, port, 0, socket.SOCK_STREAM)
        admitted = [each for each in found if self.allow_private or self._admits(each[4][0])]
        if not admitted:
            self.refused = host
            raise RefusedAddressError(f"{host} is not on the public internet")
        failure: OSError | None = None
        for family, kind, protocol, _name, place in admitted:
            try:
                return _connected(socket.socket(family, kind, protocol), place, timeout, source_address)
            except OSError as error:
                failure = error
        raise failure or OSError(f"{host} has no address")


def _connected(opened: socket.socket, place: Any, timeout: object, source_address: Any) -> socket.socket:  # noqa: ANN401
    try:
        if isinstance(timeout, int | float):
            opened.settimeout(timeout)
        if source_address:
            opened.bind(source_address)
        opened.connect(place)
    except OSError:
        opened.close()
        raise
    return opened


def _is_set_aside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Say whether Python counts an address as global although nobody there is public."""
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in block for block in SET_ASIDE)
    return address not in GLOBAL_UNICAST and address not in NAT64


def _carried(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, where it does."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


LARGEST_PAGE = 32 << 20  # bytes; the largest pages of video hosts have a few
GZIP, ZLIB, RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


class PageTooLargeError(OSError):
    """A page is larger than any page of a video is."""

    def __init__(self) -> None:
        super().__init__(f"the page has more than {LARGEST_PAGE:,} bytes")


def bound_reading(response: Any, look: Callable[[bytes], object] = len) -> Any:  # noqa: ANN401 - yt-dlp's Response, which has no types
    """Let a response be read whole only if it is no larger than a page may be, and let `look` see what it holds."""
    read = response.read

    def bounded(amount: int | None = None) -> bytes:
        if amount is not None and amount >= 0:
            return read(amount)
        page = _up_to_bound(read)
        look(page)
        return page

    response.read = bounded
    return response


def unpacked_response(_request: object, response: Any) -> Any:  # noqa: ANN401 - urllib's own protocol
    """Unpack what a server has packed although nobody asked for that, up to the bound."""
    codings = [each.strip().lower() for each in response.headers.get("Content-Encoding", "").split(",")]
    packed = [each for each in codings if each in {"gzip", "deflate"}]
    if not packed:
        return response
    data = _up_to_bound(response.read)
    for coding in reversed(packed):
        data = _unpacked(data, coding)
    plain = addinfourl(io.BytesIO(data), response.headers, response.url, response.code)
    plain.msg = response.msg  # type: ignore[attr-defined] - urllib's answers have it, and its handlers read it
    return plain


def _up_to_bound(read: Any) -> bytes:  # noqa: ANN401 - a bound method of a response
    """Read to the end; in blocks, as one large read of a body that is cut short may say that all came."""
    came = io.BytesIO()
    while block := read(1 << 16):
        came.write(block)
        if came.tell() > LARGEST_PAGE:
            raise PageTooLargeError
    return came.getvalue()


def _unpacked(data: bytes, coding: str) -> bytes:
    # A few servers say deflate and mean it without the header of zlib.
    for bits in (GZIP,) if coding == "gzip" else (ZLIB, RAW):
        unpacker = zlib.decompressobj(bits)
        try:
            plain = unpacker.decompress(data, LARGEST_PAGE)
        except zlib.error:
            continue
        if unpacker.unconsumed_tail:
            raise PageTooLargeError
        return plain
    raise OSError(f"the page says that it is packed by {coding}, and is not")
