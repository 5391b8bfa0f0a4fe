"""Parts of filtered records in the object store: taken from there rather than made, and put there once made."""

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.datasets import FilterConfig, Part, PlannedShard
from tasks.contracts.errors import DamagedStorageError
from tasks.contracts.files import temporary_folder
from tasks.contracts.progress import Progress
from tasks.records.parts import batch_key, find_part, judged, missing_shards, options_key, write_part
from tasks.shards.config import DownloadConfig
from tasks.shards.download import fetch_shards
from tasks.shards.plan import shard_path
from tasks.storage.bundles import bundles_below, find_bundle, pull_bundle, push_bundle
from tasks.storage.object_store import open_store

PREFIX = "parts"


def plan_batch(
    folder: Path, shards: Sequence[PlannedShard], config: FilterConfig, storage: str | None
) -> tuple[bool, tuple[PlannedShard, ...]]:
    """Say whether the part of a batch is where it should be, and which of the shards must be fetched to make it.

    It should be in the folder, and in the store where there is one; from there it can be brought without any shard.

    Raises:
        DamagedShardError: a shard in it was damaged, and `config.strict` is set.
        StorageError: the store cannot be used.
    """
    is_here = find_part(folder, shards, config) is not None
    is_stored = storage is not None and _stored(storage, shards, config) is not None
    if is_here or is_stored:
        return is_here and (is_stored or storage is None), ()
    missing = missing_shards(folder, shards, config)
    elsewhere = _holding(storage, missing, config) if storage and missing else {}
    kept = {tally.md5 for part in elsewhere.values() for tally in part.shards}
    return False, tuple(shard for shard in missing if shard.md5 not in kept)


def bring_parts(
    folder: Path, shards: Sequence[PlannedShard], config: FilterConfig, storage: str, progress: Progress
) -> None:
    """Fetch the part of these shards from the store, or parts that hold some of them, unless they are in the folder.

    Raises:
        StorageError: the store cannot be used.
    """
    if find_part(folder, shards, config) is not None:
        return
    if _stored(storage, shards, config) and _bring(folder, _key(shards, config), storage, progress):
        return
    missing = missing_shards(folder, shards, config)
    for key in _holding(storage, missing, config) if missing else ():
        _bring(folder, key, storage, progress)


def bring_published(folder: Path, parts: Iterable[Part], storage: str, progress: Progress) -> None:
    """Fetch those of the parts that are not in the folder, as where they were made on another machine.

    Raises:
        StorageError: the store cannot be used, or has not got one of them.
    """
    for part in parts:
        if (folder / part.path).is_file():
            continue
        key = f"{PREFIX}/{part.path.rpartition('-')[0]}"
        if not _bring(folder, key, storage, progress):
            raise DamagedStorageError(
                f"{part.path} is neither in {folder} nor at the storage {storage}: the same command makes it again."
            )


def keep_part(
    folder: Path, part: Part, shards: Sequence[PlannedShard], config: FilterConfig, storage: str, progress: Progress
) -> None:
    """Put a part of the folder into the store, unless it is there.

    Raises:
        StorageError: the store cannot be used.
    """
    push_bundle(
        open_store(storage),
        _key(shards, config),
        {Path(part.path).name: folder / part.path},
        about=part.model_dump(mode="json"),
        expected={Path(part.path).name: part.sha256},
        progress=progress,
    )


def have_part(
    shards: Sequence[PlannedShard],
    *,
    shard_folder: Path,
    store: Path,
    config: FilterConfig,
    download: DownloadConfig,
    progress: Progress,
    discard_shards: bool = False,
    storage: str | None = None,
) -> Part:
    """Return the part of these shards: that of the folder `store`, that of the storage, or a newly filtered one.

    Raises:
        DamagedShardError: a shard is damaged and the config is strict.
        DownloadError: a shard that another machine fetched could not be fetched here.
        StorageError: the storage cannot be used.
    """
    if storage:
        bring_parts(store, shards, config, storage, progress)
    _fetch_absent(shards, shard_folder, store, config, download, progress)
    downloaded = partial(shard_path, shard_folder, config=download)
    part = write_part(store, shards, config, downloaded, progress, discard_shards=discard_shards)
    if storage:
        keep_part(store, part, shards, config, storage, progress)
    return part


def _fetch_absent(
    shards: Sequence[PlannedShard],
    folder: Path,
    store: Path,
    config: FilterConfig,
    download: DownloadConfig,
    progress: Progress,
) -> None:
    """Fetch shards that are needed and not on this disk, as where the download ran on another machine of a cluster."""
    absent = [shard for shard in shards if not shard_path(folder, shard, download).is_file()]
    needed = missing_shards(store, absent, config) if absent else ()
    if needed:
        fetch_shards(needed, folder, download, progress)


def stored_object(part: Part) -> str:
    """Return the key at which the store has a part's bytes."""
    return f"{PREFIX}/{part.path.rpartition('-')[0]}/{Path(part.path).name}"


def _key(shards: Sequence[PlannedShard], config: FilterConfig) -> str:
    return f"{PREFIX}/{options_key(config)}/{batch_key(shards, config)}"


def _stored(storage: str, shards: Sequence[PlannedShard], config: FilterConfig) -> Part | None:
    """Return what the store says of the part of these shards."""
    bundle = find_bundle(open_store(storage), _key(shards, config))
    part = _part(bundle.about) if bundle else None
    return judged(part, config) if part else None


def _holding(storage: str, shards: Sequence[PlannedShard], config: FilterConfig) -> dict[str, Part]:
    """Return stored parts, by key, that together hold the rows of as many of the shards as there are in the store."""
    wanted, found = {(shard.partition, shard.md5) for shard in shards}, dict[str, Part]()
    for key in bundles_below(open_store(storage), f"{PREFIX}/{options_key(config)}"):
        part = _described(storage, key)
        held = {(tally.partition, tally.md5) for tally in part.shards} if part else set()
        if part and wanted & held:
            wanted -= held
            found[key] = part
    return found


@lru_cache(maxsize=8192)
def _described(storage: str, key: str) -> Part | None:
    """Return what a stored part says of itself; what lies under a key does not change."""
    bundle = find_bundle(open_store(storage), key)
    return _part(bundle.about) if bundle else None


def _part(about: object) -> Part | None:
    try:
        return Part.model_validate(about)
    except ValidationError:  # of another version of this code
        return None


def _bring(folder: Path, key: str, storage: str, progress: Progress) -> bool:
    """Fetch a part into the folder, where it appears by rename; say whether it was there and whole."""
    place = folder / key.removeprefix(f"{PREFIX}/").rpartition("/")[0]
    place.mkdir(parents=True, exist_ok=True)
    with temporary_folder(place, ".bringing-") as aside:
        try:
            bundle = pull_bundle(open_store(storage), key, aside, progress)
        except DamagedStorageError as damage:
            logging.getLogger("reelsift").warning("%s", damage)
            return False
        for path in aside.glob("*.parquet"):
            path.replace(place / path.name)
    return bundle is not None
