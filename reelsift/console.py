"""What the command line prints: results on stdout; messages, tables and progress bars on stderr."""

import codecs
import errno
import io
import json
import os
import select
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from tasks.contracts.errors import OutputError
from tasks.contracts.progress import LineProgress, Throughput, check_ending, listening, scaled, share, stop
from tasks.contracts.progress import Progress as Listener
from tasks.contracts.text import JOINERS, inert, one_line, shown, without_secrets

OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)
WIDE = 200  # characters of a table that goes to a file or a pipe
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
    """Stand in for streams that our parent has closed, and let none fail for a character that it lacks."""
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


def can_print() -> bool:
    """Say whether stdout takes anything: where it does not, the reason is said on stderr alone."""
    return sys.stdout is not None and _problem_of(sys.stdout) is None


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
    Console(highlight=False, width=None if OUT.is_terminal else WIDE).print(table)


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


class CountColumn(ProgressColumn):
    """`12 of 100 shards, 3.4 shards/s`, or the same in bytes."""

    def render(self, task: Task) -> Text:
        """Draw the count of one bar, or why it is full before its goal."""
        if task.fields["stopped"]:
            return Text(task.fields["stopped"])
        unit = task.fields["unit"]
        rate = task.finished_speed or task.speed
        return Text(share(task.completed, task.total, unit) + (f", {scaled(rate, unit)}/s" if rate else ""))


class TimeLeftColumn(ProgressColumn):
    """`1:02:03` left, as the pace of late has it; nothing while it is too early to say."""

    def render(self, task: Task) -> Text:
        """Draw the time left of one bar."""
        left_s = task.fields["pace"].left_s(task.total, time.monotonic())
        return Text("" if left_s is None or task.finished else str(timedelta(seconds=round(left_s))))


class Bars:
    """A listener that draws a bar for each thing that is counted."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._paces: dict[str, Throughput] = {}

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Draw a bar, or give the one that is there a better total."""
        if what not in self._bars:
            self._paces[what] = Throughput(time.monotonic())
            self._bars[what] = self._progress.add_task(
                one_line(what), total=total, unit=unit, pace=self._paces[what], stopped=""
            )
        self._progress.update(self._bars[what], total=total)

    def advance(self, what: str, amount: float) -> None:
        """Fill the bar a bit more."""
        self._paces[what].advance(amount, time.monotonic())
        self._progress.advance(self._bars[what], amount)

    def stop(self, what: str, why: str) -> None:
        """Fill the bar, and say why that is all."""
        bar, done = self._bars[what], self._paces[what].done
        self._progress.update(bar, total=done, completed=done, stopped=one_line(why))


class Ending:
    """A listener in front of another, by which every thread hears that the command is to end."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Hand on what begins, unless the command is to end."""
        check_ending()
        self._listener.begin(what, total, unit)

    def advance(self, what: str, amount: float) -> None:
        """Hand on what was done, unless the command is to end."""
        check_ending()
        self._listener.advance(what, amount)

    def stop(self, what: str, why: str) -> None:
        """Hand on what ends before its goal."""
        stop(self._listener, what, why)


@contextmanager
def progress_shown() -> Iterator[Listener]:
    """Show the progress of everything that runs within the block."""
    if not ERR.is_terminal:
        lines = LineProgress(note)
        with listening(Ending(lines)):
            yield lines
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        CountColumn(),
        TimeLeftColumn(),
    )
    with Progress(*columns, console=ERR, transient=True) as progress:
        bars = Bars(progress)
        with listening(Ending(bars)):
            yield bars
