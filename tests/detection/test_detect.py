"""The objects of a video, from the file to the folder, on clips of squares."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.contracts.media import FetchedVideo, ObjectsManifest, TimeRange
from tasks.detection.boxes import unpack_mask
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects, identity_of_objects
from tasks.detection.table import OBJECTS
from tasks.detection.yolox import YoloxDetector
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tests.detection.conftest import FRAMES
from tests.support.same_thing import SameThing
from tests.support.square_videos import RATE_HZ, write_clip, write_picture

BOUNDS = MediaBounds()


def detect(
    clip: FetchedVideo, detector: YoloxDetector, folder: Path, **options: Any
) -> tuple[ObjectsManifest, list[dict[str, Any]]]:
    manifest = detect_objects(clip, detector, DetectOptions.model_validate(options), BOUNDS, folder)
    return manifest, pq.read_table(folder / "objects.parquet").to_pylist()


class Counting:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.totals: list[float | None] = []
        self.done = 0.0

    def begin(self, what: str, total: float | None, unit: str) -> None:
        assert (what.startswith("objects in "), unit) == (True, "frames")
        self.totals.append(total)

    def advance(self, what: str, amount: float) -> None:
        self.done += amount


def test_every_thing_is_one_track(clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path) -> None:
    made, rows = detect(clip, square_detector, tmp_path)
    assert made.counts == {"apple": 1, "bottle": 1, "cup": 1}
    found = [(track.track_id, track.class_name, track.start_s, track.end_s, track.boxes) for track in made.tracks]
    assert sorted(found[:2], key=lambda each: each[1]) == [
        (found[0][0] if found[0][1] == "apple" else found[1][0], "apple", 0.0, pytest.approx(3.9), 40),
        (found[0][0] if found[0][1] == "cup" else found[1][0], "cup", 0.0, pytest.approx(3.9), 40),
    ]
    assert found[2] == (3, "bottle", pytest.approx(1.0), pytest.approx(2.9), 20)
    assert (made.boxes, len(rows)) == (100, 100)
    assert {row["track_id"] for row in rows} == {1, 2, 3}
    assert not any(row["carried"] for row in rows)


def test_the_manifest_says_where_it_comes_from(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    options = DetectOptions(classes=("cup",))
    made = detect_objects(clip, square_detector, options, BOUNDS, tmp_path)
    assert made.video.sha256 == clip.sha256
    assert made.video.frames_read == FRAMES
    assert made.detector.weights.name == "yolox-nano"
    assert made.options["classes"] == ["cup"]
    assert set(made.stage_seconds) == {"decode", "detect", "track", "keep", "draw", "encode"}
    assert made.wall_seconds > 0
    assert made.identity == identity_of_objects(clip, square_detector.record, options)
    assert ObjectsManifest.model_validate_json((tmp_path / "objects.json").read_bytes()) == made


def test_the_table_has_the_columns_of_the_contract(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    detect(clip, square_detector, tmp_path, annotate=False)
    assert pq.read_schema(tmp_path / "objects.parquet").equals(OBJECTS)


def test_boxes_between_detections_lie_where_the_things_are(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    made, rows = detect(clip, square_detector, tmp_path, every=5)
    _, all_rows = detect(clip, square_detector, tmp_path / "all")
    assert made.boxes == sum(not row["carried"] for row in rows) < 30
    cups = {row["frame"]: row["x_min"] for row in rows if row["class_name"] == "cup"}
    true_cups = {row["frame"]: row["x_min"] for row in all_rows if row["class_name"] == "cup"}
    assert cups.keys() == true_cups.keys()
    assert max(abs(cups[frame] - true_cups[frame]) for frame in cups) <= 12
    assert made.counts == {"apple": 1, "bottle": 1, "cup": 1}


def test_at_a_rate_the_table_has_the_frames_on_show(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    made, rows = detect(clip, square_detector, tmp_path, rate_hz=2.0)
    assert sorted({row["frame"] for row in rows}) == list(range(0, FRAMES, 5))
    assert made.boxes == len(rows)


def test_the_annotated_copy_has_every_frame_whatever_is_looked_at(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    made, _ = detect(clip, square_detector, tmp_path, rate_hz=1.0)
    assert made.annotated == "detected.mp4"
    with open_frames(tmp_path / "detected.mp4", BOUNDS) as reader, open_frames(clip.path, BOUNDS) as source:
        drawn, plain = list(reader), list(source)
    assert [frame.time_s for frame in drawn] == pytest.approx([frame.time_s for frame in plain], abs=1e-3)
    # The outline and the plate of the apple, which stands, are on frames that nobody looked at as well.
    changed = [float(np.abs(one.image[:40, :40].astype(int) - other.image[:40, :40]).mean()) for one, other in
               zip(drawn, plain, strict=True)]  # fmt: skip
    assert min(changed) > 5


def test_without_annotation_there_is_no_copy(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    detect(clip, square_detector, tmp_path)
    made, _ = detect(clip, square_detector, tmp_path, annotate=False)
    assert made.annotated is None
    assert not (tmp_path / "detected.mp4").exists()


def test_thumbnails_show_the_things(clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path) -> None:
    made, _ = detect(clip, square_detector, tmp_path)
    assert sorted(path.name for path in (tmp_path / "thumbnails").iterdir()) == [
        f"track-{number:04d}.jpg" for number in (1, 2, 3)
    ]
    for track in made.tracks:
        assert track.thumbnail
        with open_frames(tmp_path / track.thumbnail, BOUNDS) as reader:
            colour = next(iter(reader)).image.mean(axis=(0, 1))
        assert int(colour.argmax()) == {"apple": 0, "bottle": 1, "cup": 2}[track.class_name]


def test_only_the_classes_asked_for(clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path) -> None:
    made, rows = detect(clip, square_detector, tmp_path, classes=["Bottle"])
    assert made.counts == {"bottle": 1}
    assert {row["class_name"] for row in rows} == {"bottle"}


def test_without_tracks_rows_have_none_and_counts_are_of_one_moment(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    made, rows = detect(clip, square_detector, tmp_path, tracks=False)
    assert (made.tracks, made.boxes) == ((), 100)
    assert {row["track_id"] for row in rows} == {-1}
    assert made.counts == {"apple": 1, "bottle": 1, "cup": 1}


def test_a_picture_has_a_track_for_each_thing(square_detector: YoloxDetector, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "p.png", ("apple", 4, 4), ("apple", 84, 4), ("cup", 44, 84))
    made, rows = detect(picture, square_detector, tmp_path / "out", rate_hz=1.0, every=3)
    assert made.counts == {"apple": 2, "cup": 1}
    assert (made.annotated, len(rows)) == ("detected.png", 3)
    assert (tmp_path / "out" / "detected.png").is_file()
    assert [track.start_s for track in made.tracks] == [0.0] * 3


def test_a_video_with_nothing_in_it(square_detector: YoloxDetector, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "empty.mp4", [[]] * 5)
    made, rows = detect(clip, square_detector, tmp_path / "out", every=2)
    assert (made.counts, made.tracks, made.boxes, rows) == ({}, (), 0, [])


def test_progress_counts_frames(clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path) -> None:
    progress = Counting()
    detect_objects(clip, square_detector, DetectOptions(), BOUNDS, tmp_path, progress)
    assert (progress.totals, progress.done) == ([FRAMES, FRAMES], FRAMES)


def test_masks_are_kept_and_drawn(clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path) -> None:
    detector = SameThing(square_detector.record, fails=False)
    made = detect_objects(clip, detector, DetectOptions(), BOUNDS, tmp_path)
    rows = pq.read_table(tmp_path / "objects.parquet").to_pylist()
    assert made.boxes == FRAMES
    assert json.loads(rows[0]["mask"])["size"] == [128, 128]
    mask = unpack_mask(rows[0]["mask"])
    assert (int(mask.sum()), bool(mask[10:40, 10:40].all())) == (900, True)
    detect_objects(clip, detector, DetectOptions(masks=False), BOUNDS, tmp_path)
    assert pq.read_table(tmp_path / "objects.parquet")["mask"].null_count == FRAMES


def test_memory_does_not_grow_with_the_gap_between_detections(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    made, rows = detect(clip, square_detector, tmp_path, every=1000)
    assert len({row["frame"] for row in rows}) == FRAMES
    assert made.boxes == 2
    assert made.tracks[0].end_s == 0.0
    assert RATE_HZ * 4 == FRAMES


def test_a_part_has_the_boxes_of_its_time_and_a_copy_of_it_alone(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    part = clip.model_copy(update={"part": TimeRange(start_s=2.5, end_s=3.5)})
    made, rows = detect(part, square_detector, tmp_path)
    assert made.counts == {"apple": 1, "bottle": 1, "cup": 1}
    (bottle,) = (track for track in made.tracks if track.class_name == "bottle")
    assert (bottle.start_s, bottle.end_s) == (pytest.approx(2.5), pytest.approx(2.9))
    assert sorted({row["time_s"] for row in rows}) == pytest.approx([2.5 + number / 10 for number in range(10)])
    with open_frames(tmp_path / "detected.mp4", BOUNDS) as reader:
        assert [frame.time_s for frame in reader] == pytest.approx([number / 10 for number in range(10)], abs=1e-3)
    whole = identity_of_objects(clip, square_detector.record, DetectOptions())
    assert whole != made.identity == identity_of_objects(part, square_detector.record, DetectOptions())
    _, sampled = detect(part, square_detector, tmp_path, rate_hz=4)
    assert sorted({row["time_s"] for row in sampled}) == pytest.approx([2.5, 2.7, 3.0, 3.2])
