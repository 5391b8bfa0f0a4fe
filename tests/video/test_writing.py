"""The mp4 that is written: same pictures, same times, same sound; whole or not there."""

import errno
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.contracts.errors import VideoError
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.video.probe import probe
from tasks.video.sound import SAMPLE_RATE_HZ, read_sound
from tasks.video.writing import open_writer
from tests.support.media import Tone, number_of, shades, spoil_packets, write_text, write_video

BOUNDS = MediaBounds()
LOUD = 0.1


def copy(source: Path, target: Path) -> Path:
    """Read every frame and write it again, with the sound."""
    with open_frames(source, BOUNDS) as reader:
        facts = reader.facts
        with open_writer(
            target, width=facts.width, height=facts.height, frame_rate=facts.frame_rate or 25, sound_of=source
        ) as writer:
            for frame in reader:
                writer.write(frame.image, frame.time_s, frame.duration_s)
    return target


def shown(path: Path) -> list[tuple[int, float]]:
    """Return the number and time of every frame."""
    with open_frames(path, BOUNDS) as reader:
        return [(number_of(frame.image), round(frame.time_s, 3)) for frame in reader]


def heard_s(path: Path) -> tuple[float, float]:
    samples = np.concatenate([np.zeros(0, np.float32), *read_sound(path, BOUNDS)])
    loud = np.flatnonzero(np.abs(samples) > LOUD)
    return loud[0] / SAMPLE_RATE_HZ, loud[-1] / SAMPLE_RATE_HZ


def test_pictures_and_their_times_stay(tmp_path: Path) -> None:
    source = write_video(tmp_path / "clip.mp4", shades(25))
    target = copy(source, tmp_path / "copy.mp4")
    assert shown(target) == shown(source) == [(number, number / 10) for number in range(25)]
    facts = probe(target, BOUNDS)
    assert (facts.codec, facts.duration_s, facts.frame_rate) == ("h264", 2.5, 10.0)


def test_frames_at_any_time_keep_it_and_the_last_one_its_length(tmp_path: Path) -> None:
    times_s = [0.0, 0.1, 1.5, 4.0]
    with open_writer(tmp_path / "a.mp4", width=64, height=48, frame_rate=30, sound_of=None) as writer:
        for image, time_s in zip(shades(4), times_s, strict=True):
            writer.write(image, time_s, 0.5)
    assert shown(tmp_path / "a.mp4") == list(enumerate(times_s))
    assert probe(tmp_path / "a.mp4", BOUNDS).duration_s == pytest.approx(4.5, abs=1e-3)


@pytest.mark.parametrize("rate", [0.5, 23.976, 59.94, 1000.0])
def test_any_frame_rate(tmp_path: Path, rate: float) -> None:
    with open_writer(tmp_path / "a.mp4", width=64, height=48, frame_rate=rate, sound_of=None) as writer:
        for number, image in enumerate(shades(6)):
            writer.write(image, number / rate)
    assert probe(tmp_path / "a.mp4", BOUNDS).duration_s == pytest.approx(6 / rate, abs=1e-3)
    assert [number for number, _ in shown(tmp_path / "a.mp4")] == list(range(6))


def test_colours_stay(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:16], image[16:32], image[32:] = (230, 20, 20), (20, 200, 20), (20, 20, 230)
    with open_writer(tmp_path / "a.mp4", width=64, height=48, frame_rate=10, sound_of=None) as writer:
        writer.write(image, 0.0)
    with open_frames(tmp_path / "a.mp4", BOUNDS) as reader:
        (frame,) = reader
    assert np.abs(frame.image[8::16, 8:-8].astype(int) - image[8::16, 8:-8]).max() <= 8


@pytest.mark.parametrize(("width", "height"), [(63, 47), (64, 47), (63, 48)], ids=["both", "height", "width"])
def test_odd_sizes_get_one_more_row_or_column(tmp_path: Path, width: int, height: int) -> None:
    with open_writer(tmp_path / "a.mp4", width=width, height=height, frame_rate=10, sound_of=None) as writer:
        for number, image in enumerate(shades(3, width, height)):
            writer.write(image, number / 10)
    facts = probe(tmp_path / "a.mp4", BOUNDS)
    assert (facts.width, facts.height) == (64, 48)
    assert [number for number, _ in shown(tmp_path / "a.mp4")] == [0, 1, 2]


