"""Leftovers of killed runs, old logs, shards and fetched videos: what is locked, young or elsewhere stays."""

import fcntl
import os
from pathlib import Path

from tasks.contracts.datasets import FilterConfig, PlannedShard
from tasks.contracts.media import FetchedVideo
from tasks.records.parts import write_part
from tasks.shards.config import DownloadConfig
from tasks.shards.download import download_shards
from tasks.shards.plan import fetch_plan, shard_path
from tasks.video.cache import place_of
from tests.pruning.conftest import DAY_S, PrunedHome, age, names


def test_what_killed_runs_left_goes_unless_somebody_is_at_work_on_it(pruned: PrunedHome, tmp_path: Path) -> None:
    making = pruned.root / "videos" / "clip" / ".making-abc.tmp"
    places = {
        "old": pruned.root / "parts" / "k" / ".x.1-2.tmp",
        "held": pruned.root / "weights" / ".y.1-2.tmp",
        "unfinished": pruned.root / "shards" / "2" / "train0001.tfrecord.part",
        "written": making / "labels.parquet",
        "visible": pruned.root / "videos" / "notes.tmp",
        "rotated": pruned.root / "logs" / "reelsift.log.2",
        "live": pruned.root / "stack" / "worker.log",
        "previous": pruned.root / "stack" / "worker.previous.log",
        "scores": pruned.pruning().store.scores / f"{'0' * 64}.npz",
    }
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"begun")
    os.mkfifo(pruned.root / "parts" / ".pipe.tmp")
    (tmp_path / "mine").write_text("kept")
    (pruned.root / "parts" / ".link.tmp").symlink_to(tmp_path / "mine")
    age(pruned.root, 40)
    os.utime(places["written"])
    with places["held"].open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        spared = [outcome.spared for outcome in pruned.prune()]
    assert spared == [""] * 7
    assert {name for name, path in places.items() if path.exists()} == {"held", "written", "visible", "live"}
    assert not os.path.lexists(pruned.root / "parts" / ".pipe.tmp")
    assert not os.path.lexists(pruned.root / "parts" / ".link.tmp")
    assert (tmp_path / "mine").read_text() == "kept"
    age(pruned.root, 2)
    assert names(pruned.plan().goes) == ["videos/clip/.making-abc.tmp", "weights/.y.1-2.tmp"]


def shards_of(mirror: Path, pruned: PrunedHome) -> tuple[tuple[PlannedShard, ...], DownloadConfig]:
    config = DownloadConfig(mirrors=(str(mirror),), reserve_bytes=0)
    shards = fetch_plan("video/train", config)[:2]
    download_shards(shards, pruned.places.shards, config)
    return shards, config


def test_shards_go_only_if_asked_for_and_their_rows_are_kept(pruned: PrunedHome, synthetic_mirror: Path) -> None:
    shards, config = shards_of(synthetic_mirror, pruned)
    places = [shard_path(pruned.places.shards, shard, config) for shard in shards]
    part = write_part(pruned.places.parts, shards[:1], FilterConfig(label_ids=(22,)), lambda _: places[0])
    age(pruned.places.shards, 90)
    assert not pruned.plan().goes
    plan = pruned.plan(shards=True)
    assert names(plan.goes) == [places[0].relative_to(pruned.places.shards).as_posix()]
    assert plan.freed_bytes == places[0].stat().st_size
    assert [kept.why for kept in plan.stays] == ["no part has its rows"]
    pruning = pruned.pruning(shards=True)
    written_s = places[0].stat().st_mtime
    os.utime(places[0], (written_s + 89 * DAY_S, written_s))  # as if a build had looked at it
    assert [outcome.spared for outcome in pruning.carry_out(plan)] == ["it was used meanwhile"]
    age(places[0], 90)
    assert [outcome.spared for outcome in pruned.prune(shards=True)] == [""]
    assert [place.exists() for place in places] == [False, True]
    # A look at a part is no use of it: it is as old after three of them as it was made.
    age(pruned.places.parts, 90)
    pruned.plan(shards=True)
    assert names(pruned.plan().goes) == [part.path]


def fetch(pruned: PrunedHome, source: str) -> Path:
    """A video on the shelf, as a fetch leaves it."""
    with place_of(pruned.places.fetched, source) as place:
        came = place.folder / "came"
        came.write_bytes(b"video" * 100)
        place.take(came)
        place.keep(FetchedVideo(source=source, path=place.media, sha256="0" * 64, size_bytes=500, title=source))
    return place.folder


def test_fetched_videos_go_unless_somebody_asks_for_them(pruned: PrunedHome) -> None:
    old, asked_for, being_fetched, new = (fetch(pruned, name) for name in ("old", "asked for", "busy", "new"))
    for folder in (old, asked_for, being_fetched):
        age(folder, 90)
    assert not pruned.plan().goes
    pruning = pruned.pruning(fetched=True)
    plan = pruning.plan()
    assert sorted(names(plan.goes)) == ["asked for", "busy", "old"]
    assert all(item.size_bytes > 500 for item in plan.goes)
    with place_of(pruned.places.fetched, "asked for") as place:
        assert place.find()
    with (being_fetched / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        spared = {outcome.item.name: outcome.spared for outcome in pruning.carry_out(plan)}
    assert spared == {"old": "", "asked for": "it was asked for meanwhile", "busy": "it is being fetched"}
    assert [folder.exists() for folder in (old, asked_for, being_fetched, new)] == [False, True, True, True]
