"""The rows of a batch of shards, from wherever they can be had for less.

In: shards, and which part already holds the rows of which. Out: what filtering each of them gives, in order. Does not
know where it goes.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tasks.contracts.artifacts import PlannedShard
from tasks.contracts.progress import Progress
from tasks.records.config import FilterConfig
from tasks.records.damage import refuse_damage
from tasks.records.filter import FilteredShard, filter_file
from tasks.records.reuse import StoredRows

MAX_THREADS = 3  # one thread writes what three filter, at the least; each holds a shard and its rows


def filtered_shards(
    shards: Sequence[PlannedShard],
    kept: Mapping[PlannedShard, Path],
    config: FilterConfig,
    locate: Callable[[PlannedShard], Path],
    progress: Progress,
) -> Iterator[FilteredShard]:
    """Yield each shard's rows and tally in the order given; those not in `kept` are filtered a few at a time.

    Raises:
        DatasetError: a shard cannot be read.
        DamagedShardError: a shard is damaged, and `config.strict` is set.
    """
    stored = {path: StoredRows(path) for path in set(kept.values())}
    ahead: deque[tuple[PlannedShard, Future[FilteredShard] | None]] = deque()
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="filter")

    def finished() -> FilteredShard:
        shard, job = ahead.popleft()
        filtered = job.result() if job else stored[kept[shard]].filtered(shard)
        if config.strict:
            refuse_damage(filtered.tally)
        progress.advance("records", 1)
        return filtered

    try:
        for shard in shards:
            job = None if shard in kept else pool.submit(filter_file, shard, locate(shard), config)
            ahead.append((shard, job))
            if len(ahead) > threads:
                yield finished()
        while ahead:
            yield finished()
    finally:
        pool.shutdown(cancel_futures=True)
