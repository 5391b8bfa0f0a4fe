"""One address downloaded to one file by yt-dlp: what its host offers, judged before, with a bound on its size."""

import io
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contracts.errors import FetchError, RefusedSourceError, VideoError
from tasks.contracts.progress import Progress
from tasks.shards.mirror import shown
from tasks.shards.proxies import proxy_for
from tasks.shards.sources import retry_after_s
from tasks.video.addresses import AddressGuard
from tasks.video.config import FetchConfig
from tasks.video.failures import Heard, asked_to_wait, is_passing, plain_line, translated
from tasks.video.sound import join_streams
from tasks.video.youtube import youtube_cookies

# Those that yt-dlp fetches itself, by http; for others it runs programs, or opens connections of its own.
PROTOCOLS = frozenset({"http", "https", "m3u8", "m3u8_native", "http_dash_segments"})
LISTS = frozenset({"playlist", "multi_video"})
NONE = "none"  # what yt-dlp calls the codec of a stream that is not there

Info = dict[str, Any]


def only_video(info: Info | None, address: str, config: FetchConfig) -> Info:
    """Return the one video of an address, or the first where lists are allowed.

    Raises:
        RefusedSourceError: there are several.
        FetchError: there is none.
    """
    while info and info.get("_type") in LISTS:
        entries = [each for each in info.get("entries") or () if each]
        count = max(int(info.get("playlist_count") or 0), len(entries))
        if count > 1 and not config.playlists:
            raise RefusedSourceError(
                f"{address} is a list of {count} videos or more: name one of them, or set `fetch.playlists` to take "
                "the first."
            )
        info = entries[0] if entries else None
    if not info:
        raise FetchError(f"No video was found at {address}. Open it in a browser to see what it is.")
    return info


def chooser(address: str, config: FetchConfig) -> Callable[[Info], Iterator[Info]]:
    """Return what yt-dlp asks which formats it is to take; it gives them worst first."""

    def choose(context: Info) -> Iterator[Info]:
        return iter(chosen(context["formats"], address, config))

    return choose


def chosen(formats: Sequence[Info], address: str, config: FetchConfig) -> list[Info]:
    """Return the best picture within the bounds, with the best sound where it has none of its own.

    A format that holds both is taken where its picture is as large; joining two is the price of a larger one.

    Raises:
        RefusedSourceError: no format is within the bounds.
    """
    usable = [each for each in formats if each.get("protocol") in PROTOCOLS]
    pictures = [each for each in usable if each.get("vcodec") != NONE]
    low = [each for each in pictures if shorter_side(each) <= config.largest_height]
    if not low:
        sides = sorted({side for each in pictures if (side := shorter_side(each))})
        raise RefusedSourceError(
            f"{address} comes only in {', '.join(map(str, sides))} pixels of the shorter side, over "
            f"`fetch.largest_height` of {config.largest_height}: raise that."
            if sides
            else f"{address} holds no picture that can be fetched by http(s): there is nothing to look at."
        )
    best = low[-1]
    whole = [each for each in low if each.get("acodec") != NONE and shorter_side(each) == shorter_side(best)]
    if whole:
        return whole[-1:]
    sounds = [each for each in usable if each.get("vcodec") == NONE and each.get("acodec") != NONE]
    return [best, *sounds[-1:]] if sounds else (_with_sound(low) or [best])


def shorter_side(form: Info) -> int:
    """Return what a format's `720p` counts: its height, or its width where the picture is upright; 0 if unknown."""
    return min((side for side in (form.get("width"), form.get("height")) if side), default=0)


def _with_sound(pictures: Sequence[Info]) -> list[Info]:
    """Return the best format that holds sound: a smaller picture that can be heard goes before a silent one."""
    return [each for each in pictures if each.get("acodec") != NONE][-1:]


def check_offer(info: Info, address: str, config: FetchConfig) -> None:
    """Refuse what is known to be out of bounds before any of it is fetched.

    Raises:
        RefusedSourceError: it is.
    """
    if info.get("is_live"):
        raise RefusedSourceError(f"{address} is still going on: fetch it when it has ended.")
    check_length(info.get("duration"), address, config)
    size_bytes = int(info.get("filesize") or 0)
    if size_bytes > config.largest_bytes:
        raise too_large(address, config)


def check_length(lasts_s: float | None, address: str, config: FetchConfig) -> None:
    """Refuse a video that lasts too long.

    Raises:
        RefusedSourceError: it does.
    """
    if lasts_s and lasts_s > config.longest_s:
        raise RefusedSourceError(
            f"{address} lasts {lasts_s:,.1f} s, over `fetch.longest_s` of {config.longest_s:,g}: raise that."
        )


def too_large(address: str, config: FetchConfig) -> RefusedSourceError:
    """Return what is to be said of a video that is too large."""
    return RefusedSourceError(
        f"{address} is larger than `fetch.largest_bytes` of {config.largest_bytes:,} bytes: raise that, or take a "
        "smaller format with `fetch.largest_height`."
    )


