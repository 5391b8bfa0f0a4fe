"""From real shards, through the records stage, to a published version."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.contracts.datasets import DropReason, FilterConfig, PlannedShard
from tasks.contracts.features import YT8M
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.load import column_types, load_videos
from tasks.datasets.manifest import Dataset, dataset_id, verify
from tasks.datasets.publish import publish
from tasks.records.filter import SCHEMA
from tasks.records.parts import FILTER_VERSION, batches_of, options_of, write_part
from tasks.vocabulary.table import read_vocabulary

COOKING = FilterConfig.model_validate({"label_ids": [22]})


def planned(mirror: Path) -> Iterator[PlannedShard]:
    for split in ("train", "validate"):
        plan = json.loads((mirror / "2" / "download_plans" / f"video_{split}.json").read_bytes())
        for name, md5 in plan["files"].items():
            yield PlannedShard(name=name, partition=f"video/{split}", md5=md5)


def published(mirror: Path, folder: Path) -> Dataset:
    """Filter Cooking out of a mirror's shards and publish it."""
    shards = list(planned(mirror))
    store = folder / "parts"
    parts = [
        write_part(store, batch, COOKING, lambda shard: mirror / "2" / shard.partition / shard.name)
        for batch in batches_of(shards)
    ]
    vocabulary = read_vocabulary(mirror / "youtube8m" / "csv" / "2" / "vocabulary.csv")
    manifest = publish(
        folder / "datasets",
        store,
        parts,
        slug="cooking",
        label_ids=COOKING.label_ids,
        labels={label.index: label.shown_name for label in vocabulary.labels},
        options=options_of(COOKING),
        filter_version=FILTER_VERSION,
        splits={"train": "video/train", "validate": "video/validate"},
        code_revision="abc123",
    )
    assert manifest.id == dataset_id(shards, options_of(COOKING), FILTER_VERSION)
    return open_dataset(folder / "datasets", "cooking")


@pytest.fixture(scope="module")
def cooking(real_mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return published(real_mirror, tmp_path_factory.mktemp("real"))


def test_the_figures_of_the_sample(cooking: Dataset) -> None:
    manifest = cooking.manifest
    assert (manifest.records, manifest.rows, manifest.matches) == (28_792, 551, 551)
    assert manifest.drops == {DropReason.NO_MATCH: 28_792 - 551}
    assert len(manifest.shards) == 100
    counts = {count.name: count.by_split for count in manifest.label_counts}
    assert counts["Cooking"] == {"train": 386, "validate": 165}
    assert len(counts) == 268
    assert manifest.cooccurrence.counts[0][:3] == (551, 551, 481)  # Food, Cooking, Recipe
    assert verify(cooking) == []


def test_the_splits_load(cooking: Dataset) -> None:
    for split, rows in (("train", 386), ("validate", 165)):
        videos = load_videos(cooking, split)
        assert videos.features.shape == (rows, 1152)
        assert videos.is_match.all()
        assert -2 <= videos.features.min() < videos.features.max() <= 2.01


def test_the_schema_is_that_of_the_records_stage(cooking: Dataset) -> None:
    assert list(column_types(YT8M)) == SCHEMA.names
    for path in cooking.paths():
        assert pq.read_schema(path).remove_metadata().equals(SCHEMA)


def test_synthetic_shards_too(synthetic_mirror: Path, tmp_path: Path) -> None:
    dataset = published(synthetic_mirror, tmp_path)
    assert dataset.manifest.records == 720
    assert dataset.manifest.label_names == ("Cooking",)
    assert verify(dataset) == []
