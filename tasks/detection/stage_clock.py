"""How long each stage of a run was at work.

In: blocks of work, from several threads. Out: seconds a stage. Does not know what the stages do.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

ItemT = TypeVar("ItemT")

DIGITS = 3


class StageClock:
    """Seconds of work a stage; one thread at a time works at one stage, so nothing is locked."""

    def __init__(self, *stages: str) -> None:
        self._started_s = time.perf_counter()
        self._seconds = dict.fromkeys(stages, 0.0)

    @contextmanager
    def measuring(self, stage: str) -> Iterator[None]:
        """Count the time of the block as work of `stage`; waiting for a core counts too."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] += time.perf_counter() - started_s

    def drawing_from(self, items: Iterable[ItemT], stage: str) -> Iterator[ItemT]:
        """Yield the items, and count the time that each took to come as work of `stage`."""
        iterator = iter(items)
        while True:
            with self.measuring(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of work, by stage."""
        return {stage: round(seconds, DIGITS) for stage, seconds in self._seconds.items()}

    @property
    def wall_seconds(self) -> float:
        """Seconds since the clock was made."""
        return round(time.perf_counter() - self._started_s, DIGITS)
