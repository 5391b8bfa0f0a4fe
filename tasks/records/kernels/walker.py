"""A shard in memory, record by record; compiled.

Framing (tensorflow/core/lib/io/record_writer.h), little-endian: uint64 length, uint32 masked CRC-32C of it, data,
uint32 masked CRC-32C of the data.
"""

from collections.abc import Callable

import numpy as np

from tasks.records.kernels.compiled import I64, U64, entry_point, kernel, source_revision
from tasks.records.kernels.crc32c import crc32c, masked
from tasks.records.kernels.example import (
    AUDIO,
    COUNT,
    FIELDS,
    FLOAT_BYTES,
    FRAME_AUDIO,
    FRAME_RGB,
    ID,
    INT_BYTES,
    LABELS,
    PIECES,
    RGB,
    SEGMENT_SCORES,
    SEGMENT_STARTS,
    START,
    STOP,
    VIDEO_ROWS,
    Ints,
    Table,
    copy_frames,
    copy_values,
)
from tasks.records.kernels.judge import BAD_DATA_CRC, BAD_LENGTH_CRC, MATCH, TRUNCATED, Rules, judge
from tasks.records.kernels.wire import Bytes

HEADER_BYTES, FOOTER_BYTES = 12, 4
MIN_FRAME_BYTES = HEADER_BYTES + FOOTER_BYTES
OFFSET, VERDICT = 0, 1  # columns of the heads


def new_tables(records: int, rows: int = VIDEO_ROWS) -> tuple[Ints, Ints]:
    """Return room for so many records: heads (records, 2) and features (records, rows, FIELDS).

    `VIDEO_ROWS` of features are filled with records of whole videos, `FRAME_ROWS` with records of frames.
    """
    return np.empty((records, 2), np.int64), np.empty((records, rows, FIELDS), np.int64)


@kernel
def _little_endian(data: Bytes, at: int, size: int) -> int:
    value = U64(0)
    for n in range(size):
        value |= U64(data[at + n]) << U64(8 * n)
    return value


@kernel
def _differs(data: Bytes, start: int, stop: int) -> bool:
    """Say whether the checksum that follows `data[start:stop]` is not that of `data[start:stop]`."""
    return masked(crc32c(data, start, stop)) != _little_endian(data, stop, 4)


@kernel
def _frame(data: Bytes, ready: int, at: int, check_crc: bool) -> tuple[int, int]:
    """Return (verdict, end of the payload) of the frame at `at`; the end is 0 where it cannot be known."""
    left = ready - at - HEADER_BYTES
    if left < 0:
        return TRUNCATED, 0
    if check_crc and _differs(data, at, at + 8):
        return BAD_LENGTH_CRC, 0
    length = _little_endian(data, at, 8)
    if left < FOOTER_BYTES or length > U64(left - FOOTER_BYTES):
        return TRUNCATED, 0
    stop = at + HEADER_BYTES + I64(length)
    return (BAD_DATA_CRC if check_crc and _differs(data, at + HEADER_BYTES, stop) else MATCH), stop


@kernel
def _walk(data: Bytes, ready: int, at: int, counts: Ints, heads: Ints, features: Ints, rules: Rules) -> tuple[int, int]:
    noted = 0
    while at < ready and noted < len(heads):
        verdict, stop = _frame(data, ready, at, rules.check_crc)
        if verdict == TRUNCATED and ready < data.size:
            break
        if verdict == MATCH:
            verdict = judge(data, at + HEADER_BYTES, stop, features[noted], rules)
        counts[verdict] += 1
        heads[noted, OFFSET], heads[noted, VERDICT] = at, verdict
        noted += rules.noted >> verdict & 1  # else the next record takes its place
        at = stop + FOOTER_BYTES if stop > 0 else data.size
    return noted, at


