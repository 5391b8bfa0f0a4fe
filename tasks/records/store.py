"""A folder of parts, each named `<batch key>-<sha256 of its bytes>.parquet`.

In: the folder, and shards. Out: which parts are whole, what they hold, and which shards' rows are in one of them. A
part appears by one rename, so what bears such a name either is whole or was damaged later, which the name tells.
Does not know what a filter keeps.
"""

from collections.abc import Iterable
from pathlib import Path

from tasks.contracts.artifacts import Part, PlannedShard, ShardTally
from tasks.contracts.files import file_digest
from tasks.records.footer import read_tallies


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
