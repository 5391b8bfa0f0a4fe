"""`manifest.parquet`: one row for each video of a run, whatever became of it.

    source, status (done, cached, failed), reason, title, answer, warning, folder, report, seconds, video_s, place,
    batch, run, worker, device, detector

In: rows. Out: a Parquet file. Does not know how the rows came about.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.batches import BatchRow
from tasks.contracts.files import appearing

MANIFEST_NAME = "manifest.parquet"
NUMBERS = {"seconds": pa.float64(), "video_s": pa.float64(), "place": pa.int64()}
SCHEMA = pa.schema([(name, NUMBERS.get(name, pa.string())) for name in BatchRow.model_fields])


def write_manifest(folder: Path, rows: Sequence[BatchRow]) -> Path:
    """Write the rows, whole or not at all, and return where."""
    path = folder / MANIFEST_NAME
    with appearing(path) as temporary:
        pq.write_table(pa.Table.from_pylist([row.model_dump(mode="json") for row in rows], SCHEMA), temporary)
    return path


def read_manifest(path: Path) -> list[BatchRow]:
    """Read the rows again."""
    return [BatchRow.model_validate(row) for row in pq.read_table(path).to_pylist()]
