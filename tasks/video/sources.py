"""Sources of videos: a path, an address, an id, a list or a folder, and the name of each video's folder."""

import codecs
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from glob import glob
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from tasks.contracts.errors import RefusedSourceError, SourceError
from tasks.contracts.media import FetchedVideo

YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
YT8M_ID = re.compile(r"[A-Za-z0-9]{4}")
SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):")  # two letters or more: `C:` is a drive
HOST_LIKE = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+/.*")
CHOICES = (
    "A source is a file, a folder, an http(s) address, a YouTube id (11 characters) or a YouTube-8M id (4, like ZU9H)"
)
LONGEST_SHOWN = 200  # characters
SMUGGLED = "__youtubedl_smuggle"  # how parts of yt-dlp hand each other orders, within an address
WATCH_PAGE = "https://www.youtube.com/watch?v="
YT8M_MARK = "yt8m:"  # before an id, where a file of the id's name is not what is meant


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
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # of JSON, which may escape half a character
        return text.encode("utf-8", "backslashreplace").decode()


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


def means_elsewhere(text: str) -> bool:
    """Say whether `text` names, by its form, what is not on this disk: an address or an id."""
    text = text.strip()
    return bool(SCHEME.match(text) or YOUTUBE_ID.fullmatch(text) or YT8M_ID.fullmatch(text))


def _elsewhere(text: str) -> Source | None:
    """Return what `text` names that is not on this disk."""
    if text.startswith(YT8M_MARK) and YT8M_ID.fullmatch(text.removeprefix(YT8M_MARK)):
        return Source(text.removeprefix(YT8M_MARK), SourceKind.YT8M)
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
        return "that is a folder with no video or picture in it"
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


LONGEST = 60  # characters of the title
DIGITS = 8  # of the digest: enough to tell the videos of one folder apart


def slug_of(text: str) -> str:
    """Return a text as a name of a file: letters of ASCII, digits and hyphens; nothing where it has none of them."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:LONGEST].strip("-")


def folder_name(video: FetchedVideo) -> str:
    """Return a slug of the title, the beginning of the content's digest, and the seconds of a part."""
    whole = f"{slug_of(video.title) or 'video'}-{video.sha256[:DIGITS]}"
    if video.part is None:
        return whole
    end = "end" if video.part.end_s is None else f"{video.part.end_s:.10g}"
    return f"{whole}-{video.part.start_s:.10g}-{end}"


LIST_MARK = "@"
LIST_OF_VIDEOS = "list of videos"
COMMENT_MARK = "#"
LONGEST_LIST_BYTES = 256 << 20
# How editors mark the encoding of a text, the longer mark first.
MARKED = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def listed(sources: Iterable[str], *, is_recursive: bool = False) -> list[str]:
    """Return every source once, those of lists, folders and patterns (`*.mp4`) in the place of these.

    One that cannot be read, or leads to no video, stays a source, where there are others: it then fails alone
    (`source_of`).

    Args:
        sources: as a person named them.
        is_recursive: whether folders are opened with all folders below them.

    Raises:
        SourceError: the only source is a list or a folder that cannot be read, or there is no source at all.
    """
    given, found = list(sources), dict[str, None]()
    for source in given:
        try:
            found |= dict.fromkeys(
                each
                for line in _of(source)
                for each in _opened(line, is_recursive=is_recursive, is_alone=line == source)
            )
        except SourceError:
            if len(given) == 1:
                raise
            found[source] = None
    if not found:
        raise SourceError(
            "There is no video in the list: write one source a line; one that begins with # does not count."
        )
    return list(found)


MEDIA_SUFFIXES = frozenset({
    ".3gp", ".avi", ".bmp", ".flv", ".gif", ".jpeg", ".jpg", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
    ".mts", ".ogv", ".png", ".tif", ".tiff", ".ts", ".webm", ".webp", ".wmv",
})  # fmt: skip


PATTERN_MARKS = re.compile(r"[*?[]")


def _opened(source: str, *, is_recursive: bool, is_alone: bool) -> list[str]:
    """Return the media of a folder, or the files that a pattern matches; any other source as it is.

    Raises:
        SourceError: there are none. Of a list's line (not `is_alone`) that is said once it is worked on.
    """
    try:
        if folder := next((path for path in _readable(_raw(source) or source) if path.is_dir()), None):
            return media_in(folder, is_recursive=is_recursive)
        if PATTERN_MARKS.search(source) and not SCHEME.match(source) and not is_file(source):
            return _matching(source)
    except SourceError:
        if is_alone and not HOST_LIKE.fullmatch(source):  # an address without its scheme: what it lacks is said later
            raise
    return [source]


