"""Keeps a record or drops it with a reason; samples background records deterministically. Compiled."""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.records.kernels.compiled import I64, U64, entry_point, kernel, source_revision
from tasks.records.kernels.crc32c import word_at
from tasks.records.kernels.example import (
    ABSENT,
    AUDIO,
    COUNT,
    FLOAT_BYTES,
    FRAME_AUDIO,
    FRAME_RGB,
    ID,
    INT_BYTES,
    KIND,
    LABELS,
    OF_BYTES,
    OF_FLOATS,
    OF_INTS,
    PIECES,
    RGB,
    SEGMENT_ENDS,
    SEGMENT_LABELS,
    SEGMENT_SCORES,
    SEGMENT_STARTS,
    START,
    STOP,
    VIDEO_ID,
    VIDEO_ROWS,
    Ints,
    Table,
    copy_feature,
    copy_values,
    read_example,
    read_sequence,
)
from tasks.records.kernels.wire import Bytes, is_utf8

LATEST_S = (1 << 31) - 1  # a later time of a segment is none


class Verdict(IntEnum):
    """What a record is; of several faults it has the first in this order."""

    MATCH = 0
    TRUNCATED = 1
    BAD_LENGTH_CRC = 2
    BAD_DATA_CRC = 3
    MALFORMED = 4
    MISSING_FEATURE = 5
    WRONG_LENGTH = 6
    NO_FRAMES = 7  # this and the next one are of frame-level records alone
    UNEVEN_FRAMES = 8
    NON_FINITE = 9
    NO_LABELS = 10
    LABEL_OUT_OF_RANGE = 11
    EXCLUDED = 12
    NO_MATCH = 13


# What compiled code takes for them.
(MATCH, TRUNCATED, BAD_LENGTH_CRC, BAD_DATA_CRC, MALFORMED, MISSING_FEATURE, WRONG_LENGTH, NO_FRAMES, UNEVEN_FRAMES,
 NON_FINITE, NO_LABELS, LABEL_OUT_OF_RANGE, EXCLUDED, NO_MATCH) = (int(verdict) for verdict in Verdict)  # fmt: skip


class Rules(NamedTuple):
    """What is wanted, as compiled code takes it."""

    roles: NDArray[np.int32]  # (vocabulary,): n for the n-th label wanted, from 1; -1 for an excluded label; else 0
    need: int  # how many of the labels wanted a match must have
    seen: Ints  # (labels wanted + 1,): scratch, all -1 at first
    room: Bytes  # scratch, for the values of any one feature; no more labels are read than there are in the vocabulary
    rgb_size: int
    audio_size: int
    check_crc: bool
    noted: int  # the verdicts of records to be noted, each as a bit: 1 << verdict


@kernel
def judge(data: Bytes, start: int, stop: int, table: Table, rules: Rules) -> int:
    """Fill `table` from a payload and return its verdict; the table's rows tell the level of the record."""
    is_video = len(table) == VIDEO_ROWS
    is_whole = read_example(data, start, stop, table) if is_video else read_sequence(data, start, stop, table)
    if not is_whole:
        return MALFORMED
    if table[ID, KIND] == ABSENT:
        copy_feature(table, VIDEO_ID, ID)
    if table[ID, KIND] == OF_BYTES and not is_utf8(data, table[ID, START], table[ID, STOP]):
        return MALFORMED
    verdict = _judge_features(data, table, rules) if is_video else _judge_frames(data, table, rules)
    if verdict == MATCH:
        verdict = _judge_labels(data, table, start, rules)
        if not is_video and verdict != NO_LABELS and not _knows_rated_labels(data, table, rules):
            return LABEL_OUT_OF_RANGE
    return verdict


@kernel
def _judge_features(data: Bytes, table: Table, rules: Rules) -> int:
    """Say whether a record has what every record must have, whatever is wanted."""
    text, rgb, audio = table[ID], table[RGB], table[AUDIO]
    if text[KIND] != OF_BYTES or text[START] == text[STOP] or rgb[KIND] != OF_FLOATS or audio[KIND] != OF_FLOATS:
        return MISSING_FEATURE
    if table[LABELS, KIND] in (OF_BYTES, OF_FLOATS):
        return MISSING_FEATURE
    if text[COUNT] != 1 or rgb[COUNT] != rules.rgb_size or audio[COUNT] != rules.audio_size:
        return WRONG_LENGTH
    if table[LABELS, COUNT] > rules.roles.size:
        return WRONG_LENGTH
    finite = _all_finite(data, table, I64(RGB), rules.room) and _all_finite(data, table, I64(AUDIO), rules.room)
    return MATCH if finite else NON_FINITE


@kernel
def _judge_frames(data: Bytes, table: Table, rules: Rules) -> int:
    """Do as `_judge_features` does for a frame-level record."""
    text, rgb, audio = table[ID], table[FRAME_RGB], table[FRAME_AUDIO]
    is_missing = text[KIND] != OF_BYTES or text[START] == text[STOP] or rgb[KIND] != OF_BYTES or audio[KIND] != OF_BYTES
    for row in (LABELS, SEGMENT_STARTS, SEGMENT_ENDS, SEGMENT_LABELS):
        is_missing |= table[row, KIND] in (OF_BYTES, OF_FLOATS)
    if is_missing or table[SEGMENT_SCORES, KIND] in (OF_BYTES, OF_INTS):
        return MISSING_FEATURE
    if text[COUNT] != 1 or table[LABELS, COUNT] > rules.roles.size or not _has_even_segments(data, table, rules):
        return WRONG_LENGTH
    if (rgb[COUNT] and rgb[PIECES] != rules.rgb_size) or (audio[COUNT] and audio[PIECES] != rules.audio_size):
        return WRONG_LENGTH
    if rgb[COUNT] != audio[COUNT]:
        return UNEVEN_FRAMES
    if rgb[COUNT] == 0:
        return NO_FRAMES
    scores = table[SEGMENT_SCORES]
    return NON_FINITE if scores[COUNT] and not _all_finite(data, table, I64(SEGMENT_SCORES), rules.room) else MATCH


