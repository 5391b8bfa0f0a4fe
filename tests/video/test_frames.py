"""Frames: which, when, and which way up."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.contracts.errors import VideoError
from tasks.video.config import MediaBounds
from tasks.video.frames import Frame, open_frames
from tasks.video.probe import probe
from tasks.video.writing import open_writer
from tests.support.media import (
    Tone,
    number_of,
    red_over_blue,
    shades,
    spoil_packets,
    truncate,
    write_picture,
    write_video,
)
from tests.support.peak_memory import IS_COUNTED, forget_peak, peak_mb

BOUNDS = MediaBounds()
RED, BLUE = (255, 0, 0), (0, 0, 255)
LEFT, RIGHT, TOP, BOTTOM = np.s_[:, :8], np.s_[:, -8:], np.s_[:8], np.s_[-8:]


def read(path: Path, rate_hz: float | None = None) -> list[Frame]:
    with open_frames(path, BOUNDS, rate_hz=rate_hz) as reader:
        return list(reader)


def numbers(frames: Sequence[Frame]) -> list[int]:
    return [number_of(frame.image) for frame in frames]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        pytest.param("clip.mp4", "libx264", "yuv420p", id="mp4 with B-frames"),
        pytest.param("clip.mkv", "libx264", "yuv420p", id="mkv"),
        pytest.param("clip.webm", "libvpx-vp9", "yuv420p", id="webm"),
        pytest.param("clip.ts", "libx264", "yuv420p", id="transport stream, whose clock starts anywhere"),
        pytest.param("clip.mov", "qtrle", "rgb24", id="rgb, each frame built on the one before"),
        pytest.param("clip.gif", "gif", "rgb8", id="gif"),
    ],
)
def test_every_frame_comes_in_order_at_its_time(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    with open_frames(write_video(tmp_path / name, codec=codec, pix_fmt=pix_fmt), BOUNDS) as reader:
        frames = []
        for frame in reader:
            frames.append((frame.index, number_of(frame.image), round(frame.time_s, 2)))
            frame.image[:] = 0  # theirs to draw in
    assert frames == [(index, index, index / 10) for index in range(10)]
    assert (reader.frames_read, reader.corrupt_frames) == (10, 0)


@pytest.mark.parametrize(("name", "codec"), [("raw.h264", "libx264"), ("raw.264", "libx264"), ("raw.hevc", "libx265")])
def test_a_raw_stream_without_times(tmp_path: Path, name: str, codec: str) -> None:
    encoder = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    clip = write_video(tmp_path / name, codec=codec, container={"libx264": "h264"}.get(codec, "hevc"), encoder=encoder)
    assert clip.read_bytes()[:4] == b"\0\0\0\1"  # Annex B
    frames = read(clip)
    assert numbers(frames) == list(range(10))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(10)])


@pytest.mark.parametrize(
    ("rate_hz", "expected"),
    [
        pytest.param(1, [0, 10, 20], id="once a second"),
        pytest.param(4, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22], id="between two frames the earlier one"),
        pytest.param(10, list(range(25)), id="the video's own"),
        pytest.param(20, sorted([*range(25), *range(25)]), id="more often than there are frames"),
        pytest.param(0.1, [0], id="less often than the video is long"),
    ],
)
def test_at_a_rate_the_frame_on_show_comes(tmp_path: Path, rate_hz: float, expected: list[int]) -> None:
    frames = read(write_video(tmp_path / "clip.mp4", shades(25)), rate_hz)
    assert numbers(frames) == [frame.index for frame in frames] == expected
    assert [frame.time_s for frame in frames] == [moment / rate_hz for moment in range(len(expected))]


VARIABLE_S = [0, 0.1, 1.5, 4.0]


def test_variable_frame_rate(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", shades(4), times_s=VARIABLE_S)
    assert [frame.time_s for frame in read(clip)] == pytest.approx(VARIABLE_S)
    assert numbers(read(clip, 2))[:9] == [0, 1, 1, 2, 2, 2, 2, 2, 3]


@pytest.mark.parametrize("start_s", [0.0, 5.0], ids=["from zero", "from five seconds"])
def test_time_counts_from_the_first_picture(tmp_path: Path, start_s: float) -> None:
    clip = write_video(tmp_path / "clip.mp4", start_s=start_s, tone=Tone(6))
    assert [frame.time_s for frame in read(clip)] == pytest.approx([index / 10 for index in range(10)])


@pytest.mark.parametrize(
    ("anticlockwise_deg", "red", "blue", "shape"),
    [
        pytest.param(0, TOP, BOTTOM, (48, 64, 3), id="as it is"),
        pytest.param(90, LEFT, RIGHT, (64, 48, 3), id="a quarter left"),
        pytest.param(180, BOTTOM, TOP, (48, 64, 3), id="upside down"),
        pytest.param(-90, RIGHT, LEFT, (64, 48, 3), id="a quarter right"),
    ],
)
def test_frames_are_upright(
    tmp_path: Path, anticlockwise_deg: int, red: slice, blue: slice, shape: tuple[int, ...]
) -> None:
    clip = write_video(tmp_path / "clip.mp4", [red_over_blue()] * 3, rotation_deg=anticlockwise_deg)
    with open_frames(clip, BOUNDS) as reader:
        image = next(iter(reader)).image
    assert (reader.facts.height, reader.facts.width, 3) == image.shape == shape
    assert image.flags.c_contiguous
    assert image[red].reshape(-1, 3).mean(0) == pytest.approx(RED, abs=40)
    assert image[blue].reshape(-1, 3).mean(0) == pytest.approx(BLUE, abs=40)


@pytest.mark.parametrize(("width", "height"), [(63, 47), (47, 64), (17, 16)], ids=["both", "width", "narrow"])
def test_odd_sizes(tmp_path: Path, width: int, height: int) -> None:
    frames = read(write_video(tmp_path / "clip.mp4", shades(3, width, height), pix_fmt="yuv444p"))
    assert [frame.image.shape for frame in frames] == [(height, width, 3)] * 3
    assert all(frame.image.flags.c_contiguous and frame.image.flags.writeable for frame in frames)


def test_one_frame(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", shades(1))
    assert [(frame.index, frame.time_s) for frame in read(clip)] == [(0, 0.0)]
    assert [(frame.index, frame.time_s) for frame in read(clip, 1)] == [(0, 0.0)]


def test_a_frame_that_is_shown_for_no_time_comes_all_the_same(tmp_path: Path) -> None:
    with open_writer(tmp_path / "a.mp4", width=64, height=48, frame_rate=10, sound_of=None) as writer:
        writer.write(red_over_blue(), 0.0, 1e-5)
    assert len(read(tmp_path / "a.mp4", 1)) == 1


def test_tags_that_are_broken_are_nobodys_concern(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "picture.jpg", orientation=6)
    path.write_bytes(
        path.read_bytes().replace(b"\x01\x12\x00\x03\x00\x00\x00\x01", b"\x01\x12\x00\x07\xff\xff\xff\x01")
    )
    assert [frame.image.shape for frame in read(path)] == [(48, 64, 3)]


@pytest.mark.parametrize(
    ("codec", "spoilt", "least"),
    [
        pytest.param("libx264", [3, 14], 27, id="h264"),
        pytest.param("libvpx-vp9", [3, 14], 28, id="vp9"),
        pytest.param("libx264", [0], 20, id="the first of all"),
    ],
)
def test_broken_frames_are_counted_and_survived(tmp_path: Path, codec: str, spoilt: list[int], least: int) -> None:
    clip = spoil_packets(write_video(tmp_path / "clip.mp4", shades(30), codec=codec, encoder={"g": "10"}), spoilt)
    with open_frames(clip, BOUNDS) as reader:
        frames = list(reader)
    assert reader.frames_read == len(frames)
    assert least <= len(frames) < 30
    assert reader.corrupt_frames >= len(spoilt)
    # those after the next key frame are at their own times again
    assert [number for number in numbers(frames) if number >= 20] == list(range(20, 30))
    assert [round(frame.time_s, 2) for frame in frames[-10:]] == [number / 10 for number in range(20, 30)]


def _noisy(count: int) -> list[np.ndarray]:
    """Pictures that do not compress, so that a file is more than its index."""
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("clip.mp4", {"movflags": "+faststart"}, id="mp4 with its index in front"),
        pytest.param("clip.mkv", {}, id="mkv"),
        pytest.param("clip.ts", {}, id="transport stream"),
    ],
)
def test_of_a_file_that_is_cut_short_the_beginning_comes(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    frames = read(truncate(write_video(tmp_path / name, _noisy(30), options=options), 0.6))
    assert 8 <= len(frames) < 30
    assert [round(frame.time_s, 2) for frame in frames[:8]] == [number / 10 for number in range(8)]


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    """Ten frames of 64x48, then ten of 128x96."""
    parts = [
        write_video(tmp_path / f"{scale}.avi", shades(10, 64 * scale, 48 * scale), codec="mjpeg", pix_fmt="yuvj420p")
        for scale in (1, 2)
    ]
    return _packets_of(parts, tmp_path / "growing.avi")


def _packets_of(parts: Iterable[Path], path: Path) -> Path:
    """Write the packets of each part, one after the other, ten a second, under the header of the first."""
    with ExitStack() as stack:
        stream, place = None, 0
        file = stack.enter_context(av.open(str(path), "w"))
        for part in parts:
            read = stack.enter_context(av.open(str(part)))
            stream = stream or file.add_stream_from_template(read.streams.video[0])
            for packet in (packet for packet in read.demux(video=0) if packet.size):
                packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 10), place, place
                file.mux(packet)
                place += 1
    return path


def test_a_size_that_changes_on_the_way_is_scaled_to_the_first(growing: Path) -> None:
    frames = read(growing)
    assert [frame.image.shape for frame in frames] == [(48, 64, 3)] * 20
    assert numbers(frames) == [*range(10), *range(10)]


def test_a_video_that_grows_beyond_the_bounds_is_not_decoded_further(growing: Path) -> None:
    with open_frames(growing, MediaBounds(largest_pixels=100 * 60)) as reader:
        assert numbers(list(reader)) == list(range(10))
    assert reader.corrupt_frames == 10


def test_a_video_that_says_it_is_shorter_than_it_is_may_not_go_on_for_ever(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "liar.mp4", shades(6), times_s=range(6), options={"use_editlist": "0"})
    content = bytearray(clip.read_bytes())
    place = content.index(b"mdhd") + 16  # of the time scale and, behind it, the duration
    content[place + 4 : place + 8] = (2 * int.from_bytes(content[place : place + 4])).to_bytes(4)
    clip.write_bytes(content)
    assert probe(clip, BOUNDS).duration_s == 2.0
    with (
        open_frames(clip, MediaBounds(longest_s=3)) as reader,
        pytest.raises(VideoError, match=r"liar.mp4 goes on after `media.longest_s` of 3 s"),
    ):
        list(reader)


@pytest.mark.parametrize(
    ("orientation", "red"),
    [(1, TOP), (3, BOTTOM), (6, RIGHT), (8, LEFT)],
    ids=["as it is", "upside down", "a quarter right", "a quarter left"],
)
def test_a_picture_is_one_upright_frame(tmp_path: Path, orientation: int, red: slice) -> None:
    path = write_picture(tmp_path / "picture.jpg", orientation=orientation)
    with open_frames(path, BOUNDS, rate_hz=5) as reader:
        (frame,) = reader
    assert (frame.index, frame.time_s, reader.frames_read) == (0, 0.0, 1)
    assert frame.image.shape == (reader.facts.height, reader.facts.width, 3)
    assert frame.image[red].reshape(-1, 3).mean(0) == pytest.approx(RED, abs=40)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_broken_picture(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
    path = truncate(write_picture(tmp_path / f"picture.{suffix}", noise), 0.7)
    with pytest.raises(VideoError, match="a broken picture"):
        read(path)


@pytest.mark.skipif(not IS_COUNTED, reason="the system does not count so")
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.avi", shades(200, 320, 240), codec="mjpeg", pix_fmt="yuvj420p")
    clip, count = _packets_of([part] * 12, tmp_path / "long.avi"), 2_400
    with open_frames(clip, BOUNDS) as reader:
        frames = iter(reader)
        for _ in range(100):
            next(frames)
        before_mb = forget_peak()
        assert sum(1 for _ in frames) == count - 100
    assert peak_mb() - before_mb < 32  # all of the frames would be 550 MB


@pytest.mark.parametrize(
    ("name", "frames", "seconds"),
    [("bottle-detection.mp4", 1189, 40), ("bigbuckbunny.mp4", 132, 6), ("food_mix_with_audio.mp4", 282, 19)],
)
def test_real_videos(real_data: Path, name: str, frames: int, seconds: int) -> None:
    path = real_data / "media" / "videos" / name
    with open_frames(path, BOUNDS) as reader:
        assert sum(1 for _ in reader) == frames
    assert reader.corrupt_frames == 0
    assert len(read(path, 1.0)) == seconds
