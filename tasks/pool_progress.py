"""How far a run over a pool is, where people look: its terminal or log, and an artifact in Prefect's UI.

In: a stage's calls. Out: lines with what is done and the time left, and a progress artifact. Does not count by itself.
"""

import time
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from tasks.contracts.progress_lines import Pace, share
from tasks.progress_log import current_progress

SHOW_EVERY_S = 5.0


class PoolProgress:
    """A listener for one kind of thing, as long as the block lasts."""

    def __init__(self, what: str, total: int, *, key: str) -> None:
        """Take what is counted, how many there are, and the artifact's key, to which `-progress` is added."""
        self._what = what
        self._total = total
        self._key = f"{key}-progress"
        self._shown_s = time.monotonic()
        self._pace = Pace(self._shown_s)
        self._artifact: UUID | None = None
        self._listener = current_progress()

    def __enter__(self) -> Self:
        """Show that nothing is done yet."""
        self._listener.begin(self._what, self._total, self._what)
        artifact = create_progress_artifact(0.0, key=self._key, description=self._words())
        assert isinstance(artifact, UUID)  # a coroutine in an event loop alone
        self._artifact = artifact
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show what was done, unless the run ends in a hurry."""
        if kind is None:
            self._show()

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Pass on what else is counted."""
        self._listener.begin(what, total, unit)

    def advance(self, what: str, amount: float) -> None:
        """Count, and show it if the last time is long enough ago."""
        self._listener.advance(what, amount)
        self._pace.advance(amount if what == self._what else 0, time.monotonic())
        if time.monotonic() - self._shown_s > SHOW_EVERY_S:
            self._show()

    def _show(self) -> None:
        assert self._artifact is not None
        self._shown_s = time.monotonic()
        part = 100 * self._pace.done / self._total if self._total else 100.0
        update_progress_artifact(self._artifact, min(part, 100.0), description=self._words())

    def _words(self) -> str:
        counted = share(self._pace.done, self._total, self._what)
        left_s = self._pace.left_s(self._total, time.monotonic())
        return f"{counted}, about {left_s:,.0f} s left" if left_s else counted
