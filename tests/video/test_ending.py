"""Files that break off before their end say so and how much is missing; whole ones do not."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.media import MediaFacts
from tasks.video.config import MediaBounds
from tasks.video.ending import breaks_off
from tasks.video.frames import open_frames
from tasks.video.probe import probe
from tasks.video.timeline import timeline_of
from tests.support.media import Tone, truncate, write_video

BOUNDS = MediaBounds()
SECONDS, RATE_HZ = 6, 10
SHARES = (0.3, 0.6, 0.9)
PICTURES_FIRST = {".mpg", ".vob"}  # in the last packs there is sound alone
APART_S = 0.4  # frames that came out of order may not be decoded without those that are missing
FRONT = {"movflags": "+faststart"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def _noise() -> NDArray[np.uint8]:
    """Return pictures of noise, which all take about as many bytes: a share of the bytes is that share of the time."""
    return np.random.default_rng(0).integers(0, 255, (SECONDS * RATE_HZ, 48, 64, 3), np.uint8)


@cache
def _content(suffix: str, codec: str, options: tuple[tuple[str, str], ...], sound: str | None) -> bytes:
    rate_hz = 48_000 if sound == "libopus" else 44_100
    with TemporaryDirectory() as folder:
        made = write_video(
            Path(folder) / f"a{suffix}",
            iter(_noise()),
            codec=codec,
            pix_fmt={"gif": "rgb8", "mjpeg": "yuvj420p", "apng": "rgb24"}.get(codec, "yuv420p"),
            options=dict(options),
            encoder={"g": "10"} if codec.startswith("lib") else {},
            time_base=Fraction(1, RATE_HZ),
            tone=Tone(SECONDS, codec=sound, rate_hz=rate_hz) if sound else None,
        )
        return made.read_bytes()


def _made(path: Path, codec: str = "libx264", options: dict[str, str] | None = None, sound: str | None = "aac") -> Path:
    path.write_bytes(_content(path.suffix, codec, tuple((options or {}).items()), sound))
    return path


def _read(path: Path) -> tuple[MediaFacts, float]:
    """Return what a file says of itself, and when the last frame that comes is over."""
    with open_frames(path, BOUNDS) as reader:
        times_s = [frame.time_s for frame in reader]
    return reader.facts, times_s[-1] + 1 / RATE_HZ


def _cuts(whole: Path) -> Iterator[tuple[float, Path]]:
    """Yield each share of a file, and a copy that is cut off there."""
    content = whole.read_bytes()
    for share in SHARES:
        path = whole.with_name(f"cut-{share}-{whole.name}")
        size = round(len(content) * share) | 1  # odd: between two packets of a transport stream nothing tells
        path.write_bytes(content[:size])
        yield share, path


@pytest.mark.parametrize(
    ("name", "codec", "options", "sound"),
    [
        pytest.param("a.mp4", "libx264", FRONT, "aac", id="mp4"),
        pytest.param("a.mov", "mjpeg", FRONT, "pcm_s16le", id="mov"),
        pytest.param("a.mkv", "libx264", {}, "aac", id="mkv"),
        pytest.param("a.webm", "libvpx-vp9", {}, "libopus", id="webm"),
        pytest.param("a.avi", "mpeg4", {}, "mp2", id="avi"),
        pytest.param("a.avi", "libx264", {}, None, id="avi without sound"),
        pytest.param("a.flv", "libx264", {}, "aac", id="flv"),
        pytest.param("a.asf", "mpeg4", {}, "libmp3lame", id="asf"),
    ],
)
def test_what_is_missing_of_the_declared_length_is_told(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], sound: str | None
) -> None:
    whole = _made(tmp_path / name, codec, options, sound)
    assert not probe(whole, BOUNDS).cut_short
    for share, path in _cuts(whole):
        facts, end_s = _read(path)
        assert facts.cut_short
        assert facts.declared_s == pytest.approx(SECONDS, abs=0.3)
        assert facts.missing_s == pytest.approx(SECONDS - end_s, abs=APART_S)
        assert facts.missing_s == pytest.approx(SECONDS * (1 - share), abs=0.75)  # indices and sound take some bytes
        assert facts.duration_s == pytest.approx(end_s, abs=APART_S)


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        pytest.param("a.mp4", "libx264", "aac", id="mp4"),
        pytest.param("a.mkv", "libx264", "aac", id="mkv"),
        pytest.param("a.avi", "mpeg4", "mp2", id="avi"),
        pytest.param("a.flv", "flv", "libmp3lame", id="flv"),
        pytest.param("a.asf", "mpeg4", "libmp3lame", id="asf"),
        pytest.param("a.ts", "libx264", "aac", id="transport stream"),
        pytest.param("a.ogg", "libvpx", "libopus", id="Ogg"),
        pytest.param("a.ivf", "libvpx-vp9", None, id="IVF"),
    ],
)
def test_a_cut_is_noticed_wherever_it_falls(tmp_path: Path, name: str, codec: str, sound: str | None) -> None:
    """Within headers, too, where no packet is broken that a decoder would miss."""
    whole = _made(tmp_path / name, codec, FRONT if name == "a.mp4" else {}, sound)
    content, path = whole.read_bytes(), whole.with_name(f"cut-{name}")
    for size in range(len(content) // 5, len(content) * 9 // 10, len(content) // 60):
        path.write_bytes(content[:size])
        if name == "a.ts" and size % 188 == 0:
            continue  # between two packets nothing tells
        assert timeline_of(path).missing is not None, size


@pytest.mark.parametrize(
    ("name", "codec", "options", "sound"),
    [
        pytest.param("a.ts", "libx264", {}, "aac", id="transport stream"),
        pytest.param("a.m2ts", "libx264", {"mpegts_m2ts_mode": "1"}, "aac", id="of a disc"),
        pytest.param("a.mkv", "libx264", {"live": "1"}, "aac", id="live Matroska"),
        pytest.param("a.webm", "libvpx-vp9", {"live": "1"}, "libopus", id="live WebM"),
        pytest.param("a.mp4", "libx264", FRAGMENTS, "aac", id="mp4 in fragments"),
        pytest.param("a.ogg", "libvpx", {}, "libopus", id="Ogg"),
        pytest.param("a.gif", "gif", {}, None, id="GIF"),
        pytest.param("a.apng", "apng", {}, None, id="APNG"),
        pytest.param("a.mpg", "mpeg2video", {}, "mp2", id="program stream"),
        pytest.param("a.vob", "mpeg2video", {}, "ac3", id="of a DVD"),
        pytest.param("a.nut", "libx264", {}, "mp2", id="NUT"),
        pytest.param("a.y4m", "wrapped_avframe", {}, None, id="Y4M"),
        pytest.param("a.ivf", "libvpx-vp9", {}, None, id="IVF"),
    ],
)
def test_what_does_not_say_how_long_it_was_is_cut_short_all_the_same(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], sound: str | None
) -> None:
    whole = _made(tmp_path / name, codec, options, sound)
    assert not probe(whole, BOUNDS).cut_short
    for _, path in _cuts(whole):
        facts, end_s = _read(path)
        assert facts.cut_short
        assert (facts.missing_s, facts.declared_s) == (None, None)
        assert 0 < end_s < SECONDS or path.suffix in PICTURES_FIRST


def test_a_stream_of_jpegs_whose_last_one_has_no_end(tmp_path: Path) -> None:
    """A raw stream says nothing of times."""
    whole = _made(tmp_path / "a.mjpeg", "mjpeg", sound=None)
    assert not probe(whole, BOUNDS).cut_short
    for _, path in _cuts(whole):
        assert probe(path, BOUNDS).cut_short
    content = whole.read_bytes()
    whole.write_bytes(content[: content.rindex(b"\xff\xd8\xff")])
    assert not probe(whole, BOUNDS).cut_short  # between two pictures nothing tells


@pytest.mark.parametrize(
    ("kind", "frame_bytes"),
    [("420jpeg", 20), ("411", 18), ("422", 24), ("444p10", 72), ("mono", 12), ("mono16", 24), ("444alpha", 48)],
)
def test_pictures_of_y4m_of_every_kind(tmp_path: Path, kind: str, frame_bytes: int) -> None:
    """4x3 samples of luma; the bytes of a frame are counted by hand: rows and columns of chroma are rounded up."""
    path, head = tmp_path / "a.y4m", f"YUV4MPEG2 W4 H3 F25:1{f' C{kind}' if kind else ''}\n".encode()
    content = head + 3 * (b"FRAME Ixyz\n" + bytes(frame_bytes))
    found = []
    for cut in (content, content[:-1], content[: -frame_bytes - 3], content + b"junk"):
        path.write_bytes(cut)
        found.append(breaks_off(path, "yuv4mpegpipe"))
    assert found == [False, True, True, False]


def test_fragments_that_are_declared_are_missed(tmp_path: Path) -> None:
    """The length of all fragments (`mehd`), which packagers write and FFmpeg does not."""
    clip = _made(tmp_path / "a.mp4", options=FRAGMENTS)
    content = clip.read_bytes()
    scale = int.from_bytes(content[content.index(b"mvhd") + 16 :][:4])
    box = (16).to_bytes(4) + b"mehd" + bytes(4) + (SECONDS * scale).to_bytes(4)
    place = content.index(b"mvex") + 4
    grown = bytearray(content[:place] + box + content[place:])
    for kind in (b"mvex", b"moov"):
        size = grown.index(kind) - 4
        grown[size : size + 4] = (int.from_bytes(grown[size : size + 4]) + len(box)).to_bytes(4)
    clip.write_bytes(grown)
    assert not probe(clip, BOUNDS).cut_short
    facts, end_s = _read(truncate(clip, 0.6))
    assert facts.declared_s == pytest.approx(SECONDS, abs=0.3)
    assert facts.missing_s == pytest.approx(SECONDS - end_s, abs=APART_S)


def test_an_index_that_is_cut_short_is_one_line(tmp_path: Path) -> None:
    """The index behind the media: what is left of it may name a stream, and not what that is coded with."""
    whole = _made(tmp_path / "a.mp4").read_bytes()
    start, path = whole.index(b"moov"), tmp_path / "cut.mp4"
    refused = []
    for size in range(start + 60, len(whole) - 40, 97):
        path.write_bytes(whole[:size])
        try:
            assert probe(path, BOUNDS).cut_short
        except VideoError as error:
            refused.append(str(error))
    assert refused
    assert all("index" in words and "\n" not in words for words in refused), refused


@pytest.mark.parametrize(
    "name",
    ["a.mp4", "a.mkv", "a.avi", "a.flv", "a.asf", "a.ts", "a.webm", "a.gif", "a.mpg", "a.nut", "a.y4m", "a.mjpeg"],
)
def test_what_is_appended_to_a_whole_file_is_no_missing_end(tmp_path: Path, name: str) -> None:
    others = {"a.webm": "libvpx-vp9", "a.gif": "gif", "a.mpg": "mpeg2video", "a.y4m": "wrapped_avframe"}
    codec = {**others, "a.mjpeg": "mjpeg"}.get(name, "libx264")
    sounds = {"a.gif": None, "a.y4m": None, "a.mjpeg": None, "a.webm": "libopus", "a.mpg": "mp2", "a.nut": "mp2"}
    sound = sounds.get(name, "aac")
    clip = _made(tmp_path / name, codec, sound=sound)
    content = clip.read_bytes()
    for tail in (b"\0", bytes(1000), b"TAG" + b"A title" * 18, b"\xff" * 50):
        clip.write_bytes(content + tail)
        assert not probe(clip, BOUNDS).cut_short, tail[:8]


def test_what_lies_behind_the_media_is_not_missed(tmp_path: Path) -> None:
    """Of a Matroska file without its last bytes only the table for seeking is gone."""
    clip = _made(tmp_path / "a.mkv")
    clip.write_bytes(clip.read_bytes()[:-6])
    assert not probe(clip, BOUNDS).cut_short


def test_sound_that_is_cut_off_behind_whole_pictures_is_told(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", options=FRONT, tone=Tone(10.0))
    facts, _ = _read(truncate(clip, 0.8))
    assert facts.cut_short
    assert (facts.missing_s, facts.duration_s) == (0, pytest.approx(1.0))


def test_real_files_are_whole(real_data: Path) -> None:
    """Also those whose container is longer than their picture, without a duration, or whose clock jumps."""
    folders = (real_data / "faults" / "video", real_data / "media" / "videos")
    files = [path for folder in folders for path in folder.iterdir()]
    files = [
        path
        for path in files
        if path.suffix in {".mp4", ".mov", ".avi", ".mkv", ".ts", ".webm", ".gif", ".y4m", ".mjpeg"}
    ]
    files += sorted((real_data / "clips").rglob("*.avi"))[::10]
    checked = [probe(path, BOUNDS).cut_short for path in files if path.name != "encrypted.mp4"]
    assert len(checked) > 20
    assert not any(checked)


def test_a_real_video_that_is_cut_short(real_data: Path, tmp_path: Path) -> None:
    clip = min((real_data / "clips").rglob("*.avi"))
    whole_s = probe(clip, BOUNDS).duration_s
    path = tmp_path / clip.name
    path.write_bytes(clip.read_bytes())
    facts, _ = _read(truncate(path, 0.5))
    assert facts.declared_s == pytest.approx(whole_s, abs=0.01)
    assert (facts.missing_s or 0) + (facts.duration_s or 0) == pytest.approx(whole_s, abs=0.01)
