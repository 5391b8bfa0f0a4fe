"""Which formats of a video are taken, and what is refused before any of it is fetched."""

from typing import Any

import pytest

from tasks.contracts.errors import FetchError, RefusedSourceError
from tasks.video.config import FetchConfig
from tasks.video.download import check_offer, chosen, only_video

PAGE = "https://example.org/v"


def offer(name: str, height: int | None, vcodec: str = "avc1", acodec: str = "mp4a", protocol: str = "https") -> Any:
    return {"format_id": name, "height": height, "vcodec": vcodec, "acodec": acodec, "protocol": protocol}


def upright(name: str, width: int) -> Any:
    return offer(name, width * 16 // 9) | {"width": width}


SOUND = offer("sound", None, vcodec="none")
SILENT = offer("silent-720", 720, acodec="none")
LOW, MIDDLE, HIGH = offer("360", 360), offer("720", 720), offer("2160", 2160)


@pytest.mark.parametrize(
    ("formats", "names"),
    [
        pytest.param([LOW, MIDDLE, HIGH], ["720"], id="best-within-the-bound"),
        pytest.param([SOUND, LOW, SILENT], ["silent-720", "sound"], id="a-larger-picture-before-one-with-sound"),
        pytest.param([SOUND, MIDDLE, SILENT], ["720"], id="of-one-size-picture-and-sound-in-one"),
        pytest.param([LOW, SILENT], ["360"], id="a-smaller-picture-before-a-silent-one"),
        pytest.param([LOW, upright("tall", 576), upright("taller", 1080)], ["tall"], id="upright-by-the-shorter-side"),
        pytest.param([upright("tall", 720)], ["tall"], id="upright-at-the-bound"),
        pytest.param([SOUND, SILENT], ["silent-720", "sound"], id="of-each-the-best"),
        pytest.param([SILENT], ["silent-720"], id="silent"),
        pytest.param([offer("direct", None, None, None)], ["direct"], id="nothing-known"),  # type: ignore[arg-type]
        pytest.param([LOW, offer("live", 480, protocol="rtmp")], ["360"], id="no-program-of-others"),
        pytest.param([offer("hls", 480, protocol="m3u8_native")], ["hls"], id="hls"),
    ],
)
def test_the_formats_that_are_taken(formats: list[Any], names: list[str]) -> None:
    assert [each["format_id"] for each in chosen(formats, PAGE, FetchConfig(largest_height=720))] == names


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        pytest.param(
            [HIGH, SOUND], r"only in 2160 pixels of the shorter side, over `fetch\.largest_height` of 720", id="high"
        ),
        pytest.param([upright("x", 1080)], r"only in 1080 pixels of the shorter side", id="upright"),
        pytest.param([SOUND], "holds no picture", id="sound-alone"),
        pytest.param([offer("x", 100, protocol="file")], "holds no picture", id="file"),
        pytest.param([offer("x", 100, protocol="mms")], "holds no picture", id="mms"),
    ],
)
def test_formats_out_of_bounds_are_refused(formats: list[Any], message: str) -> None:
    with pytest.raises(RefusedSourceError, match=message):
        chosen(formats, PAGE, FetchConfig(largest_height=720))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        pytest.param({"is_live": True}, "still going on", id="live"),
        pytest.param({"duration": 61}, r"lasts 61\.0 s, over `fetch\.longest_s` of 60", id="long"),
        pytest.param({"filesize": 1001}, r"larger than `fetch\.largest_bytes` of 1,000 bytes", id="large"),
    ],
)
def test_what_is_out_of_bounds_is_refused_before_it_is_fetched(info: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedSourceError, match=message):
        check_offer(info, PAGE, FetchConfig(longest_s=60, largest_bytes=1000))


def test_what_is_within_bounds_or_unknown_is_not() -> None:
    check_offer(
        {"duration": 60, "filesize": 1000, "is_live": False}, PAGE, FetchConfig(longest_s=60, largest_bytes=1000)
    )
    check_offer({"duration": None, "filesize": None}, PAGE, FetchConfig())


def test_a_list_is_refused_unless_the_first_is_wanted() -> None:
    listed = {"_type": "playlist", "playlist_count": 7, "entries": [{"_type": "playlist", "entries": [{"id": "a"}]}]}
    with pytest.raises(RefusedSourceError, match="is a list of 7 videos or more: name one of them"):
        only_video(listed, PAGE, FetchConfig())
    assert only_video(listed, PAGE, FetchConfig(playlists=True)) == {"id": "a"}


@pytest.mark.parametrize(
    "info", [None, {}, {"_type": "playlist", "entries": []}, {"_type": "playlist", "entries": [None]}]
)
def test_nothing_is_no_video(info: dict[str, Any] | None) -> None:
    with pytest.raises(FetchError, match="No video was found at"):
        only_video(info, PAGE, FetchConfig())
