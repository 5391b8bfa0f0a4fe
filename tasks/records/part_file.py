"""One part: its name, the tallies in its Parquet footer, and when damage is fatal."""

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from tasks.contracts.datasets import Part, PlannedShard, ShardTally
from tasks.contracts.errors import DamagedShardError
from tasks.contracts.files import file_digest

KEY = b"reelsift.shards"
NO_ATIME = getattr(os, "O_NOATIME", 0)  # Linux has it

Tallies = tuple[ShardTally, ...]
_TALLIES = TypeAdapter(Tallies)


def footer_of(tallies: Tallies) -> dict[bytes, bytes]:
    """Return the metadata to put into a part's file."""
    return {KEY: _TALLIES.dump_json(tallies)}


def read_tallies(path: Path) -> Tallies | None:
    """Return the tallies of the shards that `path` was made from, in the order of its rows."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)  # every batch looks at every part
def _read(path: Path, _size_bytes: int, _modified_ns: int) -> Tallies | None:
    try:
        with open(path, "rb", opener=_unnoticed) as file:
            metadata = pq.read_metadata(file).metadata or {}
        return _TALLIES.validate_json(metadata.get(KEY, b""))
    except (pa.ArrowException, OSError, ValidationError):
        return None


def _unnoticed(path: str, flags: int) -> int:
    """Open a file without its being noted as read: a look at what a part holds is no use of its rows."""
    try:
        return os.open(path, flags | NO_ATIME)
    except PermissionError:  # somebody else's file
        return os.open(path, flags)


def refuse_damage(tally: ShardTally, path: object = None) -> None:
    """Raise for the first damage in a tally, if any.

    Raises:
        DamagedShardError: with the place: `path`, where the shard still lies on the disk.
    """
    for damage in tally.damage:
        place = f"{path or damage.path} is damaged at byte {damage.offset}: {damage.detail} ({damage.reason})."
        raise DamagedShardError(
            f"{place} Fetch it again, or leave out `--strict`: damaged records are then dropped and counted."
        )


def part_name(batch_key: str, digest: str) -> str:
    """Return the name under which a part is kept."""
    return f"{batch_key}-{digest}.parquet"


def find_whole(folder: Path, batch_key: str) -> Path | None:
    """Return the part of a batch, unless there is none that is whole."""
    return next((path for path in sorted(folder.glob(part_name(batch_key, "*"))) if _is_whole(path)), None)


def describe(store: Path, path: Path) -> Part:
    """Return what there is to know of a whole part; its path becomes relative to `store`."""
    tallies = read_tallies(path)
    assert tallies, f"{path} is not a part"
    matches = sum(tally.matches for tally in tallies)
    return Part(
        path=path.relative_to(store).as_posix(),
        partition=tallies[0].partition,
        sha256=_named_digest(path),
        size_bytes=path.stat().st_size,
        rows=matches + sum(tally.background for tally in tallies),
        matches=matches,
        shards=tallies,
    )


def kept_shards(folder: Path, shards: Iterable[PlannedShard]) -> dict[PlannedShard, Path]:
    """Return those of the shards whose rows are in a whole part, each with the path of one."""
    wanted, kept = set(shards), dict[PlannedShard, Path]()
    for path in sorted(folder.glob("*.parquet")):
        new = wanted.intersection(map(_shard_of, read_tallies(path) or ())) - kept.keys()
        if new and _is_whole(path):
            kept |= dict.fromkeys(new, path)
    return kept


def _shard_of(tally: ShardTally) -> PlannedShard:
    return PlannedShard(name=tally.name, partition=tally.partition, md5=tally.md5)


def _named_digest(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def _is_whole(path: Path) -> bool:
    """Say whether a part has the content that its name promises."""
    try:
        return bool(read_tallies(path)) and file_digest(path) == _named_digest(path)
    except OSError:  # it vanished, or cannot be read
        return False
