"""The walker's reading of a SequenceExample, against protobuf's and TensorFlow's own; and why one is dropped."""

import os
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts.datasets import DropReason, FilterConfig
from tasks.contracts.errors import DamagedShardError, DatasetError
from tasks.records import reading
from tasks.records.filter import filter_shard
from tasks.records.kernels.judge import Verdict
from tasks.records.synthetic import encode_sequence
from tests.records.framing import AUDIO_BYTES, RGB_BYTES, frame, frames, judge_frames
from tests.records.odd_examples import OddSequences, chunk
from tests.records.oracle import expected_frames
from tests.records.shards import shard_with
from tests.support.late_tensorflow import tf

FRAMES = FilterConfig(label_ids=(22,), level="frame", background="all")


def codes(count: int, size: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, size), np.uint8)


def test_random_sequences_are_read_as_protobuf_reads_them(parse_sequence: Callable[[bytes], Any]) -> None:
    source = OddSequences(seed=1, rgb_bytes=RGB_BYTES, audio_bytes=AUDIO_BYTES)
    payloads = [source.sequence() for _ in range(6_000)]
    seen = Counter()
    for payload, record in zip(payloads, judge_frames(frames(payloads)), strict=True):
        verdict, values = expected_frames(payload, parse_sequence)
        assert (record.verdict, record.values) == (verdict, values), payload.hex()
        seen[verdict] += 1
    framing = {Verdict.TRUNCATED, Verdict.BAD_LENGTH_CRC, Verdict.BAD_DATA_CRC}
    assert set(seen) == set(Verdict) - framing, "the generator should meet every verdict"


def parsed_by_tensorflow(payload: bytes) -> dict[str, Any]:
    """Return what `tf.io.parse_single_sequence_example` makes of a record, frames as numbers."""
    integers, one = tf.io.VarLenFeature(tf.int64), tf.io.FixedLenSequenceFeature([], tf.string)
    names = ("segment_start_times", "segment_end_times", "segment_labels")
    context, lists = tf.io.parse_single_sequence_example(
        payload,
        context_features={
            "id": tf.io.FixedLenFeature([], tf.string),
            "labels": integers,
            **dict.fromkeys(names, integers),
            "segment_scores": tf.io.VarLenFeature(tf.float32),
        },
        sequence_features={"rgb": one, "audio": one},
    )
    sparse = {name: context[name].values.numpy().tolist() for name in ("labels", *names, "segment_scores")}
    dense = {name: tf.io.decode_raw(lists[name], tf.uint8).numpy() for name in ("rgb", "audio")}
    return {"id": context["id"].numpy().decode(), **sparse, **dense}


def test_rows_are_what_tensorflow_parses_bit_for_bit(tmp_path: Path) -> None:
    ratings = [(0, 5, 22, 1.0), (0, 5, 3, 0.0), (40, 45, 3, 0.1)]
    payloads = [
        encode_sequence(f"v{n}".encode(), [3, 22][: 1 + n % 2], codes(size, 1024, n), codes(size, 128, n), ratings[:n])
        for n, size in enumerate((1, 2, 170, 300))
    ]
    shard = shard_with(tmp_path / "validateaa.tfrecord", frames(payloads))
    table = filter_shard(shard, FRAMES).table
    for row, payload in zip(table.to_pylist(), payloads, strict=True):
        wanted = parsed_by_tensorflow(payload)
        assert (row["video_id"], row["labels"]) == (wanted["id"], wanted["labels"])
        assert row["frame_count"] == len(wanted["rgb"])
        for name in ("rgb", "audio"):
            assert b"".join(row[name]) == wanted[name].tobytes()
            assert {len(each) for each in row[name]} == {wanted[name].shape[1]}
        names = {"start_s": "start_times", "end_s": "end_times", "label": "labels", "score": "scores"}
        for ours, theirs in names.items():
            assert [segment[ours] for segment in row["segments"]] == wanted[f"segment_{theirs}"]
    assert table.column("is_match").to_pylist() == [False, True, False, True]


