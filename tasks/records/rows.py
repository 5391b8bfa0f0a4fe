"""Rows of shards in memory: copied out of their records, and as an Arrow table."""

import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contracts.columns import FRAME_TYPES, SEGMENT, element
from tasks.contracts.datasets import Level
from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.kernels.example import (
    COUNT,
    FLOAT_BYTES,
    FRAME_RGB,
    ID,
    LABELS,
    SEGMENT_LABELS,
    START,
    STOP,
    Ints,
)
from tasks.records.kernels.walker import gather, gather_frames
from tasks.records.kernels.wire import Bytes

SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("labels", pa.list_(element(pa.int32())), nullable=False),
        pa.field("mean_rgb", pa.list_(element(pa.float32()), RGB_SIZE), nullable=False),
        pa.field("mean_audio", pa.list_(element(pa.float32()), AUDIO_SIZE), nullable=False),
        pa.field("shard", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("is_match", pa.bool_(), nullable=False),
    ]
)

FRAME_SCHEMA = pa.schema(
    [
        *(SCHEMA.field(name) for name in ("video_id", "labels")),
        *(pa.field(name, kind, nullable=False) for name, kind in FRAME_TYPES.items()),
        *(SCHEMA.field(name) for name in ("shard", "is_match")),
    ]
)
TABLE_FRAMES = 1 << 14  # copied at a time: 19 MB


def schema_of(level: Level) -> pa.Schema:
    """Return the columns of rows of a level."""
    return FRAME_SCHEMA if level == "frame" else SCHEMA


class Rows(NamedTuple):
    """Records of a shard as they are copied out of it, end to end, in their order."""

    shard: str
    ids: NDArray[np.uint8]
    id_sizes: Ints  # (records,)
    labels: Ints
    label_counts: Ints  # (records,)
    rgb: NDArray[np.uint8]  # (records, 4 * floats)
    audio: NDArray[np.uint8]
    is_match: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        """The size of what is copied."""
        return self.ids.nbytes + self.labels.nbytes + self.rgb.nbytes + self.audio.nbytes


def frame_tables(shard: str, data: Bytes, features: Ints, is_match: NDArray[np.bool_]) -> Iterator[pa.Table]:
    """Copy the records of frames whose features are given into tables of `FRAME_SCHEMA`, none of them large."""
    for part in cut(features[:, FRAME_RGB, COUNT], TABLE_FRAMES):
        yield _frame_table(shard, data, features[part], is_match[part])


def cut(frames: Ints, most: int) -> Iterator[slice]:
    """Yield runs of rows, each ending with the row whose frames make it `most` or more; the last may have fewer."""
    start, total = 0, 0
    for row, count in enumerate(frames.tolist(), 1):
        total += count
        if total >= most:
            yield slice(start, row)
            start, total = row, 0
    if start < len(frames):
        yield slice(start, len(frames))


def copy_rows(data: Bytes, features: Ints, is_match: NDArray[np.bool_], shard: str) -> Rows:
    """Copy the records whose features are given out of a shard, in their order."""
    id_sizes, label_counts = features[:, ID, STOP] - features[:, ID, START], features[:, LABELS, COUNT].copy()
    ids, labels = np.empty(sum(id_sizes.tolist()), np.uint8), np.empty(sum(label_counts.tolist()), np.int64)
    rgb, audio = (np.empty((len(features), size * FLOAT_BYTES), np.uint8) for size in (RGB_SIZE, AUDIO_SIZE))
    gather(data, features, ids, labels.view(np.uint8), rgb, audio)
    return Rows(shard, ids, id_sizes, labels, label_counts, rgb, audio, is_match)


