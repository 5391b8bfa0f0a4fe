"""Frames at any time: each picture on show at a tick is looked at once, and what stays on show is one track."""

from pathlib import Path

import pytest

from tasks.contracts.media import FetchedVideo
from tasks.contracts.objects import DETECTED_VIDEO_NAME
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects
from tasks.detection.yolox import YoloxDetector
from tasks.video.config import MediaBounds
from tasks.video.probe import probe
from tests.labelling.colours import fetched

BOUNDS = MediaBounds()


def _video(real_data: Path, name: str) -> FetchedVideo:
    return fetched(real_data / "faults" / "video" / name)


def test_pictures_that_stay_on_show(real_data: Path, real_detector: YoloxDetector, tmp_path: Path) -> None:
    options = DetectOptions(rate_hz=2.0, annotate=False)
    made = detect_objects(_video(real_data, "vfr_screen_small.mp4"), real_detector, options, BOUNDS, tmp_path / "made")
    cups = [track for track in made.tracks if track.class_name == "cup"]
    assert len(cups) == made.counts["cup"] == 1
    assert cups[0].boxes <= 6
    assert (cups[0].start_s, cups[0].end_s) == (0.0, pytest.approx(40.0, abs=0.6))


def test_the_last_picture_of_a_gif_stays_on_show(real_data: Path, real_detector: YoloxDetector, tmp_path: Path) -> None:
    detect_objects(
        _video(real_data, "gif_last_frame_3s.gif"), real_detector, DetectOptions(), BOUNDS, tmp_path / "made"
    )
    assert probe(tmp_path / "made" / DETECTED_VIDEO_NAME, BOUNDS).duration_s == pytest.approx(3.5, abs=0.01)
