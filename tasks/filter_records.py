"""Tasks: a batch of shards of one partition is on the disk, whole, and becomes one Parquet part.

A download's cache key is the shards' digests, so a batch is fetched once however many datasets are made from it; a
part's, these and the filter's options. The caller checks that files and parts are still there and whole.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.contracts.datasets import FilterConfig, PlannedShard
from tasks.contracts.files import file_digest
from tasks.contracts.progress import BYTE_UNIT, scaled
from tasks.records.parts import part_key
from tasks.records.stored import have_part
from tasks.runs import current_progress, says
from tasks.shards.config import DownloadConfig
from tasks.shards.download import fetch_shards
from tasks.shards.plan import shard_path

SHARD_CACHE_VERSION = 1  # raise by hand when the files on the disk are laid out differently


def _download_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    return shard_download_key(parameters["shards"])


def shard_download_key(shards: Sequence[PlannedShard]) -> str:
    """Return `yt8m-shard-<version>-<digest of the md5s>`; the md5 itself where there is one shard."""
    md5s = sorted(shard.md5 for shard in shards)
    content = md5s[0] if len(md5s) == 1 else hashlib.sha256("".join(md5s).encode()).hexdigest()
    return f"yt8m-shard-{SHARD_CACHE_VERSION}-{content}"


def _downloaded(made: Mapping[str, Any]) -> str:
    absent = f", {len(made['absent']):,} that no mirror has" if made["absent"] else ""
    return f"{made['files']:,} shards, {scaled(made['bytes'], BYTE_UNIT)}{absent}"


@task(
    name="download-shards",
    task_run_name="download {shards[0].name}",
    cache_key_fn=_download_key,
    persist_result=True,
    result_serializer="json",
)
@says(_downloaded)
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


def _part_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    return part_key(_present(parameters["shards"], parameters["downloaded"]), parameters["config"])


def _filtered(part: Mapping[str, Any]) -> str:
    if not part:
        return "no mirror has these shards"
    return f"{part['matches']:,} of {sum(shard['records'] for shard in part['shards']):,} match"


@task(
    name="filter-records",
    task_run_name="filter {shards[0].name}",
    cache_key_fn=_part_key,
    persist_result=True,
    result_serializer="json",
)
@says(_filtered)
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
