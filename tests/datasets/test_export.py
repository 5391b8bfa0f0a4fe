"""Dataset versions in other forms."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.contracts.errors import DamagedDatasetError, DatasetError
from tasks.datasets.export import export
from tasks.datasets.load import load_videos
from tasks.datasets.manifest import Dataset
from tests.datasets.made import NAMES

FORMATS = ["csv", "jsonl", "parquet", "npz"]


def test_csv_names_the_labels(dataset: Dataset, tmp_path: Path) -> None:
    with export(dataset, tmp_path / "out.csv", "csv", names=NAMES).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert rows[2] == {
        "video_id": "02aa",
        "labels": "Food|Cooking",
        "split": "train",
        "shard": "trainaa.tfrecord",
        "is_match": "true",
    }
    assert rows[5]["labels"] == "Toys, games & co.|Game"  # of a background video, which the manifest does not name
    assert {row["split"] for row in rows[24:]} == {"validate"}


def test_where_a_label_has_no_name_all_are_numbers(dataset: Dataset, tmp_path: Path) -> None:
    """The manifest names the labels of matching videos alone, and names beside numbers could not be told apart."""
    with export(dataset, tmp_path / "out.csv", "csv").open(encoding="utf-8", newline="") as file:
        labels = {label for row in csv.DictReader(file) for label in row["labels"].split("|")}
    assert labels == {"0", "7", "22", "29", "37"}


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_flipped_bit_is_neither_exported_nor_loaded(dataset: Dataset, tmp_path: Path, file_format: str) -> None:
    path = dataset.paths()[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # within the floats, which have no checksum of their own
    path.chmod(0o644)
    path.write_bytes(content)
    message = r"part-train-0000\.parquet(: its SHA-256 is| cannot be read)"
    with pytest.raises(DamagedDatasetError, match=message):
        export(dataset, tmp_path / "out", file_format)
    assert not list(tmp_path.glob("*out*"))
    with pytest.raises(DamagedDatasetError, match=message):
        load_videos(dataset, "train")


def test_names_that_are_given_count(dataset: Dataset, tmp_path: Path) -> None:
    path = export(dataset, tmp_path / "out.csv", "csv", names=NAMES)
    assert '\n05aa,"Toys, games & co.|Game",train,' in path.read_text(encoding="utf-8")


def test_jsonl_holds_everything(dataset: Dataset, tmp_path: Path) -> None:
    lines = export(dataset, tmp_path / "out.jsonl", "jsonl", names=NAMES).read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    assert len(lines) == 30
    assert (row["video_id"], row["labels"], row["label_names"]) == ("01aa", [22, 29], ["Cooking", "Dish"])
    assert (row["split"], row["shard"], row["is_match"]) == ("train", "trainaa.tfrecord", True)
    features = load_videos(dataset, "train").features[1]
    np.testing.assert_array_equal(np.array(row["mean_rgb"] + row["mean_audio"], np.float32), features)


def test_parquet_is_one_file_with_the_split(dataset: Dataset, tmp_path: Path) -> None:
    table = pq.read_table(export(dataset, tmp_path / "out.parquet", "parquet"))
    parts = [pq.read_table(path) for path in dataset.paths()]
    assert table.num_rows == 30
    assert table["split"].to_pylist() == ["train"] * 24 + ["validate"] * 6
    for name in ("video_id", "labels", "mean_rgb", "mean_audio", "shard", "is_match"):
        assert table[name].to_pylist() == [value for part in parts for value in part[name].to_pylist()]


def test_pandas_finds_names_beside_the_numbers_of_a_parquet_file(dataset: Dataset, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(export(dataset, tmp_path / "out.parquet", "parquet", names=NAMES))
    assert [list(names) for names in frame["label_names"][:6]] == [
        ["Cooking"], ["Cooking", "Dish"], ["Food", "Cooking"], ["Cooking", "Dish", "Food"], ["Game"],
        ["Toys, games & co.", "Game"],
    ]  # fmt: skip
    pairs = frame[["labels", "label_names"]].explode(["labels", "label_names"]).drop_duplicates()
    assert dict(zip(pairs["labels"], pairs["label_names"], strict=True)) == NAMES


def test_numpy_finds_the_names_of_an_archive(dataset: Dataset, tmp_path: Path) -> None:
    with np.load(export(dataset, tmp_path / "out.npz", "npz", names=NAMES), allow_pickle=False) as arrays:
        names = arrays["vocabulary_names"][np.searchsorted(arrays["vocabulary_ids"], arrays["label_ids"])]
        assert dict(zip(arrays["label_ids"].tolist(), names.tolist(), strict=True)) == NAMES


@pytest.mark.parametrize("file_format", ["parquet", "npz", "jsonl"])
def test_no_format_mixes_names_and_numbers(dataset: Dataset, tmp_path: Path, file_format: str) -> None:
    path = export(dataset, tmp_path / f"out.{file_format}", file_format)
    if file_format == "npz":
        with np.load(path) as arrays:
            found = set(arrays["vocabulary_names"].tolist())
    elif file_format == "parquet":
        found = {name for names in pq.read_table(path)["label_names"].to_pylist() for name in names}
    else:
        found = {name for line in path.read_text().splitlines() for name in json.loads(line)["label_names"]}
    assert found == {"0", "7", "22", "29", "37"}


def test_npz_opens_without_pickle(dataset: Dataset, tmp_path: Path) -> None:
    train, validate = load_videos(dataset, "train"), load_videos(dataset, "validate")
    with np.load(export(dataset, tmp_path / "out.npz", "npz"), allow_pickle=False) as arrays:
        assert list(arrays["video_ids"]) == [*train.video_ids, *validate.video_ids]
        np.testing.assert_array_equal(arrays["features"], np.vstack([train.features, validate.features]))
        np.testing.assert_array_equal(arrays["label_ids"], np.concatenate([train.label_ids, validate.label_ids]))
        offsets = np.concatenate([train.label_offsets, train.label_offsets[-1] + validate.label_offsets[1:]])
        np.testing.assert_array_equal(arrays["label_offsets"], offsets)
        np.testing.assert_array_equal(arrays["is_match"], np.concatenate([train.is_match, validate.is_match]))
        assert list(arrays["splits"]) == ["train"] * 24 + ["validate"] * 6


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_version_gives_the_same_bytes(dataset: Dataset, tmp_path: Path, file_format: str) -> None:
    one, two = (export(dataset, tmp_path / name, file_format) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_more_rows_than_a_batch(long_dataset: Dataset, tmp_path: Path) -> None:
    videos = load_videos(long_dataset, "train")
    lines = export(long_dataset, tmp_path / "out.csv", "csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == list(videos.video_ids)
    table = pq.read_table(export(long_dataset, tmp_path / "out.parquet", "parquet"))
    assert table.drop_columns(["split", "label_names"]).equals(pq.read_table(long_dataset.paths()))
    with np.load(export(long_dataset, tmp_path / "out.npz", "npz")) as arrays:
        np.testing.assert_array_equal(arrays["features"], videos.features)
        np.testing.assert_array_equal(arrays["label_offsets"], videos.label_offsets)


def test_an_existing_file_is_kept_unless_forced(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(DatasetError, match=rf"^{path} exists already\. `--force` overwrites it$"):
        export(dataset, path, "csv")
    assert path.read_text() == "mine"
    export(dataset, path, "csv", force=True)
    assert path.read_text().startswith("video_id,")


def test_a_folder_is_not_a_destination(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"^{tmp_path} exists already\. Name a file in it$"):
        export(dataset, tmp_path, "csv", force=True)


def test_an_unknown_format(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"^No export format 'xlsx'\. There are: csv, jsonl, parquet, npz$"):
        export(dataset, tmp_path / "out.xlsx", "xlsx")


def test_a_destination_that_cannot_be_written(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"out\.csv cannot be written: (Not a directory|File exists)"):
        export(dataset, tmp_path / "file" / "out.csv", "csv")


def test_a_damaged_part_leaves_nothing_behind(dataset: Dataset, tmp_path: Path) -> None:
    dataset.paths()[-1].unlink()
    target = tmp_path / "exports"
    with pytest.raises(DamagedDatasetError, match=r"part-validate-0000\.parquet cannot be read"):
        export(dataset, target / "out.csv", "csv")
    assert list(target.iterdir()) == []
