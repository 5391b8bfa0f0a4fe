"""Rows to one Parquet file.

In: the tables of filtered shards, in order. Out: a file whose bytes depend on those rows and their tallies alone,
whatever their tables are cut into. Does not know where the rows come from.
"""

import errno
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.artifacts import ShardTally
from tasks.contracts.errors import DiskSpaceError
from tasks.contracts.files import appearing, file_digest, temporary_file
from tasks.records.filter import FilteredShard
from tasks.records.footer import footer_of
from tasks.records.rows import SCHEMA
from tasks.records.store import part_name

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


def write_batch(folder: Path, batch_key: str, filtered: Iterable[FilteredShard]) -> Path:
    """Write the rows and tallies of all shards as a part into `folder`, and return its path.

    Raises:
        DiskSpaceError: they do not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clear_away(folder)
    with temporary_file(folder, batch_key) as scratch:  # its name is known only when its content is
        write_rows(scratch, filtered)
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


def write_rows(path: Path, filtered: Iterable[FilteredShard]) -> None:
    """Write the rows and tallies of all shards to `path`.

    Raises:
        DiskSpaceError: they do not fit.
    """
    tallies: list[ShardTally] = []
    try:
        with pq.ParquetWriter(path, SCHEMA, **OPTIONS) as writer:
            for group in _groups(_tables(filtered, tallies)):
                writer.write_table(group, row_group_size=GROUP_ROWS)
            writer.add_key_value_metadata(footer_of(tuple(tallies)))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        hint = "Free some, or let REELSIFT_HOME name another disk."
        raise DiskSpaceError(f"No space is left in {path.parent} for filtered records. {hint}") from error


def _tables(filtered: Iterable[FilteredShard], tallies: list[ShardTally]) -> Iterator[pa.Table]:
    """Yield the tables, and put the tallies aside."""
    for table, tally in filtered:
        tallies.append(tally)
        yield table


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
