"""What a part says of itself: the tallies of its shards, in the metadata of the Parquet file.

In: Parquet files. Out: tallies, or None where a file is not a part. Does not read rows.
"""

from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from tasks.contracts.artifacts import ShardTally

KEY = b"reelsift.shards"

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
        metadata = pq.read_metadata(path).metadata or {}
        return _TALLIES.validate_json(metadata.get(KEY, b""))
    except (pa.ArrowException, OSError, ValidationError):
        return None