def test_a_browser_can_play_it_while_it_comes(tmp_path: Path) -> None:
    target = copy(write_video(tmp_path / "clip.mp4", tone=Tone()), tmp_path / "copy.mp4")
    content = target.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(target)) as file:
        assert file.streams.video[0].pix_fmt == "yuv420p"
        assert next(packet.is_keyframe for packet in file.demux(video=0))


def test_pictures_and_sound_lie_side_by_side(tmp_path: Path) -> None:
    target = copy(write_video(tmp_path / "clip.mp4", shades(100), tone=Tone(10.0)), tmp_path / "copy.mp4")
    with av.open(str(target)) as file:
        places = {
            kind: [packet.pos for packet in file.demux(**{kind: 0}) if packet.pos is not None]
            for kind in ("video", "audio")
            if not file.seek(0)
        }
    middle = places["video"][50]
    assert 0.3 < np.mean([place < middle for place in places["audio"]]) < 0.7


@pytest.mark.parametrize(
    ("name", "tone", "codec"),
    [
        pytest.param("clip.mp4", Tone(2.0), "aac", id="aac is copied"),
        pytest.param("clip.ts", Tone(2.0), "aac", id="aac out of a transport stream"),
        pytest.param("clip.mp4", Tone(2.0, layout="5.1"), "aac", id="5.1 aac is copied"),
        pytest.param("clip.mp4", Tone(2.0, codec="libmp3lame"), "mp3", id="mp3 is copied"),
        pytest.param("clip.mkv", Tone(2.0, codec="ac3", layout="5.1"), "aac", id="ac3 is encoded anew"),
        pytest.param("clip.mkv", Tone(2.0, codec="libopus", rate_hz=48_000), "aac", id="opus is encoded anew"),
        pytest.param("clip.mov", Tone(2.0, codec="pcm_s16le"), "aac", id="pcm is encoded anew"),
        pytest.param("clip.mkv", Tone(2.0, codec="flac", start_s=0.5), "aac", id="flac that begins later"),
        pytest.param("clip.mov", Tone(2.0, codec="libmp3lame", rate_hz=8_000, layout="mono"), "aac", id="mp3 of 8 kHz"),
        pytest.param("clip.mkv", Tone(2.0, codec="mp2"), "aac", id="mp2 is encoded anew"),
        pytest.param("clip.mp4", Tone(2.0, start_s=0.5), "aac", id="aac that begins later"),
        pytest.param("clip.ts", Tone(2.0, start_s=0.5), "aac", id="the same out of a transport stream"),
    ],
)
def test_sound_is_kept_at_its_time(tmp_path: Path, name: str, tone: Tone, codec: str) -> None:
    target = copy(write_video(tmp_path / name, shades(20), tone=tone), tmp_path / "copy.mp4")
    assert heard_s(target) == pytest.approx((tone.start_s, tone.start_s + 2.0), abs=0.05)
    with av.open(str(target)) as file:
        (sound,) = file.streams.audio
        assert sound.codec_context.codec.canonical_name == codec


def test_what_is_heard_before_the_first_picture_is_left_out(tmp_path: Path) -> None:
    source = write_video(tmp_path / "clip.mp4", start_s=1.0, tone=Tone(3.0))
    target = copy(source, tmp_path / "copy.mp4")
    assert heard_s(target) == pytest.approx((0.0, 2.0), abs=0.05)
    assert shown(target)[0] == (0, 0.0)


def _no_codec(path: Path) -> Path:
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_FLOP"))
    return path


def _no_headers(path: Path) -> Path:
    """Break the header of every frame of AAC from the middle on (ADTS: it begins with twelve set bits)."""
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + content[half:].replace(b"\xff\xf1\x50", b"\x00\x00\x00"))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "spoil"),
    [
        pytest.param("clip.mp4", "aac", lambda path: spoil_packets(path, range(5, 20), "audio"), id="noise, copied"),
        pytest.param(
            "clip.mov", "pcm_alaw", lambda path: spoil_packets(path, range(3), "audio"), id="noise, encoded anew"
        ),
        pytest.param("clip.mkv", "flac", _no_codec, id="of an unknown kind"),
        pytest.param("clip.ts", "aac", _no_headers, id="headers broken"),
    ],
)
def test_a_broken_sound_does_not_lose_the_pictures(
    tmp_path: Path, name: str, codec: str, spoil: Callable[[Path], Path]
) -> None:
    source = spoil(write_video(tmp_path / name, shades(20), tone=Tone(2.0, codec=codec)))
    assert shown(copy(source, tmp_path / "copy.mp4")) == [(number, number / 10) for number in range(20)]


