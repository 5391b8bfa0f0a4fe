"""Real shards, record by record, beside TensorFlow's own parser: ids, labels and floats bit for bit."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.contracts.datasets import DropReason, FilterConfig, Shard
from tasks.records.filter import FilteredShard, filter_shard
from tests.records.framing import payloads_of

Parse = Callable[[bytes], Any]
COOKING = 22


def shard_at(path: Path, partition: str = "video/train") -> Shard:
    return Shard(name=path.name, partition=partition, md5="0" * 32, size_bytes=path.stat().st_size, path=path)


def filtered(path: Path, **options: object) -> FilteredShard:
    return filter_shard(shard_at(path), FilterConfig.model_validate({"label_ids": (COOKING,), **options}))


def examples(path: Path, parse: Parse, id_key: str = "id") -> Iterator[dict[str, Any]]:
    """Read a shard with protobuf."""
    for payload in payloads_of(path.read_bytes()):
        features = parse(payload).features.feature
        yield {
            "video_id": features[id_key].bytes_list.value[0].decode(),
            "labels": list(features["labels"].int64_list.value),
            "mean_rgb": np.asarray(features["mean_rgb"].float_list.value, np.float32),
            "mean_audio": np.asarray(features["mean_audio"].float_list.value, np.float32),
        }


def assert_equal(table: pa.Table, expected: list[dict[str, Any]]) -> None:
    assert table.column("video_id").to_pylist() == [row["video_id"] for row in expected]
    assert table.column("labels").to_pylist() == [row["labels"] for row in expected]
    for name in ("mean_rgb", "mean_audio"):
        ours = np.concatenate([chunk.flatten().to_numpy() for chunk in table.column(name).chunks])
        assert ours.tobytes() == np.concatenate([row[name] for row in expected]).tobytes()


@pytest.mark.parametrize("name", ["train/trainaI", "train/trainba", "validate/validatebB"])
def test_every_record_of_a_shard_is_as_protobuf_reads_it(real_mirror: Path, parse_example: Parse, name: str) -> None:
    path = real_mirror / "2" / "video" / f"{name}.tfrecord"
    result = filtered(path, background="all")
    expected = list(examples(path, parse_example))
    assert result.tally.records == len(expected) == result.table.num_rows
    assert result.table.column("is_match").to_pylist() == [COOKING in row["labels"] for row in expected]
    assert_equal(result.table, expected)


@pytest.mark.parametrize(("split", "matches"), [("train", 386), ("validate", 165)])
def test_the_matches_of_all_shards_are_as_protobuf_reads_them(
    real_mirror: Path, parse_example: Parse, split: str, matches: int
) -> None:
    count = 0
    for path in sorted((real_mirror / "2" / "video" / split).glob("*.tfrecord")):
        result = filtered(path)
        count += result.table.num_rows
        assert result.tally.records == result.tally.matches + sum(result.tally.drops.values())
        if result.table.num_rows:
            assert_equal(result.table, [row for row in examples(path, parse_example) if COOKING in row["labels"]])
    assert count == matches


def test_all_shards_of_the_mirror_hold_as_many_records_as_they_are_said_to(real_mirror: Path) -> None:
    tallies = [filtered(path).tally for path in (real_mirror / "2" / "video").rglob("*.tfrecord")]
    assert len(tallies) == 100
    assert sum(tally.records for tally in tallies) == 28_792
    assert sum(tally.matches for tally in tallies) == 551
    assert not any(tally.damage for tally in tallies)


@pytest.mark.parametrize(
    ("name", "records", "unlabelled"), [("validatea0", 368, 0), ("validatea1", 348, 0), ("testa0", 163, 163)]
)
def test_the_release_of_2017_is_read_as_well(
    real_data: Path, parse_example: Parse, name: str, records: int, unlabelled: int
) -> None:
    path = real_data / "yt8m-2017" / f"{name}.tfrecord"
    result = filtered(path, background="all", vocabulary_size=4716)
    assert result.tally.records == records
    assert result.tally.drops.get(DropReason.NO_LABELS, 0) == unlabelled
    expected = [row for row in examples(path, parse_example, "video_id") if row["labels"]]
    assert len(expected) == records - unlabelled == result.table.num_rows
    if expected:
        assert_equal(result.table, expected)


def test_labels_of_2017_are_out_of_the_range_of_2018(real_data: Path) -> None:
    result = filtered(real_data / "yt8m-2017" / "validatea0.tfrecord", background="all")
    assert result.tally.drops[DropReason.LABEL_OUT_OF_RANGE] > 0
