"""How a stage says how far it is, without knowing who listens.

In: calls from a stage, from any of its threads. Out: whatever the listener makes of them (a bar, a log
line, nothing). Does not know of terminals or of Prefect.
"""

from typing import Protocol


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


class Silent:
    """The listener that ignores everything."""

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Ignore it."""

    def advance(self, what: str, amount: float) -> None:
        """Ignore it."""
