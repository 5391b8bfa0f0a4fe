"""Progress of a stage, reported to any listener: a bar, or a line now and then."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tasks.contracts.text import one_line


class EndedError(KeyboardInterrupt):
    """The process has been asked to end. Whatever lets Ctrl-C through lets it through."""


_ending = threading.Event()


def end_all() -> None:
    """Raise an error in every thread where it next reports its progress, or asks."""
    _ending.set()


def check_ending() -> None:
    """Raise where the process has been asked to end.

    Raises:
        EndedError: it has.
    """
    if _ending.is_set():
        raise EndedError


class Progress(Protocol):
    """A listener. Calls may come from several threads at once."""

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Say that `what` starts, with `total` units to do (None where nobody knows yet).

        Called again for the same `what`, it sets a better total.
        """
        ...

    def advance(self, what: str, amount: float) -> None:
        """Say that `amount` more units of `what` are done; negative where work was thrown away."""
        ...


@runtime_checkable
class Stoppable(Protocol):
    """A listener that hears as well why something ends before its goal."""

    def stop(self, what: str, why: str) -> None:
        """Say that `what` is finished, and why sooner than was said."""
        ...


def stop(progress: Progress, what: str, why: str) -> None:
    """Tell a listener that `what` ends before its goal, if it can make something of that."""
    if isinstance(progress, Stoppable):
        progress.stop(what, why)


class Silent:
    """The listener that ignores everything."""

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Ignore it."""

    def advance(self, what: str, amount: float) -> None:
        """Ignore it."""


class LongAlone:
    """A listener in front of another that passes on what takes long; of the rest, a word for each would be noise."""

    def __init__(self, listener: Progress, at_least: float) -> None:
        """Pass on what has a total of at least so many units."""
        self._listener, self._at_least = listener, at_least
        self._long = set[str]()

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Pass it on if it is long; raise if the process is to end."""
        check_ending()
        if total is not None and total >= self._at_least:
            self._long.add(what)
            self._listener.begin(what, total, unit)

    def advance(self, what: str, amount: float) -> None:
        """Pass it on if it is of what is long; raise if the process is to end."""
        check_ending()
        if what in self._long:
            self._listener.advance(what, amount)


class _Shared:
    """One listener for many stages that run side by side and count the same things: their totals add up."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._totals: dict[str, dict[object, float | None]] = {}
        self._lock = threading.Lock()

    def begin(self, share: object, what: str, total: float | None, unit: str) -> None:
        with self._lock:
            totals = self._totals.setdefault(what, {})
            totals[share] = total
            known = [each for each in totals.values() if each is not None]
            self.progress.begin(what, sum(known) if len(known) == len(totals) else None, unit)


class _Share:
    """What one of these stages talks to."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared

    def begin(self, what: str, total: float | None, unit: str) -> None:
        self._shared.begin(self, what, total, unit)

    def advance(self, what: str, amount: float) -> None:
        self._shared.progress.advance(what, amount)

    def stop(self, what: str, why: str) -> None:
        stop(self._shared.progress, what, why)


_LISTENER: ContextVar[_Shared | None] = ContextVar("reelsift_progress", default=None)


@contextmanager
def listening(progress: Progress) -> Iterator[None]:
    """Let `progress` hear of all that runs within the block, also in threads that copy the context."""
    token = _LISTENER.set(_Shared(progress))
    try:
        yield
    finally:
        _LISTENER.reset(token)


def listener() -> Progress | None:
    """Return a way to report to the listener of this context, if there is one; each stage asks for its own."""
    shared = _LISTENER.get()
    return _Share(shared) if shared else None


EVERY_S = 5.0


WINDOW_S = 30.0  # the time left is judged by the rate of the last seconds
ENOUGH_S, ENOUGH_SAMPLES = 10.0, 3  # before that, a rate says nothing: what comes first is slow, or comes all at once
THIN_S = 0.5  # between two samples that are kept


class Throughput:
    """How fast something goes on, and how long it will take, once there is enough to tell."""

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._samples: deque[tuple[float, float]] = deque([(now_s, 0.0)])
        self.done = 0.0

    def advance(self, amount: float, now_s: float) -> None:
        """Count what is done."""
        self.done += amount
        if now_s - self._samples[-1][0] >= THIN_S:
            self._samples.append((now_s, self.done))
        while len(self._samples) > ENOUGH_SAMPLES and now_s - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()

    def rate(self, now_s: float) -> float:
        """Return what is done in a second, of late."""
        first_s, done = self._samples[0]
        return (self.done - done) / max(now_s - first_s, 1e-9)

    def left_s(self, total: float | None, now_s: float) -> float | None:
        """Return the seconds that are left; None where it is too early to say, or there is no end in sight."""
        is_enough = now_s - self._began_s >= ENOUGH_S and len(self._samples) > ENOUGH_SAMPLES
        rate = self.rate(now_s)
        return max(total - self.done, 0) / rate if total is not None and is_enough and rate > 0 else None


@dataclass
class _Work:
    total: float | None
    unit: str
    throughput: Throughput


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
            self._works.setdefault(what, _Work(total, unit, Throughput(time.monotonic()))).total = total

    def advance(self, what: str, amount: float) -> None:
        """Note what is done, and say so if the last line is old enough."""
        with self._lock:
            work = self._works[what]
            now = time.monotonic()
            work.throughput.advance(amount, now)
            if not work.throughput.done or now - self._said_s < self._every_s:
                return
            self._said_s = now
        self._write(one_line(_line(what, work, now)))

    def stop(self, what: str, why: str) -> None:
        """Say why that is all, however short a time ago the last line was."""
        self._write(one_line(f"{what}: {why}"))


def _line(what: str, work: _Work, now: float) -> str:
    rate, left_s = work.throughput.rate(now), work.throughput.left_s(work.total, now)
    line = f"{what}: {share(work.throughput.done, work.total, work.unit)}, {scaled(rate, work.unit)}/s"
    return line if left_s is None else f"{line}, about {left_s:,.0f} s left"


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
