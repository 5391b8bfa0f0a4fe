"""YouTube by yt-dlp's own extractor, on player responses that the tests write, with challenges that deno solves."""

import gc
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from tasks.contracts.errors import (
    ConfigError,
    FetchError,
    RateLimitedError,
    RefusedSourceError,
    RestrictedVideoError,
    SourceError,
    WithdrawnVideoError,
)
from tasks.contracts.files import file_digest
from tasks.contracts.media import FetchedVideo, VideoOutcome
from tasks.per_video.fetching import Workplace, fetch_each
from tasks.shards.config import DownloadConfig
from tasks.video.addresses import AddressGuard
from tasks.video.config import FetchConfig, MediaBounds
from tasks.video.fetch import fetch_video
from tasks.video.youtube import Turns, is_on_youtube, youtube_cookies
from tasks.weights.store import WeightsStore
from tests.support.media import Tone, shades, write_sound, write_video
from tests.support.proxy_server import ProxyServer
from tests.support.video_server import write_clip
from tests.support.youtube_site import VIDEO_ID, Form, Video, YouTubeSite, playable, unplayable

OTHER_ID = "aaaaaaaaaaa"
WITHOUT_RUNTIME = "tasks.video.guarded_ydl.deno_path"


@dataclass
class Tube:
    """The site, files for it, and who fetches from it."""

    site: YouTubeSite
    cache: Path
    small: Form  # with sound
    large: Form
    sound: Form

    def fetch(self, source: str = VIDEO_ID, **config: Any) -> FetchedVideo:
        wanted = FetchConfig.model_validate({"attempts": 1, "timeout_s": 5, "pause_s": 0, **config})
        return fetch_video(source, self.cache, wanted, DownloadConfig())

    def has(self, *responses: dict[str, Any], video_id: str = VIDEO_ID, **video: Any) -> None:
        """Let every client get this response, or the clients on televisions and on headsets one each."""
        clients = ("*",) if len(responses) == 1 else ("TVHTML5", "VISIONOS", "*")
        self.site.videos[video_id] = Video(dict(zip(clients, responses, strict=False)), **video)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Form]:
    folder = tmp_path_factory.mktemp("files")
    return [
        Form(18, 'video/mp4; codecs="avc1.42001E, mp4a.40.2"', write_clip(folder / "small.mp4"), 640, 360),
        Form(136, 'video/mp4; codecs="avc1.4d401f"', write_video(folder / "large.mp4", shades(10)), 1280, 720),
        Form(140, 'audio/mp4; codecs="mp4a.40.2"', write_sound(folder / "sound.m4a", Tone(duration_s=1.0))),
    ]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority")


@pytest.fixture
def tube(files: list[Form], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tube]:
    """YouTube on loopback, under its own names."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with YouTubeSite(tmp_path) as site:

        def resolve(host: str, *_: object) -> list[Any]:
            assert is_on_youtube(f"https://{host}") or host.endswith(".googlevideo.com"), host
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", site.port))]

        def guard(*, allow_private: bool) -> AddressGuard:
            return AddressGuard(
                allow_private=allow_private, resolve=resolve, admits=lambda address: address == "127.0.0.1"
            )

        monkeypatch.setattr("tasks.video.fetch.AddressGuard", guard)
        monkeypatch.setenv("SSL_CERT_FILE", str(site.authority))
        site.files = {form.itag: form.file for form in files}
        yield Tube(site, tmp_path / "cache", *files)


def test_challenges_are_solved_and_the_best_picture_is_joined_with_the_sound(tube: Tube) -> None:
    locked = playable([tube.small, tube.large, tube.sound], locked=True)
    tube.has(locked, playable([tube.small], locked=False), unplayable("ERROR", "Video unavailable"))
    video = tube.fetch()
    assert (video.title, video.youtube_id) == ("Bottles & bowls", VIDEO_ID)
    with av.open(str(video.path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert sum(1 for _ in container.decode(video=0)) == 10
    assert tube.site.clients == ["TVHTML5", "VISIONOS"]  # and the web's, whose response is in the page


def test_without_a_runtime_one_client_is_asked(tube: Tube, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the runtime is for: the same site gives less to one who cannot solve its challenges."""
    monkeypatch.setattr(WITHOUT_RUNTIME, lambda: None)
    locked = playable([tube.small, tube.large, tube.sound], locked=True)
    tube.has(locked, playable([tube.small], locked=False), unplayable("ERROR", "Video unavailable"))
    assert tube.fetch().sha256 == file_digest(tube.small.file)
    assert tube.site.clients == ["VISIONOS"]


