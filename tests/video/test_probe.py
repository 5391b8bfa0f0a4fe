"""What is said of files: good ones by facts, others by one line."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import VideoError
from tasks.video.config import MediaBounds
from tasks.video.container import check_work
from tasks.video.frames import open_frames
from tasks.video.probe import probe
from tests.support.media import (
    Tone,
    red_over_blue,
    shades,
    spoil_packets,
    truncate,
    write_picture,
    write_sound,
    write_text,
    write_video,
)

BOUNDS = MediaBounds()


def test_a_video(tmp_path: Path) -> None:
    facts = probe(write_video(tmp_path / "clip.mp4", tone=Tone()), BOUNDS)
    assert (facts.kind, facts.width, facts.height, facts.codec) == ("video", 64, 48, "h264")
    assert (facts.duration_s, facts.frame_rate, facts.has_sound, facts.rotation_deg) == (1.0, 10.0, True, 0)


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "name"),
    [
        pytest.param("libsvtav1", "mp4", "yuv420p", "av1", id="av1, named by format and not by decoder"),
        pytest.param("libvpx-vp9", "webm", "yuv420p", "vp9", id="vp9"),
        pytest.param("mpeg4", "avi", "yuv420p", "mpeg4", id="mpeg4 in avi"),
        pytest.param("gif", "gif", "rgb8", "gif", id="animated gif"),
    ],
)
def test_kinds_of_video(tmp_path: Path, codec: str, suffix: str, pix_fmt: str, name: str) -> None:
    clip = write_video(tmp_path / f"clip.{suffix}", shades(3, 64, 64), codec=codec, pix_fmt=pix_fmt)
    assert probe(clip, BOUNDS).codec == name


@pytest.mark.parametrize(
    ("anticlockwise_deg", "clockwise_deg", "size"),
    [(90, 270, (48, 64)), (180, 180, (64, 48)), (-90, 90, (48, 64))],
    ids=["a quarter left", "upside down", "a quarter right"],
)
def test_sizes_are_those_that_a_player_shows(
    tmp_path: Path, anticlockwise_deg: int, clockwise_deg: int, size: tuple[int, int]
) -> None:
    facts = probe(write_video(tmp_path / "clip.mp4", rotation_deg=anticlockwise_deg), BOUNDS)
    assert (facts.width, facts.height) == size
    assert facts.rotation_deg == clockwise_deg


def test_a_header_without_a_duration(tmp_path: Path) -> None:
    assert probe(write_video(tmp_path / "live.mkv", options={"live": "1"}), BOUNDS).duration_s == pytest.approx(1.0)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_pictures(tmp_path: Path, suffix: str) -> None:
    facts = probe(write_picture(tmp_path / f"picture.{suffix}"), BOUNDS)
    assert (facts.kind, facts.width, facts.height, facts.duration_s, facts.has_sound) == (
        "picture", 64, 48, None, False,
    )  # fmt: skip


def test_a_picture_that_a_camera_held_upright_took(tmp_path: Path) -> None:
    facts = probe(write_picture(tmp_path / "phone.jpg", orientation=6), BOUNDS)
    assert (facts.width, facts.height) == (48, 64)


def test_a_picture_under_the_name_of_a_video(tmp_path: Path) -> None:
    write_picture(tmp_path / "picture.png").rename(tmp_path / "clip.mp4")
    assert probe(tmp_path / "clip.mp4", BOUNDS).kind == "picture"


def _empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _noise(path: Path) -> Path:
    path.write_bytes(bytes(range(7, 255)) * 3)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: path, "cannot be read: No such file", id="missing"),
        pytest.param(_folder, "is no file", id="folder"),
        pytest.param(_empty, r"is empty \(0 bytes\). Fetch or copy it again", id="empty"),
        pytest.param(write_text, "plain text: 'Dear diary, this is no video at all.'", id="text"),
        pytest.param(_noise, "its first bytes are 07 08 09", id="noise"),
        pytest.param(write_sound, r"only sound \(aac\): there is nothing to look at", id="sound"),
        pytest.param(lambda path: truncate(write_video(path), 0.5), "index is missing or broken", id="cut short"),
        pytest.param(
            lambda path: truncate(write_picture(path.with_suffix(".png")), 0.1), "none that can", id="picture"
        ),
        pytest.param(
            lambda path: spoil_packets(write_video(path, shades(3)), range(3)), "None of the frames", id="all broken"
        ),
    ],
)
def test_what_is_no_video_is_named_with_what_was_found(
    tmp_path: Path, make: Callable[[Path], Path], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "clip.mp4")
    with pytest.raises(VideoError, match=message) as caught:
        probe(path, BOUNDS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


SMALL = MediaBounds(largest_side=100, largest_pixels=100 * 50, longest_s=5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda folder: write_video(folder / "wide.mp4", shades(1, 102, 16)), "102x16, over the bounds", id="side"
        ),
        pytest.param(
            lambda folder: write_video(folder / "large.mp4", shades(1, 100, 100)), "5,000 pixels", id="pixels"
        ),
        pytest.param(
            lambda folder: write_picture(folder / "a.png", np.zeros((101, 16, 3), np.uint8)), "16x101", id="picture"
        ),
        pytest.param(
            lambda folder: write_video(folder / "long.mp4", shades(7), times_s=range(7)), "lasts 6 s", id="length"
        ),
    ],
)
def test_what_is_out_of_bounds_is_refused(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(VideoError, match=message):
        probe(make(tmp_path), SMALL)


def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "bomb.bmp")
    content = bytearray(path.read_bytes())
    content[18:26] = (60_000).to_bytes(4, "little") * 2
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"60000x60000|exceeds limit"):
        probe(path, BOUNDS)


class _Canary(BaseHTTPRequestHandler):
    calls = 0

    def do_GET(self) -> None:
        type(self).calls += 1
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """An address that nobody may ask."""
    with HTTPServer(("127.0.0.1", 0), _Canary) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/clip.ts"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{place}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{place}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{place}</BaseURL></MPD>',
        "[playlist]\nFile1={place}\n",
    ],
    ids=["hls", "concat", "sdp", "dash", "pls"],
)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "mpd", "sdp", "ffconcat"])
def test_lists_that_name_other_files_are_not_followed(tmp_path: Path, address: str, playlist: str, suffix: str) -> None:
    inner = write_video(tmp_path / "inner.mp4", [red_over_blue()])
    for place in (address, str(inner), inner.name):
        path = write_text(tmp_path / f"list.{suffix}", playlist.format(place=place))
        with pytest.raises(VideoError, match="is no video that can be opened: it holds"):
            probe(path, BOUNDS)
    assert _Canary.calls == 0


@pytest.mark.parametrize("name", ["clip %d.mp4", "concat:a|b.mp4", "http:a.mp4", "-i.mp4", "a'b\"c\n.mp4"])
def test_names_mean_nothing(tmp_path: Path, name: str) -> None:
    assert probe(write_video(tmp_path / "clip.mp4").rename(tmp_path / name), BOUNDS).width == 64


def test_real_files(real_data: Path) -> None:
    facts = probe(real_data / "media" / "videos" / "bigbuckbunny.mp4", BOUNDS)
    assert (facts.width, facts.height, facts.frame_rate, facts.has_sound) == (1280, 720, 25.0, True)
    facts = probe(real_data / "media" / "videos" / "bottle-detection.mp4", BOUNDS)
    assert facts.duration_s == pytest.approx(39.85, abs=0.01)
    assert not facts.has_sound


def test_a_video_of_too_many_pixels_a_second_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "quick.mp4", shades(60, 64, 48), rate_hz=1000, time_base=Fraction(1, 1000))
    assert probe(path, BOUNDS).frame_rate == pytest.approx(1000, rel=0.02)
    with pytest.raises(VideoError, match=r"has 184,320 pixels in 0\.06 s of video, over `media.largest_pixels_per_s`"):
        probe(path, MediaBounds(largest_pixels_per_s=64 * 48 * 200))
    within = MediaBounds(largest_pixels_per_s=64 * 48 * 240)  # 60 frames in a quarter of a second
    assert probe(path, within).width == 64


def test_a_burst_that_the_average_hides_is_refused_where_it_comes(tmp_path: Path) -> None:
    times_s = [*(place / 1000 for place in range(60)), *map(float, range(1, 9))]
    path = write_video(
        tmp_path / "burst.mkv", shades(68, 64, 48), times_s=times_s, time_base=Fraction(1, 1000), encoder={"bf": "0"}
    )
    bounds = MediaBounds(largest_pixels_per_s=64 * 48 * 60)
    assert probe(path, bounds).width == 64
    with open_frames(path, bounds) as reader, pytest.raises(VideoError, match="largest_pixels_per_s"):
        list(reader)
    assert reader.frames_read == 15


@pytest.mark.parametrize(
    ("width", "height", "rate_hz"), [(7680, 4320, 60), (4096, 2160, 240), (1280, 720, 1000)], ids=["8K", "4K", "slow"]
)
def test_what_cameras_record_is_within_the_bound(width: int, height: int, rate_hz: int) -> None:
    check_work(Path("camera.mp4"), width * height * rate_hz * 2, 2.0, BOUNDS)
