"""Whether a run that works on a batch still does.

In: what its server says of it and its pulse, now and then. Out: a verdict. Keeps its own clock; asks nobody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tasks.fan_out.config import PoolConfig


class Verdict(StrEnum):
    """What is to be thought of a run."""

    WAITING = "waiting"  # nobody has taken it up
    WORKING = "working"
    ENDED = "ended"  # by itself, well or badly
    CANCELLED = "cancelled"  # somebody does not want it
    LOST = "lost"  # it was taken up, and whoever did is gone


TAKEN_UP = {"PENDING", "RUNNING"}
ENDED_STATES = {"COMPLETED", "FAILED", "CRASHED"}
CANCELLED_STATES = {"CANCELLED", "CANCELLING"}


@dataclass
class Watch:
    """Looks after one run."""

    config: PoolConfig
    clock: Callable[[], float] = time.monotonic
    starts_slowly: bool = False  # on Kubernetes, an image is pulled before anything of the run can live
    _state: str = ""
    _pulse: str = ""
    _changed_s: float | None = None  # when it was last seen to live

    def judge(self, state: str, pulse: str) -> Verdict:
        """Say what is to be thought of a run in `state` (a Prefect state's type) with this pulse."""
        if state in ENDED_STATES:
            return Verdict.ENDED
        if state in CANCELLED_STATES:
            return Verdict.CANCELLED
        if state not in TAKEN_UP:
            self._changed_s = None
            return Verdict.WAITING
        now_s = self.clock()
        if self._changed_s is None or (state, pulse) != (self._state, self._pulse):
            self._state, self._pulse, self._changed_s = state, pulse, now_s
        is_starting = self.starts_slowly and state == "PENDING" and not pulse
        bound_s = self.config.start_within_s if is_starting else self.config.lost_after_s
        return Verdict.LOST if now_s - self._changed_s > bound_s else Verdict.WORKING
