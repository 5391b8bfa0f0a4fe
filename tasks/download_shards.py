"""Task: a batch of shards of one partition is on the disk, whole.

The cache key is the shards' digests, so a batch is fetched once however many datasets are made from it; the caller
checks that the files are still there.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.contracts.datasets import PlannedShard
from tasks.contracts.files import file_digest
from tasks.runs import current_progress
from tasks.shards.config import DownloadConfig
from tasks.shards.download import fetch_shards
from tasks.shards.plan import shard_path

SHARD_CACHE_VERSION = 1  # raise by hand when the files on the disk are laid out differently


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    return shard_cache_key(parameters["shards"])


def shard_cache_key(shards: Sequence[PlannedShard]) -> str:
    """Return `yt8m-shard-<version>-<digest of the md5s>`; the md5 itself where there is one shard."""
    md5s = sorted(shard.md5 for shard in shards)
    content = md5s[0] if len(md5s) == 1 else hashlib.sha256("".join(md5s).encode()).hexdigest()
    return f"yt8m-shard-{SHARD_CACHE_VERSION}-{content}"


@task(
    name="download-shards",
    task_run_name="download-{shards[0].name}",
    cache_key_fn=_cache_key,
    persist_result=True,
    result_serializer="json",
)
def download_shards(
    shards: Sequence[PlannedShard], folder: Path, config: DownloadConfig, *, strict: bool = False
) -> dict[str, Any]:
    """Fetch what is missing, skip what is there and whole; say which ones no mirror gives, unless that is an error.

    Raises:
        DownloadError: some could not be fetched for now, or where `strict` is set at all; the others are there.
        DiskSpaceError: they do not fit.
    """
    report = fetch_shards(shards, folder, config, current_progress(), strict=strict)
    return {
        "files": len(report.shards),
        "bytes": sum(shard.size_bytes for shard in report.shards),
        "absent": [failed.model_dump(exclude={"is_lasting"}) for failed in report.failed],
    }


def are_on_disk(shards: Sequence[PlannedShard], folder: Path, config: DownloadConfig) -> bool:
    """Say whether every shard lies where it belongs with the right md5, so that a cached download still holds."""
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        return all(pool.map(lambda shard: _is_on_disk(shard, shard_path(folder, shard, config)), shards))


def _is_on_disk(shard: PlannedShard, path: Path) -> bool:
    return path.is_file() and file_digest(path, "md5") == shard.md5