class SizeMeter:
    """Adds up the files of one video; picture and sound may come in two."""

    def __init__(self, progress: Progress, address: str, config: FetchConfig) -> None:
        self._progress, self._address, self._config = progress, address, config
        self._label = f"fetching {address}"
        self._done: dict[str, float] = {}
        self._total: dict[str, float | None] = {}

    def hear(self, state: dict[str, Any]) -> None:
        """Take one report.

        Raises:
            RefusedSourceError: more has come, or is to come, than is allowed.
        """
        name = str(state.get("filename"))
        before = self._done.get(name, 0.0)
        self._done[name] = float(state.get("downloaded_bytes") or before)
        sure = state.get("total_bytes")
        if max(sum(self._done.values()), sure or 0) > self._config.largest_bytes:
            raise too_large(self._address, self._config)
        self._say_total(name, sure or state.get("total_bytes_estimate"))
        if self._done[name] != before:
            self._progress.advance(self._label, self._done[name] - before)

    def _say_total(self, name: str, total: float | None) -> None:
        if name in self._total and self._total[name] == total:
            return
        self._total[name] = total
        known = [each for each in self._total.values() if each is not None]
        self._progress.begin(self._label, sum(known) if len(known) == len(self._total) else None, "B")


BACKOFF_S = 0.5  # before retry n, up to this times 2^(n-1) seconds are waited at random
LONGEST_WAIT_S = 120.0  # of a host's Retry-After
LONGEST_ADDRESS = 2048  # characters; longer ones are no addresses of pages


@dataclass(frozen=True)
class Downloaded:
    """A file and what its host says of it."""

    path: Path
    title: str
    address: str | None


def download(
    address: str,
    folder: Path,
    config: FetchConfig,
    guard: AddressGuard,
    progress: Progress,
    before_try: Callable[[], None] = lambda: None,
) -> Downloaded:
    """Fetch the video at an address into `folder`; what came before an interruption is not fetched again.

    Raises:
        RefusedSourceError: it lies in a private network, is too large, too long, a playlist, or still going on.
        WithdrawnVideoError: its host no longer has it.
        RestrictedVideoError: its host gives it to others only.
        RateLimitedError: its host gives us no more for a while.
        FetchError: it could not be fetched.
        DiskSpaceError: it does not fit on the disk.
        ConfigError: the environment's proxy cannot be used.
    """
    from yt_dlp.utils import YoutubeDLError  # noqa: PLC0415 - a second of imports, which files need not wait for

    folder.mkdir(parents=True, exist_ok=True)
    meter = SizeMeter(progress, shown(address), config)
    if config.allow_private:
        proxy_for(address)  # whether there is one and whether it can be used is known before anything is asked
    cookies = youtube_cookies(config.cookies_file) if config.cookies_file else None
    for attempt in range(1, config.attempts + 1):
        heard = Heard()
        before_try()
        try:
            return _try(address, folder, config, guard, _params(shown(address), config, meter, cookies), heard)
        except RefusedSourceError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except (YoutubeDLError, OSError, ValueError) as error:
            if attempt == config.attempts or not is_passing(error, heard):
                raise translated(error, shown(address), guard, heard) from error
            asked_s = retry_after_s(asked_to_wait(error))
        backoff_s = random.uniform(0, BACKOFF_S * 2 ** (attempt - 1))  # noqa: S311 - spread, not a secret
        time.sleep(max(backoff_s, min(asked_s, LONGEST_WAIT_S)))
    raise AssertionError("the last attempt returns or raises")


def _try(
    address: str, folder: Path, config: FetchConfig, guard: AddressGuard, params: dict[str, Any], heard: Heard
) -> Downloaded:
    from tasks.video.guarded_ydl import GuardedYdl  # noqa: PLC0415 - loads yt-dlp

    named = shown(address)
    with GuardedYdl(guard, folder, params, lambda info: check_offer(info, named, config), heard) as ydl:
        found: Any = ydl.extract_info(address, download=False, process=True)
        info: Any = only_video(found, named, config)
        check_offer(info, named, config)
        ydl.process_ie_result(info, download=True)
    came = [path for path in ydl.files if path.is_file()]
    if not came or len(came) < len(ydl.files):
        raise FetchError(f"{named} could not be fetched whole: its host offers it in a form that needs ffmpeg.")
    return Downloaded(_joined(came, folder, named), plain_line(str(info.get("title") or "")) or named, _page(info))


def _joined(came: list[Path], folder: Path, address: str) -> Path:
    if len(came) == 1:
        return came[0]
    try:
        return join_streams(came, folder / "joined.mkv")
    except VideoError as error:
        shutil.rmtree(folder, ignore_errors=True)  # else the next try would find the same
        raise FetchError(f"{address} gives picture and sound that cannot be put together. Try again.") from error


def _params(address: str, config: FetchConfig, meter: SizeMeter, cookies: str | None) -> dict[str, Any]:
    return {
        "format": chooser(address, config),
        "progress_hooks": [meter.hear],
        "noplaylist": True,
        "playlist_items": "1" if config.playlists else "1:2",  # the second tells that it is a list
        "socket_timeout": config.timeout_s,
        "retries": 0,  # a whole try is repeated instead: addresses of files may be short-lived
        "extractor_retries": 0,
        "fragment_retries": config.attempts - 1,
        "skip_unavailable_fragments": False,
        "continuedl": True,
        # As text: yt-dlp writes a file that it is given, and our copy of it ends with this try.
        "cookiefile": io.StringIO(cookies) if cookies else None,
    }


def _page(info: dict[str, Any]) -> str | None:
    """Return the web page of a video as a link may show it; what a host says may be anything."""
    page = str(info.get("webpage_url") or "")
    is_one = page.lower().startswith(("http://", "https://")) and page.isprintable() and len(page) <= LONGEST_ADDRESS
    return shown(page) if is_one else None
