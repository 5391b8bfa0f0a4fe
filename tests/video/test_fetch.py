"""A source becomes a file on the disk: by yt-dlp's own generic extractor, from a real server on loopback."""

import shutil
from pathlib import Path

import av
import pytest
from yt_dlp import YoutubeDL

from tasks.contracts.errors import FetchError, RefusedSourceError, SourceError
from tasks.contracts.files import file_digest
from tasks.shards.config import DownloadConfig
from tasks.video import failures
from tasks.video.addresses import AddressGuard
from tasks.video.config import FetchConfig
from tasks.video.fetch import ON_YOUTUBE, fetch_video
from tasks.video.guarded_ydl import GuardedYdl
from tests.support.media import Tone, shades, write_picture, write_sound, write_video
from tests.support.mirror_server import Fault, status
from tests.support.video_server import write_clip, write_hls, write_page
from tests.video.fetching import Heard, Site


def test_a_file_is_used_where_it_lies(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "My clip.mp4")
    video = fetch_video(str(clip), tmp_path / "cache", FetchConfig(), DownloadConfig())
    assert (video.path, video.title, video.address) == (clip, "My clip", None)
    assert (video.sha256, video.size_bytes) == (file_digest(clip), clip.stat().st_size)
    assert not (tmp_path / "cache").exists()


def test_a_direct_link(site: Site) -> None:
    heard = Heard()
    video = site.fetch("clip.mp4", heard)
    assert video.path.read_bytes() == (site.folder / "clip.mp4").read_bytes()
    assert video.sha256 == file_digest(video.path)
    assert video.source == video.address == site.address("clip.mp4")
    assert video.title == "clip"
    label = f"fetching {site.address('clip.mp4')}"
    assert heard.totals == heard.done == {label: video.size_bytes}


def test_what_was_fetched_before_is_found_without_a_request(site: Site) -> None:
    first = site.fetch("clip.mp4")
    asked = site.gets("clip.mp4")
    site.server.always("*", status(500))
    assert site.fetch("clip.mp4") == first
    assert site.gets("clip.mp4") == asked


def test_a_refresh_fetches_again_and_keeps_the_old_where_that_fails(site: Site) -> None:
    first = site.fetch("clip.mp4")
    site.server.script("clip.mp4", status(404))
    with pytest.raises(FetchError, match="404"):
        site.fetch("clip.mp4", refresh=True)
    assert site.fetch("clip.mp4") == first
    write_clip(site.folder / "clip.mp4", frames=20)
    assert site.fetch("clip.mp4", refresh=True).size_bytes > first.size_bytes


def test_another_height_is_another_file(site: Site) -> None:
    paths = {site.fetch("clip.mp4", largest_height=height).path for height in (360, 720)}
    assert len(paths) == 2


def test_a_page_with_a_player(site: Site) -> None:
    write_page(site.folder, "page.html", "Bottles & bowls", "/clip.mp4")
    video = site.fetch("page.html")
    assert video.path.read_bytes() == (site.folder / "clip.mp4").read_bytes()
    assert video.title.startswith("Bottles & bowls")
    assert video.address == site.address("page.html")


def test_a_title_never_becomes_a_path(site: Site, tmp_path: Path) -> None:
    write_page(site.folder, "page.html", "../../../etc/passwd\x1b[31m\0" + "x" * 1000, "/clip.mp4")
    before = {path for path in tmp_path.rglob("*") if site.cache not in path.parents}
    video = site.fetch("page.html")
    assert video.path.is_relative_to(site.cache)
    assert video.title.isprintable()
    assert len(video.title) <= 300
    assert {path for path in tmp_path.rglob("*") if site.cache not in path.parents} - {site.cache} == before
    assert site.left() == ["fetched.json", "video"]


def test_a_redirect_is_followed(site: Site) -> None:
    site.server.always("moved", Fault(status=302, headers={"Location": "/clip.mp4"}))
    assert site.fetch("moved").sha256 == file_digest(site.folder / "clip.mp4")


