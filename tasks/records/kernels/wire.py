"""The wire format of protocol buffers for compiled code, with every bound checked.

Format: https://protobuf.dev/programming-guides/encoding/. Where that leaves a choice, protobuf's own parser is
followed: a varint has at most ten bytes, in a tag or a size five; tags fit in 32 bits; groups nest at most a
hundred deep.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.records.kernels.compiled import I64, U64, inlined, kernel

Bytes = NDArray[np.uint8]

BAD = -1
VARINT, FIXED64, LEN, GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5  # wire types
SHORT = 5  # bytes at most of a tag or a size
FIRST_TAG = 8  # of field 1
MAX_DEPTH = 100


@inlined
def read_varint(data: Bytes, at: int, end: int, longest: int = 10) -> tuple[int, int]:
    """Return (uint64 value, position after it), where that takes at most `longest` bytes."""
    value = U64(0)
    for n in range(longest):
        if at >= end:
            return value, BAD
        byte = data[at]
        at += 1
        value |= U64(byte & 0x7F) << U64(7 * n)
        if byte < 0x80:
            return value, at
    return value, BAD


@inlined
def read_tag(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return (field number << 3 | wire type, position after it)."""
    value, at = read_varint(data, at, end, SHORT)
    return I64(value), at if value <= U64(0xFFFFFFFF) else BAD


@inlined
def read_field(data: Bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return (tag, start, stop) of a field: its content is `data[start:stop]`."""
    tag, at = read_tag(data, at, end)
    if at < 0 or tag < FIRST_TAG:  # protobuf minds a field number of 0, but not in groups
        return tag, at, BAD
    if tag & 7 == GROUP:
        return tag, at, _group_end(data, at, end, tag >> 3)
    start, stop = _content(data, at, end, tag & 7)
    return tag, start, stop


@inlined
def _content(data: Bytes, at: int, end: int, wire_type: int) -> tuple[int, int]:
    """Return (start, stop) of the content of a field that is no group."""
    size = U64(4)
    if wire_type == LEN:
        size, at = read_varint(data, at, end, SHORT)
    elif wire_type == VARINT:
        return at, read_varint(data, at, end)[1]
    elif wire_type == FIXED64:
        size = U64(8)
    elif wire_type != FIXED32:
        return at, BAD
    return at, at + I64(size) if at >= 0 and size <= U64(end - at) else BAD


@kernel
def _group_end(data: Bytes, at: int, end: int, number: int) -> int:
    """Return the position after a group and all the groups in it; each must end with its own number."""
    stop, deepest = _scan_group(data, at, end, number, 0)
    for level in range(1, deepest + 1):  # once for each level, as there is nowhere to keep a stack
        if stop >= 0:
            stop, _ = _scan_group(data, at, end, number, level)
    return stop


@kernel
def _scan_group(data: Bytes, at: int, end: int, number: int, level: int) -> tuple[int, int]:
    """Return (position after a group, depth of the groups in it), checking the numbers of one level only."""
    depth, deepest = 0, 0
    while at >= 0:
        tag, at = read_tag(data, at, end)
        if at < 0:
            break
        if tag & 7 == END_GROUP:
            if depth == level and tag >> 3 != number:
                break
            if depth == 0:
                return at, deepest
            depth -= 1
        elif tag & 7 == GROUP:
            depth += 1
            deepest = max(deepest, depth)
            if depth == level:
                number = tag >> 3
            if depth == MAX_DEPTH:
                break
        else:
            at = _content(data, at, end, tag & 7)[1]
    return BAD, 0


@kernel
def is_utf8(data: Bytes, at: int, end: int) -> bool:
    """Say whether `data[at:end]` is UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF)."""
    while at < end:
        first = data[at]
        at += 1
        if first < 0x80:
            continue
        more = (first >= 0xC2) + (first >= 0xE0) + (first >= 0xF0)
        if more == 0 or first > 0xF4 or end - at < more or not _may_follow(first, data[at]):
            return False
        for n in range(1, more):
            if data[at + n] & 0xC0 != 0x80:
                return False
        at += more
    return True


@kernel
def _may_follow(first: int, second: int) -> bool:
    low, high = 0x80, 0xBF
    if first == 0xE0:
        low = 0xA0
    elif first == 0xED:
        high = 0x9F
    elif first == 0xF0:
        low = 0x90
    elif first == 0xF4:
        high = 0x8F
    return low <= second <= high
