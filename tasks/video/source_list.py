"""Many sources, as a person names them.

In: sources, some of which may be `@FILE`, a text file with a source a line. Out: each source once, in order. Does not
look at what they name.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.contracts.errors import SourceError

LIST_MARK = "@"
COMMENT_MARK = "#"
LONGEST_LIST_BYTES = 256 << 20


def listed(sources: Iterable[str]) -> list[str]:
    """Return every source once, those of lists in the place of the list.

    Raises:
        SourceError: a list cannot be read, or there is no source at all.
    """
    found = list(dict.fromkeys(each for source in sources for each in _of(source)))
    if not found:
        raise SourceError(
            "There is no video in the list: write one source a line; one that begins with # does not count."
        )
    return found


def _of(source: str) -> Iterator[str]:
    if not source.startswith(LIST_MARK):
        yield source
        return
    path = Path(source.removeprefix(LIST_MARK)).expanduser()
    for line in _text(path).splitlines():
        if line.strip() and not line.startswith(COMMENT_MARK):
            yield line.strip()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_LIST_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise SourceError(f"The list of videos {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no list of videos: it must be UTF-8 text, one source a line.") from error
    if len(data) > LONGEST_LIST_BYTES:
        raise SourceError(f"The list of videos {path} is over {LONGEST_LIST_BYTES >> 20} MB: split it.")
    return text
