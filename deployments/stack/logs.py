"""What the parts of the stack have printed.

In: a log file. Out: its last lines, and those that follow. Does not know who wrote them.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.contracts.text import inert, without_secrets

BLOCK_BYTES = 64 << 10
LOOK_EVERY_S = 0.25
WORDS_LENGTH = 300


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log, which may be huge; none where there is no file."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            data = b""
            while size and data.count(b"\n") <= count:
                step = min(BLOCK_BYTES, size)
                size = file.seek(size - step)
                data = file.read(step) + data
    except FileNotFoundError:
        return []
    return _text(data).splitlines()[-count:] if count else []


def following(log: Path, is_alive: Callable[[], bool]) -> Iterator[str]:
    """Yield what is written to a log from now on, until its writer has ended."""
    with log.open("rb") as file:
        file.seek(0, 2)
        while True:
            alive = is_alive()  # asked first: what was written before the end is read after it
            if data := file.read():
                yield _text(data)
            elif not alive:
                return
            else:
                time.sleep(LOOK_EVERY_S)


def last_words(log: Path) -> str:
    """Return the end of a log in one line, for an error."""
    lines = [line.strip() for line in last_lines(log, 20) if line.strip()]
    words = " | ".join(lines[-3:])
    return words[-WORDS_LENGTH:] or "none."


def _text(data: bytes) -> str:
    return inert(without_secrets(data.decode("utf-8", "replace").replace("\r\n", "\n")))
