"""Pictures spread over a video, of frames that are decoded anyway, or for them alone."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.media import TimeRange
from tasks.video import frames
from tasks.video.config import MediaBounds
from tasks.video.frames import Overview, open_frames
from tests.support.media import Shape, number_of, shades, write_picture, write_video

BOUNDS = MediaBounds()


def seen_by_the_way(path: Path, rate_hz: float | None, part: TimeRange | None = None) -> Overview:
    """Take an overview while something else reads the frames."""
    overview = Overview(path, BOUNDS, part)
    with open_frames(path, BOUNDS, rate_hz=rate_hz, part=part, watch=overview) as reader:
        for _ in reader:
            pass
    return overview


@pytest.mark.parametrize("rate_hz", [None, 1.0])
def test_pictures_are_of_their_times_however_the_frames_are_read(tmp_path: Path, rate_hz: float | None) -> None:
    path = write_video(tmp_path / "a.mp4", shades(36))  # 3.6 s at 10 a second: too short for two a second
    overview = seen_by_the_way(path, rate_hz)
    assert overview.times_s == pytest.approx([0.0, 0.5, 0.9, 1.4, 1.8, 2.3, 2.7, 3.2], abs=2e-3)  # every 3.6 / 8 s
    assert [number_of(each) for each in overview.strip] == [round(10 * time_s) for time_s in overview.times_s]
    assert [number_of(each) for each in overview.posters] == [number_of(each) for each in overview.strip]


def test_an_overview_alone_is_the_same(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(36))
    by_the_way, alone = seen_by_the_way(path, None), Overview(path, BOUNDS)
    alone.complete()
    assert alone.times_s == by_the_way.times_s
    assert all(map(np.array_equal, alone.strip, by_the_way.strip))


def test_what_was_seen_is_not_decoded_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(12))
    overview = seen_by_the_way(path, None)
    path.unlink()
    before = list(overview.times_s)
    overview.complete()
    assert overview.times_s == before


def test_a_part_is_looked_over_from_its_start(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(36))
    part = TimeRange(start_s=1.05, end_s=2.65)
    overview = seen_by_the_way(path, None, part)
    assert overview.times_s == pytest.approx([1.05, 1.3, 1.5, 1.7, 1.9, 2.1, 2.3, 2.5], abs=2e-3)  # every 1.6 / 8 s
    assert [number_of(each) for each in overview.strip] == [10, 13, 15, 17, 19, 21, 23, 25]


def test_a_picture_on_show_for_long_is_there_once(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(4), times_s=[0.0, 0.1, 5.0, 5.1])
    overview = seen_by_the_way(path, None)
    assert [number_of(each) for each in overview.strip] == [0, 2]
    assert overview.times_s == pytest.approx([0.0, 5.0], abs=2e-3)


def test_of_a_long_video_key_frames_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "OVERVIEW_PIXELS", 0)
    path = write_video(tmp_path / "a.mp4", shades(36), encoder={"g": "12", "keyint_min": "12", "sc_threshold": "0"})
    overview = Overview(path, BOUNDS)
    overview.complete()
    assert overview.times_s == pytest.approx([0.0, 1.2, 2.4], abs=2e-3)
    assert [number_of(each) for each in overview.strip] == [0, 12, 24]


def test_a_picture_is_its_own_overview(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", np.full((300, 600, 3), 77, np.uint8))
    overview = Overview(path, BOUNDS)
    overview.complete()
    assert [each.shape for each in (*overview.strip, *overview.posters)] == [(72, 144, 3), (128, 256, 3)]


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(3), shape=Shape(aspect=Fraction(2)))
    assert {each.shape for each in seen_by_the_way(path, None).strip} == {(48, 128, 3)}  # never larger than it is
