"""Task: a batch of shards becomes one Parquet part.

The cache key is the shards' digests and the filter's options; the caller checks that the part is still there and
whole.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.contracts.datasets import PlannedShard
from tasks.records.config import FilterConfig
from tasks.records.parts import part_key
from tasks.records.stored import have_part
from tasks.runs import current_progress
from tasks.shards.config import DownloadConfig


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    return part_key(_present(parameters["shards"], parameters["downloaded"]), parameters["config"])


@task(
    name="filter-records",
    task_run_name="filter-{shards[0].name}",
    cache_key_fn=_cache_key,
    persist_result=True,
    result_serializer="json",
)
def filter_records(
    shards: Sequence[PlannedShard],
    downloaded: Mapping[str, Any] | None,  # what the download of these shards returned; None where none was needed
    *,
    folder: Path,
    store: Path,
    config: FilterConfig,
    download: DownloadConfig,
    discard_shards: bool = False,
    storage: str | None = None,
) -> dict[str, Any]:
    """Filter the shards into the part of `store`, or find it there or in the storage, which gets it as well.

    Shards that no mirror has are left out; where none is left, nothing is returned.

    Raises:
        DamagedShardError: a shard is damaged and the config is strict.
        DownloadError: a shard that another machine fetched could not be fetched here.
        StorageError: the storage cannot be used.
    """
    progress, shards = current_progress(), _present(shards, downloaded)
    if not shards:
        return {}
    part = have_part(
        shards,
        shard_folder=folder,
        store=store,
        config=config,
        download=download,
        discard_shards=discard_shards,
        storage=storage,
        progress=progress,
    )
    return part.model_dump(mode="json")


def _present(shards: Sequence[PlannedShard], downloaded: Mapping[str, Any] | None) -> tuple[PlannedShard, ...]:
    """Return the shards that some mirror has."""
    absent = {(each["partition"], each["name"]) for each in (downloaded or {}).get("absent", ())}
    return tuple(shard for shard in shards if (shard.partition, shard.name) not in absent)
