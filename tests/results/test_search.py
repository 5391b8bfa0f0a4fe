"""When which videos show what: against the manifests and tables that lie in the folders, read without an index."""

import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tasks.contracts.errors import ReportError, StorageError
from tasks.contracts.media import (
    LABELS_NAME,
    LABELS_TABLE_NAME,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    REPORT_NAME,
    LabelsManifest,
    ObjectsManifest,
)
from tasks.results.index import INDEX_NAME, open_index
from tasks.results.search import Query, Search, SearchedPlace, search
from tasks.storage.bundles import push_bundle
from tasks.storage.object_store import open_store
from tests.support.reports import other_labels, video_record, write_boxes, write_labels, write_objects


class Reads:
    """A listener that keeps how many results were read."""

    def __init__(self) -> None:
        self.counts: list[float | None] = []

    def begin(self, what: str, total: float | None, unit: str) -> None:
        assert (what, unit) == ("results indexed", "results")
        self.counts.append(total)

    def advance(self, what: str, amount: float) -> None:
        pass


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder with the results of three videos and a picture."""
    folder = tmp_path / "home" / "videos"
    write_labels(folder / "belt-1", annotate=False)
    write_objects(folder / "belt-1", annotate=False)
    (folder / "belt-1" / REPORT_NAME).touch()
    named = video_record(title="Crème at noon", source="https://youtu.be/abcdefghijk", youtube_id="abcdefghijk")
    write_labels(folder / "creme-2", named, names=["Crème brûlée", "espresso"], annotate=False)
    write_labels(folder / "pair-3", others=[other_labels("kitchen/1")], annotate=False)
    write_objects(folder / "photo-4", video_record("picture"), annotate=False)
    write_labels(folder / "photo-4", video_record("picture"), annotate=False)
    (folder / "empty-5").mkdir()
    (folder / REPORT_NAME).touch()
    return folder


def settled(folder: Path) -> None:
    """Let the folders have changed a while ago."""
    for each in folder.iterdir():
        os.utime(each, (time.time() - 60, time.time() - 60))


def found(videos: Path, *names: str, reads: Reads | None = None, **options: Any) -> Search:
    query = Query(names=names, **options)
    return search(SearchedPlace.of_folder(videos), videos.parent / "found" / "videos", query, reads)


def named_in_reports(videos: Path, name: str) -> set[tuple[object, ...]]:
    """Return all segments and tracks of a name, as the manifests have them."""
    hits: set[tuple[object, ...]] = set()
    for path in videos.glob(f"*/{LABELS_NAME}"):
        for model, answer in LabelsManifest.model_validate_json(path.read_bytes()).by_model.items():
            hits |= {
                (path.parent.name, model, None, each.start_s, each.end_s, each.score)
                for each in answer.segments
                if each.name == name
            }
    for path in videos.glob(f"*/{OBJECTS_NAME}"):
        manifest = ObjectsManifest.model_validate_json(path.read_bytes())
        hits |= {
            (path.parent.name, manifest.detector.name, each.track_id, each.start_s, each.end_s, each.score)
            for each in manifest.tracks
            if each.class_name == name
        }
    return hits


def hits_of(search: Search) -> set[tuple[object, ...]]:
    return {(hit.video, hit.model, hit.track, hit.start_s, hit.end_s, hit.score) for hit in search.hits}


@pytest.mark.parametrize("name", ["espresso", "bottle", "cup", "hotdog"])
def test_hits_are_what_the_reports_name(videos: Path, name: str) -> None:
    answer = found(videos, name)
    pictured = {hit for hit in hits_of(answer) if hit[0] == "photo-4" and hit[2] is None}
    assert hits_of(answer) - pictured == named_in_reports(videos, name)
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)
    assert (answer.total, answer.searched) == (len(answer.hits), 4)
    assert answer.videos == len({hit.video for hit in answer.hits})
    # of a picture, the labels of the whole that are as sure as a segment must be
    assert pictured == ({("photo-4", "cooking/3", None, 0.0, 0.0, 0.9)} if name == "espresso" else set())


def test_a_hit_opens_the_report_at_its_second_and_has_a_picture(videos: Path) -> None:
    bottles = [hit for hit in found(videos, "bottle").hits if hit.video == "belt-1"]
    report = (videos / "belt-1" / REPORT_NAME).as_uri()
    starts = {track.track_id: track.start_s for track in read_objects(videos / "belt-1").tracks}
    assert {hit.track: hit.link for hit in bottles} == {
        number: f"{report}#t={starts[number]:g}" for number in (hit.track for hit in bottles) if number is not None
    }
    assert all(hit.thumbnail and Path(hit.thumbnail).is_file() for hit in bottles)
    assert {hit.link for hit in found(videos, "espresso", video="creme-2").hits} == {None}  # there is no report


def read_objects(folder: Path) -> ObjectsManifest:
    return ObjectsManifest.model_validate_json((folder / OBJECTS_NAME).read_bytes())


def test_names_match_as_in_the_vocabulary(videos: Path) -> None:
    assert hits_of(found(videos, " CREME  brulee")) == hits_of(found(videos, "Crème brûlée"))
    assert found(videos, "creme brulee").total == 1
    both = found(videos, "Bottle", "ESPRESSO")
    assert hits_of(both) == hits_of(found(videos, "bottle")) | hits_of(found(videos, "espresso"))
    for wrong, near in {"botle": ("bottle",), "brulee": ("Crème brûlée",), "zzz": ()}.items():
        nothing = found(videos, wrong)
        assert (nothing.hits, nothing.total, nothing.searched, nothing.near) == ([], 0, 4, near)


def test_what_narrows_a_search(videos: Path) -> None:
    assert {hit.kind for hit in found(videos, "espresso", "cup", kind="object").hits} == {"object"}
    assert {hit.kind for hit in found(videos, "espresso", "cup", kind="label").hits} == {"label"}
    for text in ("creme at", "creme-2", "abcdefghijk", "https://youtu.be/abcdefghijk"):
        assert {hit.video for hit in found(videos, "espresso", video=text).hits} == {"creme-2"}
    assert found(videos, "espresso", video="nowhere").total == 0
    best = found(videos, "bottle", most=2)
    assert (len(best.hits), best.total) == (2, found(videos, "bottle").total)
    os.utime(videos / "belt-1" / LABELS_NAME, (0, time.time() - 86_400 * 3))
    os.utime(videos / "belt-1")  # as a file that is put there leaves it
    since = datetime.now(UTC) - timedelta(days=2)
    recent = found(videos, "espresso", since=since)
    assert {hit.video for hit in recent.hits} == {hit.video for hit in found(videos, "espresso").hits} - {"belt-1"}
    assert all(hit.made_at >= since for hit in recent.hits)


@pytest.mark.parametrize("bound", [0.01, 0.05, 0.5, 0.9, 0.95])
def test_a_score_finds_the_stretches_of_the_table(videos: Path, bound: float) -> None:
    """Second by second: a stretch goes on as long as the score of each second is high enough."""
    folder, expected = videos / "pair-3", set()
    table = pq.read_table(folder / LABELS_TABLE_NAME).to_pylist()
    for model in ("cooking/3", "kitchen/1"):
        scores = {
            int(row["time_s"]): row["smoothed"] for row in table if (row["model"], row["name"]) == (model, "hotdog")
        }
        sure = "".join("x" if scores[second] >= bound - 1e-7 else " " for second in range(6))
        start = 0
        for part in sure.split(" "):
            if part:
                kept = [scores[second] for second in range(start, start + len(part))]
                expected.add((model, start, start + len(part), round(sum(kept) / len(kept), 4)))
            start += len(part) + 1
    hits = found(videos, "hotdog", min_score=bound, video="pair-3").hits
    assert {(hit.model, hit.start_s, hit.end_s, round(hit.score, 4)) for hit in hits} == expected
    assert len(hits) == len(expected)


def test_objects_without_tracks_are_found_in_stretches(tmp_path: Path) -> None:
    folder = tmp_path / "videos" / "loose"
    manifest = write_objects(folder, annotate=False, thumbnails=False)
    rows = write_boxes(folder, manifest, tracked=False).to_pylist()
    (folder / OBJECTS_NAME).write_text(manifest.model_copy(update={"tracks": ()}).model_dump_json())
    for name in ("bottle", "cup"):
        times = sorted({row["time_s"] for row in rows if row["class_name"] == name})
        (hit,) = found(tmp_path / "videos", name).hits
        assert max(after - before for before, after in pairwise(times)) < 1
        assert (hit.start_s, hit.end_s, hit.track, hit.thumbnail) == (times[0], times[-1], None, None)


def test_the_index_follows_the_results(videos: Path) -> None:
    """Nothing is read twice; what is replaced, deleted or new is found as it is by then."""
    settled(videos)
    first, again = Reads(), Reads()
    assert found(videos, "espresso", reads=first).total == 5
    assert found(videos, "espresso", reads=again).total == 5
    assert (first.counts, again.counts) == ([6], [])

    (videos / "belt-1" / REPORT_NAME).write_text("another page")
    write_labels(videos / "new-6", names=["waffle"], annotate=False)
    changed = Reads()
    assert {hit.video for hit in found(videos, "waffle", reads=changed).hits} == {"new-6"}
    assert changed.counts == [1]

    write_labels(videos / "new-6", names=["pretzel"], annotate=False)
    shutil.rmtree(videos / "creme-2")
    (videos / "pair-3" / LABELS_NAME).unlink()
    replaced = Reads()
    assert {hit.video for hit in found(videos, "espresso", reads=replaced).hits} == {"belt-1", "photo-4"}
    assert (found(videos, "waffle").total, found(videos, "pretzel").total, replaced.counts) == (0, 1, [1])


def test_an_index_that_cannot_be_read_is_made_again(videos: Path) -> None:
    expected = hits_of(found(videos, "espresso"))
    (videos.parent / "found" / "videos" / INDEX_NAME).write_bytes(b"no database" * 1000)
    assert hits_of(found(videos, "espresso")) == expected


def test_a_damaged_result_is_left_out_and_named(videos: Path) -> None:
    (videos / "creme-2" / LABELS_NAME).write_text('{"identity": 7}')
    (videos / "pair-3" / LABELS_TABLE_NAME).write_bytes(b"PAR1 and no more")
    for _ in range(2):  # and looked at again the next time
        answer = found(videos, "espresso")
        assert {hit.video for hit in answer.hits} == {"belt-1", "photo-4"}
        assert [fault.partition(" ")[0] for fault in answer.faults] == ["creme-2/labels.json", "pair-3/labels.json"]
    objects = (videos / "belt-1" / OBJECTS_NAME).read_text()
    for wrong, why in {
        '"track_id":1': '"track_id":1e300',
        '"start_s":1.0': '"start_s":Infinity',
        '"end_s":2.5': '"end_s":2e300',
    }.items():
        assert wrong in objects
        (videos / "belt-1" / OBJECTS_NAME).write_text(objects.replace(wrong, why.replace("1e300", str(2**90))))
        assert any(fault.startswith("belt-1/objects.json is damaged") for fault in found(videos, "espresso").faults)
    manifest = json.loads((videos / "belt-1" / LABELS_NAME).read_bytes())
    (videos / "belt-1" / LABELS_NAME).write_text(json.dumps({**manifest, "files": {LABELS_TABLE_NAME: "00" * 32}}))
    assert "labels.parquet is not the one that it names" in " ".join(found(videos, "espresso").faults)


def test_a_pipe_is_no_result_and_a_fault_is_said_in_words(videos: Path) -> None:
    (videos / "belt-1" / OBJECTS_NAME).unlink()
    os.mkfifo(videos / "belt-1" / OBJECTS_NAME)  # which nobody ever writes to
    (videos / "creme-2" / LABELS_NAME).write_text('{"identity": 7}')
    assert found(videos, "espresso").faults == (
        "creme-2/labels.json is damaged (identity: Input should be a valid string)",
    )


def test_a_thumbnail_elsewhere_is_not_named(videos: Path) -> None:
    manifest = read_objects(videos / "belt-1")
    tracks = tuple(each.model_copy(update={"thumbnail": "../../secret.jpg"}) for each in manifest.tracks)
    (videos / "belt-1" / OBJECTS_NAME).write_text(manifest.model_copy(update={"tracks": tracks}).model_dump_json())
    assert {hit.thumbnail for hit in found(videos, "bottle", video="belt-1").hits} == {None}


def test_no_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"No results in .*`reelsift label` and `reelsift detect` make them"):
        found(tmp_path / "videos", "espresso")


def test_duckdb_reaches_nothing_but_the_index(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with open_index(tmp_path / "found", SearchedPlace.of_folder(videos).where) as (connection, _):
        for query in (
            f"select * from read_csv('{tmp_path}/secret.csv')",
            f"copy results to '{tmp_path}/out.csv'",
            f"attach '{tmp_path}/other.duckdb'",
            "install httpfs",
            "set enable_external_access = true",
        ):
            with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException)):
                connection.execute(query)
        settings = connection.execute(
            "select name, value from duckdb_settings() where name in "
            "('autoload_known_extensions', 'autoinstall_known_extensions', 'memory_limit')"
        ).fetchall()
    assert dict(settings) == {
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "memory_limit": "244.1 MiB",
    }


def test_results_in_the_storage_are_found(videos: Path, tmp_path: Path) -> None:
    uri = (tmp_path / "store").as_uri()
    store = open_store(uri)
    for name, kind in (("belt-1", LABELS_NAME), ("belt-1", OBJECTS_NAME), ("creme-2", LABELS_NAME)):
        folder = videos / name
        stem, files = Path(kind).stem, [kind, LABELS_TABLE_NAME if kind == LABELS_NAME else OBJECTS_TABLE_NAME]
        thumbnails = [path.relative_to(folder).as_posix() for path in folder.glob("thumbnails/*")]
        named = {each: folder / each for each in [*files, *(thumbnails if kind == OBJECTS_NAME else [])]}
        push_bundle(store, f"videos/{name}/{stem}-0123456789abcdef", named)
    place = SearchedPlace.of_storage(uri)
    answer = search(place, tmp_path / "found", Query(names=("bottle", "espresso")))
    assert hits_of(answer) == {
        hit for hit in hits_of(found(videos, "bottle", "espresso")) if hit[0] in {"belt-1", "creme-2"}
    }
    thumbnails = {hit.thumbnail for hit in answer.hits if hit.kind == "object"}
    assert all(each and each.startswith(f"{uri}/videos/belt-1/objects-0123456789abcdef/") for each in thumbnails)
    assert {hit.link for hit in answer.hits} == {None}
    reads = Reads()
    search(place, tmp_path / "found", Query(names=("bottle",)), reads)
    assert reads.counts == []
    with pytest.raises(StorageError):
        SearchedPlace.of_storage("nothing://x")
