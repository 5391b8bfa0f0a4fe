"""What the command line prints: results on stdout, everything else on stderr.

In: values and tables. Out: text for people, or exactly one JSON object for programs. Does not compute anything.
"""

import codecs
import errno
import io
import json
import os
import select
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.contracts.errors import OutputError
from tasks.contracts.text import JOINERS, inert, shown, without_secrets

OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)
BROKEN = os.strerror(errno.EPIPE)


@contextmanager
def printing() -> Iterator[None]:
    """See before the work that its result can be written, and say in one line if it cannot be after all.

    What stdout's encoding lacks is escaped. Who reads only the beginning of a pipe wants no more, and no error.

    Raises:
        OutputError: stdout is closed or full, or a file cannot be written.
    """
    _open_streams()
    if problem := _problem_of(sys.stdout):
        raise OutputError(
            f"The result cannot be written to the standard output: {problem}. `> FILE` keeps it elsewhere."
        )
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        raise _in_words(error) from error


def _open_streams() -> None:
    """Stand in for streams that whoever started us has closed, and let none fail for a character that it lacks."""
    for name in ("stdin", "stderr"):
        stream = getattr(sys, name)
        if stream is None or (name == "stderr" and _problem_of(stream)):  # no work is lost for a word beside the result
            setattr(sys, name, open(os.devnull, "w+"))  # noqa: PTH123, SIM115 - it stays open
    if sys.stdout is None:
        raise OutputError("The standard output is closed, so there is nowhere to print the result: `> FILE` keeps it.")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _in_words(error: OSError) -> BaseException:
    """Say what could not be written; what is no fault of stdout or of a file stays as it is."""
    if error.filename and error.strerror:
        return OutputError(f"{error.filename}: {error.strerror}. Fix this and run the command again.")
    problem = _problem_of(sys.stdout)
    if not problem:
        return error
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the very end
    if problem == BROKEN:
        return SystemExit(1)
    return OutputError(f"The result could not be written to the standard output: {problem}.")


def _problem_of(stream: TextIO) -> str | None:
    """Return why nothing can be written to a stream, if nothing can be."""
    try:
        descriptor = stream.fileno()
        os.write(descriptor, b"")  # what is full says so even then
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and not os.fstatvfs(descriptor).f_bfree:
            return os.strerror(errno.ENOSPC)
    except io.UnsupportedOperation:  # no file at all: a test's buffer
        return None
    except OSError as error:
        return error.strerror
    poll = select.poll()
    poll.register(descriptor, 0)
    return BROKEN if any(event & select.POLLERR for _, event in poll.poll(0)) else None


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object, and nothing else, on stdout; what a terminal would obey is escaped, and stays the same."""
    is_unicode = codecs.lookup(sys.stdout.encoding or "utf-8").name.startswith("utf")
    text = without_secrets(json.dumps(value, ensure_ascii=not is_unicode, default=str))
    sys.stdout.write((text if text.isprintable() else "".join(map(_escaped, text))) + "\n")


def say(text: str) -> None:
    """Print a line of the result; whatever it holds is text: no markup, no emoji code, no order to the terminal."""
    OUT.print(_text(text))


def note(text: str) -> None:
    """Print a line beside the result."""
    ERR.print(_text(text), style="dim")


def print_error(text: str) -> None:
    """Print why the command failed, in one line."""
    ERR.print(Text.assemble(("error:", "bold red"), " ", shown(text)))


def print_warning(text: str) -> None:
    """Print what a person should know of a result that is there."""
    ERR.print(Text.assemble(("warning:", "bold yellow"), " ", shown(text)))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below their columns; columns of numbers are aligned to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [bool(cells) and all(_is_number(row[index]) for row in cells) for index in range(len(columns))]
    table = Table(title=_text(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(_text(name), justify="right" if right else "left", header_style="dim")
    for row in cells:
        table.add_row(*(_text(shown(cell)) for cell in row))
    Console(highlight=False, width=None if OUT.is_terminal else 160).print(table)


def _text(text: str) -> Text:
    return Text(inert(without_secrets(text)))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _escaped(character: str) -> str:
    """Write what cannot be seen as JSON's own escape: JSON leaves the control characters above ASCII as they are."""
    if character.isprintable() or character in JOINERS:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "").lstrip("+-").isdecimal()
