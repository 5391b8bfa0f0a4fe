"""Versions of one's own videos, from their files to what is learnt from them, by the functions of the package."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import reelsift
from flows.import_requests import check_source
from reelsift import DatasetVersion
from tasks.contracts.datasets import DropReason
from tasks.contracts.errors import ConfigError, DamagedDatasetError, DatasetError
from tasks.contracts.files import file_digest
from tasks.datasets.load import load_videos
from tasks.datasets.manifest import read_manifest, verify
from tasks.features.extractor import read_features
from tasks.features.shipped import EfficientNetExtractor
from tasks.imports.plan import ImportedClip
from tasks.imports.request import features_reader
from tasks.imports.table import LabelledClip
from tasks.video.config import MediaBounds
from tests.imports.made import CLASSES, write_class_clip, write_classes, write_table
from tests.support.folders import digests
from tests.support.in_process import run_here
from tests.support.media import Tone
from tests.support.mirror_server import MirrorServer

SPACE = "efficientnet-lite0"


@dataclass(frozen=True)
class Kitchen:
    """A version, its home, and the folder of its clips."""

    version: DatasetVersion
    home: Path
    clips: Path


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Kitchen:
    """Two classes of four clips, a part of one of them, a broken file, and one that is not there."""
    folder = tmp_path_factory.mktemp("kitchen")
    clips = write_classes(folder / "clips")
    (clips / "warm" / "broken.mp4").write_bytes(b"no video")
    table = write_table(clips, "warm/warm 0.mp4,warm,1,2", "cool/cool 1.mp4,cool,90,", "gone.mp4,cool,,")
    home = folder / "home"
    return Kitchen(reelsift.import_dataset(table, name="My Kitchen", home=home), home, clips)


def kept(home: Path) -> dict[str, str]:
    """The files of features, and their digests."""
    return digests(home / "features")


def test_the_manifest_says_what_the_version_is_made_of(kitchen: Kitchen) -> None:
    manifest = kitchen.version.manifest
    assert (manifest.slug, manifest.label_names, manifest.rows, manifest.records) == (
        "my-kitchen",
        ("cool", "warm"),
        9,
        12,
    )
    assert {label.name: sum(label.by_split.values()) for label in manifest.label_counts} == {"cool": 4, "warm": 5}
    assert manifest.drops == {
        DropReason.BROKEN_VIDEO: 1,
        DropReason.NOT_FETCHED: 1,
        DropReason.NOTHING_SHOWN: 1,
    }
    assert (manifest.space.name, manifest.space.size) == (SPACE, 1408)
    assert read_manifest(kitchen.version.folder) == manifest
    assert verify(kitchen.version.dataset) == []
    clips = {shard.name: shard.clip for shard in manifest.shards}
    expected = {file_digest(path) for path in kitchen.clips.glob("*/*.mp4")}
    assert {clip.sha256 for clip in clips.values() if clip and clip.sha256} == expected
    (part,) = [clip for clip in clips.values() if clip and clip.start_s == 1]
    assert (part.end_s, part.sha256) == (2, file_digest(kitchen.clips / "warm" / "warm 0.mp4"))
    told = " ".join(kitchen.version.warnings)
    assert "warm/broken.mp4 is left out (broken-video): " in told
    assert "gone.mp4 is left out (not-fetched): " in told
    assert "1 of its lines begin after the end of their video" in told


def test_rows_are_the_means_of_the_seconds_that_the_extractor_gives(kitchen: Kitchen) -> None:
    frame = pd.concat(map(pd.read_parquet, kitchen.version.dataset.paths()))
    columns = ["video_id", "labels", "picture", "sound", "shard", "is_match", "picture_seconds", "sound_seconds"]
    assert list(frame.columns) == columns
    extractor = EfficientNetExtractor.open()
    whole = read_features(kitchen.clips / "warm" / "warm 0.mp4", MediaBounds(), extractor)
    rows: dict[str, Any] = {str(row.video_id): row for row in frame.itertuples()}
    digest = file_digest(kitchen.clips / "warm" / "warm 0.mp4")[:8]
    row, part = rows[f"warm-0-{digest}"], rows[f"warm-0-{digest}-1-2"]
    np.testing.assert_allclose(np.concatenate([row.picture, row.sound]), whole.mean()[0], atol=1e-4)
    np.testing.assert_allclose(np.stack(row.picture_seconds), whole.picture, atol=2e-3, rtol=1e-3)
    np.testing.assert_allclose(np.stack(row.sound_seconds), whole.sound, atol=2e-2, rtol=1e-3)
    np.testing.assert_allclose(part.picture, whole.picture[1], atol=1e-4)
    np.testing.assert_allclose(part.sound, whole.sound[1], atol=1e-4)
    assert len(part.picture_seconds) == 1
    silent = rows[next(name for name in rows if name.startswith("cool-0"))]
    assert not np.any(silent.sound)
    assert np.any(row.sound)


def test_other_tools_and_the_loader_read_the_parts(kitchen: Kitchen) -> None:
    import duckdb
    import polars as pl

    parts = f"{kitchen.version.folder}/part-*.parquet"
    figures = "count(*), sum(len(picture_seconds)), sum(picture[1]), any_value(len(picture_seconds[1]))"
    (found,) = duckdb.connect().execute(f"select {figures} from '{parts}'").fetchall()
    videos = [load_videos(kitchen.version.dataset, split) for split in ("train", "validate")]
    first = sum(float(each.features[:, 0].sum()) for each in videos)
    assert found == (9, 17, pytest.approx(first, abs=1e-3), 1280)
    assert pl.read_parquet(parts).height == 9
    assert list(kitchen.version.to_pandas(features=True).columns)[2:4] == ["picture", "sound"]


def test_the_same_again_extracts_nothing_and_one_more_extracts_one(kitchen: Kitchen, tmp_path: Path) -> None:
    home, clips = tmp_path / "home", tmp_path / "clips"
    shutil.copytree(kitchen.home, home, symlinks=True)
    shutil.copytree(kitchen.clips, clips)
    before = kept(home)
    assert (
        reelsift.import_dataset(clips / "clips.csv", name="My Kitchen", home=home).reference
        == kitchen.version.reference
    )
    assert kept(home) == before
    new = write_class_clip(clips / "cool" / "new.mp4", "cool", 99)
    with (clips / "clips.csv").open("a") as table:
        table.write("cool/new.mp4,cool,,\n")
    more = reelsift.import_dataset(clips / "clips.csv", name="My Kitchen", home=home)
    added = {Path(name).parent.name for name in kept(home).keys() - before.keys()}
    assert added == {file_digest(new)[:32]}
    change = reelsift.open_dataset(kitchen.version.reference, home=home).diff(more)
    (gained,) = change.shards_gained
    assert gained.rpartition("/")[2] == f"new-{file_digest(new)[:8]}"
    assert (change.shards_lost, change.shards_changed, change.rows.gain, change.options) == ((), (), 1, {})
    assert [(label.name, label.count.gain) for label in change.labels] == [("cool", 1)]


def test_a_file_that_was_renamed_or_labelled_anew_is_not_extracted_again(kitchen: Kitchen, tmp_path: Path) -> None:
    home, clips = tmp_path / "home", tmp_path / "clips"
    shutil.copytree(kitchen.home / "features", home / "features")
    shutil.copytree(kitchen.clips, clips, ignore=shutil.ignore_patterns("broken.mp4", "clips.csv"))
    (clips / "warm" / "warm 1.mp4").rename(clips / "cool" / "other.mp4")
    before = kept(home)
    version = reelsift.import_dataset(clips, home=home)
    assert kept(home) == before
    counts = {label.name: sum(label.by_split.values()) for label in version.manifest.label_counts}
    assert (version.manifest.slug, counts) == ("clips", {"cool": 5, "warm": 3})
    damaged = next((home / "features").glob("*/*/features.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
    reelsift.import_dataset(clips, home=home)
    name = str(damaged.relative_to(home / "features"))
    assert kept(home)[name] == before[name]


def test_addresses_are_fetched_and_a_storage_keeps_features_and_version(
    kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELSIFT_FETCH__ALLOW_PRIVATE", "true")
    monkeypatch.setenv("REELSIFT_STORAGE", f"file://{tmp_path}/storage")
    shutil.copytree(kitchen.home / "features", tmp_path / "home" / "features")
    with MirrorServer(kitchen.clips) as server:
        lines = [f"{server.url}/{label}/{label}%20{number}.mp4,{label}\n" for label in CLASSES for number in (0, 1)]
        (tmp_path / "web.csv").write_text("source,label\n" + "".join(lines))
        version = reelsift.import_dataset(tmp_path / "web.csv", home=tmp_path / "home")
        elsewhere = reelsift.import_dataset(tmp_path / "web.csv", home=tmp_path / "elsewhere")
    names = sorted(shard.name.rpartition("-")[0] for shard in version.manifest.shards)
    assert (names, version.warnings) == (["cool-0", "cool-1", "warm-0", "warm-1"], ())
    assert kept(tmp_path / "elsewhere").items() <= kept(kitchen.home).items()
    third = reelsift.open_dataset("web", home=tmp_path / "third")
    assert third.manifest == elsewhere.manifest == version.manifest
    assert verify(third.dataset) == []


def test_a_worker_wants_the_whole_path() -> None:
    check_source(Path("/clips/clips.csv"))
    check_source(Path("~/clips"))
    with pytest.raises(ConfigError, match="source: 'clips' is relative to the folder of a worker, which is deleted"):
        check_source(Path("clips"))


def test_features_that_are_gone_are_told(kitchen: Kitchen, tmp_path: Path) -> None:
    read = features_reader(tmp_path, kitchen.version.manifest.space)
    clip = ImportedClip(LabelledClip("line 2", "a.mp4", "a.mp4", ("x",)), "train", "0" * 64)
    with pytest.raises(DamagedDatasetError, match="The features of the file 000000000000… are not in"):
        read(clip)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        pytest.param("a.mp4,x\nb.mp4,x\n", "all 2 videos have the label 'x'", id="one-class"),
        pytest.param(
            "a.mp4,x\nb.mp4,x\nc.mp4,y\nd.mp4,y\n", "none of its 4 .*: 4 not-fetched; the first: No video", id="gone"
        ),
        pytest.param(
            "1.mp4,x\n2.mp4,x\n3.mp4,y\n4.mp4,y\n", "none of its 4.*4 broken-video; the first: .*1.mp4", id="broken"
        ),
    ],
)
def test_what_makes_no_version_is_one_line_and_publishes_nothing(tmp_path: Path, lines: str, said: str) -> None:
    for number in range(1, 5):
        (tmp_path / f"{number}.mp4").write_text(f"This is no video, but text {number}.")
    (tmp_path / "clips.csv").write_text(f"source,label\n{lines}")
    with pytest.raises(DatasetError, match=said) as caught:
        reelsift.import_dataset(tmp_path / "clips.csv", home=tmp_path / "home")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home" / "datasets").exists()


def test_a_champion_of_ones_own_videos_labels_others_and_names_what_it_learnt_from(
    kitchen: Kitchen, tmp_path: Path
) -> None:
    from tasks.datasets.export import export

    training = reelsift.train(kitchen.version, models=["logistic"])
    (row,) = training.comparison.rows
    assert row.hit1 == 1
    assert training.promote().promoted
    unseen = write_class_clip(tmp_path / "unseen.mp4", "warm", 77, tone=Tone(duration_s=2.0))
    video = reelsift.label(unseen, home=kitchen.home, annotate=False)
    assert (video.top[0].name, {segment.name for segment in video.segments}) == ("warm", {"warm"})
    assert re.fullmatch(
        r"my-kitchen@champion \(v1, promoted \d{4}-\d\d-\d\d\): its features, efficientnet-lite0, are embedded",
        str(video.chosen),
    )
    clips = {shard.clip.sha256 for shard in kitchen.version.manifest.shards if shard.clip and shard.matches}
    assert (video.manifest.model.dataset_id, set(video.manifest.model.clips)) == (kitchen.version.id, clips)
    assert video.manifest.video.sha256 not in clips
    page = video.report.read_text()
    assert all(str(digest)[:12] in page for digest in (kitchen.version.id, *clips, video.chosen))
    for suffix in ("csv", "jsonl", "parquet", "npz"):
        export(kitchen.version.dataset, tmp_path / f"rows.{suffix}", suffix)
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert all(video_id.startswith(label) for video_id, label in zip(rows["video_id"], rows["labels"], strict=True))
    assert pq.read_schema(tmp_path / "rows.parquet").names[-2:] == ["split", "label_names"]
    assert kitchen.version.warnings
    assert "9 of 12 videos of 2 classes" in kitchen.version._repr_html_()


def test_a_model_over_time_says_itself_what_each_second_shows(
    kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two seconds of one class, then two of the other: what it says is what it gives for the features, not smoothed."""
    training = reelsift.train(kitchen.version, models=["gru"])
    (model,) = (each.model for each in training.comparison.rows if each.kind == "gru")
    clip = write_class_clip(tmp_path / "both.mp4", "warm", 77, then="cool")
    words = ("label", clip, "--model", model, "--no-annotate", "--json")
    run = run_here(*words, home=kitchen.home, monkeypatch=monkeypatch, capfd=capfd)
    assert run.returncode == 0, run.stderr
    (video,) = json.loads(run.stdout)["videos"]
    assert (video["labels"]["smoothing"], video["labels"]["seconds"]) == ("model", 4)
    assert "the model&#39;s own over time" in (Path(video["folder"]) / "index.html").read_text()
    live = reelsift.label(clip, model=model, centred=False, annotate=False, home=kitchen.home, out=tmp_path)
    classifier = reelsift.load_model(model, home=kitchen.home)
    moments = read_features(clip, MediaBounds(), EfficientNetExtractor.open()).per_second()
    for folder, is_causal in ((Path(video["folder"]), False), (live.report.parent, True)):
        table = pd.read_parquet(folder / "labels.parquet")
        scores = table.pivot_table(index="time_s", columns="label_id", values="score")[list(classifier.label_ids)]
        np.testing.assert_allclose(scores, classifier.over_time(moments, is_causal=is_causal), atol=1e-6)
        assert table["score"].equals(table["smoothed"])
    whole = dict(zip(classifier.label_names, classifier.predict(moments[None])[0], strict=True))
    assert {each["name"]: each["score"] for each in video["labels"]["top"]} == pytest.approx(whole, abs=1e-6)
