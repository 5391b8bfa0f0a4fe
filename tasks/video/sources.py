"""What a person names when they name a video.

In: text. Out: a `Source`: a file, an address, a YouTube id or a YouTube-8M id. Does not fetch or open anything.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from tasks.contracts.errors import RefusedSourceError, SourceError

YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
YT8M_ID = re.compile(r"[A-Za-z0-9]{4}")
SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):")  # two letters or more: `C:` is a drive
HOST_LIKE = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+/.*")
CHOICES = "A source is a file, an http(s) address, a YouTube id (11 characters) or a YouTube-8M id (4, like ZU9H)"
LONGEST_SHOWN = 200  # characters
SMUGGLED = "__youtubedl_smuggle"  # how parts of yt-dlp hand each other orders, within an address
WATCH_PAGE = "https://www.youtube.com/watch?v="


class SourceKind(StrEnum):
    """What a source is."""

    FILE = "file"
    URL = "url"
    YOUTUBE = "youtube"
    YT8M = "yt8m"


@dataclass(frozen=True)
class Source:
    """A source and what it is."""

    text: str
    kind: SourceKind

    @property
    def path(self) -> Path:
        """The file, where it is one."""
        path = _file(self.text)
        return path or Path(self.text).absolute()


def absolute(text: str) -> str:
    """Return a source that names the same from any folder."""
    path = _file(text)
    return str(path) if path else text


def is_file(text: str) -> bool:
    """Say whether `text` is the name of a file that is there, before any other meaning that it may have."""
    return _file(text) is not None


def typed_name(text: str) -> str:
    r"""Return a name as JSON can hold it: the bytes of one that is no UTF-8 are written out, as in `caf\xe9.mp4`."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def parse_source(text: str) -> Source:
    """Tell what `text` names. A file that is there goes before an id that looks like its name.

    Raises:
        RefusedSourceError: an address that is neither http nor https.
        SourceError: it is none of the things that a source may be.
    """
    if is_file(text):
        return Source(text, SourceKind.FILE)
    if not _is_special(text):
        text = text.strip()  # as it was pasted
        found = _elsewhere(text)
        if found:
            return found
    raise SourceError(f"No video {text[:LONGEST_SHOWN]!r}: {_problem(text)}, and it is no id. {CHOICES}.")


def _elsewhere(text: str) -> Source | None:
    """Return what `text` names that is not on this disk."""
    scheme = SCHEME.match(text)
    if scheme:
        _check_address(text, scheme["scheme"].lower())
        return Source(text, SourceKind.URL)
    if YOUTUBE_ID.fullmatch(text):
        return Source(text, SourceKind.YOUTUBE)
    if YT8M_ID.fullmatch(text):
        return Source(text, SourceKind.YT8M)
    return None


def watch_page(youtube_id: str) -> str:
    """Return the address of a YouTube video's page."""
    return WATCH_PAGE + youtube_id


def _check_address(text: str, scheme: str) -> None:
    if scheme not in {"http", "https"} or not text[len(scheme) :].startswith("://"):
        raise RefusedSourceError(f"{text!r} is not fetched: only http and https are. {CHOICES}.")
    if SMUGGLED in text:
        raise RefusedSourceError(f"{text!r} is not fetched: it holds orders to yt-dlp. Name the address of a page.")
    try:
        sound = bool(urlsplit(text).hostname) and text.isprintable() and " " not in text
    except ValueError:  # brackets that hold no IPv6 address
        sound = False
    if not sound:
        raise SourceError(f"{text!r} is no address: it needs a host, and no blanks. {CHOICES}.")


def _problem(text: str) -> str:
    if any(path.is_dir() for path in _readable(text)):
        return "that is a folder, name the files in it"
    if _is_special(text):
        return "that is a pipe or a device, which may never end; name a file"
    if any(path.is_file() for path in _readable(_raw(text))):
        return "the name of that file is not UTF-8 text, rename it"
    hint = f" (for an address write https://{text})" if HOST_LIKE.fullmatch(text) else ""
    return f"there is no such file{hint}"


def _is_special(text: str) -> bool:
    return any(not path.is_file() and not path.is_dir() for path in _readable(text))


def _file(text: str) -> Path | None:
    """Return the file of this name: as it is written, before `~` means somebody's home."""
    return next((path.absolute() for path in _readable(text) if path.is_file()), None)


def _readable(text: str) -> Iterator[Path]:
    """Yield what of the name's readings is there."""
    for reading in (Path, lambda name: Path(name).expanduser()):
        with suppress(OSError, ValueError, RuntimeError):  # too long a name, a zero byte, no such user
            path = reading(text)
            path.stat()
            if text:
                yield path


def _raw(text: str) -> str:
    """Return the name that `typed_name` wrote out."""
    escaped = re.sub(r"\\x([89a-f][0-9a-f])", lambda match: chr(0xDC00 + int(match[1], 16)), text)
    return escaped if escaped != text else ""