WELL = {"video_id": b"Xz9H", "labels": [22], "rgb": codes(3, 1024), "audio": codes(3, 128)}
FAULTS: dict[str, tuple[DropReason, dict[str, Any]]] = {
    "more of the picture": (DropReason.UNEVEN_FRAMES, {"rgb": codes(4, 1024)}),
    "more of the sound": (DropReason.UNEVEN_FRAMES, {"audio": codes(5, 128)}),
    "no frame of the sound": (DropReason.UNEVEN_FRAMES, {"audio": codes(0, 128)}),
    "no frames": (DropReason.NO_FRAMES, {"rgb": codes(0, 1024), "audio": codes(0, 128)}),
    "narrow picture": (DropReason.WRONG_LENGTH, {"rgb": codes(3, 1023)}),
    "wide sound": (DropReason.WRONG_LENGTH, {"audio": codes(3, 129)}),
    "swapped": (DropReason.WRONG_LENGTH, {"rgb": codes(3, 128), "audio": codes(3, 1024)}),
    "segment that ends before it starts": (DropReason.WRONG_LENGTH, {"ratings": [(5, 5, 22, 1.0)]}),
    "rated label beyond the vocabulary": (DropReason.LABEL_OUT_OF_RANGE, {"ratings": [(0, 5, 3862, 1.0)]}),
    "score that is no number": (DropReason.NON_FINITE, {"ratings": [(0, 5, 22, float("nan"))]}),
    "no id": (DropReason.MISSING_FEATURE, {"video_id": b""}),
    "no labels": (DropReason.NO_LABELS, {"labels": []}),
}


def test_damaged_records_are_dropped_with_reasons_and_counted(tmp_path: Path) -> None:
    payloads = [encode_sequence(**{**WELL, **change}) for _, change in FAULTS.values()]
    whole = encode_sequence(**WELL)
    without_sound = chunk(1, chunk(1, chunk(1, b"id") + chunk(2, chunk(1, chunk(1, b"ab"))))) + chunk(2, b"")
    broken = [(DropReason.MISSING_FEATURE, without_sound), (DropReason.MALFORMED, whole + b"\xff")]
    payloads = [whole, *payloads, *(payload for _, payload in broken), whole]
    flipped, cut = bytearray(frame(whole)), frame(whole)[:-2000]
    flipped[2000] ^= 1
    shard = shard_with(tmp_path / "trainaa.tfrecord", b"".join([*map(frame, payloads), flipped, cut]))
    table, tally = filter_shard(shard, FRAMES)
    reasons = [*(reason for reason, _ in FAULTS.values()), *(reason for reason, _ in broken)]
    assert tally.drops == Counter([*reasons, DropReason.BAD_CRC, DropReason.TRUNCATED])
    assert (tally.records, tally.matches, table.num_rows) == (len(payloads) + 2, 2, 2)
    assert tally.records == tally.matches + tally.background + sum(tally.drops.values())
    assert {each.reason for each in tally.damage} == {DropReason.MALFORMED, DropReason.BAD_CRC, DropReason.TRUNCATED}
    assert "tf.train.SequenceExample" in next(each.detail for each in tally.damage if each.reason == "malformed")


@pytest.mark.parametrize(("level", "reason"), [("video", "missing-feature"), ("frame", "match")])
def test_records_of_frames_have_no_features_of_a_whole_video(level: Any, reason: str, tmp_path: Path) -> None:
    shard = shard_with(tmp_path / "trainaa.tfrecord", frame(encode_sequence(**WELL)))
    tally = filter_shard(shard, FRAMES.model_copy(update={"level": level})).tally
    assert (tally.matches, tally.drops) == ((1, {}) if reason == "match" else (0, {DropReason(reason): 1}))


SAMPLED = FRAMES.model_copy(update={"background": 1})


def crowd() -> tuple[bytes, list[int]]:
    """Frames of ten videos, of which four match, a damaged one among them and a cut one; and where these begin."""
    wrong = bytearray(frame(encode_sequence(**WELL)))
    wrong[-1] ^= 1
    payloads = [
        encode_sequence(f"v{n}".encode(), [22 if n % 3 == 0 else 3], codes(size, 1024, n), codes(size, 128, n))
        for n, size in enumerate((1, 40, 2, 7, 3, 3, 90, 1, 1, 5))
    ]
    pieces = [*map(frame, payloads[:4]), bytes(wrong), *map(frame, payloads[4:]), bytes(wrong[:-3000])]
    return b"".join(pieces), [sum(map(len, pieces[:4])), sum(map(len, pieces[:-1]))]


