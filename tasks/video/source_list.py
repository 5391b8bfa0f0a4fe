"""Many sources, as a person names them.

In: sources, some of which may be `@FILE`, a text file with a source a line. Out: each source once, in order. Does not
look at what they name.
"""

import codecs
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tasks.contracts.errors import SourceError
from tasks.video.sources import Source, is_file, parse_source, typed_name

LIST_MARK = "@"
COMMENT_MARK = "#"
LONGEST_LIST_BYTES = 256 << 20
# How editors mark the encoding of a text, the longer mark first.
MARKED = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def listed(sources: Iterable[str]) -> list[str]:
    """Return every source once, those of lists in the place of the list.

    A list that cannot be read stays a source, where there are others: it then fails alone (`source_of`).

    Raises:
        SourceError: the only source is a list that cannot be read, or there is no source at all.
    """
    given, found = list(sources), dict[str, None]()
    for source in given:
        try:
            found |= dict.fromkeys(_of(source))
        except SourceError:
            if len(given) == 1:
                raise
            found[source] = None
    if not found:
        raise SourceError(
            "There is no video in the list: write one source a line; one that begins with # does not count."
        )
    return list(found)


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
    for line in _lines(path):
        if is_file(line):  # whatever its name begins or ends with
            yield line
        elif line.strip() and not line.startswith(COMMENT_MARK):
            yield line.strip()


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a list; names may hold any character but a line's end, and bytes that are no UTF-8."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            data = file.read(LONGEST_LIST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SourceError(f"The list of videos {path} cannot be read: {_reason(error)}.") from error
    if len(data) > LONGEST_LIST_BYTES:
        raise SourceError(f"The list of videos {path} is over {LONGEST_LIST_BYTES >> 20} MB: split it.")
    text = _text(data, path)
    yield from (typed_name(line.removesuffix("\r")) for line in text.split("\n"))


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe that nobody writes to as an empty file. What a shell's `@<(command)` still writes is waited for."""
    number = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(number, True)
    return number


def _text(data: bytes, path: Path) -> str:
    encoding = next((name for mark, name in MARKED if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding, "strict" if encoding != "utf-8" else "surrogateescape")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # a video, perhaps
        raise SourceError(f"{path} is no list of videos: it must be text, in UTF-8 or UTF-16, one source a line.")
    return text.removeprefix("\ufeff")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
