"""Task: a batch of shards becomes one Parquet part.

In: the shards and the filter's config. Out: the part's manifest, never its rows. The cache key is the shards'
digests and the filter's options; whoever asks checks that the part is still there and whole.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.contracts.artifacts import PlannedShard
from tasks.progress_log import current_progress
from tasks.records.config import FilterConfig
from tasks.records.parts import part_key, write_part
from tasks.shards.config import DownloadConfig
from tasks.shards.plan import shard_path


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    return part_key(parameters["shards"], parameters["config"])


@task(
    name="filter-records",
    task_run_name="filter-{shards[0].name}",
    cache_key_fn=_cache_key,
    persist_result=True,
    result_serializer="json",
)
def filter_records(
    shards: Sequence[PlannedShard],
    downloaded: object,  # the download that must have ended well; only the order matters  # noqa: ARG001
    *,
    folder: Path,
    store: Path,
    config: FilterConfig,
    download: DownloadConfig,
    discard_shards: bool = False,
) -> dict[str, Any]:
    """Filter the shards into the part of `store`, or find it there.

    Raises:
        DamagedShardError: a shard is damaged and the config is strict.
    """
    part = write_part(
        store,
        shards,
        config,
        lambda shard: shard_path(folder, shard, download),
        current_progress(),
        discard_shards=discard_shards,
    )
    return part.model_dump(mode="json")
