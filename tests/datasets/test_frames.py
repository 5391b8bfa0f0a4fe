"""Versions that hold frames: what they count, their batches, their means, and what else is made of them."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from conf.settings import load_settings
from reelsift.results import DatasetVersion
from tasks.contracts.errors import ConfigError, DatasetError
from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.contracts.files import file_digest
from tasks.contracts.progress import Silent
from tasks.datasets.catalogue import difference
from tasks.datasets.export import export
from tasks.datasets.frames import FrameBatch, frame_batches
from tasks.datasets.load import load_videos
from tasks.datasets.manifest import Dataset, verify
from tasks.datasets.stored import publish_means
from tasks.records.synthetic import ORDERED, REVERSED, encode_example, encode_sequence, write_order_mirror
from tasks.records.writing import GROUP_FRAMES
from tests.records.framing import frames, payloads_of
from tests.records.shards import shard_with
from tests.support.built import build
from tests.support.folders import digests

FRAMES = ("frame/train", "frame/validate")
RATINGS = ((0, 5, 22, 1.0), (0, 5, 3, 0.0), (10, 15, 22, 0.0))


def sequences(count: int, seed: int, longest: int = 40) -> list[dict[str, Any]]:
    """Records of frames, each third one with rated segments."""
    rng = np.random.default_rng(seed)
    return [
        {
            "video_id": f"{seed}{number:03d}".encode(),
            "labels": [3, 22] if number % 2 else [3],
            "rgb": rng.integers(0, 256, (length, RGB_SIZE), np.uint8),
            "audio": rng.integers(0, 256, (length, AUDIO_SIZE), np.uint8),
            "ratings": RATINGS if number % 3 == 0 else (),
        }
        for number, length in enumerate(rng.integers(1, longest + 1, count).tolist())
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, list[dict[str, Any]]]:
    """A version of three shards in a folder of nothing but shards, and its records in order."""
    folder = tmp_path_factory.mktemp("frames")
    shards = {"trainaa": sequences(40, 1), "trainab": sequences(30, 2), "validateac": sequences(12, 3)}
    for name, records in shards.items():
        shard_with(folder / "mirror" / f"{name}.tfrecord", frames(encode_sequence(**each) for each in records))
    dataset = build(folder / "mirror", folder / "home", "22", partitions=FRAMES, level="frame")
    return dataset, [each for records in shards.values() for each in records]


def test_a_version_says_what_it_holds_and_is_whole(made: tuple[Dataset, list[dict[str, Any]]]) -> None:
    dataset, records = made
    manifest = dataset.manifest
    counts = manifest.frames
    assert counts is not None
    assert (manifest.level, manifest.options["level"], verify(dataset)) == ("frame", "frame", [])
    assert counts.frames == {
        "train": sum(len(each["rgb"]) for each in records[:70]),
        "validate": sum(len(each["rgb"]) for each in records[70:]),
    }
    assert counts.longest == max(len(each["rgb"]) for each in records)
    rated = {"train": [each for each in records[:70] if each["ratings"]], "validate": [*filter_rated(records[70:])]}
    assert counts.rated == {split: 3 * len(some) for split, some in rated.items()}
    assert counts.confirmed == {split: len(some) for split, some in rated.items()}
    assert counts.rated_labels == (3, 22)
    paths = str(dataset.folder / "part-*.parquet")
    query = "select count(*), sum(frame_count), sum(len(rgb)), sum(octet_length(audio[1])), sum(len(segments)) from "
    found = duckdb.execute(f"{query} '{paths}'").fetchall()
    total = sum(counts.frames.values())
    assert found == [(len(records), total, total, AUDIO_SIZE * len(records), sum(counts.rated.values()))]


def filter_rated(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in records if each["ratings"]]


def test_batches_are_the_videos_in_order(made: tuple[Dataset, list[dict[str, Any]]]) -> None:
    dataset, records = made
    batches = list(frame_batches(dataset, "train", videos=16))
    assert [len(batch) for batch in batches] == [16, 16, 16, 16, 6]
    seen = [(batch, row) for batch in batches for row in range(len(batch))]
    for (batch, row), record in zip(seen, records[:70], strict=True):
        assert_is(batch, row, record)


def assert_is(batch: FrameBatch, row: int, record: dict[str, Any]) -> None:
    """Compare a video of a batch with the record that it was written as."""
    assert batch.video_ids[row] == record["video_id"].decode()
    shown = slice(*batch.offsets[row : row + 2].tolist())
    assert np.array_equal(batch.rgb[shown], record["rgb"])
    assert np.array_equal(batch.audio[shown], record["audio"])
    assert batch.label_ids[slice(*batch.label_offsets[row : row + 2])].tolist() == record["labels"]
    assert batch.is_match[row] == (22 in record["labels"])
    said, rated = batch.ratings, slice(*batch.ratings.offsets[row : row + 2])
    columns = (said.start_s, said.end_s, said.label, said.score)
    assert tuple(zip(*(each[rated].tolist() for each in columns), strict=True)) == tuple(record["ratings"])


def test_batches_are_shuffled_by_the_seed_alone(made: tuple[Dataset, list[dict[str, Any]]]) -> None:
    dataset, records = made
    by_id = {record["video_id"].decode(): record for record in records}
    orders = []
    for seed in (1, 1, 2):
        batches = list(frame_batches(dataset, "train", videos=32, seed=seed, check=False))
        orders.append([video_id for batch in batches for video_id in batch.video_ids])
        for batch in batches:
            for row in range(0, len(batch), 7):
                assert_is(batch, row, by_id[batch.video_ids[row]])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(each["video_id"].decode() for each in records[:70])


def test_tensors_are_dequantised_by_the_published_formula(made: tuple[Dataset, list[dict[str, Any]]]) -> None:
    batch = next(frame_batches(made[0], "validate", videos=5))
    features, offsets = batch.tensors("cpu")
    codes = np.concatenate([batch.rgb, batch.audio], axis=1).astype(np.float64)
    assert (features.dtype, tuple(features.shape)) == (torch.float32, (int(batch.offsets[-1]), 1152))
    assert np.abs(features.numpy() - (codes * 4 / 255 + 4 / 512 - 2)).max() < 1e-6
    assert offsets.tolist() == batch.offsets.tolist()
    assert batch.tensors("cpu", torch.bfloat16)[0].dtype == torch.bfloat16


def test_row_groups_are_small_and_the_same_however_the_rows_come(tmp_path: Path) -> None:
    """The rows of a part come from shards, or from an earlier part: the bytes are the same."""
    mirror = tmp_path / "mirror"
    contents = {f"traina{letter}.tfrecord": sequences(60, seed, 300) for seed, letter in enumerate("abc")}
    for name, records in contents.items():
        shard_with(mirror / name, frames(encode_sequence(**each) for each in records))
    at_once = build(mirror, tmp_path / "once", "22", partitions=FRAMES[:1], level="frame")
    (mirror / "trainac.tfrecord").rename(tmp_path / "trainac.tfrecord")
    build(mirror, tmp_path / "grown", "22", partitions=FRAMES[:1], level="frame")
    (tmp_path / "trainac.tfrecord").rename(mirror / "trainac.tfrecord")
    grown = build(mirror, tmp_path / "grown", "22", partitions=FRAMES[:1], level="frame")
    assert [file_digest(path) for path in grown.paths()] == [file_digest(path) for path in at_once.paths()]
    with pq.ParquetFile(at_once.paths()[0]) as file:
        groups = [file.read_row_group(n, ["frame_count"])[0].to_pylist() for n in range(file.num_row_groups)]
    assert len(groups) > 1
    assert all(sum(group) - group[-1] < GROUP_FRAMES <= sum(group) for group in groups[:-1])
    assert 0 < sum(groups[-1]) < GROUP_FRAMES + 300


def test_means_are_those_of_the_frames(made: tuple[Dataset, list[dict[str, Any]]], tmp_path: Path) -> None:
    dataset, records = made
    root, store = tmp_path / "datasets", tmp_path / "parts"
    means, is_new = publish_means(dataset, root=root, store=store, storage=None, progress=Silent())
    again, is_new_again = publish_means(dataset, root=root, store=store, storage=None, progress=Silent())
    assert (is_new, is_new_again, again.manifest) == (True, False, means.manifest)
    assert (means.manifest.level, means.manifest.id != dataset.manifest.id) == ("video", True)
    assert verify(means) == []
    for split, expected in (("train", records[:70]), ("validate", records[70:])):
        videos = load_videos(means, split)
        for row, record in enumerate(expected):
            codes = np.concatenate([record["rgb"], record["audio"]], axis=1)
            wanted = (codes.astype(np.float64) * 4 / 255 + 4 / 512 - 2).mean(axis=0)
            assert np.abs(videos.features[row] - wanted).max() < 1e-6
            assert videos.video_ids[row] == record["video_id"].decode()
        assert videos.is_match.tolist() == [22 in record["labels"] for record in expected]
    kept = ("label_counts", "cooccurrence", "rows", "matches", "records", "shards", "splits", "slug")
    assert all(getattr(means.manifest, name) == getattr(dataset.manifest, name) for name in kept)
    changed = difference(dataset, means).options
    assert {name: (each.before, each.after) for name, each in changed.items()} == {
        "level": ("frame", None),
        "means_of": (None, "frame"),
    }
    with pytest.raises(DatasetError, match="holds features of whole videos, no frames"):
        publish_means(means, root=root, store=store, storage=None, progress=Silent())


def test_the_means_of_a_real_video_are_within_the_quantisation_of_its_features(real_data: Path, tmp_path: Path) -> None:
    with np.load(real_data / "yt8m-frame" / "SjJ3.npz") as archive:
        video = {name: archive[name] for name in ("rgb", "audio", "labels")}
    labels = video["labels"].tolist()
    payload = encode_sequence(b"SjJ3", labels, video["rgb"], video["audio"])
    shard_with(tmp_path / "mirror" / "trainJ3.tfrecord", frames([payload]))
    dataset = build(tmp_path / "mirror", tmp_path / "home", str(labels[0]), partitions=FRAMES[:1], level="frame")
    root, store = tmp_path / "datasets", tmp_path / "parts"
    means, _ = publish_means(dataset, root=root, store=store, storage=None, progress=Silent())
    (found,) = load_videos(means, "train").features
    assert dataset.manifest.frames is not None
    assert len(video["rgb"]) == dataset.manifest.frames.longest == 170
    # Each frame lies at most a step from what it was quantised from, and so does the mean; and by its published values
    # a real video's components are small beyond the first ones.
    codes = np.concatenate([video["rgb"], video["audio"]], axis=1).astype(np.float64)
    assert np.abs(found - (codes * 4 / 255 + 4 / 512 - 2).mean(axis=0)).max() < 1e-6
    assert -2 < found.min() < found.max() < 2
    assert np.abs(found[300:1024]).mean() < np.abs(found[:100]).mean()


def test_frames_are_exported_or_refused_in_one_line(
    made: tuple[Dataset, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, records = made
    with np.load(export(dataset, tmp_path / "all.npz", "npz")) as archive:
        assert np.array_equal(archive["rgb"], np.concatenate([each["rgb"] for each in records]))
        assert np.array_equal(archive["audio"], np.concatenate([each["audio"] for each in records]))
        assert np.diff(archive["frame_offsets"]).tolist() == [len(each["rgb"]) for each in records]
        assert np.diff(archive["segment_offsets"]).tolist() == [len(each["ratings"]) for each in records]
        assert archive["segment_label"].tolist() == [rating[2] for each in records for rating in each["ratings"]]
        assert archive["segment_end_s"].tolist() == [rating[1] for each in records for rating in each["ratings"]]
    rows = pq.read_table(export(dataset, tmp_path / "all.parquet", "parquet"))
    assert [b"".join(each) for each in rows["rgb"].to_pylist()] == [each["rgb"].tobytes() for each in records]
    assert rows["split"].to_pylist() == ["train"] * 70 + ["validate"] * 12
    assert len(export(dataset, tmp_path / "all.csv", "csv").read_text().splitlines()) == 1 + len(records)
    with pytest.raises(DatasetError, match="frames of videos, which jsonl has no room for"):
        export(dataset, tmp_path / "all.jsonl", "jsonl")
    assert not (tmp_path / "all.jsonl").exists()
    videos = load_videos(dataset, "train")  # by the means of their frames
    codes = np.hstack([records[0]["rgb"], records[0]["audio"]]).astype(np.float64)
    assert videos.features[0] == pytest.approx((codes * 4 / 255 + 4 / 512 - 2).mean(axis=0), abs=1e-6)
    monkeypatch.setattr("tasks.datasets.load.MANY_VIDEOS", len(records) - 1)
    halves = load_videos(dataset, "train").features
    assert halves.dtype == np.float16
    assert halves == pytest.approx(videos.features, abs=5e-4)


def test_pandas_has_frames_where_they_are_asked_for(made: tuple[Dataset, list[dict[str, Any]]]) -> None:
    dataset, records = made
    version = DatasetVersion(dataset, load_settings())
    plain = version.to_pandas("validate")
    assert list(plain) == ["video_id", "labels", "frame_count", "segments", "shard", "is_match", "split"]
    assert plain["segments"][0][0] == {"start_s": 0, "end_s": 5, "label": 22, "score": 1.0}
    whole = version.to_pandas(features=True)
    assert list(whole)[2:5] == ["frame_count", "rgb", "audio"]
    for found, record in zip(whole["rgb"], records, strict=True):
        assert np.array_equal(found, record["rgb"])
    assert [len(each) for each in whole["audio"]] == whole["frame_count"].tolist()


def test_a_partition_of_another_level_is_refused(made: tuple[Dataset, list[dict[str, Any]]], tmp_path: Path) -> None:
    mirror = made[0].folder.parents[3] / "mirror"
    with pytest.raises(ConfigError, match=r"'frame/train' has the frames of videos.*`--level frame` reads it"):
        build(mirror, tmp_path, "22", partitions=FRAMES[:1])
    with pytest.raises(ConfigError, match=r"'video/train' has features of whole videos.*`--level video`"):
        build(mirror, tmp_path, "22", partitions=("video/train",), level="frame")
    whole = encode_example(b"abcd", [22], np.zeros(RGB_SIZE, np.float32), np.zeros(AUDIO_SIZE, np.float32))
    shard_with(tmp_path / "whole" / "trainaa.tfrecord", frames([whole]))
    with pytest.raises(DatasetError, match=r"1 missing-feature \(they lack frames"):
        build(tmp_path / "whole", tmp_path / "home", "22", partitions=FRAMES[:1], level="frame")


def test_without_the_order_of_frames_the_order_task_cannot_be_solved(tmp_path: Path) -> None:
    """Both videos of a pair have the same frames; the first event comes first in the one, last in the other."""
    write_order_mirror(tmp_path / "mirror", train_shards=1, validate_shards=1, pairs_per_shard=20)
    write_order_mirror(tmp_path / "again", train_shards=1, validate_shards=1, pairs_per_shard=20)
    assert digests(tmp_path / "again") == digests(tmp_path / "mirror")
    shard = tmp_path / "mirror" / "2" / "frame" / "train" / "trainaa.tfrecord"
    assert len(list(payloads_of(shard.read_bytes()))) == 40
    dataset = build(tmp_path / "mirror", tmp_path / "home", str(ORDERED), partitions=FRAMES, level="frame")
    (batch,) = frame_batches(dataset, "train", videos=40)
    labels, (rgb, _) = batch.label_ids, batch.means()
    assert labels.tolist() == [ORDERED, REVERSED] * 20
    assert np.array_equal(rgb[::2], rgb[1::2])
    shown = [batch.rgb[start:stop] for start, stop in zip(batch.offsets, batch.offsets[1:], strict=False)]
    for ordered, reverse in zip(shown[::2], shown[1::2], strict=True):
        assert np.array_equal(ordered, reverse[::-1])
    assert knows_the_order(shown, labels) > 0.95


def knows_the_order(shown: list[Any], labels: Any) -> float:
    """Return how often a rule is right that looks at the order, by what comes first in the ordered videos."""
    halves = [(each[: len(each) // 2].mean(axis=0), each[len(each) // 2 :].mean(axis=0)) for each in shown]
    direction = np.mean(
        [first - last for (first, last), label in zip(halves, labels, strict=True) if label == ORDERED], 0
    )
    guesses = [ORDERED if (first - last) @ direction > 0 else REVERSED for first, last in halves]
    return float(np.mean(np.array(guesses) == labels))
