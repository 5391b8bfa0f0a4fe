"""Videos of a dataset version as arrays."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.contracts.errors import DamagedDatasetError, DatasetError
from tasks.datasets.load import Videos, first_rows, held_out_rows, load_videos, read_batches
from tasks.datasets.manifest import Dataset
from tests.datasets.made import LABEL_LISTS, LONG, rows_of, table_of, write_part


def made_videos(count: int) -> Videos:
    labels = [LABEL_LISTS[number % len(LABEL_LISTS)] for number in range(count)]
    return Videos(
        video_ids=np.array([f"id{number}" for number in range(count)], np.object_),
        features=np.arange(count * 1152, dtype=np.float32).reshape(count, 1152),
        label_offsets=np.cumsum([0, *map(len, labels)], dtype=np.int64),
        label_ids=np.array([label for each in labels for label in each], np.int32),
        is_match=np.array([22 in each for each in labels]),
    )


def labels_of(videos: Videos) -> list[list[int]]:
    return [list(each) for each in np.split(videos.label_ids, videos.label_offsets[1:-1])]


def test_the_rows_are_those_of_the_parts(dataset: Dataset) -> None:
    videos = load_videos(dataset, "train")
    expected = [rows_of(f"traina{letter}.tfrecord", 12) for letter in "ab"]
    assert len(videos) == 24
    assert list(videos.video_ids) == expected[0]["video_id"] + expected[1]["video_id"]
    assert all(type(video_id) is str for video_id in videos.video_ids)
    np.testing.assert_array_equal(videos.features[:, :1024], np.vstack([each["mean_rgb"] for each in expected]))
    np.testing.assert_array_equal(videos.features[:, 1024:], np.vstack([each["mean_audio"] for each in expected]))
    assert labels_of(videos) == expected[0]["labels"] + expected[1]["labels"]
    assert list(videos.is_match) == expected[0]["is_match"] + expected[1]["is_match"]
    types = (videos.features.dtype, videos.label_offsets.dtype, videos.label_ids.dtype, videos.is_match.dtype)
    assert types == (np.float32, np.int64, np.int32, np.bool_)


def test_the_other_split(dataset: Dataset) -> None:
    assert len(load_videos(dataset, "validate")) == 6


def test_an_unknown_split(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"^Dataset ds-.{12} has no split 'test'\. It has: train, validate$"):
        load_videos(dataset, "test")


def replaced(path: Path, table: pa.Table) -> None:
    path.unlink()
    write_part(path, table)


def in_place_of(column: str, values: pa.Array) -> pa.Table:
    table = table_of(rows_of("trainaa.tfrecord", 12))
    return table.set_column(table.schema.get_field_index(column), pa.field(column, values.type), values)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param(
            table_of(rows_of("trainaa.tfrecord", 11)), r"part-train-0000\.parquet has 11 rows, .* says 12", id="rows"
        ),
        pytest.param(
            in_place_of("mean_rgb", pa.array([[0.0] * 1000] * 12, pa.list_(pa.float32(), 1000))),
            r"column 'mean_rgb' must be fixed_size_list<item: float>\[1024\], got fixed_size_list<.*>\[1000\]",
            id="size",
        ),
        pytest.param(
            in_place_of("mean_audio", pa.array([[0.0] * 128] * 12, pa.list_(pa.float64(), 128))),
            r"column 'mean_audio' must be fixed_size_list<item: float>\[128\], got fixed_size_list<element: double",
            id="type-of-floats",
        ),
        pytest.param(
            in_place_of("labels", pa.array([["Cooking"]] * 12)),
            r"column 'labels' must be list<item: int32>, got list<element: string",
            id="type-of-labels",
        ),
        pytest.param(
            in_place_of("labels", pa.array([[22, None]] * 12, pa.list_(pa.int32()))),
            r"column 'labels' has 12 nulls",
            id="null-in-a-list",
        ),
        pytest.param(in_place_of("video_id", pa.array(["a", None] * 6)), r"'video_id' has 6 nulls", id="null"),
        pytest.param(
            table_of(rows_of("trainaa.tfrecord", 12)).drop_columns(["is_match"]),
            r"it has no column 'is_match'",
            id="missing-column",
        ),
    ],
)
def test_a_part_of_another_shape(dataset: Dataset, table: pa.Table, message: str) -> None:
    replaced(dataset.folder / "part-train-0000.parquet", table)
    with pytest.raises(DamagedDatasetError, match=message):
        load_videos(dataset, "train")


def test_a_part_that_is_not_parquet(dataset: Dataset) -> None:
    path = dataset.folder / "part-train-0000.parquet"
    path.unlink()
    path.write_bytes(b"<html>" * 100)
    message = rf"^Part {path} cannot be read: .*\. `reelsift dataset verify cooking/{dataset.manifest.id}` checks all$"
    with pytest.raises(DamagedDatasetError, match=message):
        load_videos(dataset, "train")


def test_a_part_that_is_gone(dataset: Dataset) -> None:
    (dataset.folder / "part-train-0000.parquet").unlink()
    with pytest.raises(DamagedDatasetError, match=r"part-train-0000\.parquet cannot be read: .*No such file"):
        load_videos(dataset, "train")


def test_more_rows_than_a_batch(long_dataset: Dataset) -> None:
    videos = load_videos(long_dataset, "train")
    expected = rows_of("trainaa.tfrecord", LONG)
    np.testing.assert_array_equal(videos.features[:, :1024], expected["mean_rgb"])
    np.testing.assert_array_equal(videos.features[:, 1024:], expected["mean_audio"])
    assert labels_of(videos) == expected["labels"]
    assert list(videos.video_ids) == expected["video_id"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        pytest.param(
            "features",
            np.zeros((3, 1024), np.float32),
            r"features must have shape \(3, 1152\), got \(3, 1024\)",
            id="f",
        ),
        pytest.param("is_match", np.zeros(2, np.bool_), r"is_match must have shape \(3,\), got \(2,\)", id="m"),
        pytest.param(
            "label_offsets", np.zeros(3, np.int64), r"label_offsets must have shape \(4,\), got \(3,\)", id="o"
        ),
        pytest.param("label_ids", np.zeros(9, np.int32), r"label_ids must have shape \(5,\), got \(9,\)", id="l"),
    ],
)
def test_arrays_that_do_not_fit_together(field: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Videos(**{**vars(made_videos(3)), field: value})


def test_take() -> None:
    videos = made_videos(6)
    chosen = np.array([False, True, False, True, False, True])
    taken = videos.take(chosen)
    assert list(taken.video_ids) == ["id1", "id3", "id5"]
    assert labels_of(taken) == [LABEL_LISTS[1], LABEL_LISTS[3], LABEL_LISTS[5]]
    np.testing.assert_array_equal(taken.features, videos.features[1::2])
    assert list(taken.is_match) == [True, True, False]


def ids_of(count: int) -> np.ndarray:
    return np.array([f"id{number}" for number in range(count)], np.object_)


def test_the_ids_alone_decide_what_is_held_out() -> None:
    ids = ids_of(1000)
    held_out = held_out_rows(ids)
    assert 160 < held_out.sum() < 240
    assert list(ids[held_out][:4]) == ["id1", "id7", "id11", "id17"]
    assert np.array_equal(held_out_rows(ids[500:]), held_out[500:])


def test_a_larger_fraction_holds_the_same_videos_and_more() -> None:
    few, many = held_out_rows(ids_of(300), 0.1), held_out_rows(ids_of(300), 0.5)
    assert few.sum() < many.sum()
    assert not (few & ~many).any()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, float("nan")])
def test_a_fraction_that_holds_nothing_or_all_out(fraction: float) -> None:
    with pytest.raises(DatasetError, match=r"^The fraction to hold out must lie between 0 and 1, got "):
        held_out_rows(ids_of(3), fraction)


def test_too_few_to_hold_any_out() -> None:
    with pytest.raises(DatasetError, match=r"^1 videos are too few to hold 20% of them out\. `reelsift dataset build`"):
        held_out_rows(ids_of(1))


def test_chosen_rows_are_those_of_all(dataset: Dataset) -> None:
    every = load_videos(dataset)
    chosen = np.arange(len(every)) % 3 == 1
    some = load_videos(dataset, choose=lambda ids: chosen if list(ids) == list(every.video_ids) else ~chosen)
    expected = every.take(chosen)
    for name in ("video_ids", "features", "label_offsets", "label_ids", "is_match"):
        assert np.array_equal(getattr(some, name), getattr(expected, name))
    assert labels_of(some) == labels_of(expected)


def test_each_video_once() -> None:
    ids = np.array(["a", "b", "a", "c", "b"], np.object_)
    assert first_rows(ids).tolist() == [True, True, False, True, False]
    assert first_rows(ids, {"b"}).tolist() == [True, False, False, True, False]
    assert first_rows(ids[:2]).all()


def test_a_part_is_read_in_little_memory(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**31, (64, 1 << 14), np.int32)  # 4 MB, which nothing makes smaller
    table = pa.table({"video_id": ["x"] * 64, "labels": pa.array(list(noise), pa.list_(pa.int32()))})
    pq.write_table(table, tmp_path / "part.parquet", row_group_size=2)
    before, most = pa.total_allocated_bytes(), 0
    for _ in read_batches(tmp_path / "part.parquet", ("video_id", "labels"), 2):
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 1 << 20
