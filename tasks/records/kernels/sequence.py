"""The frames of one `tf.train.SequenceExample` for compiled code, read exactly as protobuf would.

    SequenceExample { Features context = 1; FeatureLists feature_lists = 2; }
    FeatureLists { map<string, FeatureList> feature_list = 1; }    its entries are as those of `Features`
    FeatureList { repeated Feature feature = 1; }                  a frame: a list of one value, uint8 (size,)

In the row of a list of frames KIND is `OF_BYTES` if all frames are lists of bytes, COUNT is the number of frames,
PIECES the size in bytes that all of them have, or `UNEVEN`, and START and STOP bound the map entry.
"""

from tasks.records.kernels.compiled import U64, inlined, kernel
from tasks.records.kernels.example import (
    ABSENT,
    COUNT,
    FEATURES,
    FIELD_1_LEN,
    FIELD_2_LEN,
    FRAME_AUDIO,
    FRAME_RGB,
    FRAME_ROWS,
    FRAME_SCRATCH,
    KIND,
    OF_BYTES,
    OF_FLOATS,
    PIECES,
    START,
    STOP,
    UNSET,
    Table,
    clear,
    copy_feature,
    has_key,
    only,
    read_feature,
    read_features,
)
from tasks.records.kernels.wire import BAD, Bytes, is_utf8, read_field

UNEVEN = -1  # frames of several sizes, or one that is not a single value


@kernel
def read_sequence(data: Bytes, at: int, end: int, table: Table) -> bool:
    """Fill `table`, of `FRAME_ROWS`, from `data[at:end]`; say whether that is a SequenceExample at all."""
    for row in range(FRAME_ROWS):
        table[row, KIND], table[row, COUNT] = ABSENT, 0
    while at < end:
        tag, start, at = read_field(data, at, end)
        if at < 0 or (tag == FIELD_1_LEN and not read_features(data, start, at, table)):
            return False
        if tag == FIELD_2_LEN and not _read_lists(data, start, at, table):
            return False
    return True


@kernel
def _read_lists(data: Bytes, at: int, end: int, table: Table) -> bool:
    while at < end:
        tag, start, at = read_field(data, at, end)
        if at < 0:
            return False
        if tag == FIELD_1_LEN:
            row = _read_entry(data, start, at, table, data[:0])
            if row < 0:
                return False
            copy_feature(table, FEATURES, row)
    return True


@kernel
def _read_entry(data: Bytes, at: int, end: int, table: Table, frames: Bytes) -> int:
    """Read an entry of the map into the scratch row, and its frames into `frames`; return the row of its key."""
    entry, row, found = at, FEATURES, table[FEATURES]
    found[KIND] = OF_BYTES
    clear(found)
    while at < end:
        tag, start, at = read_field(data, at, end)
        if at < 0:
            return BAD
        if tag == FIELD_1_LEN:
            row = _row_of(data, start, at)
            if row == FEATURES and not is_utf8(data, start, at):
                return BAD
        elif tag == FIELD_2_LEN and not _read_frames(data, start, at, table, frames):
            return BAD
    found[START], found[STOP] = entry, end
    return row


@inlined
def _row_of(data: Bytes, start: int, stop: int) -> int:
    if has_key(data, start, stop, b"rgb"):
        return FRAME_RGB
    return FRAME_AUDIO if has_key(data, start, stop, b"audio") else FEATURES


@kernel
def _read_frames(data: Bytes, at: int, end: int, table: Table, frames: Bytes) -> bool:
    """Add the frames of a FeatureList to the scratch row, and copy those for which `frames` has room."""
    found, frame = table[FEATURES], table[FRAME_SCRATCH]
    while at < end:
        tag, start, at = read_field(data, at, end)
        if at < 0:
            return False
        if tag != FIELD_1_LEN:
            continue
        value = only(data, only(data, start, at, FIELD_1_LEN), at, FIELD_1_LEN)  # as writers lay it out
        size = at - value
        if value < 0:
            frame[KIND] = UNSET
            clear(frame)
            if not read_feature(data, start, at, frame, data[:0]):
                return False
            value, size = frame[START], frame[STOP] - frame[START] if frame[COUNT] == 1 else UNEVEN
            if frame[KIND] != OF_BYTES:
                found[KIND] = OF_FLOATS
        if found[COUNT] == 0:
            found[PIECES] = size
        elif found[PIECES] != size:
            found[PIECES] = UNEVEN
        _copy(data, value, size, frames, found[COUNT])
        found[COUNT] += 1
    return True


@inlined
def _copy(data: Bytes, start: int, size: int, frames: Bytes, place: int) -> None:
    if size > 0 and (place + 1) * size <= frames.size:
        at, to = U64(start), U64(place * size)  # an unsigned index cannot count from the end: the loop is vectorised
        for n in range(size):
            frames[to + U64(n)] = data[at + U64(n)]


@kernel
def copy_frames(data: Bytes, table: Table, row: int, frames: Bytes) -> None:
    """Copy the frames of a list, all of one size, end to end."""
    _read_entry(data, table[row, START], table[row, STOP], table, frames)
