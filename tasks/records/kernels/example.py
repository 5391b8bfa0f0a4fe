"""One `tf.train.Example` for compiled code: where its features are, exactly as protobuf would read it.

    Example { Features features = 1; }                 a `SequenceExample` has its context in the same place
    Features { map<string, Feature> feature = 1; }     an entry is { string key = 1; Feature value = 2; }
    Feature { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }
    each list { repeated value = 1; }                  packed, one by one, or a mixture of both

What protobuf defines is followed: the last entry of a key wins; within an entry the last key wins and values
merge; another member of the oneof clears the first, the same member again adds to it; unknown fields and fields of
another wire type are skipped; a key that is not UTF-8 is an error.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.records.kernels.compiled import U64, inlined, kernel
from tasks.records.kernels.wire import BAD, SHORT, Bytes, is_utf8, read_field, read_varint

Ints = NDArray[np.int64]
Table = NDArray[np.int64]  # (VIDEO_ROWS or FRAME_ROWS, FIELDS); row FEATURES is for unknown keys, and scratch

ID, VIDEO_ID, LABELS, RGB, AUDIO = range(5)  # rows of the table
FEATURES = 5  # the row of unknown keys
# Rows after that, which only the table of a frame-level record has: two lists of frames, features of the context.
FRAME_RGB, FRAME_AUDIO, SEGMENT_STARTS, SEGMENT_ENDS, SEGMENT_LABELS, SEGMENT_SCORES, FRAME_SCRATCH = range(6, 13)
VIDEO_ROWS, FRAME_ROWS = 6, 13  # of the table, by the level of the records
KIND, COUNT, PIECES, START, STOP = range(5)  # columns of the table
FIELDS = 5
ABSENT, UNSET, OF_BYTES, OF_FLOATS, OF_INTS = -1, 0, 1, 2, 3  # kinds: no such key; no list at all; a list
# START and STOP bound the last value (bytes), the only run of values (floats, integers: PIECES is 1), or the map
# entry from which scattered values are to be collected (PIECES above 1).

FIELD_1_LEN, FIELD_2_LEN, FIELD_3_LEN, FIELD_1_VARINT, FIELD_1_FIXED32 = 0x0A, 0x12, 0x1A, 0x08, 0x0D
FLOAT_BYTES, INT_BYTES = 4, 8  # of a value that has been copied


@kernel
def read_example(data: Bytes, at: int, end: int, table: Table) -> bool:
    """Fill `table` from `data[at:end]`; say whether that is an Example at all."""
    for row in range(FEATURES):
        table[row, KIND], table[row, COUNT] = ABSENT, 0
    while at < end:
        tag, start, at = read_field(data, at, end)
        if at < 0 or (tag == FIELD_1_LEN and not read_features(data, start, at, table)):
            return False
    return True


@kernel
def read_features(data: Bytes, at: int, end: int, table: Table) -> bool:
    """Read a map of features into the rows of `table`, as far as it has them."""
    scratch = table[FEATURES]
    while at < end:
        tag, start, at = read_field(data, at, end)
        if at < 0:
            return False
        if tag == FIELD_1_LEN:
            row = _read_plain_entry(data, start, at, scratch)
            if row < 0:
                row = _read_entry(data, start, at, scratch, data[:0])
            if row < 0:
                return False
            if row < len(table):
                copy_feature(table, FEATURES, row)
    return True


@inlined
def _read_plain_entry(data: Bytes, at: int, end: int, feature: Ints) -> int:
    """Read an entry laid out as writers do: a key of ours, then a value of one list of one run; else `BAD`.

    It says what `_read_entry` would, at half the cost: four times nothing but a tag that is known, and a size.
    """
    if end - at < 2 or data[at] != FIELD_1_LEN or data[at + 1] > 0x7F:
        return BAD
    key, value = at + 2, at + 2 + data[at + 1]
    start = only(data, value, end, FIELD_2_LEN)
    if start < 0 or start == end:
        return BAD
    kind = data[start] >> 3
    start = only(data, only(data, start, end, kind << 3 | 2), end, FIELD_1_LEN)
    row = _row_of(data, key, value)
    if start < 0 or row == FEATURES:
        return BAD
    feature[KIND] = kind
    clear(feature)
    if kind == OF_BYTES:
        feature[COUNT], feature[START], feature[STOP] = 1, start, end
        return row
    if kind == OF_FLOATS:
        return row if _add_floats(data, start, end, feature, data[:0]) else BAD
    return row if kind == OF_INTS and _add_ints(data, start, end, feature, data[:0]) else BAD


@inlined
def only(data: Bytes, at: int, end: int, tag: int) -> int:
    """Return where the content of a field starts that has this tag and fills all up to `end`; else `BAD`."""
    if at < 0 or at >= end or data[at] != tag:
        return BAD
    size, start = read_varint(data, at + 1, end, SHORT)
    return start if start >= 0 and size == U64(end - start) else BAD


@inlined
def copy_feature(table: Table, row: int, to_row: int) -> None:
    """Copy what is known of a feature to another row."""
    for n in range(FIELDS):
        table[to_row, n] = table[row, n]


@kernel
def _read_entry(data: Bytes, at: int, end: int, feature: Ints, values: Bytes) -> int:
    """Read an entry of the map into `feature`; return the row of its key, or `BAD`."""
    entry, row = at, FEATURES
    feature[KIND] = UNSET
    clear(feature)
    while at < end:
        tag, start, at = read_field(data, at, end)
        if at < 0:
            return BAD
        if tag == FIELD_1_LEN:
            row = _row_of(data, start, at)
            if row == FEATURES and not is_utf8(data, start, at):
                return BAD
        elif tag == FIELD_2_LEN and not read_feature(data, start, at, feature, values):
            return BAD
    if feature[PIECES] > 1:
        feature[START], feature[STOP] = entry, end
    return row


@inlined
def clear(feature: Ints) -> None:
    """Forget the values of a feature."""
    feature[COUNT], feature[PIECES], feature[START], feature[STOP] = 0, 0, 0, 0


@inlined
def has_key(data: Bytes, start: int, stop: int, key: bytes) -> bool:
    """Say whether `data[start:stop]` is this key."""
    if stop - start != len(key):
        return False
    same = True
    for n in range(len(key)):
        same &= data[start + n] == key[n]
    return same


@inlined
def _row_of(data: Bytes, start: int, stop: int) -> int:
    if has_key(data, start, stop, b"id"):
        return ID
    if has_key(data, start, stop, b"labels"):
        return LABELS
    if has_key(data, start, stop, b"mean_rgb"):
        return RGB
    if has_key(data, start, stop, b"mean_audio"):
        return AUDIO
    if has_key(data, start, stop, b"video_id"):
        return VIDEO_ID
    return _segments_row(data, start, stop)


@kernel
def _segments_row(data: Bytes, start: int, stop: int) -> int:
    if has_key(data, start, stop, b"segment_start_times"):
        return SEGMENT_STARTS
    if has_key(data, start, stop, b"segment_end_times"):
        return SEGMENT_ENDS
    if has_key(data, start, stop, b"segment_labels"):
        return SEGMENT_LABELS
    if has_key(data, start, stop, b"segment_scores"):
        return SEGMENT_SCORES
    return FEATURES


@kernel
def read_feature(data: Bytes, at: int, end: int, feature: Ints, values: Bytes) -> bool:
    """Read a Feature and merge it into `feature`."""
    while at < end:
        tag, start, at = read_field(data, at, end)
        if at < 0:
            return False
        if tag in (FIELD_1_LEN, FIELD_2_LEN, FIELD_3_LEN):
            if feature[KIND] != tag >> 3:
                feature[KIND] = tag >> 3
                clear(feature)
            if not _read_list(data, start, at, feature, values):
                return False
    return True


@kernel
def _read_list(data: Bytes, at: int, end: int, feature: Ints, values: Bytes) -> bool:
    """Read a BytesList, FloatList or Int64List, whichever `feature` is, and add its values."""
    kind = feature[KIND]
    while at < end:
        tag, start, at = read_field(data, at, end)
        if at < 0:
            return False
        is_well = True
        if kind == OF_BYTES and tag == FIELD_1_LEN:
            feature[COUNT] += 1
            feature[START], feature[STOP] = start, at
        elif kind == OF_FLOATS and tag in (FIELD_1_LEN, FIELD_1_FIXED32):
            is_well = _add_floats(data, start, at, feature, values)
        elif kind == OF_INTS and tag in (FIELD_1_LEN, FIELD_1_VARINT):
            is_well = _add_ints(data, start, at, feature, values)
        if not is_well:
            return False
    return True


@kernel
def _add_floats(data: Bytes, start: int, stop: int, feature: Ints, values: Bytes) -> bool:
    """Count the floats of a run, and store those for which there is room; say whether the run ends with one."""
    _add_piece(feature, start, stop)
    offset = feature[COUNT] * FLOAT_BYTES
    at, to = U64(start), U64(offset)  # an unsigned index cannot count from the end, so the loop is vectorised
    for n in range(min(stop - start, values.size - offset)):
        values[to + U64(n)] = data[at + U64(n)]
    feature[COUNT] += (stop - start) // FLOAT_BYTES
    return (stop - start) % FLOAT_BYTES == 0


@kernel
def _add_ints(data: Bytes, at: int, stop: int, feature: Ints, values: Bytes) -> bool:
    """Count the varints of a run, and store those for which there is room; say whether the run ends with one."""
    _add_piece(feature, at, stop)
    while at < stop:
        value, at = read_varint(data, at, stop)
        if at < 0:
            return False
        offset = feature[COUNT] * INT_BYTES
        if offset + INT_BYTES <= values.size:
            for n in range(INT_BYTES):
                values[offset + n] = value >> U64(8 * n) & U64(0xFF)
        feature[COUNT] += 1
    return True


@inlined
def _add_piece(feature: Ints, start: int, stop: int) -> None:
    if start < stop:  # an empty run says nothing
        feature[PIECES] += 1
        feature[START], feature[STOP] = start, stop


@kernel
def copy_values(data: Bytes, table: Table, row: int, values: Bytes) -> None:
    """Copy a feature's floats (4 bytes each, as they are) or integers (8 bytes each) as far as there is room."""
    feature, scratch = table[row], table[FEATURES]
    clear(scratch)
    if feature[PIECES] > 1:
        _read_entry(data, feature[START], feature[STOP], scratch, values)
    elif feature[KIND] == OF_FLOATS:
        _add_floats(data, feature[START], feature[STOP], scratch, values)
    else:
        _add_ints(data, feature[START], feature[STOP], scratch, values)
