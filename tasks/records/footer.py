"""What a part says of itself: the tallies of its shards, in the metadata of the Parquet file.

In: Parquet files. Out: tallies, or None where a file is not a part. Does not read rows.
"""

import os
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from tasks.contracts.artifacts import ShardTally

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
