"""Downloads that break off, processes that are killed, and two that want the same."""

import signal
import time

import pytest

from tasks.contracts.errors import FetchError
from tasks.contracts.files import file_digest
from tests.support.mirror_server import Fault, MirrorServer, status
from tests.support.video_server import VIDEO, write_clip
from tests.video.fetching import Heard, Site

DEADLINE_S = 60


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_host_that_fails_for_a_moment_is_asked_again(site: Site, code: int) -> None:
    site.server.script("clip.mp4", status(code))
    assert site.fetch("clip.mp4").sha256 == file_digest(site.folder / "clip.mp4")


def test_a_host_that_goes_on_failing_is_given_up(site: Site) -> None:
    site.server.always("clip.mp4", status(500))
    with pytest.raises(FetchError, match=r"HTTP Error 500.* Try again: what has come is kept"):
        site.fetch("clip.mp4", attempts=2)
    assert site.gets("clip.mp4") == 2
    assert not any(site.cache.iterdir())


def test_a_body_that_is_cut_short_is_continued_where_it_ended(site: Site) -> None:
    size_bytes = (site.folder / "clip.mp4").stat().st_size
    half = size_bytes // 2
    site.server.script("clip.mp4", VIDEO, Fault(headers=VIDEO.headers, cut_after=half))
    heard = Heard()
    assert site.fetch("clip.mp4", heard).sha256 == file_digest(site.folder / "clip.mp4")
    ranges = [line.range for line in site.server.log if line.range]
    assert ranges == [f"bytes={half}-"]
    assert list(heard.done.values()) == [size_bytes]


def test_a_server_that_knows_no_ranges_sends_all_again(site: Site) -> None:
    site.server.script(
        "clip.mp4",
        VIDEO,
        Fault(headers=VIDEO.headers, cut_after=5000),
        VIDEO,
        Fault(headers=VIDEO.headers, ignore_range=True),
    )
    assert site.fetch("clip.mp4").sha256 == file_digest(site.folder / "clip.mp4")


def test_a_killed_download_is_continued_where_it_ended(site: Site) -> None:
    write_clip(site.folder / "clip.mp4", frames=300)
    size_bytes = (site.folder / "clip.mp4").stat().st_size
    site.server.bytes_per_s = 200_000
    cut = size_bytes * 3 // 4
    site.server.script("clip.mp4", VIDEO, Fault(headers=VIDEO.headers, stall_after=cut))
    with site.process("clip.mp4") as process:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        wait_for_part(site, cut // 2)
        process.send_signal(signal.SIGKILL)
    assert not list(site.cache.rglob("fetched.json"))
    site.server.bytes_per_s = None
    assert site.fetch("clip.mp4").sha256 == file_digest(site.folder / "clip.mp4")
    first = [int(line.range.removeprefix("bytes=").rstrip("-")) for line in site.server.log if line.range]
    assert len(first) == 1
    assert cut // 2 <= first[0] <= cut
    assert site.left() == ["fetched.json", "video"]


def wait_for_part(site: Site, size_bytes: int) -> None:
    """Wait until so much of a file has come."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if any(path.stat().st_size >= size_bytes for path in site.cache.rglob("*.part")):
            return
        time.sleep(0.02)
    raise AssertionError(f"no part of {size_bytes} bytes within {DEADLINE_S} s")


def test_two_that_want_the_same_fetch_it_once(site: Site) -> None:
    site.server.latency_s = 0.2
    with site.process("clip.mp4") as one, site.process("clip.mp4") as two:
        for process in (one, two):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        said = {process.communicate("go\n", timeout=DEADLINE_S)[0].strip() for process in (one, two)}
    assert said == {file_digest(site.folder / "clip.mp4")}
    assert site.gets("clip.mp4") == 2  # a look at the start of it, and the whole


def test_a_stalled_host_is_given_up_after_the_silence(site: Site) -> None:
    server: MirrorServer = site.server
    server.always("clip.mp4", Fault(headers=VIDEO.headers, stall_after=1000))
    with pytest.raises(FetchError, match="timed out"):
        site.fetch("clip.mp4", attempts=1, timeout_s=0.5)
