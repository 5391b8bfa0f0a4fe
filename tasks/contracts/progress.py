"""How a stage says how far it is, without knowing who listens, and hears that it is to end.

In: calls from a stage, from any of its threads. Out: whatever the listener makes of them (a bar, a log
line, nothing), and an error once the process has been asked to end. Does not know of terminals or of Prefect.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable


class EndedError(KeyboardInterrupt):
    """The process has been asked to end. Whatever lets Ctrl-C through lets it through."""


_ending = threading.Event()


def end_all() -> None:
    """Let every thread meet an error where it next tells of its progress, or asks."""
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
    """Return a way to tell whoever listens in this context, if anybody does; each stage asks for its own."""
    shared = _LISTENER.get()
    return _Share(shared) if shared else None
