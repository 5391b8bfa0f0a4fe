"""Rows as Arrow has them, in the one schema of everything that comes after.

In: a shard's bytes and the features of the records to keep. Out: an Arrow table, floats bit for bit. Does not know
why they are kept.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contracts.artifacts import AUDIO_SIZE, RGB_SIZE
from tasks.records.example import COUNT, FLOAT_BYTES, ID, INT_BYTES, LABELS, START, STOP, Ints
from tasks.records.walker import gather
from tasks.records.wire import Bytes


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


def rows_of(data: Bytes, features: Ints, is_match: NDArray[np.bool_], shard: str) -> pa.Table:
    """Return the records whose features are given, in their order, as a table of `SCHEMA`."""
    count = len(features)
    id_ends = _ends(features[:, ID, STOP] - features[:, ID, START])
    label_ends = _ends(features[:, LABELS, COUNT])
    ids = np.empty(id_ends[-1], np.uint8)
    labels = np.empty(int(label_ends[-1]) * INT_BYTES, np.uint8)
    rgb, audio = (np.empty((count, size * FLOAT_BYTES), np.uint8) for size in (RGB_SIZE, AUDIO_SIZE))
    gather(data, features, ids, labels, rgb, audio)
    columns = [
        _texts(id_ends, ids),
        _lists(label_ends, labels.view(np.int64).astype(np.int32)),
        _vectors("mean_rgb", rgb),
        _vectors("mean_audio", audio),
        shard_column(shard, count),
        pa.Array.from_buffers(pa.bool_(), count, [None, pa.py_buffer(np.packbits(is_match, bitorder="little"))]),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def shard_column(name: str, count: int) -> pa.DictionaryArray:
    """Return a column that names one shard `count` times."""
    text = np.frombuffer(name.encode(), np.uint8)
    names = _texts(np.array([0, text.size], np.int32), text)
    return pa.DictionaryArray.from_arrays(_flat(pa.int32(), np.zeros(count, np.int32)), names)


def _ends(sizes: Ints) -> NDArray[np.int32]:
    """Return where each of some texts or lists ends when they stand end to end, with a 0 before."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def _flat(kind: pa.DataType, values: NDArray[Any]) -> pa.Array:
    """Take an array's memory as it is; `pa.array` would first import pandas, to see whether it is one of its own."""
    return pa.Array.from_buffers(kind, values.nbytes * 8 // kind.bit_width, [None, pa.py_buffer(values)])


def _texts(ends: NDArray[np.int32], characters: NDArray[np.uint8]) -> pa.Array:
    return pa.Array.from_buffers(pa.string(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(characters)])


def _lists(ends: NDArray[np.int32], values: NDArray[np.int32]) -> pa.Array:
    kind = SCHEMA.field("labels").type
    return pa.Array.from_buffers(kind, len(ends) - 1, [None, pa.py_buffer(ends)], children=[_flat(pa.int32(), values)])


def _vectors(name: str, floats: NDArray[np.uint8]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(_flat(pa.float32(), floats), type=SCHEMA.field(name).type)
