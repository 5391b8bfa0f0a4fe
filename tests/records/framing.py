"""TFRecord framing, and shards judged record by record with features of any size."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import google_crc32c
import numpy as np

from tasks.records.kernels.example import (
    COUNT,
    FEATURES,
    FRAME_AUDIO,
    FRAME_RGB,
    FRAME_ROWS,
    ID,
    LABELS,
    SEGMENT_SCORES,
    SEGMENT_STARTS,
    START,
    STOP,
)
from tasks.records.kernels.judge import Rules, Verdict
from tasks.records.kernels.walker import OFFSET, VERDICT, gather, gather_frames, new_tables, walk

RGB_FLOATS, AUDIO_FLOATS, VOCABULARY = 4, 3, 50
WANTED, EXCLUDED = (7,), (9,)
EVERY_VERDICT = (1 << len(Verdict)) - 1
OF_FRAMES = {Verdict.NO_FRAMES, Verdict.UNEVEN_FRAMES}  # verdicts that a record of a whole video never has
RGB_BYTES, AUDIO_BYTES = 4, 3  # of a frame


class JudgedFrames(NamedTuple):
    """One record of frames: where it starts, what it is, and its values where it is well."""

    offset: int
    verdict: Verdict
    values: tuple[bytes, list[int], bytes, bytes, list[tuple[int, int, int, bytes]]] | None


class Judged(NamedTuple):
    """One record: where it starts, what it is, and its values where it is well."""

    offset: int
    verdict: Verdict
    values: tuple[bytes, list[int], bytes, bytes] | None


def masked_crc(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + masked_crc(length) + payload + masked_crc(payload)


def frames(payloads: Iterable[bytes]) -> bytes:
    return b"".join(frame(payload) for payload in payloads)


def small_rules(
    *, wanted: Sequence[int] = WANTED, excluded: Sequence[int] = EXCLUDED, need: int = 1, check_crc: bool = True
) -> Rules:
    roles = np.zeros(VOCABULARY, np.int32)
    roles[list(excluded)] = -1
    roles[list(wanted)] = np.arange(1, len(wanted) + 1)
    room = np.empty(VOCABULARY * 8, np.uint8)
    seen = np.full(len(wanted) + 1, -1, np.int64)
    return Rules(roles, need, seen, room, RGB_FLOATS, AUDIO_FLOATS, check_crc, EVERY_VERDICT)


def judge_shard(content: bytes, rules: Rules | None = None, room_for: int = 100_000) -> list[Judged]:
    """Walk over a whole shard; the values of every record that has them are gathered."""
    data = np.frombuffer(bytearray(content), np.uint8)
    heads, features = new_tables(room_for)
    counts = np.zeros(len(Verdict), np.int64)
    count, _ = walk(data, data.size, 0, counts, heads, features, rules or small_rules())
    verdicts = [Verdict(verdict) for verdict in heads[:count, VERDICT]]
    well = [n for n, verdict in enumerate(verdicts) if verdict in {Verdict.MATCH, Verdict.NO_MATCH, Verdict.EXCLUDED}]
    values = dict(zip(well, _gathered(data, features[well]), strict=True))
    return [Judged(int(heads[n, OFFSET]), verdict, values.get(n)) for n, verdict in enumerate(verdicts)]


def _gathered(data: Any, features: Any) -> list[tuple[bytes, list[int], bytes, bytes]]:
    count = len(features)
    assert features.shape[1] == FEATURES + 1
    id_ends = np.cumsum(features[:, ID, STOP] - features[:, ID, START])
    label_ends = np.cumsum(features[:, LABELS, COUNT])
    ids = np.empty(id_ends[-1] if count else 0, np.uint8)
    labels = np.empty((label_ends[-1] if count else 0) * 8, np.uint8)
    rgb, audio = np.empty((count, RGB_FLOATS * 4), np.uint8), np.empty((count, AUDIO_FLOATS * 4), np.uint8)
    gather(data, features, ids, labels, rgb, audio)
    texts = np.split(ids, id_ends)
    lists = np.split(labels.view(np.int64), label_ends)
    return [(texts[n].tobytes(), lists[n].tolist(), rgb[n].tobytes(), audio[n].tobytes()) for n in range(count)]


def judge_frames(content: bytes, rules: Rules | None = None, room_for: int = 100_000) -> list[JudgedFrames]:
    """Walk over a whole shard of frames; the values of every record that has them are gathered."""
    data = np.frombuffer(bytearray(content), np.uint8)
    heads, features = new_tables(room_for, FRAME_ROWS)
    counts = np.zeros(len(Verdict), np.int64)
    count, _ = walk(data, data.size, 0, counts, heads, features, rules or small_rules())
    verdicts = [Verdict(verdict) for verdict in heads[:count, VERDICT]]
    return [
        JudgedFrames(int(heads[n, OFFSET]), verdict, gathered_frames(data, features[n : n + 1]) if well else None)
        for n, verdict in enumerate(verdicts)
        for well in [verdict in {Verdict.MATCH, Verdict.NO_MATCH, Verdict.EXCLUDED}]
    ]


def gathered_frames(data: Any, features: Any) -> tuple[bytes, list[int], bytes, bytes, list[Any]]:
    """Gather one record: id, labels, the frames of both lists, and (start, end, label, bytes of the score)."""
    table = features[0]
    ids = np.empty(table[ID, STOP] - table[ID, START], np.uint8)
    labels, scores = np.empty(table[LABELS, COUNT] * 8, np.uint8), np.empty(table[SEGMENT_SCORES, COUNT] * 4, np.uint8)
    times = tuple(np.empty(table[SEGMENT_STARTS, COUNT] * 8, np.uint8) for _ in range(3))
    rgb = np.empty(table[FRAME_RGB, COUNT] * RGB_BYTES, np.uint8)
    audio = np.empty(table[FRAME_AUDIO, COUNT] * AUDIO_BYTES, np.uint8)
    gather_frames(data, features, ids, (labels, *times, scores), rgb, audio)
    segments = zip(*(each.view(np.int64).tolist() for each in times), scores.view("V4").tolist(), strict=True)
    return ids.tobytes(), labels.view(np.int64).tolist(), rgb.tobytes(), audio.tobytes(), list(segments)


def payloads_of(content: bytes) -> Iterable[bytes]:
    """Yield the payloads of a shard that is known to be whole."""
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield content[at + 12 : at + 12 + length]
        at += length + 16
