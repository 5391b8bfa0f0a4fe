"""Rows of a batch of shards written to one Parquet file, reusing rows of earlier parts."""

import errno
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts.datasets import FilterConfig, Level, PlannedShard, ShardTally
from tasks.contracts.errors import DiskSpaceError
from tasks.contracts.files import appearing, file_digest, temporary_file
from tasks.contracts.overlap import ahead
from tasks.contracts.progress import Progress
from tasks.records.filter import FilteredShard, filter_file
from tasks.records.part_file import footer_of, part_name, read_tallies, refuse_damage
from tasks.records.rows import SCHEMA, schema_of, shard_column

ABANDONED_AFTER_S = 86_400
GROUP_ROWS = 2048  # rows of a row group: 9.4 MB of floats

# Measured on real rows: floats by byte stream, compressed fast, without dictionary or statistics, are a fifth smaller
# and read twice as fast as with the defaults.
FLOATS = ("mean_rgb.list.element", "mean_audio.list.element")
OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["labels.list.element", "shard"],
    "column_encoding": dict.fromkeys(FLOATS, "BYTE_STREAM_SPLIT"),
    "write_statistics": ["video_id", "labels.list.element", "shard", "is_match"],
}
GROUP_FRAMES = 1 << 14  # frames of a row group: 19 MB
# Measured on a real video: lz4 leaves 90 % of frames and zstd 86 %, at 16 times the speed of reading.
FRAME_OPTIONS: dict[str, Any] = OPTIONS | {"column_encoding": None, "compression": "lz4", "compression_level": None}


class StoredShard(NamedTuple):
    """What a `FilteredShard` has, of a part that was written earlier."""

    rows: Iterator[pa.Table]
    tally: ShardTally

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, once."""
        return self.rows

    def with_rows(self, rows: Iterator[pa.Table]) -> "StoredShard":
        """Return other rows that were made of these."""
        return StoredShard(rows, self.tally)


def write_batch(
    folder: Path, batch_key: str, filtered: Iterable[FilteredShard | StoredShard], level: Level = "video"
) -> Path:
    """Write the rows and tallies of all shards as a part into `folder`, and return its path.

    Raises:
        DiskSpaceError: they do not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clear_away(folder)
    with temporary_file(folder, batch_key) as scratch:  # its name is known only when its content is
        write_rows(scratch, filtered, level)
        path = folder / part_name(batch_key, file_digest(scratch))
        with appearing(path) as temporary:
            scratch.replace(temporary)
    return path


def _clear_away(folder: Path) -> None:
    """Delete what killed processes left behind, once nobody can still be writing it."""
    for path in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > ABANDONED_AFTER_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_rows(path: Path, filtered: Iterable[FilteredShard | StoredShard], level: Level = "video") -> None:
    """Write the rows and tallies of all shards to `path`.

    Raises:
        DiskSpaceError: they do not fit.
    """
    tallies: list[ShardTally] = []
    options, grouped = (OPTIONS, _groups) if level == "video" else (FRAME_OPTIONS, _frame_groups)
    try:
        with pq.ParquetWriter(path, schema_of(level), **options) as writer:
            for group in grouped(_tables(filtered, tallies, level)):
                writer.write_table(group, row_group_size=len(group))
            writer.add_key_value_metadata(footer_of(tuple(tallies)))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        hint = "Free some, or let REELSIFT_HOME name another disk."
        raise DiskSpaceError(f"No space is left in {path.parent} for filtered records. {hint}") from error


def _tables(
    filtered: Iterable[FilteredShard | StoredShard], tallies: list[ShardTally], level: Level
) -> Iterator[pa.Table]:
    """Yield the tables, and put the tallies aside; frames are read while the last ones are written."""
    for shard in filtered:
        if level == "video":
            yield from shard.tables()
        else:
            with closing(ahead(shard.tables(), buffer=1)) as tables:
                yield from tables
        tallies.append(shard.tally)  # of frames it is known when all are read


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cut rows into groups of `GROUP_ROWS`, the last one shorter, each in one chunk."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(each.num_rows for each in held) >= GROUP_ROWS:
            rows = pa.concat_tables(held)
            yield rows.slice(0, GROUP_ROWS).combine_chunks()
            held = [rows.slice(GROUP_ROWS)]
    if any(each.num_rows for each in held):
        yield pa.concat_tables(held).combine_chunks()


