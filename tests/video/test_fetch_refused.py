"""What is not fetched: one clear line each, and nothing left behind."""

import os
import stat
from pathlib import Path

import pytest

from tasks.contracts.errors import FetchError, RefusedSourceError, SourceError
from tasks.contracts.progress import Silent
from tasks.video.addresses import AddressGuard
from tasks.video.config import FetchConfig
from tasks.video.download import download
from tests.support.mirror_server import Fault, html, redirect, status
from tests.support.video_server import VIDEO, write_hls, write_page
from tests.video.fetching import Site

LOOPBACK = "127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "[::ffff:127.0.0.1]"])
def test_addresses_of_private_networks_are_refused(site: Site, host: str) -> None:
    address = site.address("clip.mp4").replace(LOOPBACK, host)
    with pytest.raises(RefusedSourceError, match=r"not on the public internet.* REELSIFT_FETCH__ALLOW_PRIVATE=true"):
        site.fetch(address, allow_private=False)
    assert not site.server.log
    assert not any(site.cache.iterdir())


def only_loopback(site: Site, name: str) -> None:
    """Fetch as from the internet, of which 127.0.0.1 is a part and 127.0.0.2 is not."""
    guard = AddressGuard(allow_private=False, admits=lambda address: address == LOOPBACK)
    download(site.address(name), site.cache, FetchConfig(attempts=1), guard, Silent())


@pytest.mark.parametrize("status_code", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_lead_within(site: Site, status_code: int) -> None:
    inside = site.address("clip.mp4").replace(LOOPBACK, "127.0.0.2")
    site.server.always("hop", Fault(status=status_code, headers={"Location": inside}))
    with pytest.raises(RefusedSourceError, match=r"leads to 127\.0\.0\.2, which is not on the public internet"):
        only_loopback(site, "hop")
    assert not site.gets("clip.mp4")


def test_a_page_does_not_lead_within(site: Site) -> None:
    write_page(site.folder, "page.html", "t", site.address("clip.mp4").replace(LOOPBACK, "127.0.0.2"))
    with pytest.raises(RefusedSourceError, match=r"leads to 127\.0\.0\.2"):
        only_loopback(site, "page.html")


def test_a_playlist_does_not_lead_within(site: Site) -> None:
    playlist = write_hls(site.folder, "v", site.folder / "clip.mp4")
    text = playlist.read_text().replace("v0.ts", site.address("v0.ts").replace(LOOPBACK, "127.0.0.2"))
    playlist.write_text(text)
    with pytest.raises(RefusedSourceError, match=r"leads to 127\.0\.0\.2"):
        only_loopback(site, "v.m3u8")


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/x.mp4", "data:video/mp4;base64,AAAA", "file:///etc/passwd", "gopher://127.0.0.1/"]
)
def test_a_redirect_does_not_leave_http(site: Site, location: str) -> None:
    site.server.always("hop", redirect(location))
    with pytest.raises(SourceError):
        site.fetch("hop", attempts=1)
    assert not any(site.cache.iterdir())


@pytest.mark.parametrize("address", ["file:///etc/passwd", "rtmp://127.0.0.1/live", "ftp://127.0.0.1/x.mp4"])
def test_a_page_does_not_leave_http(site: Site, address: str) -> None:
    write_page(site.folder, "page.html", "t", address)
    with pytest.raises(SourceError):
        site.fetch("page.html", attempts=1)
    assert not any(site.cache.iterdir())


def test_a_playlist_does_not_leave_http(site: Site) -> None:
    secret = site.folder.parent / "secret"
    secret.write_text("secret")
    (site.folder / "v.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(SourceError):
        site.fetch("v.m3u8", attempts=1)
    assert "secret" not in "".join(path.read_text(errors="replace") for path in site.cache.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param(status(404), "HTTP Error 404", id="404"),
        pytest.param(status(403), "HTTP Error 403", id="403"),
        pytest.param(html(), "Unsupported URL|No video", id="page"),
        pytest.param(
            Fault(body=b"Sign in first, please", headers=VIDEO.headers), "it holds .*Sign in first", id="text"
        ),
        pytest.param(Fault(body=b"", headers=VIDEO.headers), "gives no video|could not be fetched", id="empty"),
        pytest.param(Fault(body=bytes(range(256)) * 9, headers=VIDEO.headers), "gives no video", id="noise"),
    ],
)
def test_what_is_no_video_is_not_kept(site: Site, fault: Fault, message: str) -> None:
    site.server.always("clip.mp4", fault)
    with pytest.raises(FetchError, match=message) as caught:
        site.fetch("clip.mp4", attempts=1)
    assert str(caught.value).isprintable()
    assert "ERROR:" not in str(caught.value)
    assert not any(site.cache.iterdir())


@pytest.mark.parametrize("fault", [VIDEO, Fault(headers=VIDEO.headers, no_length=True)], ids=["told", "not-told"])
def test_a_video_that_is_too_large_is_given_up(site: Site, fault: Fault) -> None:
    site.server.always("clip.mp4", fault)
    with pytest.raises(RefusedSourceError, match=r"larger than `fetch\.largest_bytes` of 2,000 bytes: raise that"):
        site.fetch("clip.mp4", largest_bytes=2000)
    assert not any(site.cache.iterdir())


def test_a_video_that_is_too_long_is_not_kept(site: Site) -> None:
    with pytest.raises(RefusedSourceError, match=r"lasts 1\.0 s, over `fetch\.longest_s` of 0\.5"):
        site.fetch("clip.mp4", longest_s=0.5)
    assert not any(site.cache.iterdir())


def test_several_videos_are_refused_unless_asked_for(site: Site) -> None:
    write_page(site.folder, "two.html", "Two", "/clip.mp4", "/other.mp4")
    with pytest.raises(RefusedSourceError, match="is a list of 2 videos or more"):
        site.fetch("two.html")
    assert not site.gets("clip.mp4")


def test_a_page_without_end_does_not_fill_the_memory(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.video.addresses.LARGEST_PAGE", 100_000)
    (site.folder / "page.html").write_text("<!DOCTYPE html><html>" + "x" * 200_000)
    with pytest.raises(FetchError, match="the page has more than 100,000 bytes"):
        site.fetch("page.html")
    assert site.gets("page.html") == 1


def test_nothing_of_this_machine_is_run_or_read(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs on the PATH, a configuration file and a proxy are there, and none of them is used."""
    canary, tools, home = tmp_path / "canary", tmp_path / "bin", tmp_path / "home"
    tools.mkdir()
    for name in ("ffmpeg", "ffprobe", "phantomjs", "rtmpdump", "deno", "node", "aria2c", "curl"):
        (tools / name).write_text(f"#!/bin/sh\necho {name} >> {canary}\n")
        (tools / name).chmod(stat.S_IRWXU)
    (home / ".config" / "yt-dlp").mkdir(parents=True)
    (home / ".config" / "yt-dlp" / "config").write_text(f"--exec 'touch {canary}'\n--netrc-cmd 'touch {canary}'\n")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(home))
    write_page(site.folder, "page.html", "t", "/clip.mp4")
    site.fetch("page.html")
    assert not canary.exists()


def test_a_proxy_does_not_lead_past_the_guard(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.server.url)
    guard = AddressGuard(allow_private=False, admits=lambda address: address == LOOPBACK)
    with pytest.raises(RefusedSourceError, match=r"leads to 10\.0\.0\.1"):
        download("http://10.0.0.1/clip.mp4", site.cache, FetchConfig(attempts=1), guard, Silent())
    assert not site.server.log
