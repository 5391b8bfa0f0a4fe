"""A part of a video: the same frames and samples as of all of it, and nothing else."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from tasks.contracts.errors import VideoError
from tasks.contracts.media import TimeRange
from tasks.video import frames as frame_reading
from tasks.video.config import MediaBounds
from tasks.video.frames import Frame, open_frames
from tasks.video.sound import SAMPLE_RATE_HZ, read_sound
from tasks.video.writing import open_writer
from tests.support.media import TIME_BASE, Tone, number_of, shades, spoil_packets, write_picture, write_video

BOUNDS = MediaBounds()
FRAMES = 36  # of ten a second, each of its own grey
# Key frames every second, and B-frames between; of an open group, those before a key frame need the one before it.
CLOSED = {"g": "10", "bf": "2", "x264-params": "log-level=none"}
OPEN = {"x264-params": "keyint=10:min-keyint=10:open-gop=1:bframes=3:b-adapt=0:scenecut=0:log-level=none"}


def read(path: Path, part: TimeRange, rate_hz: float | None = None) -> list[Frame]:
    with open_frames(path, BOUNDS, rate_hz=rate_hz, part=part) as reader:
        frames = list(reader)
    assert (reader.frames_read, reader.corrupt_frames) == (len(frames), 0)
    return frames


def read_samples(path: Path, part: TimeRange, rate_hz: float) -> list[Frame]:
    with open_frames(path, BOUNDS, rate_hz=rate_hz, part=part) as reader:
        return list(reader)


@pytest.fixture(params=["clip.mp4", "clip.mkv", "clip.ts", "clip.avi", "open.mp4", "open.mkv"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name = str(request.param)
    time_base = Fraction(1, 10) if name.endswith("avi") else TIME_BASE  # which knows no times, but steps
    encoder = OPEN if name.startswith("open") else CLOSED
    return write_video(tmp_path / name, shades(FRAMES), encoder=encoder, time_base=time_base)


@pytest.mark.parametrize(
    ("start_s", "end_s", "numbers", "first_s"),
    [
        pytest.param(2.5, 3.0, range(25, 30), 2.5, id="between key frames"),
        pytest.param(3.0, 3.2, range(30, 32), 3.0, id="from a key frame"),
        pytest.param(2.95, 3.15, range(29, 32), 2.95, id="between two frames the earlier one is on show"),
        pytest.param(3.1, None, range(31, 36), 3.1, id="to the end"),
        pytest.param(3.3, 60.0, range(33, 36), 3.3, id="beyond the end"),
        pytest.param(0.0, 0.25, range(3), 0.0, id="from the beginning"),
        pytest.param(3.55, 3.6, range(35, 36), 3.55, id="within the last frame"),
    ],
)
def test_a_part_has_the_frames_that_are_shown_in_it_at_their_own_times(
    clip: Path, start_s: float, end_s: float | None, numbers: range, first_s: float
) -> None:
    frames = read(clip, TimeRange(start_s=start_s, end_s=end_s))
    assert [number_of(frame.image) for frame in frames] == list(numbers)
    assert [frame.index for frame in frames] == list(range(len(numbers)))
    times_s = [first_s, *(number / 10 for number in numbers[1:])]
    assert [frame.time_s for frame in frames] == pytest.approx(times_s, abs=2e-3)
    last_s = min(end_s or 3.6, 3.6)
    assert frames[-1].time_s + (frames[-1].duration_s or 0) == pytest.approx(last_s, abs=2e-3)


def test_a_part_ends_within_a_picture_that_stays_on_show(tmp_path: Path) -> None:
    slides = write_video(tmp_path / "slides.mp4", shades(4), times_s=[0.0, 1.0, 9.0, 10.0])
    film = tmp_path / "film.gif"
    first, last = (Image.new("L", (32, 32), shade) for shade in (0, 255))
    first.save(film, save_all=True, append_images=[last], duration=[500, 8000])
    for path in (slides, film):  # of the film it is the last one
        (frame,) = read(path, TimeRange(start_s=2.0, end_s=4.0))
        assert (frame.time_s, frame.duration_s) == pytest.approx((2.0, 2.0))
        samples = read_samples(path, TimeRange(start_s=2.0, end_s=4.0), rate_hz=2)
        assert [frame.time_s for frame in samples] == pytest.approx([2.0, 2.5, 3.0, 3.5])


def test_samples_of_a_part_are_taken_from_its_start(clip: Path) -> None:
    frames = read(clip, TimeRange(start_s=2.3, end_s=3.5), rate_hz=4)
    assert [frame.time_s for frame in frames] == pytest.approx([2.3, 2.55, 2.8, 3.05, 3.3])
    assert [number_of(frame.image) for frame in frames] == [23, 25, 28, 30, 33]


def test_a_part_far_within_a_video_is_sought_and_not_decoded_up_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes before it may be broken: it is not even looked at."""
    decoded = list[int]()

    def counted(*arguments: Any) -> Iterator[VideoFrame]:
        for frame in original(*arguments):
            decoded.append(1)
            yield frame

    original = frame_reading.decoded
    monkeypatch.setattr(frame_reading, "decoded", counted)
    path = write_video(tmp_path / "clip.mp4", shades(FRAMES), encoder=CLOSED)
    spoil_packets(path, range(5))
    assert [number_of(each.image) for each in read(path, TimeRange(start_s=3.2, end_s=3.4))] == [32, 33]
    assert len(decoded) <= 6  # from the key frame at 3 s