def _frame_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cut rows with frames into groups of `GROUP_FRAMES` or a little more, the last one smaller."""
    held, frames = list[pa.Table](), 0
    for table in tables:
        start = 0
        for row, count in enumerate(pc.call_function("list_value_length", [table.column("rgb")]).to_pylist(), 1):
            frames += count
            if frames >= GROUP_FRAMES:
                yield pa.concat_tables([*held, table.slice(start, row - start)]).combine_chunks()
                held, frames, start = [], 0, row
        if start < len(table):  # else a group would name a shard of which it has no row
            held.append(table.slice(start))
    if held:
        yield pa.concat_tables(held).combine_chunks()


class StoredRows:
    """The rows of one part; keeps the last row group in memory, as a shard's neighbours lie in the same one."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        self._tallies = {tally.name: tally for tally in read_tallies(path) or ()}
        sizes = [tally.matches + tally.background for tally in self._tallies.values()]
        self._starts = dict(zip(self._tallies, accumulate(sizes, initial=0), strict=False))
        self._held: tuple[int, pa.Table] | None = None
        self._schema = schema_of("frame" if "rgb" in self._file.schema_arrow.names else "video")

    def filtered(self, shard: PlannedShard | ShardTally) -> StoredShard:
        """Return what `filter_shard` returned for `shard`, whose rows are in this part."""
        tally = self._tallies[shard.name]
        start = self._starts[shard.name]
        slices = self._slices(start, start + tally.matches + tally.background)
        if self._schema == SCHEMA:  # in one table, as `FilteredShard` has them
            slices = [pa.concat_tables([SCHEMA.empty_table(), *slices])]
        return StoredShard((self._named(rows, shard.name) for rows in slices), tally)

    def _named(self, rows: pa.Table, shard: str) -> pa.Table:
        """Return rows of one shard with no other's name in the dictionary."""
        column = self._schema.get_field_index("shard")
        return rows.set_column(column, self._schema.field(column), shard_column([shard], [len(rows)]))

    def _slices(self, start: int, stop: int) -> Iterator[pa.Table]:
        """Yield rows `start` to `stop`, group by group."""
        first = 0
        for number in range(self._file.num_row_groups):
            last = first + self._file.metadata.row_group(number).num_rows
            if first < stop and start < last:
                yield self._group(number).slice(max(start - first, 0), min(stop, last) - max(start, first))
            first = last

    def _group(self, number: int) -> pa.Table:
        if self._held is None or self._held[0] != number:
            self._held = None  # let go of the old one first
            self._held = (number, self._file.read_row_group(number))
        return self._held[1]


MAX_THREADS = 3  # one thread writes what three filter, at the least; each holds a shard and its rows


def filtered_shards(
    shards: Sequence[PlannedShard],
    kept: Mapping[PlannedShard, Path],
    config: FilterConfig,
    locate: Callable[[PlannedShard], Path],
    progress: Progress,
) -> Iterator[FilteredShard | StoredShard]:
    """Yield each shard's rows and tally in the order given; those not in `kept` are filtered a few at a time.

    Raises:
        DatasetError: a shard cannot be read.
        DamagedShardError: a shard is damaged, and `config.strict` is set.
    """
    stored = {path: StoredRows(path) for path in set(kept.values())}
    waiting: deque[tuple[PlannedShard, Future[FilteredShard] | None]] = deque()
    threads = min(MAX_THREADS, os.cpu_count() or 1)  # for whole videos: frames are read when they are written
    pool = ThreadPoolExecutor(threads, thread_name_prefix="filter")

    def finished() -> Iterator[FilteredShard | StoredShard]:
        shard, job = waiting.popleft()
        filtered = job.result() if job else stored[kept[shard]].filtered(shard)
        if config.strict and not job:
            refuse_damage(filtered.tally)
        yield filtered
        progress.advance("records", 1)

    try:
        for shard in shards:
            job = None if shard in kept else pool.submit(filter_file, shard, locate(shard), config)
            waiting.append((shard, job))
            if len(waiting) > threads:
                yield from finished()
        while waiting:
            yield from finished()
    finally:
        pool.shutdown(cancel_futures=True)
