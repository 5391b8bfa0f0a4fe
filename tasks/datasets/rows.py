"""Rows of a Parquet part, in batches that have been checked.

In: the path of a part in the schema of the records stage (`video_id`, `labels`,
`mean_rgb`, `mean_audio`, `shard`, `is_match`). Out: Arrow batches, and NumPy views of their columns. Does not know
of versions or splits. Arrow's `to_numpy` imports pandas, which takes a second; DLPack does not.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.contracts.artifacts import AUDIO_SIZE, RGB_SIZE
from tasks.contracts.errors import DamagedDatasetError

BATCH_ROWS = 1024  # 4.7 MB of features; four times as many make Arrow's buffers take 70 MB more, and save no time
COLUMN_TYPES = {
    "video_id": pa.string(),
    "labels": pa.list_(pa.int32()),
    "mean_rgb": pa.list_(pa.float32(), RGB_SIZE),
    "mean_audio": pa.list_(pa.float32(), AUDIO_SIZE),
    "shard": pa.dictionary(pa.int32(), pa.string()),
    "is_match": pa.bool_(),
}


def read_batches(path: Path, columns: Sequence[str], batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part; no column of them holds a null.

    Raises:
        DamagedDatasetError: the file is not Parquet, or its columns are not those of `COLUMN_TYPES`.
    """
    with _opened(path) as file:
        _check_types(path, file.schema_arrow, columns)
        for batch in file.iter_batches(batch_rows, columns=list(columns)):
            for column in columns:
                if _nulls(batch.column(column)):
                    raise _damaged(path, f"column {column!r} has {_nulls(batch.column(column)):,} nulls")
            yield batch


def row_count(path: Path) -> int:
    """Return how many rows a part has, from its footer.

    Raises:
        DamagedDatasetError: the file is not Parquet.
    """
    with _opened(path) as file:
        return file.metadata.num_rows


def label_lists(batch: pa.RecordBatch) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return where each row's labels begin, offsets (n + 1,) from 0, and all labels one after the other."""
    column = batch.column("labels")
    offsets = np.from_dlpack(column.offsets).astype(np.int64)
    return offsets - offsets[0], np.asarray(np.from_dlpack(column.flatten()), np.int32)


def float_rows(batch: pa.RecordBatch, column: str) -> NDArray[np.float32]:
    """Return a view (n, size) of a column of vectors, 1024 values each in `mean_rgb`, 128 in `mean_audio`."""
    vectors = batch.column(column)
    return np.asarray(np.from_dlpack(vectors.flatten()), np.float32).reshape(len(vectors), vectors.type.list_size)


def flags(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Return which rows (n,) are matches rather than background."""
    return np.from_dlpack(batch.column("is_match").cast(pa.uint8())).astype(np.bool_)


def _nulls(column: pa.Array) -> int:
    """Return how many values are missing, those within lists included."""
    nested = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    return column.null_count + (column.flatten().null_count if nested else 0)


def _check_types(path: Path, schema: pa.Schema, columns: Sequence[str]) -> None:
    for column in columns:
        wanted = COLUMN_TYPES[column]
        if column not in schema.names:
            raise _damaged(path, f"it has no column {column!r}")
        found = schema.field(column).type
        if _shape(found) != _shape(wanted):
            raise _damaged(path, f"column {column!r} must be {wanted}, got {found}")


def _shape(kind: pa.DataType) -> tuple[object, ...]:
    """Return what must agree in two types: whether a list's elements may be null, and their name, need not."""
    if pa.types.is_fixed_size_list(kind):
        return ("vector", kind.list_size, kind.value_type)
    return ("list", kind.value_type) if pa.types.is_list(kind) else (kind,)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from error


def _damaged(path: Path, problem: str) -> DamagedDatasetError:
    version = f"{path.parent.parent.name}/{path.parent.name}"
    return DamagedDatasetError(f"Part {path} cannot be read: {problem}. `reelsift dataset verify {version}` checks all")