def test_a_file_that_leads_nowhere_is_read_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "clip.mp4", shades(FRAMES), encoder=CLOSED)
    wrong = lambda container, stream, timeline, time_s: container.seek(0) or True  # noqa: E731, ARG005
    monkeypatch.setattr(frame_reading, "seek_before", wrong)
    assert [number_of(each.image) for each in read(path, TimeRange(start_s=3.2, end_s=3.4))] == [32, 33]
    late = lambda container, stream, timeline, time_s: container.seek(35_000, stream=stream) or True  # noqa: E731, ARG005
    monkeypatch.setattr(frame_reading, "seek_before", late)
    assert [number_of(each.image) for each in read(path, TimeRange(start_s=2.2, end_s=2.4))] == [22, 23]


@pytest.mark.parametrize("start_s", [3.6, 3.7, 60.0])
def test_a_part_behind_the_end_is_refused_in_one_line(clip: Path, start_s: float) -> None:
    message = rf"{clip.name} lasts 3\.6 s, and the part that was asked for starts at {start_s:g} s: let `--start`"
    with pytest.raises(VideoError, match=message):
        read(clip, TimeRange(start_s=start_s))


def test_a_picture_has_no_part(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="is a picture, which has no times: leave out `--start` and `--end`"):
        read(write_picture(tmp_path / "a.png"), TimeRange(end_s=1.0))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_the_sound_of_a_part_is_that_of_the_whole_from_its_start(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, shades(90), tone=Tone(4.0, start_s=5.0), encoder=CLOSED)
    whole = np.concatenate(list(read_sound(path, BOUNDS)))
    for start_s, end_s in ((4.5, 6.0), (7.25, 8.0), (0.0, 1.0), (6.0, None)):
        part = np.concatenate(list(read_sound(path, BOUNDS, part=TimeRange(start_s=start_s, end_s=end_s))))
        wanted = whole[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ) if end_s else None]
        assert len(part) == len(wanted)
        np.testing.assert_allclose(part[100:-100], wanted[100:-100], atol=0.02)  # at both ends a filter rings


@pytest.mark.parametrize("codec", ["aac", "ac3"])  # copied, and encoded again
def test_the_sound_that_goes_along_with_a_part_is_in_step(tmp_path: Path, codec: str) -> None:
    source = write_video(
        tmp_path / "clip.mkv", shades(FRAMES), tone=Tone(1.0, start_s=3.0, codec=codec, rate_hz=48_000), encoder=CLOSED
    )
    part = TimeRange(start_s=2.5, end_s=3.5)
    target = tmp_path / "part.mp4"
    with open_writer(target, width=64, height=48, frame_rate=10, sound_of=source, part=part) as writer:
        for frame in read(source, part):
            writer.write(frame.image, frame.time_s - 2.5, frame.duration_s)
    samples = np.concatenate(list(read_sound(target, BOUNDS)))
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    assert (loud[0] / SAMPLE_RATE_HZ, loud[-1] / SAMPLE_RATE_HZ) == pytest.approx((0.5, 1.0), abs=0.04)
    with av.open(str(target)) as made:
        assert (made.duration or 0) / 1e6 == pytest.approx(1.0, abs=0.05)
