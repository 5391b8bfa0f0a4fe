"""Real clips of three classes, a group of each held out, from their table to a model that tells them apart."""

import csv
from pathlib import Path

import pytest

import reelsift
from tasks.contracts.files import file_digest

CLASSES = ("BrushingTeeth", "CuttingInKitchen", "WallPushups")
CHOSEN = {"test": 1, "train": 2}  # clips of each class


def test_the_given_splits_are_learnt_from_and_judged_on(real_data: Path, tmp_path: Path) -> None:
    listed = real_data / "clips" / "clips.csv"
    if not listed.is_file():
        pytest.skip("there are no clips")
    with listed.open(newline="") as file:
        rows = list(csv.DictReader(file))
    some = [
        row
        for label in CLASSES
        for split, count in CHOSEN.items()
        for row in [each for each in rows if (each["label"], each["split"]) == (label, split)][:count]
    ]
    with (tmp_path / "some.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"path": listed.parent / row["path"]} for row in some)
    version = reelsift.import_dataset(tmp_path / "some.csv", home=tmp_path / "home")
    counts = {label.name: label.by_split for label in version.manifest.label_counts}
    assert counts == {label: {"train": 2, "validate": 1} for label in CLASSES}
    held_out = {file_digest(listed.parent / row["path"]) for row in some if row["split"] == "test"}
    clips = {shard.clip.sha256 for shard in version.manifest.shards if shard.clip and "validate" in shard.partition}
    assert clips == held_out
    (row,) = reelsift.train(version, models=["logistic"]).comparison.rows
    assert row.hit1 == 1