def _written(path: Path, sound_of: Path | None = None, error: BaseException | None = None) -> None:
    with open_writer(path, width=64, height=48, frame_rate=10, sound_of=sound_of) as writer:
        for number, image in enumerate(shades(3)):
            writer.write(image, number / 10)
        if error:
            raise error


@pytest.mark.parametrize("error", [VideoError("broken half-way"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_what_is_not_finished_does_not_appear_and_the_old_stays(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(type(error)):
        _written(tmp_path / "a.mp4", error=error)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"old"


def test_no_frame_no_video(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError, match=r"a.mp4 cannot be written: not one frame came"),
        open_writer(tmp_path / "a.mp4", width=64, height=48, frame_rate=10, sound_of=None),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file grows over 20 kB, as on a disk that is full."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("count", [60, 7], ids=["while frames come", "at the end"])
def test_a_full_disk(tmp_path: Path, count: int) -> None:
    with pytest.raises(VideoError, match=r"/a.mp4 cannot be written: File too large.$"):
        _noise_written(tmp_path / "a.mp4", count)
    assert not list(tmp_path.iterdir())


def _noise_written(path: Path, count: int) -> None:
    random = np.random.default_rng(0)
    with open_writer(path, width=128, height=96, frame_rate=10, sound_of=None) as writer:
        for number in range(count):
            writer.write(random.integers(0, 255, (96, 128, 3), np.uint8), number / 10)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises((VideoError, OSError)) as caught:
        _written(tmp_path / "file" / "a.mp4")
    assert getattr(caught.value, "errno", errno.ENOTDIR) in {errno.ENOTDIR, errno.EEXIST}


def test_frames_of_another_size_are_a_mistake(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"must have shape \(48, 64, 3\), got \(64, 48, 3\)"),
        open_writer(tmp_path / "a.mp4", width=64, height=48, frame_rate=10, sound_of=None) as writer,
    ):
        writer.write(np.zeros((64, 48, 3), np.uint8), 0.0)


def test_sound_of_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="plain text"):
        _written(tmp_path / "a.mp4", sound_of=write_text(tmp_path / "clip.mp4"))
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("name", ["mp3_8000.avi", "mp3_8000.mov"])
def test_real_sound_that_no_mp4_takes_is_encoded(real_data: Path, tmp_path: Path, name: str) -> None:
    target = copy(real_data / "faults" / "video" / name, tmp_path / "copy.mp4")
    samples = np.concatenate(list(read_sound(target, BOUNDS)))
    assert len(samples) / SAMPLE_RATE_HZ == pytest.approx(2.0, abs=0.2)
    loudness = np.abs(np.fft.rfft(samples[:SAMPLE_RATE_HZ]))
    assert loudness.argmax() == pytest.approx(440, abs=2)


@pytest.mark.usefixtures("full_disk")
def test_a_write_that_fails_names_the_place_that_a_person_knows(tmp_path: Path) -> None:
    (tmp_path / "video" / ".making-x.tmp").mkdir(parents=True)
    with pytest.raises(VideoError, match=r"/video/a.mp4 cannot be written: File too large.$"):
        _noise_written(tmp_path / "video" / ".making-x.tmp" / "a.mp4", 60)


@pytest.mark.parametrize("name", ["food_mix_with_audio.mp4", "bigbuckbunny.mp4"])
def test_real_videos_keep_their_length_and_sound(real_data: Path, tmp_path: Path, name: str) -> None:
    source = real_data / "media" / "videos" / name
    target = copy(source, tmp_path / "copy.mp4")
    before, after = probe(source, BOUNDS), probe(target, BOUNDS)
    assert before.duration_s
    assert before.frame_rate
    assert after.duration_s == pytest.approx(before.duration_s, abs=1 / before.frame_rate)
    one, two = (np.concatenate(list(read_sound(path, BOUNDS))) for path in (source, target))
    assert len(one) == pytest.approx(len(two), abs=SAMPLE_RATE_HZ / 10)
    assert np.array_equal(one[:SAMPLE_RATE_HZ], two[:SAMPLE_RATE_HZ])
