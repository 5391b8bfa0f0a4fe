"""Progress in a terminal: a bar for each thing that is counted, with its rate and the time left.

In: the stages' calls, from any thread. Out: bars on stderr, or a line now and then where stderr is a file.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from flows.commands.console import ERR, note
from tasks.contracts.progress import Progress as Listener
from tasks.contracts.progress import check_ending, listening, stop
from tasks.contracts.progress_lines import LineProgress, Pace, scaled, share
from tasks.contracts.text import one_line


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
        self._paces: dict[str, Pace] = {}

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Draw a bar, or give the one that is there a better total."""
        if what not in self._bars:
            self._paces[what] = Pace(time.monotonic())
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
