"""Columns of Arrow: those of frames, columns made of memory as it is, and the memory of columns.

Neither `pa.array` nor `to_numpy` is used: they would first import pandas, more than a second, to see whether what they
are given is one of its own.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE


def element(kind: pa.DataType) -> pa.Field:
    """Return the elements of a list, which are never null: nullable ones write and read a third slower."""
    return pa.field("element", kind, nullable=False)


# A frame is its bytes as they are published: Parquet has no integers of 8 bits, and would write 32 for each.
FRAME_LISTS = {"rgb": pa.list_(element(pa.binary(RGB_SIZE))), "audio": pa.list_(element(pa.binary(AUDIO_SIZE)))}
SEGMENT = pa.struct(
    [
        pa.field("start_s", pa.int32(), nullable=False),
        pa.field("end_s", pa.int32(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)
SECONDS = "_seconds"  # how the column of a modality's values of each second ends, in a version of imported videos
FRAME_TYPES = {"frame_count": pa.int32(), **FRAME_LISTS, "segments": pa.list_(element(SEGMENT))}

TYPES = {
    pa.int16(): np.int16,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float32(): np.float32,
    pa.float64(): np.float64,
}


def seconds_column(modality: str) -> str:
    """Return the name of the column that has a modality's values of each second."""
    return f"{modality}{SECONDS}"


def numbers(values: NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    """Return numbers, (N,), as `kind`."""
    held = np.ascontiguousarray(values, TYPES[kind])
    return pa.Array.from_buffers(kind, len(held), [None, pa.py_buffer(held)])


def vectors(values: NDArray[np.float32], kind: pa.DataType) -> pa.Array:
    """Return the rows of a matrix (N, size) as `kind`, lists of one size."""
    return pa.Array.from_buffers(kind, len(values), [None], children=[numbers(values.ravel(), kind.value_type)])


def flags(values: NDArray[np.bool_]) -> pa.Array:
    """Return true and false, (N,)."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def texts(values: Sequence[str | None]) -> pa.Array:
    """Return texts; None is null."""
    encoded = [(value or "").encode() for value in values]
    ends = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(each) for each in encoded], out=ends[1:])
    is_there = _bits(np.array([value is not None for value in values], np.bool_))
    buffers = [is_there, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def memory_of(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return the numbers of a column without nulls, (N,)."""
    chunks = [np.from_dlpack(chunk) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.empty(0, TYPES[column.type])


def _bits(values: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


FIRST_CHARACTER = 48  # "0" stands for 0: each character holds five bits of a count, the lowest first
BITS, MORE, SIGN = 5, 0x20, 0x10
LARGEST_MASK = 1 << 28  # pixels


def run_lengths(text: str) -> list[int]:
    """Return the run lengths of a mask as COCO writes them, of zeros first.

    From the fourth on, the text has the change from two before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - FIRST_CHARACTER
        value |= (bits & ~MORE) << shift
        shift += BITS
        if bits & MORE:
            continue
        if bits & SIGN:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def mask_runs(packed: str) -> tuple[int, list[int]]:
    """Return the height of a mask, packed as COCO's run lengths in JSON, and these; together they fill it.

    Raises:
        ValueError: it is no such mask.
    """
    try:
        fields = json.loads(packed)
        height, width = map(int, fields["size"])
        runs = run_lengths(fields["counts"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("a mask is no run lengths of COCO's") from error
    if min(height, width, *runs, 0) < 0 or sum(runs) != height * width or height * width > LARGEST_MASK:
        raise ValueError(f"a mask of {width} x {height} does not fill its picture")
    return height, runs