@kernel
def _gather(data: Bytes, features: Ints, ids: Bytes, labels: Bytes, rgb: Bytes, audio: Bytes) -> None:
    id_at, label_at = 0, 0
    for n in range(len(features)):
        table = features[n]
        start, size, count = table[ID, START], table[ID, STOP] - table[ID, START], table[LABELS, COUNT]
        for i in range(size):
            ids[id_at + i] = data[start + i]
        copy_values(data, table, I64(LABELS), labels[label_at : label_at + count * INT_BYTES])
        copy_values(data, table, I64(RGB), rgb[n])
        copy_values(data, table, I64(AUDIO), audio[n])
        id_at += size
        label_at += count * INT_BYTES


@kernel
def _copy_some(data: Bytes, table: Table, row: int, size: int, values: Bytes, at: int) -> int:
    """Copy the values of a feature, of `size` bytes each, to `values[at:]`; return the position after them."""
    stop = at + table[row, COUNT] * size
    if stop > at:
        copy_values(data, table, row, values[at:stop])
    return stop


@kernel
def _gather_frames(
    data: Bytes, features: Ints, ids: Bytes, numbers: tuple[Bytes, ...], rgb: Bytes, audio: Bytes
) -> None:
    id_at, label_at, rated, rgb_at, audio_at = I64(0), I64(0), I64(0), I64(0), I64(0)
    for n in range(len(features)):
        table = features[n]
        for at in range(table[ID, START], table[ID, STOP]):
            ids[id_at] = data[at]
            id_at += 1
        label_at = _copy_some(data, table, I64(LABELS), I64(INT_BYTES), numbers[0], label_at)
        for place in range(1, len(numbers)):
            row = SEGMENT_STARTS + place - 1
            size = FLOAT_BYTES if row == SEGMENT_SCORES else INT_BYTES
            _copy_some(data, table, row, size, numbers[place], rated * size)
        rated += table[SEGMENT_STARTS, COUNT]
        rgb_size = table[FRAME_RGB, COUNT] * table[FRAME_RGB, PIECES]
        audio_size = table[FRAME_AUDIO, COUNT] * table[FRAME_AUDIO, PIECES]
        copy_frames(data, table, I64(FRAME_RGB), rgb[rgb_at : rgb_at + rgb_size])
        copy_frames(data, table, I64(FRAME_AUDIO), audio[audio_at : audio_at + audio_size])
        rgb_at += rgb_size
        audio_at += audio_size


def _compile(revision: str) -> tuple[Callable[..., tuple[int, int]], Callable[..., None], Callable[..., None]]:
    def walk(
        data: Bytes, ready: int, at: int, counts: Ints, heads: Ints, features: Ints, rules: Rules
    ) -> tuple[int, int]:
        """Judge records from `at` on until the tables are full; return (number of records noted, position after them).

        Of the data, `ready` bytes have been read; a record that ends after them is left for the next call. `counts`,
        (verdicts,), is increased for every record; the tables get those whose verdicts `rules` notes. The position is
        the size of the data at the end, and also where nothing more can be found.
        """
        _ = revision
        return _walk(data, ready, at, counts, heads, features, rules)

    def gather(data: Bytes, features: Ints, ids: Bytes, labels: Bytes, rgb: Bytes, audio: Bytes) -> None:
        """Copy the values of the records whose features are given, in order, into arrays that have just the room.

        All are uint8: texts end to end, labels of 8 bytes end to end, floats (records, 4 * floats) as they are.
        """
        _ = revision
        _gather(data, features, ids, labels, rgb, audio)

    def gather_frames(
        data: Bytes, features: Ints, ids: Bytes, numbers: tuple[Bytes, ...], rgb: Bytes, audio: Bytes
    ) -> None:
        """Do the same for records of frames.

        `numbers` are the labels, then the start, the end and the label of every rated segment, 8 bytes each, and its
        score, 4 bytes; `rgb` and `audio` the frames of all records, end to end.
        """
        _ = revision
        _gather_frames(data, features, ids, numbers, rgb, audio)

    return entry_point(walk), entry_point(gather), entry_point(gather_frames)


walk, gather, gather_frames = _compile(source_revision())
