"""Frames at any time: each picture on show at a tick is looked at once, and what stays on show is one track."""

from pathlib import Path

import av
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.contracts.media import DETECTED_VIDEO_NAME, OBJECTS_TABLE_NAME, FetchedVideo
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects
from tasks.detection.yolox import YoloxDetector
from tasks.video.config import MediaBounds
from tasks.video.probe import probe
from tests.labelling.colours import fetched
from tests.support.media import write_video
from tests.support.square_videos import squares

BOUNDS = MediaBounds()


def _video(real_data: Path, name: str) -> FetchedVideo:
    return fetched(real_data / "faults" / "video" / name)


def test_of_a_variable_frame_rate_the_pictures_on_show_at_the_ticks_are_looked_at_once(
    square_detector: YoloxDetector, tmp_path: Path
) -> None:
    """A screen recording: an apple stays where it is, and a cup comes between two ticks and goes before the next."""
    times_s = [0.0, 0.1, 1.7, 4.1, 4.2, 4.3, 9.0]
    images = [squares(("apple", 4, 4), *([("cup", 84, 84)] if number == 4 else [])) for number in range(len(times_s))]
    clip = write_video(tmp_path / "screen.mkv", images, times_s=times_s, encoder={"crf": "8"})
    made = detect_objects(
        fetched(clip), square_detector, DetectOptions(rate_hz=2.0, annotate=False), BOUNDS, tmp_path / "made"
    )
    ticks_s = [tick / 2 for tick in range(19)]
    on_show = sorted({max(n for n, time_s in enumerate(times_s) if time_s <= tick_s) for tick_s in ticks_s})
    assert on_show == [0, 1, 2, 5, 6]
    table = pq.read_table(tmp_path / "made" / OBJECTS_TABLE_NAME)
    assert sorted(table["frame"].to_pylist()) == on_show
    assert made.counts == {"apple": 1}
    (track,) = made.tracks
    assert (track.boxes, track.start_s) == (len(on_show), 0.0)
    assert track.end_s == pytest.approx(9.0, abs=0.6)


def test_the_last_picture_of_a_made_gif_is_shown_for_as_long_as_it_says(
    square_detector: YoloxDetector, tmp_path: Path
) -> None:
    pictures = [Image.fromarray(squares(("apple", 4 + 8 * number, 4))) for number in range(4)]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 100, 300, 2500], disposal=1
    )
    assert probe(tmp_path / "a.gif", BOUNDS).duration_s == pytest.approx(3.0)
    detect_objects(fetched(tmp_path / "a.gif"), square_detector, DetectOptions(), BOUNDS, tmp_path / "made")
    with av.open(str(tmp_path / "made" / DETECTED_VIDEO_NAME)) as file:  # of a player's own reading
        (stream,) = file.streams.video
        times_s = [float(packet.pts * packet.time_base) for packet in file.demux(stream) if packet.pts is not None]
        assert stream.duration
        assert stream.time_base
        assert float(stream.duration * stream.time_base) == pytest.approx(3.0, abs=0.01)
    assert sorted(times_s) == pytest.approx([0.0, 0.1, 0.2, 0.5], abs=0.001)


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
