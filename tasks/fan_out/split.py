"""Sources to batches of about equal work.

In: how many seconds of work each source is expected to be. Out: groups of their places in the list. The same input
gives the same groups. Does not know what the work is.
"""

import heapq
import math
from collections.abc import Sequence


def split(expected_s: Sequence[float], *, workers: int, batch_s: float) -> list[list[int]]:
    """Group sources so that every worker gets some, and no batch is much over `batch_s` seconds of work.

    The longest goes first, to the batch that has least: Graham's rule, at most 4/3 of the best there is (R. L. Graham,
    Bounds on multiprocessing timing anomalies, 1969). The batch with most work comes first, as it ends last.

    Args:
        expected_s: seconds for each source.
        workers: how many there are to share the work.
        batch_s: how long a batch should be, so that what it costs to start one does not count.
    """
    if not expected_s:
        return []
    count = min(len(expected_s), max(workers, math.ceil(sum(expected_s) / batch_s)))
    groups: list[list[int]] = [[] for _ in range(count)]
    loads = [(0.0, 0, number) for number in range(count)]  # of two with as much work, the one with fewer videos is next
    for place in sorted(range(len(expected_s)), key=lambda place: (-expected_s[place], place)):
        load, size, number = heapq.heappop(loads)
        groups[number].append(place)
        heapq.heappush(loads, (load + expected_s[place], size + 1, number))
    work = {number: load for load, _, number in loads}
    return [sorted(groups[number]) for number in sorted(work, key=lambda number: (-work[number], number))]