def table_of(shards: Sequence[Rows]) -> pa.Table:
    """Return the rows of shards, in their order, as a table of `SCHEMA`."""
    whole = [each[0] if len(shards) == 1 else np.concatenate(each) for each in list(zip(*shards, strict=True))[1:]]
    ids, id_sizes, labels, label_counts, rgb, audio, is_match = whole
    count = len(is_match)
    columns = [
        _texts(_ends(id_sizes), ids),
        _nested("labels", count, [None, pa.py_buffer(_ends(label_counts))], labels.astype(np.int32)),
        _nested("mean_rgb", count, [None], rgb),
        _nested("mean_audio", count, [None], audio),
        shard_column([each.shard for each in shards], [len(each.is_match) for each in shards]),
        _flags(is_match),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _frame_table(shard: str, data: Bytes, features: Ints, is_match: NDArray[np.bool_]) -> pa.Table:
    """Copy records of frames into a table of `FRAME_SCHEMA`."""
    id_sizes = features[:, ID, STOP] - features[:, ID, START]
    labels, rated, frames = (features[:, row, COUNT] for row in (LABELS, SEGMENT_LABELS, FRAME_RGB))
    ids, total = np.empty(id_sizes.sum(), np.uint8), int(frames.sum())
    whole = [np.empty(counts.sum(), np.int64) for counts in (labels, rated, rated, rated)]
    scores = np.empty(rated.sum(), np.float32)
    rgb, audio = (_used_again(total, size) for size in (RGB_SIZE, AUDIO_SIZE))
    gather_frames(data, features, ids, tuple(each.view(np.uint8) for each in (*whole, scores)), rgb, audio)
    in_segments = [_flat(pa.int32(), each.astype(np.int32)) for each in whole[1:]]
    segments = pa.StructArray.from_arrays([*in_segments, _flat(pa.float32(), scores)], fields=list(SEGMENT))
    columns = [
        _texts(_ends(id_sizes), ids),
        _lists("labels", labels, _flat(pa.int32(), whole[0].astype(np.int32))),
        _flat(pa.int32(), frames.astype(np.int32)),
        _lists("rgb", frames, _flat(pa.binary(RGB_SIZE), rgb)),
        _lists("audio", frames, _flat(pa.binary(AUDIO_SIZE), audio)),
        _lists("segments", rated, segments),
        shard_column([shard], [len(is_match)]),
        _flags(is_match),
    ]
    return pa.Table.from_arrays(columns, schema=FRAME_SCHEMA)


_spare: dict[int, deque[NDArray[np.uint8]]] = {size: deque(maxlen=3) for size in (RGB_SIZE, AUDIO_SIZE)}


def _used_again(frames: int, size: int) -> NDArray[np.uint8]:
    """Return room for frames, which the next ones get once nobody has these any more.

    Memory that is new each time is mapped and zeroed each time, which takes longer than copying.
    """
    try:
        whole = _spare[size].pop()
    except IndexError:
        whole = np.empty(0, np.uint8)
    if whole.size < frames * size:
        whole = np.empty((frames + frames // 8) * size, np.uint8)
    room = whole[: frames * size]
    weakref.finalize(room, _spare[size].append, whole)
    return room


def shard_column(names: Sequence[str], counts: Sequence[int]) -> pa.DictionaryArray:
    """Return a column that names each shard as often as it has rows."""
    encoded = [name.encode() for name in names]
    characters = np.frombuffer(b"".join(encoded), np.uint8)
    codes = np.repeat(np.arange(len(names), dtype=np.int32), counts)
    texts = _texts(_ends(np.array([len(each) for each in encoded])), characters)
    return pa.DictionaryArray.from_arrays(_flat(pa.int32(), codes), texts, safe=False)


def _ends(sizes: Ints) -> NDArray[np.int32]:
    """Return where each of some texts or lists ends when they stand end to end, with a 0 before."""
    ends = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=ends[1:])
    return ends


def _flat(kind: pa.DataType, values: NDArray[Any]) -> pa.Array:
    """Take an array's memory as it is; `pa.array` would first import pandas, to see whether it is one of its own."""
    return pa.Array.from_buffers(kind, values.nbytes * 8 // kind.bit_width, [None, pa.py_buffer(values)])


def _flags(is_match: NDArray[np.bool_]) -> pa.Array:
    bits = pa.py_buffer(np.packbits(is_match, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(is_match), [None, bits])


def _lists(column: str, counts: Ints, values: pa.Array) -> pa.Array:
    """Return lists of so many of the values each, in a column of `FRAME_SCHEMA`."""
    kind = FRAME_SCHEMA.field(column).type
    return pa.Array.from_buffers(kind, len(counts), [None, pa.py_buffer(_ends(counts))], children=[values])


def _texts(ends: NDArray[np.int32], characters: NDArray[np.uint8]) -> pa.Array:
    return pa.Array.from_buffers(pa.string(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(characters)])


def _nested(column: str, count: int, buffers: list[pa.Buffer | None], values: NDArray[Any]) -> pa.Array:
    """Return lists, all of one size or with their ends in the buffers, whose elements are `values`."""
    kind = SCHEMA.field(column).type
    return pa.Array.from_buffers(kind, count, buffers, children=[_flat(kind.value_type, values)])
