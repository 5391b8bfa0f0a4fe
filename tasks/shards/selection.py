"""Which shards to take of some partitions.

In: partitions, and how much of them. Out: planned shards. Does not download them.
"""

from collections.abc import Sequence

from tasks.contracts.artifacts import PlannedShard
from tasks.contracts.errors import PlanError
from tasks.shards.config import DownloadConfig
from tasks.shards.plan import fetch_plan, select_shards


def selected_shards(
    partitions: Sequence[str], config: DownloadConfig, *, part: tuple[int, int] | None, limit: int | None
) -> tuple[PlannedShard, ...]:
    """Return the shards to take from each partition's plan.

    Raises:
        PlanError: a plan cannot be had or is not one, or nothing of it is left to take.
    """
    shards = tuple(
        shard
        for partition in partitions
        for shard in select_shards(fetch_plan(partition, config), part=part, limit=limit)
    )
    if not shards:
        raise PlanError(
            f"No shards of {', '.join(partitions)} are left by shards={part}, limit={limit}. "
            "`reelsift shards plan` lists what there is."
        )
    return shards
