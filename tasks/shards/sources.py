"""Sources of a file, over HTTP or on the disk, and what each of their failures means for the next attempt."""

import random
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import httpx

from tasks.shards.config import DownloadConfig
from tasks.shards.proxies import Routed, proxy_for


class Fault(Exception):  # noqa: N818 - the cause of an error, handled before anybody sees one
    """One attempt at one source has failed.

    Args:
        reason: what a person reads, e.g. `HTTP 403 (Forbidden)`.
        is_final: the same source will not answer otherwise the next time.
        spoils_part: what has come so far is no use.
        is_absent: the source says that it has no such file, which is final.
        is_lasting: the source, which answers, does not give this file, and would not tomorrow.
        retry_after_s: seconds that the server asks to wait.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_final: bool = False,
        spoils_part: bool = False,
        is_absent: bool = False,
        is_lasting: bool = False,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_absent = is_absent
        self.is_lasting = is_lasting or is_absent
        self.is_final = is_final or is_absent
        self.spoils_part = spoils_part
        self.retry_after_s = retry_after_s


class Stopped(Exception):  # noqa: N818 - not an error
    """Somebody asked for an end: Ctrl-C, or an error that concerns all files."""


def wait_before_retry_s(retry: int, fault: Fault, config: DownloadConfig) -> float:
    """Return the seconds to wait before retry number `retry`, counted from 1.

    Exponential back-off with full jitter: uniform in [0, min(max, base * 2^(retry-1))]
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), or what the server asks for if
    that is more.
    """
    ceiling = min(config.backoff_max_s, config.backoff_base_s * 2.0 ** min(retry - 1, 60))
    jitter = random.uniform(0, ceiling)  # noqa: S311 - spreads load, hides nothing
    return max(jitter, min(fault.retry_after_s, config.retry_after_max_s))


def retry_after_s(header: str | None, now: datetime | None = None) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3): a number or a date; 0 for neither."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    if date.tzinfo is None:  # "-0000" means UTC without a word on the place
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


CHUNK_BYTES = 1 << 18
# Worth another try although it is the client's fault by its number (RFC 9110): time-out, too early, too many.
PASSING = frozenset({408, 425, 429})
ABSENT = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml|error)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Body:
    """The rest of a file from `start` on."""

    chunks: Iterator[bytes]
    start: int  # bytes; 0 where the source did not heed the offset
    size_bytes: int | None  # of the whole file, where the source says so
    tag: str | None = None  # a strong ETag, which makes a later range safe without a digest


def make_client(config: DownloadConfig) -> httpx.Client:
    """Return a client that keeps one connection a transfer and takes files as they are, not compressed."""
    limits = httpx.Limits(max_connections=config.connections, max_keepalive_connections=config.connections)
    return httpx.Client(
        headers={"Accept-Encoding": "identity", "User-Agent": "reelsift (+https://research.google.com/youtube8m)"},
        timeout=httpx.Timeout(config.read_timeout_s, connect=config.connect_timeout_s, pool=None),
        follow_redirects=True,
        max_redirects=config.redirects,
        transport=Routed(lambda proxy: httpx.HTTPTransport(verify=_trusted(), limits=limits, proxy=proxy)),
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Read the certificates once: that takes 40 ms, and every batch of shards has a client."""
    return httpx.create_ssl_context()


def through(url: str) -> str:
    """Return what a message about an address adds where a proxy stands between."""
    proxy = proxy_for(url)
    return f", through {proxy}" if proxy else ""


@contextmanager
def open_url(client: httpx.Client, url: str, offset: int, tag: str | None) -> Iterator[Body]:
    """Ask for `url` from `offset` on, provided that it still has the ETag `tag`.

    Raises:
        Fault: the answer is of no use, or the connection failed, also while the chunks come.
    """
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    if offset and tag:
        headers["If-Range"] = tag
    try:
        with client.stream("GET", url, headers=headers) as response:
            try:
                yield _body_of(response, offset)
            except Fault as fault:
                fault.reason += through(str(response.url))
                raise
    except (httpx.TooManyRedirects, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        words = str(error).rstrip(".")
        raise Fault(f"leads astray: {words}{through(url)}", is_final=True, is_lasting=True) from error
    except httpx.TimeoutException as error:
        raise Fault(f"{_timeout_reason(error)}{through(url)}") from error
    except httpx.HTTPError as error:
        raise Fault(f"the connection failed: {error or type(error).__name__}{through(url)}") from error


@contextmanager
def open_path(path: Path, offset: int) -> Iterator[Body]:
    """Open a file on this machine from `offset` on; a file shorter than that gives no chunk.

    Raises:
        Fault: it cannot be read.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise Fault("it is a pipe or a device, which may never end", is_final=True)
    try:
        file = path.open("rb")
    except OSError as error:
        is_absent = isinstance(error, FileNotFoundError) and path.parent.is_dir()  # else the disk is not mounted
        raise Fault(error.strerror or str(error), is_final=True, is_absent=is_absent) from error
    with file:
        file.seek(offset)
        yield Body(_blocks(file), offset, path.stat().st_size)


def size_at_url(client: httpx.Client, url: str) -> int | None:
    """Return a file's size in bytes without fetching it, or None where the server does not say."""
    try:
        response = client.head(url)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    return _number(response.headers.get("Content-Length")) if response.status_code == HTTPStatus.OK else None


def _body_of(response: httpx.Response, offset: int) -> Body:
    """Judge the status line and the headers."""
    _check_status(response, offset)
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise Fault(f"sends the file as {encoding}, although it was asked not to", is_lasting=True)
    tag = response.headers.get("ETag", "")
    tag = tag if tag.startswith('"') else None  # a weak one does not vouch for single bytes
    length = _number(response.headers.get("Content-Length"))
    if response.status_code != HTTPStatus.PARTIAL_CONTENT:
        return Body(_without_markup(response), 0, length, tag)
    said = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", said)
    if match is None or int(match[1]) != offset:
        raise Fault(f"asked for the bytes from {offset} on, it sends {said!r}", spoils_part=True)
    return Body(response.iter_raw(), offset, _number(match[3]), tag)


def _check_status(response: httpx.Response, offset: int) -> None:
    status = response.status_code
    if status == HTTPStatus.OK or (status == HTTPStatus.PARTIAL_CONTENT and offset):
        return
    reason = f"HTTP {status} ({response.reason_phrase or 'no reason given'})"
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise Fault(f"{reason}: it has no bytes from {offset} on", spoils_part=True, is_lasting=not offset)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING:
        raise Fault(reason, retry_after_s=retry_after_s(response.headers.get("Retry-After")))
    raise Fault(reason, is_final=True, is_absent=status in ABSENT, is_lasting=True)


def _without_markup(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body's chunks unless it is a web page, as portals and proxies send in place of a file."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
    chunks = response.iter_raw()
    first = next(chunks, b"")
    if kind in {"text/html", "application/xhtml+xml"} or MARKUP.match(first):
        start = first[:60].decode("ascii", "replace")
        page = f"a web page ({kind or 'of no type'}: {start!r})"
        raise Fault(f"sends {page} in place of the file", spoils_part=True, is_lasting=True)
    yield first
    yield from chunks


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    try:
        while block := file.read(CHUNK_BYTES):
            yield block
    except OSError as error:
        raise Fault(error.strerror or str(error)) from error


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _timeout_reason(error: httpx.TimeoutException) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within `connect_timeout_s`"
    return "it fell silent for `read_timeout_s`"
