"""Time as a player has it, of files whose own clock jumps, wraps, is made up or says nothing."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.video.probe import probe
from tasks.video.sound import SAMPLE_RATE_HZ, read_sound
from tasks.video.timeline import timeline_of
from tests.support.media import Tone, number_of, red_over_blue, shades, write_video

BOUNDS = MediaBounds()
TENTH = Fraction(1, 10)
WRAP_S = 2**33 / 90_000  # after which the clock of MPEG begins again


def shown(path: Path) -> list[tuple[int, float]]:
    """Return the number that each frame shows, and when."""
    with open_frames(path, BOUNDS) as reader:
        return [(number_of(frame.image), round(frame.time_s, 3)) for frame in reader]


def heard(path: Path, step_s: float = 0.5) -> list[int]:
    """Return the frequency that is heard in each whole step, by a Fourier transform; 0 where it is silent."""
    samples = np.concatenate([np.zeros(0, np.float32), *read_sound(path, BOUNDS)])
    size = round(step_s * SAMPLE_RATE_HZ)
    middle = slice(size // 5, -size // 5)  # coders smear a tone a little over its ends
    found = []
    for start in range(0, len(samples) - size * 9 // 10, size):
        piece = samples[start : start + size][middle]
        loudness = np.abs(np.fft.rfft(piece * np.hanning(len(piece))))
        found.append(round(loudness.argmax() * SAMPLE_RATE_HZ / len(piece)) if np.abs(piece).max() > 0.05 else 0)
    return found


def frequencies(path: Path, step_s: float = 0.5) -> list[int]:
    """Return the same, rounded to the tones that the tests use."""
    return [round(frequency_hz / 220) * 220 for frequency_hz in heard(path, step_s)]


def joined(path: Path, parts: Sequence[Path]) -> Path:
    """Put transport streams together, as `cat` does."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def piece(
    path: Path, first: int, *, start_s: float = 0.0, hz: float | None = 440, seconds: int = 1, codec: str = "libx264"
) -> Path:
    """Write a stretch of a transport stream that shows the numbers from `first` on, ten a second."""
    images = list(shades(first + 10 * seconds))[first:]
    tone = Tone(seconds, start_s, frequency_hz=hz) if hz else None
    encoder = {"b": "2000000"}  # fine enough for MPEG-2 to tell the greys
    return write_video(
        path, images, start_s=start_s, tone=tone, codec=codec, encoder=encoder, time_base=TENTH, sound_first=False
    )


def about(pairs: Sequence[tuple[int, float]]) -> list[tuple[int, object]]:
    """Allow for what the writer moves a part by, so that no time is below 0."""
    return [(number, pytest.approx(time_s, abs=0.03)) for number, time_s in pairs]


NUMBERS = [(number, number / 10) for number in range(30)]


@pytest.mark.parametrize(
    "starts_s",
    [
        pytest.param((0, 0, 0), id="it begins again"),
        pytest.param((0, 36_000, 0), id="it jumps ahead by hours, and back"),
        pytest.param((50_000, 20, 70_000), id="back, then ahead"),
        pytest.param((WRAP_S - 1, 300, 5), id="it wraps, then jumps back"),
        pytest.param((10, 11, 12), id="it runs through"),
    ],
)
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_clock_that_jumps(tmp_path: Path, starts_s: Sequence[float], codec: str) -> None:
    hertz = (440, 880, 1320)
    parts = [
        piece(tmp_path / f"{place}.ts", 10 * place, start_s=start_s, hz=hertz[place], codec=codec)
        for place, start_s in enumerate(starts_s)
    ]
    whole = joined(tmp_path / "whole.ts", parts)
    assert shown(whole) == about(NUMBERS)
    assert frequencies(whole) == [440, 440, 880, 880, 1320, 1320]
    assert probe(whole, BOUNDS).duration_s == pytest.approx(3.0, abs=0.01)
    assert probe(whole, BOUNDS).frame_rate == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("start_s", [WRAP_S - 1.5, WRAP_S - 0.05], ids=["in the middle", "as it begins"])
def test_a_clock_of_33_bits_wraps(tmp_path: Path, start_s: float) -> None:
    whole = piece(tmp_path / "whole.ts", 0, start_s=start_s, seconds=3)
    assert shown(whole) == NUMBERS
    assert frequencies(whole) == [440] * 6
    assert probe(whole, BOUNDS).duration_s == pytest.approx(3.0, abs=0.01)