def test_a_player_without_a_solution_costs_its_formats_only(tube: Tube) -> None:
    tube.site.player = "var _yt_player={};(function(g){var a=1;/* signatureTimestamp:20412 */})(_yt_player);"
    tube.has(
        playable([tube.large, tube.sound], locked=True),
        playable([tube.small], locked=False),
        unplayable("ERROR", "Video unavailable"),
    )
    assert tube.fetch().sha256 == file_digest(tube.small.file)


HOSTILE = {
    "file": "const fs = g.getBuiltin('node:fs'); fs.readFileSync('SECRET', 'utf8')",
    "module": "g.leak = 1; import('file://SECRET', {with: {type: 'text'}}).then((m) => g.send(m.default))",
    "network": "fetch('http://127.0.0.1:PORT/stolen').catch(() => 0)",
    "program": "new Deno.Command('/bin/sh', {args: ['-c', 'touch CANARY']}).outputSync()",
    "environment": "Deno.env.toObject()",
    "write": "Deno.writeTextFileSync('CANARY', 'x')",
}


@pytest.mark.parametrize("act", HOSTILE, ids=list(HOSTILE))
def test_a_hostile_player_gets_at_nothing(tube: Tube, tmp_path: Path, act: str) -> None:
    """The player is YouTube's in name only: whoever can put one there would run code here."""
    secret, canary = tmp_path / "secret", tmp_path / "canary"
    secret.write_text("secret")
    code = HOSTILE[act].replace("SECRET", str(secret)).replace("CANARY", str(canary))
    code = code.replace("PORT", str(tube.site.port)).replace("g.getBuiltin", "process.getBuiltinModule")
    hostile = f"var stolen = (function() {{ {code} }})();"
    tube.site.player = tube.site.player.replace("/*EXTRA*/", hostile)
    tube.has(
        playable([tube.large, tube.sound], locked=True),
        playable([tube.small], locked=False),
        unplayable("ERROR", "Video unavailable"),
    )
    asked_for = len(tube.site.requests)
    assert tube.fetch().path.is_file()
    assert not canary.exists()
    assert not any("stolen" in path for _, path, _ in tube.site.requests[asked_for:])


