"""Rows of a shard out of a part that was written earlier.

In: a whole part. Out: what filtering a shard of it gave, without the shard. Does not filter.
"""

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.artifacts import PlannedShard
from tasks.records.filter import FilteredShard
from tasks.records.footer import read_tallies
from tasks.records.rows import SCHEMA, shard_column


class StoredRows:
    """The rows of one part; keeps the last row group in memory, as a shard's neighbours lie in the same one."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        self._tallies = {tally.name: tally for tally in read_tallies(path) or ()}
        sizes = [tally.matches + tally.background for tally in self._tallies.values()]
        self._starts = dict(zip(self._tallies, accumulate(sizes, initial=0), strict=False))
        self._held: tuple[int, pa.Table] | None = None

    def filtered(self, shard: PlannedShard) -> FilteredShard:
        """Return what `filter_shard` returned for `shard`, whose rows are in this part."""
        tally = self._tallies[shard.name]
        start = self._starts[shard.name]
        rows = pa.concat_tables(self._slices(start, start + tally.matches + tally.background))
        column = SCHEMA.get_field_index("shard")
        return FilteredShard(rows.set_column(column, SCHEMA.field(column), shard_column(shard.name, len(rows))), tally)

    def _slices(self, start: int, stop: int) -> Iterator[pa.Table]:
        """Yield rows `start` to `stop`, group by group; at least one table, be it empty."""
        yield SCHEMA.empty_table()
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