def test_a_playlist_of_segments_is_put_together(site: Site) -> None:
    write_hls(site.folder, "live", write_clip(site.folder / "long.mp4", frames=30))
    video = site.fetch("live.m3u8")
    with av.open(str(video.path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_an_upright_video_is_bounded_by_its_width(site: Site, real_data: Path) -> None:
    for name in ("portrait.m3u8", "v.m3u8", "cat.ts"):
        shutil.copy(real_data / "faults" / "video" / name, site.folder)
    assert site.fetch("portrait.m3u8", largest_height=576).size_bytes == (site.folder / "cat.ts").stat().st_size
    problem = r"only in 576 pixels of the shorter side, over `fetch\.largest_height`"
    with pytest.raises(RefusedSourceError, match=problem):
        site.fetch("portrait.m3u8", largest_height=575)


def test_of_several_playlists_the_largest_within_the_bound(site: Site) -> None:
    sides = {"small": (360, 640), "middle": (720, 1280), "large": (1080, 1920)}
    lines = ["#EXTM3U"]
    for place, (name, (width, height)) in enumerate(sides.items(), start=1):
        write_hls(site.folder, name, write_clip(site.folder / f"{name}.mp4", frames=10 * place))
        about = f'BANDWIDTH={place}00000,RESOLUTION={width}x{height},CODECS="avc1.42c01e,mp4a.40.2"'
        lines += [f"#EXT-X-STREAM-INF:{about}", f"{name}.m3u8"]
    (site.folder / "all.m3u8").write_text("\n".join(lines) + "\n")
    with av.open(str(site.fetch("all.m3u8").path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20
    assert not site.gets("large.m3u8")


def write_split(folder: Path) -> None:
    """Write a playlist of which the picture and the sound are lists of their own."""
    write_hls(folder, "picture", write_video(folder / "p.mp4", shades(20)))
    write_hls(folder, "sound", write_sound(folder / "s.m4a", Tone(duration_s=2.0)))
    (folder / "master.m3u8").write_text(
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="en",URI="sound.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS="avc1.42001e,mp4a.40.2",RESOLUTION=64x48,AUDIO="a"\npicture.m3u8\n'
    )


def test_picture_and_sound_that_come_apart_are_joined(site: Site) -> None:
    write_split(site.folder)
    heard = Heard()
    video = site.fetch("master.m3u8", heard)
    with av.open(str(video.path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert sum(1 for _ in container.decode(video=0)) == 20
    assert site.left() == ["fetched.json", "video"]


def test_picture_and_sound_that_cannot_be_joined_are_not_kept(site: Site) -> None:
    write_split(site.folder)
    for segment in site.folder.glob("sound*.ts"):
        segment.write_text("no sound at all")
    with pytest.raises(FetchError, match="picture and sound that cannot be put together"):
        site.fetch("master.m3u8")
    assert not any(site.cache.iterdir())


def test_a_picture_is_fetched_too(site: Site) -> None:
    picture = write_picture(site.folder / "bowl.png")
    assert site.fetch("bowl.png").sha256 == file_digest(picture)


def test_of_several_videos_the_first_where_that_is_wanted(site: Site) -> None:
    write_page(site.folder, "two.html", "Two", "/clip.mp4", "/other.mp4")
    assert site.fetch("two.html", playlists=True).sha256 == file_digest(site.folder / "clip.mp4")


def test_a_password_in_an_address_is_not_kept(site: Site) -> None:
    address = site.address("clip.mp4").replace("://", "://me:secret@")
    video = site.fetch(address)
    assert "secret" not in video.model_dump_json()
    assert "secret" not in "".join(path.read_text() for path in site.cache.rglob("*.json"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "clip.mp4")

    def denied(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tasks.video.fetch.file_digest", denied)  # root may read everything
    with pytest.raises(SourceError, match=r"clip\.mp4 cannot be read: Permission denied"):
        fetch_video(str(clip), tmp_path, FetchConfig(), DownloadConfig())


def test_a_cache_that_cannot_be_written_is_named(site: Site) -> None:
    site.cache.write_text("a file where the folder should be")
    with pytest.raises(FetchError, match="Fetched videos cannot be kept in"):
        site.fetch("clip.mp4")


@pytest.mark.parametrize(
    "address",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://www.youtube.com/watch?list=PL1&v=dQw4w9WgXcQ&t=3",
        "http://youtu.be/dQw4w9WgXcQ?si=x",
        "https://m.youtube.com/shorts/dQw4w9WgXcQ",
        "https://www.youtube.com/embed/dQw4w9WgXcQ#t=1",
    ],
)
def test_an_address_of_youtube_tells_its_id(address: str) -> None:
    match = ON_YOUTUBE.match(address)
    assert match
    assert match["id"] == "dQw4w9WgXcQ"


@pytest.mark.parametrize(
    "address",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQx",
        "https://www.youtube.com/playlist?list=dQw4w9WgXcQ",
        "https://youtube.com.example.org/watch?v=dQw4w9WgXcQ",
        "https://example.org/?u=https://youtu.be/dQw4w9WgXcQ",
    ],
)
def test_another_address_tells_none(address: str) -> None:
    assert not ON_YOUTUBE.match(address)


def test_the_extractors_are_yt_dlps_own_in_its_order(tmp_path: Path) -> None:
    guard = AddressGuard(allow_private=False)
    guarded = GuardedYdl(guard, tmp_path, {"quiet": True}, lambda _: None, failures.Heard())
    with guarded, YoutubeDL({"quiet": True}) as usual:
        assert list(vars(guarded)["_ies"]) == list(vars(usual)["_ies"])
