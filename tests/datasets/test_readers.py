"""The tools that people have open a published folder as it is."""

from tasks.datasets.load import load_videos
from tasks.datasets.manifest import Dataset

ORDER = ["video_id", "labels", "mean_rgb", "mean_audio", "shard", "is_match"]


def test_pandas(dataset: Dataset) -> None:
    import pandas as pd

    frame = pd.read_parquet(dataset.folder, ignore_prefixes=["manifest"])
    assert list(frame.columns) == ORDER
    assert (len(frame), int(frame["is_match"].sum())) == (30, 20)
    parts = sorted(dataset.folder.glob("part-*.parquet"))
    assert sum(len(pd.read_parquet(part)) for part in parts) == 30


def test_pyarrow(dataset: Dataset) -> None:
    import pyarrow.dataset as ds

    table = ds.dataset(dataset.folder, exclude_invalid_files=True).to_table()
    assert (table.num_rows, table.column_names) == (30, ORDER)


def test_duckdb(dataset: Dataset) -> None:
    import duckdb

    figures = "count(*), sum(is_match::int), sum(len(labels)), sum(mean_rgb[1])"
    found = duckdb.connect().execute(f"select {figures} from '{dataset.folder}/part-*.parquet'").fetchall()
    rows, matches, labels, first = found[0]
    videos = [load_videos(dataset, split) for split in ("train", "validate")]
    assert (rows, matches) == (30, 20)
    assert labels == sum(each.label_ids.size for each in videos)
    assert abs(first - sum(float(each.features[:, 0].sum()) for each in videos)) < 1e-4


def test_polars(dataset: Dataset) -> None:
    import polars as pl

    frame = pl.read_parquet(dataset.folder / "part-*.parquet")
    assert (frame.height, frame.columns) == (30, ORDER)
    assert frame.filter("is_match").height == 20
    assert pl.scan_parquet(dataset.folder / "part-validate-*.parquet").collect().height == 6
