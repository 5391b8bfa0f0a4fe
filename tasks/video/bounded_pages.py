"""Pages are read up to a bound, packed ones too, so that no host can fill the memory.

In: answers of yt-dlp's networking. Out: the same, that refuse to be read whole where they are too large. Files go to
the disk block by block, and are bounded by whoever writes them. Does not know what the pages are.
"""

import io
import zlib
from collections.abc import Callable
from typing import Any
from urllib.response import addinfourl

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
