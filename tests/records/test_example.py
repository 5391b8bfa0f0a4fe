"""The walker's reading of an Example, against protobuf's."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tasks.records.kernels.judge import Verdict
from tests.records.framing import AUDIO_FLOATS, OF_FRAMES, RGB_FLOATS, frames, judge_shard
from tests.records.odd_examples import GROUP, LEN, VARINT, OddExamples, chunk, tag, varint
from tests.records.oracle import expected

END = 4
SEVEN, THREE = b"\x12\x05\x1a\x03\x0a\x01\x07", b"\x12\x05\x1a\x03\x0a\x01\x03"  # values of a map of integers
UNKNOWN = tag(9, VARINT) + b"\x01"
FLOATS = {"mean_rgb": RGB_FLOATS, "mean_audio": AUDIO_FLOATS}


def entry(key: bytes, kind: int, content: bytes) -> bytes:
    return chunk(1, chunk(1, key) + chunk(2, chunk(kind, content)))


def whole(**replaced: bytes) -> bytes:
    """The map of a well formed record of label 7, with entries replaced or added."""
    entries = {
        "id": entry(b"id", 1, chunk(1, b"Xz9H")),
        "labels": entry(b"labels", 3, chunk(1, varint(7) + varint(3))),
        **{name: entry(name.encode(), 2, chunk(1, b"\0\0\x80\x3f" * size)) for name, size in FLOATS.items()},
    }
    return b"".join({**entries, **replaced}.values())


def test_random_examples_are_read_as_protobuf_reads_them(parse_entries: Callable[[bytes], Any]) -> None:
    source = OddExamples(seed=1, rgb_floats=RGB_FLOATS, audio_floats=AUDIO_FLOATS)
    payloads = [source.example() for _ in range(12_000)]
    seen = Counter()
    for payload, record in zip(payloads, judge_shard(frames(payloads)), strict=True):
        verdict, values = expected(payload, parse_entries)
        assert (record.verdict, record.values) == (verdict, values), payload.hex()
        seen[verdict] += 1
    framing = {Verdict.TRUNCATED, Verdict.BAD_LENGTH_CRC, Verdict.BAD_DATA_CRC}
    assert set(seen) == set(Verdict) - framing - OF_FRAMES, "the generator should meet every verdict"


def nested_groups(depth: int) -> bytes:
    return tag(9, GROUP) * depth + tag(9, END) * depth


ODDITIES = {
    "empty payload": b"",
    "empty map": chunk(1, b""),
    "map in two pieces": chunk(1, whole(labels=b"")) + chunk(1, entry(b"labels", 3, chunk(1, b"\x07"))),
    "sequence example": chunk(1, whole()) + b"\x12\0",
    "key twice, last wins": chunk(1, whole(more=entry(b"labels", 3, chunk(1, b"\x01")))),
    "key twice, the last without a list": chunk(1, whole(more=chunk(1, chunk(1, b"labels")))),
    "value before key": chunk(1, whole(id=chunk(1, chunk(2, chunk(1, chunk(1, b"ab"))) + chunk(1, b"id")))),
    "entry without key": chunk(1, whole(more=chunk(1, chunk(2, chunk(3, b""))))),
    "key that is not text": chunk(1, whole(more=entry(b"\xff", 3, b""))),
    "key with a surrogate": chunk(1, whole(more=entry(b"\xed\xa0\x80", 3, b""))),
    "overlong key": chunk(1, whole(more=entry(b"\xc0\xaf", 3, b""))),
    "id that is not text": chunk(1, whole(id=entry(b"id", 1, chunk(1, b"\xff\xff")))),
    "two ids": chunk(1, whole(id=entry(b"id", 1, chunk(1, b"ab") + chunk(1, b"cd")))),
    "id and video_id": chunk(1, whole(more=entry(b"video_id", 1, chunk(1, b"dQw4w9WgXcQ")))),
    "video_id alone": chunk(1, whole(id=entry(b"video_id", 1, chunk(1, b"dQw4w9WgXcQ")))),
    "labels unpacked": chunk(1, whole(labels=entry(b"labels", 3, b"\x08\x07\x08\x03"))),
    "labels packed and not": chunk(1, whole(labels=entry(b"labels", 3, b"\x0a\x01\x05\x08\x07\x0a\x01\x03"))),
    "labels in fixed words": chunk(1, whole(labels=entry(b"labels", 3, b"\x09" + bytes(8)))),
    "labels cut in a varint": chunk(1, whole(labels=entry(b"labels", 3, chunk(1, b"\x07\x80")))),
    "varint of ten bytes": chunk(1, whole(labels=entry(b"labels", 3, chunk(1, varint(7, 9))))),
    "varint of eleven bytes": chunk(1, whole(labels=entry(b"labels", 3, chunk(1, b"\x87" + b"\x80" * 9 + b"\0")))),
    "negative label": chunk(1, whole(labels=entry(b"labels", 3, chunk(1, varint(-1))))),
    "floats of 3 bytes": chunk(1, whole(mean_rgb=entry(b"mean_rgb", 2, chunk(1, b"abc")))),
    "floats one by one": chunk(1, whole(mean_audio=entry(b"mean_audio", 2, b"\x0d\0\0\0\0" * AUDIO_FLOATS))),
    "floats one by one, cut": chunk(1, whole(mean_audio=entry(b"mean_audio", 2, b"\x0d\0\0\0\0\x0d\0\0"))),
    "groups 90 deep": nested_groups(90) + chunk(1, whole()),
    "groups 101 deep": nested_groups(101) + chunk(1, whole()),
    "group that ends another": tag(9, GROUP) + tag(8, END) + chunk(1, whole()),
    "inner group that ends another": tag(9, GROUP) + tag(5, GROUP) + tag(6, END) + tag(9, END) + chunk(1, whole()),
    "group with fields": tag(9, GROUP) + chunk(1, b"x") + tag(2, VARINT) + b"\x01" + tag(9, END) + chunk(1, whole()),
    "group without end": chunk(1, whole()) + tag(9, GROUP),
    "end without group": chunk(1, whole()) + tag(9, END),
    "field 0": chunk(1, whole()) + b"\x02\0",
    "wire type 6": chunk(1, whole()) + b"\x0e",
    "wire type 7": chunk(1, whole()) + b"\x0f",
    "tag of 33 bits": chunk(1, whole()) + varint(1 << 32 | 9 << 3) + b"\0",
    "unknown field in an entry": chunk(1, whole(labels=chunk(1, UNKNOWN + chunk(1, b"labels") + SEVEN + UNKNOWN))),
    "field 0 in a group": tag(9, GROUP) + b"\0\0" + tag(9, END) + chunk(1, whole()),
    "tag of five bytes": chunk(1, whole()) + varint(9 << 3, 4) + b"\x01",
    "tag of six bytes": chunk(1, whole()) + varint(9 << 3, 5) + b"\x01",
    "length of five bytes": chunk(1, whole()) + tag(9, LEN) + varint(1, 4) + b"x",
    "length of six bytes": chunk(1, whole()) + tag(9, LEN) + varint(1, 5) + b"x",
    "tag of six bytes in a group": tag(9, GROUP) + varint(9 << 3, 5) + b"\x01" + tag(9, END) + chunk(1, whole()),
    "length beyond the end": chunk(1, whole()) + tag(9, LEN) + b"\x05abc",
    "length of 2**63": chunk(1, whole()) + tag(9, LEN) + varint(1 << 63),
    "length of 2**64 - 1": tag(1, LEN) + varint(-1) + whole(),
    "inner length beyond the outer": chunk(1, tag(1, LEN) + b"\x7f" + whole()[2:]),
    "fixed word cut": chunk(1, whole()) + tag(9, 1) + b"1234567",
    "oneof changed": chunk(1, whole(labels=chunk(1, chunk(1, b"labels") + chunk(2, b"\x12\0\x1a\x03\x0a\x01\x07")))),
    "oneof changed back": chunk(
        1, whole(labels=chunk(1, chunk(1, b"labels") + chunk(2, b"\x1a\x03\x0a\x01\x07\x12\0\x1a\x03\x0a\x01\x03")))
    ),
    "values merged": chunk(
        1,
        whole(
            labels=chunk(1, chunk(2, b"\x1a\x03\x0a\x01\x07") + chunk(1, b"labels") + chunk(2, b"\x1a\x03\x0a\x01\x03"))
        ),
    ),
}


@pytest.mark.parametrize("payload", ODDITIES.values(), ids=ODDITIES.keys())
def test_an_oddity_is_read_as_protobuf_reads_it(payload: bytes, parse_entries: Callable[[bytes], Any]) -> None:
    (record,) = judge_shard(frames([payload]))
    assert (record.verdict, record.values) == expected(payload, parse_entries)


def test_more_labels_than_there_are_in_the_vocabulary_are_refused() -> None:
    payload = chunk(1, whole(labels=entry(b"labels", 3, chunk(1, b"\x07" * 51))))
    assert judge_shard(frames([payload]))[0].verdict == Verdict.WRONG_LENGTH
