"""Progress where nobody watches a bar: a line now and then.

In: a stage's calls. Out: lines with share, rate and time left, to whatever takes them. Does not know of
terminals or of Prefect.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tasks.contracts.text import one_line

EVERY_S = 5.0


@dataclass
class _Work:
    total: float | None
    unit: str
    started_s: float
    done: float = 0.0


class LineProgress:
    """A listener that writes at most one line every few seconds."""

    def __init__(self, write: Callable[[str], None], every_s: float = EVERY_S) -> None:
        self._write = write
        self._every_s = every_s
        self._works: dict[str, _Work] = {}
        self._lock = threading.Lock()
        self._said_s = time.monotonic()

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Note what there is to do."""
        with self._lock:
            self._works.setdefault(what, _Work(total, unit, time.monotonic())).total = total

    def advance(self, what: str, amount: float) -> None:
        """Note what is done, and say so if the last line is old enough."""
        with self._lock:
            work = self._works[what]
            work.done += amount
            now = time.monotonic()
            if not work.done or now - self._said_s < self._every_s:
                return
            self._said_s = now
        self._write(one_line(_line(what, work, now)))


def _line(what: str, work: _Work, now: float) -> str:
    rate = work.done / max(now - work.started_s, 1e-9)
    line = f"{what}: {share(work.done, work.total, work.unit)}, {scaled(rate, work.unit)}/s"
    if work.total is None or rate <= 0:
        return line
    return f"{line}, about {max(work.total - work.done, 0) / rate:,.0f} s left"


BYTE_UNIT = "B"
BYTE_STEPS = ("kB", "MB", "GB", "TB")


def share(done: float, total: float | None, unit: str) -> str:
    """Write how much is done of how much: `12 of 100 shards`, `1.5 MB of 3.0 GB`."""
    if total is None:
        return scaled(done, unit)
    first = scaled(done, unit) if unit == BYTE_UNIT else f"{done:,.0f}"
    return f"{first} of {scaled(total, unit)}"


def scaled(value: float, unit: str) -> str:
    """Write a number with its unit; bytes (`B`) in the step of 1,000 that suits."""
    if unit != BYTE_UNIT or value < 1000:
        return f"{value:,.0f} {unit}" if value >= 10 or value == int(value) else f"{value:.1f} {unit}"
    step = -1
    while value >= 1000 and step < len(BYTE_STEPS) - 1:
        value, step = value / 1000, step + 1
    return f"{value:,.1f} {BYTE_STEPS[step]}"
