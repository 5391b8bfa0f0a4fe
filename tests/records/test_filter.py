"""One shard to the rows that are wanted: reasons, damage, background, strictness."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tasks.contracts.datasets import DropReason, FilterConfig, ShardTally
from tasks.contracts.errors import DamagedShardError
from tasks.records import filter as module
from tasks.records import reading
from tasks.records.filter import MAX_DAMAGE, SCHEMA, FilteredShard, filter_shard, filter_shards
from tasks.records.synthetic import encode_example
from tests.records.framing import frame, frames, masked_crc
from tests.records.shards import record, shard_of, shard_with, vectors

COOKING = FilterConfig(label_ids=(22,))
GOOD = record(b"aa9H", [22, 29])
FRAME_BYTES = len(frame(GOOD))


def filtered(folder: Path, content: bytes, config: FilterConfig = COOKING) -> FilteredShard:
    return filter_shard(shard_with(folder / "train9H.tfrecord", content), config)


def with_floats(rgb: np.ndarray, audio: np.ndarray) -> bytes:
    return encode_example(b"bb9H", [22], rgb, audio)


def without(key: bytes) -> bytes:
    """A record in which a feature bears another name of the same length."""
    return GOOD.replace(key, key[:-1] + b"_")


RGB, AUDIO = vectors(1)
NAN = RGB.copy()
NAN[1023] = np.nan
INFINITE = AUDIO.copy()
INFINITE[0] = -np.inf

DROPPED: dict[str, tuple[bytes, DropReason]] = {
    "no match": (record(b"bb9H", [3]), DropReason.NO_MATCH),
    "no labels": (record(b"bb9H", []), DropReason.NO_LABELS),
    "labels absent": (without(b"labels"), DropReason.NO_LABELS),
    "not an example": (b"\xff" * 40, DropReason.MALFORMED),
    "empty payload": (b"", DropReason.MISSING_FEATURE),
    "id not in UTF-8": (record(b"\xff\xfe9H", [22]), DropReason.MALFORMED),
    "id empty": (record(b"", [22]), DropReason.MISSING_FEATURE),
    "rgb absent": (without(b"mean_rgb"), DropReason.MISSING_FEATURE),
    "audio absent": (without(b"mean_audio"), DropReason.MISSING_FEATURE),
    "rgb too short": (with_floats(RGB[:-1], AUDIO), DropReason.WRONG_LENGTH),
    "audio too long": (with_floats(RGB, RGB[:129]), DropReason.WRONG_LENGTH),
    "NaN": (with_floats(NAN, AUDIO), DropReason.NON_FINITE),
    "infinite": (with_floats(RGB, INFINITE), DropReason.NON_FINITE),
    "label beyond the vocabulary": (record(b"bb9H", [22, 3862]), DropReason.LABEL_OUT_OF_RANGE),
    "faulty and of no label": (encode_example(b"bb9H", [], NAN, AUDIO), DropReason.NON_FINITE),
}


@pytest.mark.parametrize(("payload", "reason"), DROPPED.values(), ids=DROPPED.keys())
def test_a_record_is_dropped_for_its_reason(payload: bytes, reason: DropReason, tmp_path: Path) -> None:
    table, tally = filtered(tmp_path, frames([GOOD, payload, GOOD]))
    assert (tally.records, tally.matches, tally.drops) == (3, 2, {reason: 1})
    assert table["video_id"].to_pylist() == ["aa9H", "aa9H"]
    assert [(damage.offset, damage.reason) for damage in tally.damage] == (
        [(FRAME_BYTES, reason)] if reason == DropReason.MALFORMED else []
    )


def test_rows_have_the_schema_and_the_very_floats(tmp_path: Path) -> None:
    payloads = [record(b"aa9H", [22, 29], seed=3), record("é☂9H".encode(), [22], seed=4)]
    table, tally = filtered(tmp_path, frames(payloads))
    assert table.schema.equals(SCHEMA)
    assert table["video_id"].to_pylist() == ["aa9H", "é☂9H"]
    assert table["labels"].to_pylist() == [[22, 29], [22]]
    assert table["shard"].to_pylist() == ["train9H.tfrecord"] * 2
    assert table["is_match"].to_pylist() == [True, True]
    for column, which in (("mean_rgb", 0), ("mean_audio", 1)):
        floats = table[column].combine_chunks().flatten().to_numpy()
        assert floats.tobytes() == b"".join(vectors(seed)[which].tobytes() for seed in (3, 4))
    assert tally.records == tally.matches == 2


def broken(position: int) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]

    return flip


def test_a_wrong_checksum_of_data_drops_that_record_alone(tmp_path: Path) -> None:
    tally = filtered(tmp_path, broken(FRAME_BYTES + 500)(frames([GOOD] * 3))).tally
    assert (tally.records, tally.matches, tally.drops) == (3, 2, {DropReason.BAD_CRC: 1})
    (damage,) = tally.damage
    assert (damage.path, damage.offset) == ("video/train/train9H.tfrecord", FRAME_BYTES)
    assert "checksum of the record's data" in damage.detail


def test_a_wrong_checksum_of_a_length_ends_the_shard(tmp_path: Path) -> None:
    tally = filtered(tmp_path, broken(FRAME_BYTES + 1)(frames([GOOD] * 4))).tally
    assert (tally.records, tally.matches, tally.drops) == (2, 1, {DropReason.BAD_CRC: 1})
    assert (tally.damage[0].offset, "length" in tally.damage[0].detail) == (FRAME_BYTES, True)


@pytest.mark.parametrize("kept", [1, 11, 12, 15, 16, 400], ids=lambda kept: f"{kept} bytes left")
def test_a_cut_tail_is_reported_with_its_place(kept: int, tmp_path: Path) -> None:
    tally = filtered(tmp_path, frames([GOOD] * 2)[: FRAME_BYTES + kept]).tally
    assert (tally.records, tally.matches, tally.drops) == (2, 1, {DropReason.TRUNCATED: 1})
    assert (tally.damage[0].offset, tally.damage[0].reason) == (FRAME_BYTES, DropReason.TRUNCATED)


@pytest.mark.parametrize("length", [1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1], ids=hex)
def test_a_length_beyond_the_file_is_a_cut_whatever_its_size(length: int, tmp_path: Path) -> None:
    header = struct.pack("<Q", length)
    tally = filtered(tmp_path, frames([GOOD]) + header + masked_crc(header) + GOOD).tally
    assert (tally.records, tally.drops) == (2, {DropReason.TRUNCATED: 1})


@pytest.mark.parametrize("at_a_time", [1, 7, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 30_000])
@pytest.mark.parametrize("background", [1, "all"])
def test_records_are_judged_alike_however_much_is_read_at_a_time(
    at_a_time: int, background: Literal[1, "all"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payloads = [*(payload for payload, _ in DROPPED.values()), GOOD, record(b"cc9H", [3]), GOOD]
    wrong = frame(GOOD)[:-1] + b"\0"
    for tail in (frame(GOOD)[:-20], b"\1" + frame(GOOD)[1:] + frame(GOOD), b""):  # cut, with a broken length, whole
        content = frames(payloads[:9]) + wrong + frames(payloads[9:]) + tail
        config = FilterConfig(label_ids=(22,), background=background)
        monkeypatch.setattr(reading, "READ_BYTES", 1 << 20)
        at_once = filtered(tmp_path, content, config)
        monkeypatch.setattr(reading, "READ_BYTES", at_a_time)
        in_pieces = filtered(tmp_path, content, config)
        assert in_pieces.tally == at_once.tally
        assert in_pieces.table == at_once.table
        assert in_pieces.tally.matches == 2
        assert DropReason.BAD_CRC in in_pieces.tally.drops


def test_checksums_are_not_looked_at_where_nobody_asks(tmp_path: Path) -> None:
    content = broken(8)(broken(FRAME_BYTES - 1)(frames([GOOD] * 2)))
    config = COOKING.model_copy(update={"check_crc": False})
    assert filtered(tmp_path, content, config).tally.matches == 2


def test_only_the_first_places_of_damage_are_listed(tmp_path: Path) -> None:
    tally = filtered(tmp_path, frames([b"\xff"] * 5000)).tally
    assert tally.drops == {DropReason.MALFORMED: 5000}
    assert [damage.offset for damage in tally.damage] == [17 * n for n in range(MAX_DAMAGE)]


def test_strict_refuses_a_damaged_shard_with_path_and_place(tmp_path: Path) -> None:
    strict = COOKING.model_copy(update={"strict": True})
    with pytest.raises(
        DamagedShardError, match=rf"train9H.tfrecord is damaged at byte {FRAME_BYTES}: .*truncated.*--strict"
    ):
        filtered(tmp_path, frames([GOOD] * 2)[:-1], strict)
    assert filtered(tmp_path, frames([GOOD, record(b"bb9H", [])]), strict).tally.matches == 1


MATCHES = {
    "any": ({"match": "any"}, ["both", "22", "29", "twice"]),
    "all": ({"match": "all"}, ["both"]),
    "excluding": ({"match": "any", "exclude_ids": (3,)}, ["22", "twice"]),
}


@pytest.mark.parametrize(("options", "ids"), MATCHES.values(), ids=MATCHES.keys())
def test_several_labels(options: dict[str, object], ids: list[str], tmp_path: Path) -> None:
    labels = {"both": [22, 3, 29], "22": [22], "29": [29, 3], "none": [4], "twice": [22, 22]}
    config = FilterConfig.model_validate({"label_ids": (22, 29), **options})
    payloads = [record(name.encode(), which) for name, which in labels.items()]
    assert filtered(tmp_path, frames(payloads), config).table["video_id"].to_pylist() == ids


def crowd(matches: int, others: int, seed: int = 0) -> list[bytes]:
    """Records in a random order, each with another id."""
    labels = [[22]] * matches + [[3]] * others
    payloads = [record(f"{n:03}H".encode(), which) for n, which in enumerate(labels)]
    return [payloads[n] for n in np.random.default_rng(seed).permutation(len(payloads))]


def background(table: object, tally: ShardTally) -> list[str]:
    rows = table.select(["video_id", "is_match"]).to_pylist()  # type: ignore[attr-defined]
    chosen = [row["video_id"] for row in rows if not row["is_match"]]
    assert len(chosen) == tally.background
    assert tally.records == tally.matches + tally.background + sum(tally.drops.values())
    return chosen


def test_background_is_so_many_for_each_match_whatever_their_order(tmp_path: Path) -> None:
    config = COOKING.model_copy(update={"background": 3})
    orders = [filtered(tmp_path, frames(crowd(4, 60, seed)), config) for seed in (1, 2)]
    chosen = [background(*each) for each in orders]
    assert len(chosen[0]) == 12
    assert set(chosen[0]) == set(chosen[1])
    file_order = [payload[payload.index(b"H") - 3 :][:4].decode() for payload in crowd(4, 60, 1)]
    assert chosen[0] == [name for name in file_order if name in chosen[0]]


def test_background_is_the_same_on_every_machine(tmp_path: Path) -> None:
    config = COOKING.model_copy(update={"background": 2})
    assert background(*filtered(tmp_path, frames(crowd(2, 40)), config)) == ["011H", "023H", "035H", "014H"]


def test_more_background_only_adds(tmp_path: Path) -> None:
    content = frames(crowd(3, 80))
    configs = (COOKING.model_copy(update={"background": each}) for each in (2, 5))
    fewer, more = (set(background(*filtered(tmp_path, content, config))) for config in configs)
    assert fewer < more


def test_background_of_a_few_is_all_there_is(tmp_path: Path) -> None:
    for wanted in (50, "all"):
        config = COOKING.model_copy(update={"background": wanted})
        assert len(background(*filtered(tmp_path, frames(crowd(2, 30)), config))) == 30


def test_only_the_well_and_not_the_excluded_are_background(tmp_path: Path) -> None:
    config = FilterConfig(label_ids=(22,), exclude_ids=(9,), background="all")
    payloads = [GOOD, record(b"no9H", []), record(b"ex9H", [3, 9]), record(b"ok9H", [3]), with_floats(NAN, AUDIO)]
    table, tally = filtered(tmp_path, frames(payloads), config)
    assert background(table, tally) == ["ok9H"]
    assert tally.drops == {DropReason.NO_LABELS: 1, DropReason.NO_MATCH: 1, DropReason.NON_FINITE: 1}


def test_a_shard_without_matches_has_no_background(tmp_path: Path) -> None:
    table, tally = filtered(tmp_path, frames(crowd(0, 20)), COOKING.model_copy(update={"background": 5}))
    assert (table.num_rows, tally.drops) == (0, {DropReason.NO_MATCH: 20})


def test_very_many_tiny_records_need_no_table_of_their_number(tmp_path: Path) -> None:
    count = 100_000
    tally = filtered(tmp_path, frame(b"") * count).tally
    assert (tally.records, tally.drops) == (count, {DropReason.MISSING_FEATURE: count})


def test_shards_of_the_same_content_give_the_same(tmp_path: Path) -> None:
    payloads = crowd(5, 30)
    results = [filter_shard(shard_of(tmp_path / folder / "traina0.tfrecord", payloads), COOKING) for folder in "xy"]
    assert results[0].tally == results[1].tally
    assert results[0].table.equals(results[1].table)


def test_a_thread_begins_every_shard_anew(tmp_path: Path) -> None:
    """Records of two shards start at the same bytes, and the labels found in the first count nothing in the second."""
    both = FilterConfig(label_ids=(3, 22), match="all")
    first = shard_of(tmp_path / "traina0.tfrecord", [record(b"aaa0", [3, 22]), record(b"bba0", [22, 30])])
    second = shard_of(tmp_path / "traina1.tfrecord", [record(b"aaa1", [3, 22]), record(b"bba1", [3, 22])])
    found = [filter_shard(shard, config).tally.matches for config in (both, COOKING, both) for shard in (first, second)]
    assert found == [1, 2, 2, 2, 1, 2]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("table_bytes", [1, 40_000, module.TABLE_BYTES])
def test_many_shards_are_filtered_in_the_order_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, table_bytes: int
) -> None:
    monkeypatch.setattr(module, "TABLE_BYTES", table_bytes)
    shards, wanted = [], []
    for number in range(20, 0, -1):
        name = f"train{number:02d}.tfrecord"
        ids = [f"{n:02d}{number:02d}" for n in range(number % 4)]
        content = frames([record(b"no00", [3]), *(record(each.encode(), [22, number]) for each in ids)])
        shards.append(shard_with(tmp_path / name, content + b"cut"[: number % 3]))
        wanted += [{"video_id": each, "labels": [22, number], "shard": name, "is_match": True} for each in ids]
    table, tallies = filter_shards(shards, COOKING, threads)
    assert table.select(["video_id", "labels", "shard", "is_match"]).to_pylist() == wanted
    assert np.array(table.column("mean_rgb").to_pylist(), np.float32).tobytes() == vectors(0)[0].tobytes() * len(wanted)
    assert table.schema == SCHEMA
    assert [tally.name for tally in tallies] == [shard.name for shard in shards]
    assert [tally.matches for tally in tallies] == [number % 4 for number in range(20, 0, -1)]
    assert [len(tally.damage) for tally in tallies] == [int(number % 3 > 0) for number in range(20, 0, -1)]


def test_many_shards_may_be_none_and_a_damaged_one_is_fatal_where_asked(tmp_path: Path) -> None:
    empty = filter_shards([], COOKING, 2)
    assert (empty.table.num_rows, empty.table.schema, empty.tallies) == (0, SCHEMA, ())
    shards = [shard_with(tmp_path / f"traina{n}.tfrecord", frame(GOOD) + b"x" * (n == 1)) for n in range(3)]
    with pytest.raises(DamagedShardError, match=r"traina1\.tfrecord is damaged at byte"):
        filter_shards(shards, COOKING.model_copy(update={"strict": True}), 2)