def _matching(pattern: str) -> list[str]:
    """Return the files that a pattern matches; `**` is any number of folders.

    A pattern that leaves the suffix open matches videos and pictures alone.

    Raises:
        SourceError: there are none.
    """
    is_any = bool(PATTERN_MARKS.search(Path(pattern).suffix) or not Path(pattern).suffix)
    # Paths' own pattern may not be absolute, and their home must be somebody's.
    matched = sorted(glob(os.path.expanduser(pattern), recursive=True))  # noqa: PTH111, PTH207
    found = [typed_name(each) for each in matched if Path(each).is_file() and (not is_any or _is_media(Path(each)))]
    if not found:
        raise SourceError(f"No {'video or picture' if is_any else 'file'} matches the pattern {pattern!r}.")
    return found


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in MEDIA_SUFFIXES and path.is_file() and not path.name.startswith(".")


def media_in(folder: Path, *, is_recursive: bool = False) -> list[str]:
    """Return the videos and pictures that lie in a folder, told by their suffixes, in the order of their names.

    Links to folders, hidden folders, pipes and devices are not opened.

    Args:
        folder: where they lie.
        is_recursive: whether those of the folders below it are wanted too.

    Raises:
        SourceError: there is none, or the folder cannot be read.
    """
    chosen = list[Path]()
    try:
        for place, below, names in os.walk(folder, onerror=_raised):
            below[:] = sorted(name for name in below if not name.startswith(".")) if is_recursive else []
            chosen += filter(_is_media, (Path(place, name) for name in sorted(names)))
    except OSError as error:
        raise SourceError(f"The folder {error.filename or folder} cannot be read: {error.strerror}.") from error
    if not chosen:
        more = "" if is_recursive else ", or open the folders below it with `--recursive`"
        raise SourceError(
            f"No video or picture in the folder {folder}: its files have other suffixes. Name a file{more}."
        )
    return [typed_name(str(path)) for path in chosen]


def _raised(error: OSError) -> None:
    raise error


def names_several(text: str) -> bool:
    """Say whether a source may lead to several: a list, a folder or a pattern."""
    if is_file(text):
        return False
    is_folder = any(path.is_dir() for path in _readable(_raw(text) or text))
    return text.startswith(LIST_MARK) or is_folder or bool(PATTERN_MARKS.search(text) and not SCHEME.match(text))


def source_of(text: str) -> Source:
    """Tell what one source names, lists opened before.

    Raises:
        SourceError: it is none, or a list: why that could not be read.
    """
    if _is_list(text):
        for _ in _of(text):
            break
        raise SourceError(f"{text!r} is a list within a list: give it to the command, beside the other one.")
    return parse_source(text)


def _is_list(source: str) -> bool:
    return source.startswith(LIST_MARK) and not is_file(source)


def _of(source: str) -> Iterator[str]:
    if not _is_list(source):
        yield source
        return
    path = Path(source.removeprefix(LIST_MARK))
    if not path.exists():
        with suppress(RuntimeError):  # no such user
            path = path.expanduser()
    yield from _sources_among(text_of_file(path, LIST_OF_VIDEOS))


def read_list(stream: BinaryIO) -> list[str]:
    """Return the sources that a list has, as of the standard input, one a line.

    Raises:
        SourceError: it is too long, or no text.
    """
    return list(_sources_among(_decoded(stream.read(LONGEST_LIST_BYTES + 1), "The standard input", LIST_OF_VIDEOS)))


def _sources_among(text: str) -> Iterator[str]:
    """Yield the sources of a list; names may hold any character but a line's end, and bytes that are no UTF-8."""
    for line in (typed_name(line.removesuffix("\r")) for line in text.split("\n")):
        if is_file(line):  # whatever its name begins or ends with
            yield line
        elif line.strip() and not line.startswith(COMMENT_MARK):
            yield line.strip()


def text_of_file(path: Path, what: str) -> str:
    """Read a text of a person's own, marked as editors mark it; bytes that are no UTF-8 become surrogates.

    Args:
        path: the file.
        what: it is, as in `list of videos`.

    Raises:
        SourceError: it cannot be read, is too long, or is no text.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            data = file.read(LONGEST_LIST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SourceError(f"The {what} {path} cannot be read: {_reason(error)}.") from error
    return _decoded(data, str(path), what)


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe that nobody writes to as an empty file. What a shell's `@<(command)` still writes is waited for."""
    number = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(number, True)
    return number


def _decoded(data: bytes, name: str, what: str) -> str:
    if len(data) > LONGEST_LIST_BYTES:
        raise SourceError(f"The {what} {name} is over {LONGEST_LIST_BYTES >> 20} MB: split it.")
    encoding = next((name for mark, name in MARKED if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding, "strict" if encoding != "utf-8" else "surrogateescape")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # a video, perhaps
        raise SourceError(f"{name} is no {what}: it must be text, in UTF-8 or UTF-16, one source a line.")
    return text.removeprefix("\ufeff")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