@kernel
def _has_even_segments(data: Bytes, table: Table, rules: Rules) -> bool:
    """Say whether each rated segment has a label, a score, a start and an end after it; few enough for the scratch."""
    count = table[SEGMENT_STARTS, COUNT]
    for row in (SEGMENT_ENDS, SEGMENT_LABELS, SEGMENT_SCORES):
        if table[row, COUNT] != count:
            return False
    size = count * INT_BYTES
    if count == 0 or 2 * size > rules.room.size:
        return count == 0
    copy_values(data, table, I64(SEGMENT_STARTS), rules.room[:size])
    copy_values(data, table, I64(SEGMENT_ENDS), rules.room[size : 2 * size])
    times, is_well = rules.room[: 2 * size].view(np.int64), True
    for n in range(count):
        is_well &= 0 <= times[n] < times[count + n] <= LATEST_S
    return is_well


@kernel
def _knows_rated_labels(data: Bytes, table: Table, rules: Rules) -> bool:
    """Say whether the labels of all rated segments are in the vocabulary."""
    size = table[SEGMENT_LABELS, COUNT] * INT_BYTES
    if size:
        copy_values(data, table, I64(SEGMENT_LABELS), rules.room[:size])
        for label in rules.room[:size].view(np.int64):
            if not 0 <= label < rules.roles.size:
                return False
    return True


@kernel
def _all_finite(data: Bytes, table: Table, row: int, room: Bytes) -> bool:
    if table[row, PIECES] <= 1:
        return _finite(data, table[row, START], table[row, STOP])
    copy_values(data, table, row, room)
    return _finite(room, 0, table[row, COUNT] * FLOAT_BYTES)


@kernel
def _finite(data: Bytes, start: int, stop: int) -> bool:
    """Say whether no float32 has an exponent of all ones, which is what NaN and the infinities have."""
    if (stop - start) % 8 != 0 and data[stop - 1] & 0x7F == 0x7F and data[stop - 2] >= 0x80:
        return False  # the last of an odd number of floats
    at, carry = U64(start), U64(0)
    for n in range((stop - start) // 8):
        # Two floats at a time: one more than an exponent of all ones carries into the place of the sign.
        carry |= (word_at(data, at + U64(8 * n)) & U64(0x7F800000_7F800000)) + U64(0x00800000_00800000)
    return carry & U64(0x80000000_80000000) == 0


@kernel
def _judge_labels(data: Bytes, table: Table, record: int, rules: Rules) -> int:
    """Say whether the labels are those wanted; `record` is another number for every record."""
    count = table[LABELS, COUNT]
    if count == 0:
        return NO_LABELS
    copy_values(data, table, I64(LABELS), rules.room)
    found, excluded = 0, False
    for label in rules.room[: count * INT_BYTES].view(np.int64):
        if not 0 <= label < rules.roles.size:
            return LABEL_OUT_OF_RANGE
        role = rules.roles[label]
        if role > 0 and rules.seen[role] != record:
            rules.seen[role] = record
            found += 1
        excluded |= role < 0
    if excluded:
        return EXCLUDED
    return MATCH if found >= rules.need else NO_MATCH


# FNV-1a of 64 bits over the salt and the id, then the finalizer of MurmurHash3, as FNV alone mixes short texts badly.
FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
SALT = b"reelsift background 1"


def id_hashes(data: Bytes, features: Ints) -> NDArray[np.uint64]:
    """Return the hash of the id of each record whose features are given."""
    hashes = np.empty(len(features), np.uint64)
    _hash_ids(data, features, hashes)
    return hashes


def smallest(hashes: NDArray[np.uint64], count: int) -> NDArray[np.intp]:
    """Return which are the `count` smallest hashes, of equal ones the first."""
    return np.argsort(hashes, kind="stable")[:count]


@kernel
def _mixed(value: int) -> int:
    value = (value ^ (value >> U64(33))) * U64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> U64(33))) * U64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> U64(33))


@kernel
def _hash_all(data: Bytes, features: Ints, hashes: NDArray[np.uint64]) -> None:
    for n in range(len(features)):
        value = U64(FNV_BASIS)
        for byte in SALT:
            value = (value ^ U64(byte)) * U64(FNV_PRIME)
        for at in range(features[n, ID, START], features[n, ID, STOP]):
            value = (value ^ U64(data[at])) * U64(FNV_PRIME)
        hashes[n] = _mixed(value)


def _compile(revision: str) -> Callable[[Bytes, Ints, NDArray[np.uint64]], None]:
    def hash_ids(data: Bytes, features: Ints, hashes: NDArray[np.uint64]) -> None:
        _ = revision
        _hash_all(data, features, hashes)

    return entry_point(hash_ids)


_hash_ids = _compile(source_revision())
