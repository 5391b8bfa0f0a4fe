"""Rows of shards in memory: copied out of their records, and as an Arrow table."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.kernels.example import COUNT, FLOAT_BYTES, ID, LABELS, START, STOP, Ints
from tasks.records.kernels.walker import gather
from tasks.records.kernels.wire import Bytes


def _element(kind: pa.DataType) -> pa.Field:
    return pa.field("element", kind, nullable=False)  # nullable elements write and read a third slower


SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("labels", pa.list_(_element(pa.int32())), nullable=False),
        pa.field("mean_rgb", pa.list_(_element(pa.float32()), RGB_SIZE), nullable=False),
        pa.field("mean_audio", pa.list_(_element(pa.float32()), AUDIO_SIZE), nullable=False),
        pa.field("shard", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("is_match", pa.bool_(), nullable=False),
    ]
)


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
        pa.Array.from_buffers(pa.bool_(), count, [None, pa.py_buffer(np.packbits(is_match, bitorder="little"))]),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


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


def _texts(ends: NDArray[np.int32], characters: NDArray[np.uint8]) -> pa.Array:
    return pa.Array.from_buffers(pa.string(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(characters)])


def _nested(column: str, count: int, buffers: list[pa.Buffer | None], values: NDArray[Any]) -> pa.Array:
    """Return lists, all of one size or with their ends in the buffers, whose elements are `values`."""
    kind = SCHEMA.field(column).type
    return pa.Array.from_buffers(kind, count, buffers, children=[_flat(kind.value_type, values)])
