"""Real clips of three classes, a group of each held out, from their table to a model that tells them apart."""

import csv
import json
from pathlib import Path

import pytest

import reelsift
from tasks.contracts.files import file_digest
from tests.support.in_process import run_here

CLASSES = ("BrushingTeeth", "CuttingInKitchen", "WallPushups")
CHOSEN = {"test": 1, "train": 2}  # clips of each class


def test_the_given_splits_are_learnt_from_and_judged_on(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
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
    training = reelsift.train(version, models=["logistic"])
    (row,) = training.comparison.rows
    assert row.hit1 == 1
    assert training.promote().promoted

    unseen = [listed.parent / next(row["path"] for row in reversed(rows) if row["label"] == label) for label in CLASSES]
    words = ("label", *unseen, "--no-annotate", "--json")
    run = run_here(*words, home=tmp_path / "home", monkeypatch=monkeypatch, capfd=capfd)
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    assert made["why"].startswith("some@champion (v1, promoted ")
    for label, video in zip(CLASSES, made["videos"], strict=True):
        said, page = video["labels"], Path(video["report"]).read_text(encoding="utf-8")
        assert said["top"][0]["name"] == label
        assert {segment["name"] for segment in said["segments"]} <= {label}
        assert said["video"]["sha256"] not in said["model"]["clips"]
        assert [digest for digest in said["model"]["clips"] if digest[:12] not in page] == []
        assert version.id in page
