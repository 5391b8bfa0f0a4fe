"""Pages are read up to a bound, packed ones too."""

import gzip
import io
import zlib
from email.message import Message
from urllib.response import addinfourl

import pytest

from tasks.video.addresses import LARGEST_PAGE, PageTooLargeError, bound_reading, unpacked_response


def answer(body: bytes, coding: str = "") -> addinfourl:
    headers = Message()
    headers["Content-Encoding"] = coding
    response = addinfourl(io.BytesIO(body), headers, "http://example.org", 200)
    response.msg = "OK"  # type: ignore[attr-defined] - as http.client's answers have it
    return response


RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
PACKED = {
    "gzip": gzip.compress(b"page"),
    "deflate": zlib.compress(b"page"),
    "Deflate": RAW.compress(b"page") + RAW.flush(),
    "deflate, gzip": gzip.compress(zlib.compress(b"page")),
    "": b"page",
    "br": b"page",
}


@pytest.mark.parametrize("coding", PACKED)
def test_packed_pages_are_unpacked(coding: str) -> None:
    assert unpacked_response(None, answer(PACKED[coding], coding)).read() == b"page"


def test_a_small_page_that_unpacks_to_a_large_one_is_refused() -> None:
    bomb = gzip.compress(bytes(LARGEST_PAGE + 1))
    assert len(bomb) < 100_000
    with pytest.raises(PageTooLargeError, match="more than 33,554,432 bytes"):
        unpacked_response(None, answer(bomb, "gzip"))


def test_what_is_not_packed_as_it_says_is_refused() -> None:
    with pytest.raises(OSError, match="says that it is packed by gzip, and is not"):
        unpacked_response(None, answer(b"page", "gzip"))


def test_a_page_is_read_whole_up_to_the_bound() -> None:
    assert bound_reading(answer(b"page")).read() == b"page"
    with pytest.raises(PageTooLargeError):
        bound_reading(answer(bytes(LARGEST_PAGE + 1))).read()


def test_a_file_is_read_in_blocks_whatever_its_size() -> None:
    response = bound_reading(answer(bytes(LARGEST_PAGE + 10)))
    assert sum(len(block) for block in iter(lambda: response.read(1 << 20), b"")) == LARGEST_PAGE + 10
