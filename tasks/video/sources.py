"""What a person names when they name a video.

In: text. Out: a `Source`: a file, an address, a YouTube id or a YouTube-8M id. Does not fetch or open anything.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tasks.contracts.errors import RefusedSourceError, SourceError

YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
YT8M_ID = re.compile(r"[A-Za-z0-9]{4}")
SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):")  # two letters or more: `C:` is a drive
HOST_LIKE = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+/.*")
CHOICES = "A source is a file, an http(s) address, a YouTube id (11 characters) or a YouTube-8M id (4, like ZU9H)"
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
        return Path(self.text).expanduser().absolute()


def parse_source(text: str) -> Source:
    """Tell what `text` names. A file that is there goes before an id that looks like its name.

    Raises:
        RefusedSourceError: an address that is neither http nor https.
        SourceError: it is none of the things that a source may be.
    """
    scheme = SCHEME.match(text)
    if scheme and not _is_file(text):
        return Source(text, _addressed(text, scheme["scheme"].lower()))
    if _is_file(text):
        return Source(text, SourceKind.FILE)
    if YOUTUBE_ID.fullmatch(text):
        return Source(text, SourceKind.YOUTUBE)
    if YT8M_ID.fullmatch(text):
        return Source(text, SourceKind.YT8M)
    hint = f" For an address write https://{text}" if HOST_LIKE.fullmatch(text) else ""
    raise SourceError(f"No video {text!r}: there is no such file, and it is no id. {CHOICES}.{hint}")


def watch_page(youtube_id: str) -> str:
    """Return the address of a YouTube video's page."""
    return WATCH_PAGE + youtube_id


def _addressed(text: str, scheme: str) -> SourceKind:
    if scheme in {"http", "https"} and text[len(scheme) :].startswith("://"):
        return SourceKind.URL
    raise RefusedSourceError(f"{text!r} is not fetched: only http and https are. {CHOICES}.")


def _is_file(text: str) -> bool:
    try:
        return Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long a name, a zero byte, no such user
        return False