BOT = unplayable("LOGIN_REQUIRED", "Sign in to confirm you\N{RIGHT SINGLE QUOTATION MARK}re not a bot", "Learn more")
NOT_HERE = "The uploader has not made this video available in your country"
MEMBERS = "Join this channel to get access to members-only content like this video, and other exclusive perks."
REFUSED = {
    "rate-limit": (
        unplayable("UNPLAYABLE", "Video unavailable", "This content isn't available, try again later."),
        RateLimitedError,
        "is not given for now.*`fetch.pause_s`.*`fetch.cookies_file`",
    ),
    "bot": (BOT, RestrictedVideoError, r"takes us for a bot.*private window.*chmod 600.*REELSIFT_FETCH__COOKIES_FILE"),
    "geo": (
        unplayable("UNPLAYABLE", "Video unavailable", NOT_HERE),
        RestrictedVideoError,
        "is not shown in the country",
    ),
    "geo-copyright": (
        unplayable("UNPLAYABLE", "Video unavailable", "It contains content from X, who has blocked it in your country"),
        RestrictedVideoError,
        "is not shown in the country",
    ),
    "age": (
        unplayable("LOGIN_REQUIRED", "Sign in to confirm your age", "This video may be inappropriate for some users."),
        RestrictedVideoError,
        "is for adults only.*cookies",
    ),
    "members": (unplayable("UNPLAYABLE", MEMBERS), RestrictedVideoError, "is for members or paying viewers only"),
    "members-level": (
        unplayable("UNPLAYABLE", "This video is available to this channel's members on level: Gold"),
        RestrictedVideoError,
        "is for members or paying viewers only",
    ),
    "premium": (
        unplayable("UNPLAYABLE", "Video unavailable", "This video is only available to Music Premium members"),
        RestrictedVideoError,
        "is for members or paying viewers only",
    ),
    "private": (
        unplayable("LOGIN_REQUIRED", "Private video", "Sign in if you've been granted access to this video"),
        RestrictedVideoError,
        "is private.*private window",
    ),
    "removed": (
        unplayable("ERROR", "Video unavailable", "This video has been removed by the uploader"),
        WithdrawnVideoError,
        "is no longer there .*removed by the uploader",
    ),
    "terminated": (
        unplayable("ERROR", "This video is no longer available because the YouTube account has been terminated."),
        WithdrawnVideoError,
        "is no longer there",
    ),
    "violation": (
        unplayable("ERROR", "This video has been removed for violating YouTube's Terms of Service"),
        WithdrawnVideoError,
        "is no longer there",
    ),
    "gone": (unplayable("ERROR", "Video unavailable"), WithdrawnVideoError, "is no longer there"),
    "upcoming": (
        unplayable("LIVE_STREAM_OFFLINE", "This live event will begin in 2 hours."),
        RefusedSourceError,
        "has not begun yet",
    ),
    "premiere": (
        unplayable("LIVE_STREAM_OFFLINE", "Premieres in 3 hours"),
        RefusedSourceError,
        "has not begun yet",
    ),
    "no-recording": (
        unplayable("ERROR", "This live stream recording is not available."),
        WithdrawnVideoError,
        "is no longer there",
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=list(REFUSED))
def test_refusals_are_told_apart(tube: Tube, case: str) -> None:
    response, kind, message = REFUSED[case]
    tube.has(response)
    with pytest.raises(SourceError, match=message) as caught:
        tube.fetch(attempts=3)
    assert type(caught.value) is kind
    assert str(caught.value).isprintable()
    assert "yt-dlp" not in str(caught.value)
    pages = [path for _, path, _ in tube.site.requests if path.startswith("/watch")]
    assert len(pages) == 1  # asking again at once makes none of them better
    assert not any(path.is_dir() for path in tube.cache.iterdir())


def test_a_broadcast_that_goes_on_is_refused(tube: Tube) -> None:
    tube.has(playable([tube.small], locked=False, isLive=True))
    with pytest.raises(RefusedSourceError, match="is still going on"):
        tube.fetch()


@pytest.mark.parametrize("has_runtime", [True, False], ids=["runtime", "no-runtime"])
def test_a_video_made_for_kids_needs_the_runtime(
    tube: Tube, monkeypatch: pytest.MonkeyPatch, has_runtime: bool
) -> None:
    not_here = unplayable("UNPLAYABLE", "Video unavailable", "This video is not available")
    tube.has(not_here, not_here, not_here, page="Comments are off, as this video is made for kids")
    tube.site.videos[VIDEO_ID].responses["WEB_EMBEDDED_PLAYER"] = playable([tube.small], locked=True)
    if has_runtime:
        assert tube.fetch().sha256 == file_digest(tube.small.file)
        return
    monkeypatch.setattr(WITHOUT_RUNTIME, lambda: None)
    with pytest.raises(RestrictedVideoError, match="is made for kids"):
        tube.fetch()


@pytest.mark.parametrize(
    ("video", "kind", "message", "tries"),
    [
        pytest.param({"page_status": 429, "api_status": 429}, RateLimitedError, "is not given for now", 2, id="429"),
        pytest.param({"page_status": 500, "api_status": 500}, FetchError, "HTTP Error 500.*Try again", 2, id="500"),
        pytest.param({"page_status": 403, "api_status": 403}, FetchError, "HTTP Error 403", 1, id="403"),
    ],
)
def test_a_site_that_answers_nothing_says_why(
    tube: Tube, video: dict[str, Any], kind: type[SourceError], message: str, tries: int
) -> None:
    tube.has(unplayable("ERROR", "never seen"), **video)
    with pytest.raises(SourceError, match=message) as caught:
        tube.fetch(attempts=2)
    assert type(caught.value) is kind
    assert sum(path.startswith("/watch") for _, path, _ in tube.site.requests) == tries


def test_an_error_that_passes_is_asked_again(tube: Tube) -> None:
    tube.has(unplayable("ERROR", "An error occurred. Please try again later."))
    with pytest.raises(FetchError, match=r"An error occurred.*Try again"):
        tube.fetch(attempts=2)
    assert sum(path.startswith("/watch") for _, path, _ in tube.site.requests) == 2


def workplace(tube: Tube, **config: Any) -> Workplace:
    return Workplace(
        fetched=tube.cache,
        out=tube.cache,
        fetch=FetchConfig.model_validate({"attempts": 1, "pause_s": 0, **config}),
        download=DownloadConfig(),
        bounds=MediaBounds(),
        weights=WeightsStore(folder=tube.cache, table={}),
    )


def test_a_list_waits_for_the_limit_to_pass(tube: Tube, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = REFUSED["rate-limit"][0]
    tube.has(limited)
    tube.has(playable([tube.small], locked=False, video_id=OTHER_ID), video_id=OTHER_ID)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if sum(slept) >= 30:  # the second wait is over
            tube.has(playable([tube.small], locked=False))

    monkeypatch.setattr("tasks.per_video.fetching.sleep", sleep)
    found = list(fetch_each([VIDEO_ID, OTHER_ID], workplace(tube)))
    assert [isinstance(each, FetchedVideo) for each in found] == [True, True]
    assert sum(slept) == 10 + 20


def test_patience_has_an_end_and_is_for_lists(tube: Tube, monkeypatch: pytest.MonkeyPatch) -> None:
    tube.has(REFUSED["rate-limit"][0])
    tube.has(REFUSED["rate-limit"][0], video_id=OTHER_ID)
    slept: list[float] = []
    monkeypatch.setattr("tasks.per_video.fetching.sleep", slept.append)
    assert isinstance(next(fetch_each([VIDEO_ID], workplace(tube))), VideoOutcome)
    assert not slept
    found = list(fetch_each([VIDEO_ID, OTHER_ID], workplace(tube, rate_limit_wait_s=45)))
    assert [each.reason for each in found if isinstance(each, VideoOutcome) and "not given for now" in str(each.reason)]
    assert sum(slept) == 45  # for both together


def test_videos_are_fetched_one_after_the_other_with_a_pause(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "cache", 0.2)
    began: list[float] = []

    def take(_: int) -> None:
        turns.take()
        began.append(time.monotonic())

    start = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(take, range(4)))
    assert began[0] - start < 0.15  # the first waits for nobody
    gaps = [later - sooner for sooner, later in pairwise(began)]
    assert min(gaps) > 0.15


def test_a_clock_that_was_set_back_makes_nobody_wait(tmp_path: Path) -> None:
    turns = Turns(tmp_path, 3600)
    turns.take()
    ahead = time.time() + 600
    os.utime(next(tmp_path.iterdir()), (ahead, ahead))
    start = time.monotonic()
    turns.take()
    assert time.monotonic() - start < 5


COOKIES = (
    "# Netscape HTTP Cookie File\n"
    "#HttpOnly_.youtube.com\tTRUE\t/\tFALSE\t2147483647\tLOGIN_INFO\tyou\n"
    ".youtube.com\tTRUE\t/\tTRUE\t0\tSAPISID\tsecret-sap\n"
    ".example.org\tTRUE\t/\tFALSE\t2147483647\tbank\tsecret-bank\n"
    ".notyoutube.com\tTRUE\t/\tFALSE\t2147483647\tother\tsecret-other\n"
    "broken line\n"
)


def write_cookies(path: Path, text: str = COOKIES, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_cookies_go_to_youtube_and_the_file_stays_as_it_is(tube: Tube, tmp_path: Path) -> None:
    cookies = write_cookies(tmp_path / "cookies.txt")
    tube.has(playable([tube.small], locked=True))
    tube.fetch(cookies_file=cookies)
    sent = {host: headers.get("cookie", "") for host, path, headers in tube.site.requests if "/watch" in path}
    assert "LOGIN_INFO=you" in sent["www.youtube.com"]
    assert "SAPISID=secret-sap" in sent["www.youtube.com"]
    everything = " ".join(headers.get("cookie", "") for _, _, headers in tube.site.requests)
    assert "secret-bank" not in everything
    assert all("cookie" not in headers for host, _, headers in tube.site.requests if "googlevideo" in host)
    assert "TVHTML5" in tube.site.clients
    assert "VISIONOS" not in tube.site.clients  # which takes no cookies
    assert cookies.read_text() == COOKIES


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602])
def test_cookies_that_others_can_get_at_are_refused(tube: Tube, tmp_path: Path, mode: int) -> None:
    cookies = write_cookies(tmp_path / "cookies.txt", mode=mode)
    tube.has(playable([tube.small], locked=False))
    with pytest.raises(RefusedSourceError, match=rf"mode {mode:04o}.*chmod 600 "):
        tube.fetch(cookies_file=cookies)
    assert not tube.site.requests


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_cookies_of_another_account_are_refused(tmp_path: Path) -> None:
    cookies = write_cookies(tmp_path / "cookies.txt")
    os.chown(cookies, 65534, 65534)
    with pytest.raises(RefusedSourceError, match="belongs to another account"):
        youtube_cookies(cookies)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('[{"name": "SAPISID", "value": "secret-sap"}]', "no cookies of youtube.com", id="json"),
        pytest.param("", "no cookies of youtube.com", id="empty"),
        pytest.param(COOKIES.replace("youtube.com", "example.net"), "no cookies of youtube.com", id="other-sites"),
        pytest.param(None, "cannot be read: No such file", id="missing"),
    ],
)
def test_what_holds_no_cookies_of_youtube_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "cookies.txt"
    if text is not None:
        write_cookies(path, text)
    with pytest.raises(RefusedSourceError, match=message) as caught:
        youtube_cookies(path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_video_comes_through_the_proxy(tube: Tube, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """With the guard that is used everywhere, which would find none of these names."""
    monkeypatch.setattr("tasks.video.fetch.AddressGuard", AddressGuard)
    tube.has(playable([tube.small], locked=True))
    with ProxyServer(tube.site.port, password="hunter2" if kind == "socks5" else None) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{kind}://anna:hunter2@127.0.0.1:{proxy.port}")
        assert tube.fetch(allow_private=True).sha256 == file_digest(tube.small.file)
        assert {"www.youtube.com:443", "rr1---sn-loopback.googlevideo.com:443"} == set(proxy.asked)
        tube.has(REFUSED["bot"][0])
        with pytest.raises(RestrictedVideoError) as caught:
            tube.fetch(allow_private=True, refresh=True)
    assert f"through the proxy {kind}://***@127.0.0.1:{proxy.port} (ALL_PROXY)" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # of http.client, as old as in Debian 12
@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_proxy_that_refuses_a_video_is_named(tube: Tube, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("tasks.video.fetch.AddressGuard", AddressGuard)
    with ProxyServer(tube.site.port, refuses=403) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://anna:hunter2@127.0.0.1:{proxy.port}")
        with pytest.raises(SourceError, match=rf"through the proxy {kind}://.*127\.0\.0\.1:{proxy.port}") as caught:
            tube.fetch(allow_private=True)
    assert proxy.asked
    assert "hunter2" not in str(caught.value)
    del caught
    gc.collect()  # while that is not an error


def test_a_proxy_that_is_not_used_is_named_where_nothing_is_reached(
    tube: Tube, monkeypatch: pytest.MonkeyPatch
) -> None:
    tube.has(unplayable("ERROR", "never seen"), page_status=503, api_status=503)
    monkeypatch.setenv("HTTPS_PROXY", "http://anna:hunter2@127.0.0.1:9")
    with pytest.raises(FetchError, match=r"\*\*\*@127\.0\.0\.1:9 \(.*was not used.*REELSIFT_FETCH__ALLOW_PRIVATE=true"):
        tube.fetch()


def test_a_proxy_that_cannot_be_used_is_one_line(tube: Tube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks4://anna:hunter2@127.0.0.1:1")
    with pytest.raises(ConfigError, match="HTTPS_PROXY names a proxy of the kind 'socks4'"):
        tube.fetch(allow_private=True)
    assert not tube.site.requests


def test_the_typed_command_through_a_proxy(tube: Tube, tmp_path: Path) -> None:
    """`reelsift label` of a YouTube id, as on a machine that reaches the internet through a proxy alone."""
    tube.has(REFUSED["geo"][0])
    with ProxyServer(tube.site.port) as proxy:
        environment = os.environ | {
            "HTTPS_PROXY": f"http://anna:hunter2@127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": str(tube.site.authority),
            "REELSIFT_HOME": str(tmp_path / "home"),
            "REELSIFT_FETCH__ALLOW_PRIVATE": "true",
        }
        command = [str(Path(sys.executable).with_name("reelsift")), "label", VIDEO_ID]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 1
    assert "error: " in run.stderr
    error = " ".join(run.stderr[run.stderr.index("error: ") :].split())
    assert "is not shown in the country that this machine is in" in error
    assert f"through the proxy http://***@127.0.0.1:{proxy.port} (HTTPS_PROXY)" in error
    assert "hunter2" not in run.stderr + run.stdout
    assert "Traceback" not in run.stderr
    assert "www.youtube.com:443" in proxy.asked


def test_youtube_itself() -> None:
    """The real thing, where the network leads there: the first video that was ever put on it."""
    try:
        socket.create_connection(("www.youtube.com", 443), timeout=3).close()
    except OSError as error:
        pytest.skip(f"no way to www.youtube.com from here: {error}")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        try:
            video = fetch_video("jNQXAC9IVRw", Path(folder), FetchConfig(pause_s=0), DownloadConfig())
        except (RestrictedVideoError, RateLimitedError) as error:
            pytest.skip(f"YouTube does not serve this network: {error}")
        assert "zoo" in video.title.lower()
        with av.open(str(video.path)) as container:
            assert 18 < sum(1 for _ in container.decode(video=0)) / 15 < 21
