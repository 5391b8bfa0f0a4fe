"""Parts: the rows of a batch of shards in one Parquet file, made once and found again.

A part appears by one rename, so whatever is there under such a name is either whole or was damaged later, which its own
name tells.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from pydantic import JsonValue

from tasks.contracts.datasets import FilterConfig, Part, PlannedShard
from tasks.contracts.errors import DatasetError
from tasks.contracts.progress import Progress, Silent
from tasks.records.part_file import describe, find_whole, kept_shards, refuse_damage
from tasks.shards.plan import shard_index

SILENT = Silent()
FILTER_VERSION = 1  # raise it whenever the same shards and options would give other bytes
NUMBERED_SHARDS = 62 * 62  # how many names two base-62 letters make


def options_of(config: FilterConfig) -> dict[str, JsonValue]:
    """Return the options that a part depends on, which is all but `strict`."""
    return config.model_dump(mode="json", exclude={"strict"})


def options_key(config: FilterConfig) -> str:
    """Return 16 hex digits for the options and the filter's version: the name of a folder in the store."""
    return _sha256([FILTER_VERSION, options_of(config)])[:16]


def part_key(shards: Sequence[PlannedShard], config: FilterConfig) -> str:
    """Return the cache key of a part, of [a-z0-9-] only: the same for the same shards, in whatever order."""
    content = [[shard.partition, shard.name, shard.md5] for shard in _in_order(shards)]
    return f"yt8m-filter-{FILTER_VERSION}-{_sha256([options_of(config), content])}"


def batch_key(shards: Sequence[PlannedShard], config: FilterConfig) -> str:
    """Return 16 hex digits for the shards and options: how the names of their parts begin."""
    return part_key(shards, config).rpartition("-")[2][:16]


def batches_of(shards: Sequence[PlannedShard], size: int = 64) -> list[tuple[PlannedShard, ...]]:
    """Group the shards of each partition so that a shard's group stays the same when more shards are selected.

    A group has at most `size` shards where their names end in two base-62 letters, as real ones do.
    """

    def batch(shard: PlannedShard) -> tuple[str, int]:
        return shard.partition, _number(shard.name) // size

    return [tuple(group) for _, group in groupby(_in_order(shards), batch)]


def find_part(store: Path, shards: Sequence[PlannedShard], config: FilterConfig) -> Part | None:
    """Return the part of exactly these shards, or None where the store has none that is whole.

    Raises:
        DamagedShardError: a shard in it was damaged, and `config.strict` is set.
    """
    path = find_whole(store / options_key(config), batch_key(shards, config))
    if path is None:
        return None
    return judged(describe(store, path), config)


def judged(part: Part, config: FilterConfig) -> Part:
    """Return the part as it is.

    Raises:
        DamagedShardError: a shard in it was damaged, and `config.strict` is set.
    """
    for tally in part.shards if config.strict else ():
        refuse_damage(tally)
    return part


def missing_shards(store: Path, shards: Sequence[PlannedShard], config: FilterConfig) -> tuple[PlannedShard, ...]:
    """Return the shards whose rows are in no whole part of the store, so that the shards themselves are needed."""
    kept = kept_shards(store / options_key(config), shards)
    return tuple(shard for shard in shards if shard not in kept)


def write_part(
    store: Path,
    shards: Sequence[PlannedShard],
    config: FilterConfig,
    locate: Callable[[PlannedShard], Path],
    progress: Progress = SILENT,
    *,
    discard_shards: bool = False,
) -> Part:
    """Return the part of these shards, all of one partition; write it where the store does not have it whole.

    Its bytes depend on the shards and options alone: rows that another part of the store holds are taken from there,
    all others are filtered. Several processes may write the same part at once, and any may be killed.

    Args:
        store: the folder that parts' paths are relative to.
        shards: in any order; their md5 has been checked.
        config: what to keep.
        locate: where a shard lies on the disk; it need not, where the store has its rows.
        progress: reports every shard.
        discard_shards: delete each shard once the part is on the disk.

    Raises:
        DatasetError: a shard is neither in the store nor readable on the disk.
        DamagedShardError: a shard is damaged, and `config.strict` is set.
        DiskSpaceError: the part does not fit.
    """
    partitions = sorted({shard.partition for shard in shards})
    assert len(partitions) == 1, f"a part has shards of one partition, got {partitions}"
    progress.begin("records", len(shards), "shards")
    part = find_part(store, shards, config)
    if part is None:
        part = _write(store, shards, config, locate, progress)
    else:
        progress.advance("records", len(shards))
    if discard_shards:
        for shard in shards:
            locate(shard).unlink(missing_ok=True)
    return part


def _write(
    store: Path,
    shards: Sequence[PlannedShard],
    config: FilterConfig,
    locate: Callable[[PlannedShard], Path],
    progress: Progress,
) -> Part:
    # numba takes a second to import, which those who only look at parts need not wait for.
    from tasks.records.writing import filtered_shards, write_batch  # noqa: PLC0415

    folder = store / options_key(config)
    kept = kept_shards(folder, shards)
    filtered = filtered_shards(_in_order(shards), kept, config, locate, progress)
    try:
        return describe(store, write_batch(folder, batch_key(shards, config), filtered, config.level))
    except DatasetError:
        part = find_part(store, shards, config)  # another process may have written it and discarded the shards
        if part is None:
            raise
        return part


def _in_order(shards: Iterable[PlannedShard]) -> tuple[PlannedShard, ...]:
    """Return the shards in the order that they have in a part."""
    return tuple(sorted(set(shards), key=lambda shard: (shard.partition, _number(shard.name), shard.name)))


def _number(name: str) -> int:
    """Return a shard's base-62 number, or as good a one made of its name where it has none."""
    index = shard_index(name)
    if index is not None:
        return index
    return int(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(), 16) % NUMBERED_SHARDS


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