def test_a_part_without_sound_is_silent_and_the_next_in_step(tmp_path: Path) -> None:
    parts = [piece(tmp_path / f"{place}.ts", 10 * place, hz=hz) for place, hz in enumerate((440, None, 880))]
    whole = joined(tmp_path / "whole.ts", parts)
    assert shown(whole) == NUMBERS
    assert frequencies(whole) == [440, 440, 0, 0, 880, 880]


def test_many_joins_do_not_let_the_sound_drift(tmp_path: Path) -> None:
    parts = [piece(tmp_path / f"{place}.ts", place % 3 * 10, hz=440 + place % 2 * 440) for place in range(12)]
    whole = joined(tmp_path / "whole.ts", parts)
    assert [time_s for _, time_s in shown(whole)] == [place / 10 for place in range(120)]
    assert frequencies(whole) == [440, 440, 880, 880] * 6


def test_a_lost_signal_stays_a_gap(tmp_path: Path) -> None:
    """Some seconds without a packet, and the clock went on: the last picture stays on show, and nothing is heard."""
    whole = joined(
        tmp_path / "whole.ts",
        [piece(tmp_path / "a.ts", 0, start_s=10), piece(tmp_path / "b.ts", 10, start_s=14, hz=880)],
    )
    assert shown(whole) == about([(number, number / 10 if number < 10 else 3 + number / 10) for number in range(20)])
    assert frequencies(whole) == [440, 440, *[0] * 6, 880, 880]


def _stamp(seconds: float) -> bytes:
    """Return a PTS as a packet of MPEG has it."""
    units = round(seconds * 90_000)
    high, middle, low = units >> 29 & 0x0E, units >> 14 & 0xFE, units << 1 & 0xFE
    return bytes((0x21 | high, units >> 22 & 0xFF, middle | 1, units >> 7 & 0xFF, low | 1))


@pytest.mark.parametrize("wrong_s", [5000.0, 0.0], ids=["ahead", "back"])
def test_a_time_stamp_that_is_wrong_alone_moves_nothing_else(tmp_path: Path, wrong_s: float) -> None:
    clip = piece(tmp_path / "clip.ts", 0, seconds=3, start_s=100.0, codec="mpeg2video")
    content = bytearray(clip.read_bytes())
    headers = [place for place in range(len(content)) if content[place : place + 4] == b"\0\0\1\xe0"]
    assert len(headers) == 30
    content[headers[14] + 9 : headers[14] + 14] = _stamp(wrong_s)
    clip.write_bytes(content)
    assert shown(clip) == about(NUMBERS)
    assert frequencies(clip) == [440] * 6


@pytest.mark.parametrize("options", [{"bf": "2"}, {"bf": "3", "b-pyramid": "normal"}, {"bf": "0"}], ids=str)
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_has_no_time_but_the_order(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    encoder = options if codec == "libx264" else {"bf": options["bf"], "b": "2000000"}
    tone = Tone(3.0, codec="pcm_s16le")
    clip = write_video(tmp_path / "clip.avi", shades(30), codec=codec, encoder=encoder, tone=tone, time_base=TENTH)
    assert shown(clip) == NUMBERS
    assert probe(clip, BOUNDS).duration_s == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        pytest.param("clip.mkv", "libx264", {}, id="Matroska"),
        pytest.param("clip.mkv", "libx264", {"live": "1"}, id="Matroska without a duration"),
        pytest.param("clip.webm", "libvpx", {"live": "1"}, id="WebM as browsers record it"),
        pytest.param("clip.flv", "libx264", {"flvflags": "no_duration_filesize"}, id="Flash without a duration"),
        pytest.param("clip.ts", "libx264", {}, id="transport stream"),
        pytest.param("clip.mpg", "mpeg2video", {}, id="program stream"),
        pytest.param("clip.mp4", "libx264", {}, id="mp4"),
        pytest.param("clip.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}, id="mp4 in fragments"),
        pytest.param("clip.nut", "libx264", {}, id="NUT"),
    ],
)
@pytest.mark.parametrize(
    ("pictures_s", "tone"), [(0.0, (0.0, 6.0)), (2.0, (0.0, 6.0)), (0.0, (0.0, 1.0))], ids=["long", "late", "short"]
)
def test_a_video_lasts_as_long_as_its_pictures(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], pictures_s: float, tone: tuple[float, float]
) -> None:
    sound = "libopus" if name.endswith("webm") else "mp2" if name.endswith("mpg") else "aac"
    rate_hz = 48_000 if sound == "libopus" else 44_100
    made = Tone(tone[1], tone[0], codec=sound, rate_hz=rate_hz)
    if pictures_s and "empty_moov" in str(options):
        pytest.skip("the writer has its first picture begin with the sound")
    clip = write_video(
        tmp_path / name, shades(30), codec=codec, start_s=pictures_s, tone=made, options=options, time_base=TENTH
    )
    facts = probe(clip, BOUNDS)
    assert facts.kind == "video"
    assert facts.duration_s == pytest.approx(3.0, abs=0.05)
    assert facts.frame_rate == pytest.approx(10, rel=0.02)
    assert not facts.cut_short
    assert [number for number, _ in shown(clip)] == list(range(30))
    assert [time_s for _, time_s in shown(clip)] == pytest.approx([number / 10 for number in range(30)], abs=0.002)


