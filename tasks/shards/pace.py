"""Whether a transfer still moves.

In: counts of bytes as they come. Out: a `Fault` once they come too slowly. Does not see silence: that is the business
of the read time-out.
"""

import time

from tasks.shards.config import DownloadConfig
from tasks.shards.faults import Fault
from tasks.shards.space import format_bytes


class Pace:
    """Tells a stalled transfer from a slow one."""

    def __init__(self, config: DownloadConfig) -> None:
        self._config = config
        self._since_s = time.monotonic()
        self._bytes = 0

    def count(self, count: int) -> None:
        """Count bytes that have come.

        Raises:
            Fault: fewer than `slowest_bytes_per_s` came over the last `slow_after_s`.
        """
        self._bytes += count
        now_s = time.monotonic()
        elapsed_s = now_s - self._since_s
        if elapsed_s < self._config.slow_after_s:
            return
        if self._bytes < self._config.slowest_bytes_per_s * elapsed_s:
            raise Fault(f"stalled: {format_bytes(self._bytes)} in {elapsed_s:.1f} s")
        self._since_s, self._bytes = now_s, 0
