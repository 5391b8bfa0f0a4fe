"""What lies in the folder of a video: whole, from one run, or not at all."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.contracts.errors import VideoError
from tasks.contracts.media import OBJECTS, FetchedVideo
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects, identity_of_objects
from tasks.detection.yolox import YoloxDetector
from tasks.video.config import MediaBounds
from tasks.weights.store import WeightsStore
from tests.support.same_thing import SameThing
from tests.support.square_videos import fetched

BOUNDS = MediaBounds()


def test_what_is_there_is_found_again_and_only_under_its_identity(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    options = DetectOptions()
    assert OBJECTS.find(tmp_path, identity_of_objects(clip, square_detector.record, options)) is None
    made = detect_objects(clip, square_detector, options, BOUNDS, tmp_path)
    assert OBJECTS.find(tmp_path, made.identity) == made
    assert OBJECTS.find(tmp_path, identity_of_objects(clip, square_detector.record, DetectOptions(every=2))) is None


@pytest.mark.parametrize("name", ["objects.parquet", "detected.mp4", "thumbnails/track-0001.jpg", "objects.json"])
def test_what_is_not_whole_is_not_found(
    name: str, clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    made = detect_objects(clip, square_detector, DetectOptions(), BOUNDS, tmp_path)
    (tmp_path / name).unlink()
    assert OBJECTS.find(tmp_path, made.identity) is None


def test_the_table_of_another_answer_beside_a_manifest_is_no_answer(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    made = detect_objects(clip, square_detector, DetectOptions(annotate=False), BOUNDS, tmp_path / "a")
    detect_objects(clip, square_detector, DetectOptions(annotate=False, every=2), BOUNDS, tmp_path / "b")
    (tmp_path / "b" / "objects.parquet").replace(tmp_path / "a" / "objects.parquet")
    assert OBJECTS.find(tmp_path / "a", made.identity) is None


def test_a_damaged_manifest_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "objects.json").write_text("{")
    assert OBJECTS.find(tmp_path, "0" * 64) is None


@pytest.mark.parametrize("content", [b"", b"just some text, renamed\n" * 50], ids=["empty", "text"])
def test_a_broken_video_leaves_nothing_behind(content: bytes, square_detector: YoloxDetector, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        detect_objects(fetched(tmp_path / "broken.mp4"), square_detector, DetectOptions(), BOUNDS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failure_half_way_leaves_what_was_there_before(
    clip: FetchedVideo, square_detector: YoloxDetector, tmp_path: Path
) -> None:
    made = detect_objects(clip, square_detector, DetectOptions(), BOUNDS, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RuntimeError, match="out of memory"):
        detect_objects(clip, SameThing(square_detector.record, fails=True), DetectOptions(every=2), BOUNDS, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert OBJECTS.find(tmp_path, made.identity) == made


KILLED = """
import sys
from pathlib import Path
from typing import Any
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects
from tasks.detection.yolox import YoloxDetector
from tasks.video.config import MediaBounds
from tasks.weights.store import WeightsStore
from tests.support.square_videos import fetched
store = WeightsStore.model_validate_json(sys.argv[1])
detector = YoloxDetector.open(speed="normal", weights=store)
print("ready", flush=True)
while True:
    detect_objects(fetched(Path(sys.argv[2])), detector, DetectOptions(), MediaBounds(), Path(sys.argv[3]))
    print("done", flush=True)
"""


def test_a_killed_run_leaves_the_old_or_nothing(
    clip: FetchedVideo, square_detector: YoloxDetector, square_weights: WeightsStore, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    arguments = [square_weights.model_dump_json(), str(clip.path), str(folder)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        assert [process.stdout.readline().strip() for _ in range(2)] == ["ready", "done"]
        time.sleep(0.15)
        process.kill()
    identity = identity_of_objects(clip, square_detector.record, DetectOptions())
    is_there = (folder / "objects.json").exists()
    assert (OBJECTS.find(folder, identity) is not None) == is_there
    made = detect_objects(clip, square_detector, DetectOptions(), BOUNDS, folder)
    assert OBJECTS.find(folder, identity) == made
