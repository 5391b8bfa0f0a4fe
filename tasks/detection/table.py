"""`objects.parquet`: a row for each box of each frame that was looked at, as `tasks.contracts.media` has it.

Neither pass holds more than `GROUP_ROWS` rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.columns import flags, numbers, texts
from tasks.detection.boxes import NO_TRACK, TimedFrame
from tasks.detection.tracking import TrackSummaries

GROUP_ROWS = 16_384
FRAMES_TOGETHER = 256  # the few boxes of each take two kilobytes as arrays, and a tenth of that in columns
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
        self._frames: list[TimedFrame] = []
        self._packed: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, frame: TimedFrame) -> None:
        """Take the boxes of a frame, if it was looked at."""
        if frame.found is None or not len(frame.found) or not frame.is_looked_at:
            return
        self._frames.append(TimedFrame(frame.index, frame.time_s, None, True, True, frame.found))
        self._rows += len(frame.found)
        if len(self._frames) >= FRAMES_TOGETHER:
            self._pack()
        if self._rows >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        try:
            self._flush()
        finally:
            self._writer.close()

    def named(self, path: Path, summaries: TrackSummaries, class_names: tuple[str, ...]) -> None:
        """Write the second pass to `path`, with the numbers and the classes of the tracks, and drop the first."""
        names = Naming(summaries, class_names)
        with (
            pq.ParquetFile(self._path, pre_buffer=False) as keyed,  # else it keeps all that it has read
            pq.ParquetWriter(path, OBJECTS, compression=COMPRESSION) as writer,
        ):
            for batch in keyed.iter_batches(GROUP_ROWS):
                writer.write_batch(names.name(batch))
        self._path.unlink()

    def _pack(self) -> None:
        if self._frames:
            self._packed.append(_keyed_rows(self._frames))
        self._frames = []

    def _flush(self) -> None:
        self._pack()
        if self._packed:
            self._writer.write_table(pa.Table.from_batches(self._packed), row_group_size=self._rows)
        self._packed, self._rows = [], 0


class Naming:
    """The second pass: keys become numbers of tracks, and the boxes of a track get its class."""

    def __init__(self, summaries: TrackSummaries, class_names: tuple[str, ...]) -> None:
        self._track_ids = summaries.sure_keys()
        self._classes = {key: summary.class_id for key in self._track_ids if (summary := summaries.sure(key))}
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


def _keyed_rows(frames: list[TimedFrame]) -> pa.RecordBatch:
    found = [(frame, frame.found) for frame in frames if frame.found is not None]
    counts = [len(boxes) for _, boxes in found]
    columns = {
        "frame": np.repeat([frame.index for frame, _ in found], counts),
        "time_s": np.repeat([frame.time_s for frame, _ in found], counts),
        "key": np.concatenate([boxes.keys for _, boxes in found]),
        "class_id": np.concatenate([boxes.class_ids for _, boxes in found]),
        "score": np.concatenate([boxes.scores for _, boxes in found]),
    }
    corners = np.concatenate([boxes.boxes for _, boxes in found]).T
    columns |= dict(zip(("x_min", "y_min", "x_max", "y_max"), corners, strict=True))
    made = {name: numbers(values, KEYED.field(name).type) for name, values in columns.items()}
    made["mask"] = texts([boxes.packed_mask(place) for _, boxes in found for place in range(len(boxes))])
    made["carried"] = flags(np.repeat([boxes.carried for _, boxes in found], counts))
    return pa.record_batch([made[name] for name in KEYED.names], schema=KEYED)
