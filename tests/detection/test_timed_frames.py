"""Which frames are looked at, and which the detector sees."""

from collections.abc import Sequence

import numpy as np
import pytest

from tasks.detection.boxes import TimedFrame
from tasks.detection.detect import timed_frames
from tasks.video.frames import Frame


def made(
    times_s: Sequence[float], rate_hz: float | None = None, every: int = 1, *, keep_images: bool = True
) -> list[TimedFrame]:
    image = np.zeros((2, 2, 3), np.uint8)
    frames = [Frame(index, time_s, image) for index, time_s in enumerate(times_s)]
    return list(timed_frames(frames, rate_hz=rate_hz, every=every, last_s=0.1, keep_images=keep_images))


def looked_at(times_s: Sequence[float], rate_hz: float) -> list[int]:
    return [frame.index for frame in made(times_s, rate_hz) if frame.is_looked_at]


def test_without_a_rate_every_frame_is_looked_at() -> None:
    found = made([0.0, 0.1, 0.2])
    assert [(frame.is_looked_at, frame.is_detected) for frame in found] == [(True, True)] * 3


@pytest.mark.parametrize(
    ("times_s", "rate_hz", "expected"),
    [
        pytest.param([place / 10 for place in range(25)], 1.0, [0, 10, 20], id="ten a second"),
        pytest.param([place / 29.97 for place in range(1189)], 1.0, None, id="NTSC"),
        pytest.param([0.0, 0.9, 2.5, 2.6], 1.0, [0, 1], id="a long frame is looked at once"),
        pytest.param([0.0, 0.95, 1.05, 2.0], 1.0, [0, 1, 3], id="the frame on show, not the next one"),
        pytest.param([0.3, 0.4, 1.1], 1.0, [0, 1], id="the first frame comes late"),
        pytest.param([0.0, 0.1, 0.2], 100.0, [0, 1, 2], id="faster than the frames"),
    ],
)
def test_the_frames_on_show_at_the_ticks_are_looked_at(
    times_s: list[float], rate_hz: float, expected: list[int] | None
) -> None:
    found = looked_at(times_s, rate_hz)
    if expected is None:
        expected = sorted(
            {max(index for index, time_s in enumerate(times_s) if time_s <= tick + 1e-6) for tick in range(40)}
        )
    assert found == expected


def test_the_detector_sees_every_nth_frame_that_is_looked_at() -> None:
    found = made([place / 10 for place in range(50)], rate_hz=2.0, every=3)
    assert [frame.index for frame in found if frame.is_looked_at] == list(range(0, 50, 5))
    assert [frame.index for frame in found if frame.is_detected] == [0, 15, 30, 45]


def test_pixels_that_nobody_needs_are_let_go() -> None:
    found = made([place / 10 for place in range(6)], every=3, keep_images=False)
    assert [frame.image is not None for frame in found] == [True, False, False] * 2


def test_a_last_frame_that_says_how_long_it_lasts_is_looked_at_in_that_time() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    frames = [Frame(0, 0.0, image, 0.3), Frame(1, 0.3, image, 2.0)]
    found = timed_frames(frames, rate_hz=1.0, every=1, last_s=0.1, keep_images=True)
    assert [frame.is_looked_at for frame in found] == [True, True]
