"""`objects.parquet`: a row for each box of each moment that was looked at, as `tasks.contracts.media` has it.

Neither pass holds more than `GROUP_ROWS` rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.columns import flags, numbers, texts
from tasks.detection.boxes import NO_TRACK, Moment
from tasks.detection.tracking import Stories

GROUP_ROWS = 16_384
COMPRESSION = "zstd"
KEYED = pa.schema(
    [
        ("frame", pa.int64()),
        ("time_s", pa.float64()),
        ("key", pa.int64()),
        ("class_id", pa.int16()),
        ("score", pa.float32()),
        *((name, pa.float32()) for name in ("x_min", "y_min", "x_max", "y_max")),
        ("mask", pa.string()),
        ("carried", pa.bool_()),
    ]
)
OBJECTS = pa.schema(
    [
        ("frame", pa.int64()),
        ("time_s", pa.float64()),
        ("track_id", pa.int32()),
        ("class_id", pa.int16()),
        ("class_name", pa.string()),
        *(KEYED.field(name) for name in ("score", "x_min", "y_min", "x_max", "y_max", "mask", "carried")),
    ]
)


class KeyedRows:
    """The first pass: rows with the keys of their tracks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = pq.ParquetWriter(path, KEYED, compression=COMPRESSION)
        self._moments: list[Moment] = []
        self._rows = 0

    def add(self, moment: Moment) -> None:
        """Take the boxes of a moment, if it was looked at."""
        if moment.boxes is None or not len(moment.boxes) or not moment.is_looked_at:
            return
        self._moments.append(Moment(moment.index, moment.time_s, None, True, True, moment.boxes))
        self._rows += len(moment.boxes)
        if self._rows >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        try:
            self._flush()
        finally:
            self._writer.close()

    def named(self, path: Path, stories: Stories, class_names: tuple[str, ...]) -> None:
        """Write the second pass to `path`, with the numbers and the classes of the tracks, and drop the first."""
        names = Naming(stories, class_names)
        with pq.ParquetFile(self._path) as keyed, pq.ParquetWriter(path, OBJECTS, compression=COMPRESSION) as writer:
            for batch in keyed.iter_batches(GROUP_ROWS):
                writer.write_batch(names.name(batch))
        self._path.unlink()

    def _flush(self) -> None:
        if self._moments:
            self._writer.write_batch(_keyed_rows(self._moments))
        self._moments, self._rows = [], 0


class Naming:
    """The second pass: keys become numbers of tracks, and the boxes of a track get its class."""

    def __init__(self, stories: Stories, class_names: tuple[str, ...]) -> None:
        self._track_ids = stories.sure_keys()
        self._classes = {key: story.class_id for key in self._track_ids if (story := stories.sure(key))}
        self._class_names = class_names

    def name(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows as the table has them; those carried by a track that was never sure are left out."""
        # As lists: to_numpy would import pandas.
        keys, own, is_carried = (batch[name].to_pylist() for name in ("key", "class_id", "carried"))
        class_ids = [self._classes.get(key, each or 0) for key, each in zip(keys, own, strict=True)]
        track_ids = [self._track_ids.get(key, NO_TRACK) for key in keys]
        columns: dict[str, Any] = {name: batch[name] for name in batch.schema.names if name in OBJECTS.names}
        columns["track_id"] = numbers(np.array(track_ids), pa.int32())
        columns["class_id"] = numbers(np.array(class_ids), pa.int16())
        columns["class_name"] = texts([self._class_names[class_id] for class_id in class_ids])
        made = pa.record_batch([columns[name] for name in OBJECTS.names], schema=OBJECTS)
        is_kept = [not carried or number != NO_TRACK for carried, number in zip(is_carried, track_ids, strict=True)]
        return made.filter(flags(np.array(is_kept, np.bool_)))


def _keyed_rows(moments: list[Moment]) -> pa.RecordBatch:
    found = [(moment, moment.boxes) for moment in moments if moment.boxes is not None]
    counts = [len(boxes) for _, boxes in found]
    columns = {
        "frame": np.repeat([moment.index for moment, _ in found], counts),
        "time_s": np.repeat([moment.time_s for moment, _ in found], counts),
        "key": np.concatenate([boxes.keys for _, boxes in found]),
        "class_id": np.concatenate([boxes.class_ids for _, boxes in found]),
        "score": np.concatenate([boxes.scores for _, boxes in found]),
    }
    corners = np.concatenate([boxes.boxes for _, boxes in found]).T
    columns |= dict(zip(("x_min", "y_min", "x_max", "y_max"), corners, strict=True))
    made = {name: numbers(values, KEYED.field(name).type) for name, values in columns.items()}
    made["mask"] = texts([mask for _, boxes in found for mask in boxes.masks])
    made["carried"] = flags(np.repeat([boxes.carried for _, boxes in found], counts))
    return pa.record_batch([made[name] for name in KEYED.names], schema=KEYED)