@pytest.mark.parametrize("config", [FRAMES, SAMPLED], ids=["all", "sampled"])
@pytest.mark.parametrize(("piece", "kept"), [(1, 0), (997, 16), (4096, 1 << 20), (50_000, 0), (1 << 17, 1 << 17)])
def test_frames_are_read_alike_however_small_the_pieces(
    config: FilterConfig, piece: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, damaged = crowd()
    if piece == 1:  # each byte a piece: as few as show it
        content = content[: content.index(b"v1") + 200]
    shard = shard_with(tmp_path / "trainaa.tfrecord", content)
    table, tally = filter_shard(shard, config)
    monkeypatch.setattr(reading, "_spare", deque[Any](maxlen=2))  # of rooms of the usual size
    monkeypatch.setattr(reading, "PIECE_BYTES", piece)
    monkeypatch.setattr(reading, "KEPT_BYTES", kept)
    in_pieces = filter_shard(shard, config)
    assert in_pieces.tally == tally  # whether it is asked for first
    assert in_pieces.table.equals(table)
    if piece > 1:
        assert (tally.matches, tally.drops[DropReason.BAD_CRC], tally.drops[DropReason.TRUNCATED]) == (4, 1, 1)
        assert tally.background == (6 if config is FRAMES else 4)
        assert [each.offset for each in tally.damage] == damaged


def test_nothing_is_read_after_a_length_that_cannot_be_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_spare", deque[Any](maxlen=2))
    monkeypatch.setattr(reading, "PIECE_BYTES", 4096)
    monkeypatch.setattr(reading, "KEPT_BYTES", 4096)
    whole = frame(encode_sequence(**WELL))
    broken = bytes([whole[0] ^ 1]) + whole[1:]
    tally = filter_shard(shard_with(tmp_path / "trainaa.tfrecord", whole + broken + whole * 9), FRAMES).tally
    assert (tally.records, tally.matches, tally.drops) == (2, 1, {DropReason.BAD_CRC: 1})
    assert tally.damage[0].offset == len(whole)


def test_shards_may_be_read_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_spare", deque[Any](maxlen=2))
    monkeypatch.setattr(reading, "PIECE_BYTES", 4096)  # a little more than a record, so that each piece is a table
    shards = [
        shard_with(tmp_path / f"train{n}.tfrecord", frames([encode_sequence(**WELL | {"rgb": codes(3, 1024, n)})] * 4))
        for n in range(2)
    ]
    alone = [list(filter_shard(shard, FRAMES).tables()) for shard in shards]
    beside = list(zip(*(filter_shard(shard, FRAMES).tables() for shard in shards), strict=True))
    assert len(beside) == 4
    for tables, found in zip(alone, zip(*beside, strict=True), strict=True):
        assert all(table.equals(other) for table, other in zip(tables, found, strict=True))


def test_a_shard_of_frames_that_changes_or_is_missing_is_refused_when_it_is_read(tmp_path: Path) -> None:
    shard = shard_with(tmp_path / "trainaa.tfrecord", frames([encode_sequence(**WELL)] * 2))
    rows = filter_shard(shard, FRAMES).tables()
    next(rows)
    os.utime(shard.path, (1, 1))
    with pytest.raises(DatasetError, match="changed while it was read"):
        list(rows)
    shard.path.write_bytes(b"")
    with pytest.raises(DatasetError, match="has 0 bytes, and had"):
        _ = filter_shard(shard, FRAMES).tally
    shard.path.unlink()
    with pytest.raises(DatasetError, match="There is no shard"):
        _ = filter_shard(shard, FRAMES).table


def test_a_strict_filter_refuses_damaged_frames(tmp_path: Path) -> None:
    shard = shard_with(tmp_path / "trainaa.tfrecord", crowd()[0])
    with pytest.raises(DamagedShardError, match=r"trainaa\.tfrecord is damaged at byte .*checksum"):
        _ = filter_shard(shard, FRAMES.model_copy(update={"strict": True})).tally