def test_a_frame_rate_is_that_of_the_frames(tmp_path: Path) -> None:
    """Matroska names one rate, and a recorder that could not keep it writes fewer frames."""
    times_s = [*(number / 10 for number in range(5)), *(0.5 + number / 2 for number in range(25))]
    facts = probe(write_video(tmp_path / "clip.mkv", shades(30), times_s=times_s), BOUNDS)
    assert facts.frame_rate == pytest.approx(30 / 12.6, rel=0.05)


def _several(path: Path, sizes: Sequence[tuple[int, int]], default: int | None, picture: int | None = None) -> Path:
    """Write a file with streams of these sizes, of which the one of that number is the default one; all are grey."""
    with av.open(str(path), "w") as file:
        streams = []
        for number, (width, height) in enumerate(sizes):
            stream = file.add_stream("mjpeg" if number == picture else "libx264", rate=10)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if number == picture else "yuv420p"
            stream.disposition = stream.disposition.default if number == default else stream.disposition.__class__(0)
            if number == picture:
                stream.disposition = stream.disposition.attached_pic
            streams.append(stream)
        for number, stream in enumerate(streams):
            for image in list(shades(1 if number == picture else 5, stream.width, stream.height)):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "sizes", "default", "picture", "expected"),
    [
        pytest.param("a.mkv", [(64, 48), (128, 96)], None, None, (128, 96), id="the largest"),
        pytest.param("a.mkv", [(128, 96), (64, 48)], 1, None, (64, 48), id="the default one"),
        pytest.param("a.mp4", [(128, 96), (64, 48)], 1, None, (64, 48), id="the default one of an mp4"),
        pytest.param("a.mp4", [(256, 192), (64, 48)], None, 0, (64, 48), id="a cover is none"),
    ],
)
def test_of_several_pictures_the_one_that_ffmpeg_takes(
    tmp_path: Path,
    name: str,
    sizes: Sequence[tuple[int, int]],
    default: int | None,
    picture: int | None,
    expected: tuple[int, int],
) -> None:
    clip = _several(tmp_path / name, sizes, default, picture)
    facts = probe(clip, BOUNDS)
    assert (facts.width, facts.height) == expected
    with open_frames(clip, BOUNDS) as reader:
        assert {frame.image.shape[:2] for frame in reader} == {(expected[1], expected[0])}


def test_what_was_found_of_a_file_is_not_kept_for_another_under_its_name(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", shades(20))
    assert timeline_of(clip).duration_s == pytest.approx(2.0)
    write_video(clip, [red_over_blue()] * 5)
    assert timeline_of(clip).duration_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "frames", "duration_s", "hertz"),
    [
        ("cat.ts", 100, 4.0, [440] * 4 + [880] * 4),
        ("jump.ts", 100, 4.0, [440] * 4 + [880] * 4),
        ("recorder.webm", 50, 3.35, [440] * 6),
        ("bframes.avi", 30, 3.0, [440] * 6),
        ("real_bframes.avi", 58, 1.967, None),
        ("video_late.mkv", 50, 2.0, [440] * 4),
    ],
)
def test_files_that_were_timed_wrongly(
    real_data: Path, name: str, frames: int, duration_s: float, hertz: list[int] | None
) -> None:
    path = real_data / "faults" / "video" / name
    facts = probe(path, BOUNDS)
    assert facts.kind == "video"
    assert facts.duration_s == pytest.approx(duration_s, abs=0.05)
    with open_frames(path, BOUNDS) as reader:
        times_s = [frame.time_s for frame in reader]
    assert len(times_s) == frames
    rate_hz = {"bframes.avi": 10, "real_bframes.avi": 30}.get(name, 25)
    if name != "recorder.webm":
        assert times_s == pytest.approx([number / rate_hz for number in range(frames)], abs=0.001)
    if hertz:
        assert frequencies(path)[: len(hertz)] == hertz
