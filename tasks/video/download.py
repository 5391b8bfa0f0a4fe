"""One address to one file, by yt-dlp.

In: an address and bounds. Out: the file and what its host says of it, or an error in one line. Does not know the cache.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contracts.errors import FetchError, RefusedSourceError, WithdrawnVideoError
from tasks.contracts.progress import Progress
from tasks.video.addresses import Guard
from tasks.video.config import FetchConfig
from tasks.video.joined import join_streams

# What hosts say of a video that they no longer have, as yt-dlp passes it on.
GONE = re.compile(
    r"unavailable|has been removed|private video|terminated|no longer available|does not exist|HTTP Error 410",
    re.IGNORECASE,
)
NOISE = re.compile(r"\x1b\[[0-9;]*m|^ERROR: *|\[[\w:+-]+\] |; please report this issue.*|\(caused by .*", re.DOTALL)


@dataclass(frozen=True)
class Downloaded:
    """A file and what its host says of it."""

    path: Path
    title: str
    address: str | None


class _Quiet:
    """A logger that says nothing: what matters comes as an exception."""

    def debug(self, _: str) -> None: ...
    def info(self, _: str) -> None: ...
    def warning(self, _: str) -> None: ...
    def error(self, _: str) -> None: ...


def download(address: str, folder: Path, config: FetchConfig, guard: Guard, progress: Progress) -> Downloaded:
    """Fetch the video at an address into `folder`; what came before an interruption is not fetched again.

    Raises:
        RefusedSourceError: it lies in a private network, is too large, too long, a playlist, or still going on.
        WithdrawnVideoError: its host no longer has it.
        FetchError: it could not be fetched.
    """
    from yt_dlp.utils import DownloadCancelled, YoutubeDLError  # noqa: PLC0415 - a second of imports, not for files

    from tasks.video.guarded_ydl import GuardedYdl  # noqa: PLC0415 - the same

    folder.mkdir(parents=True, exist_ok=True)
    meter = _Meter(progress, f"fetching {address}", config, address)
    try:
        with GuardedYdl(guard, _params(folder, config, meter)) as ydl:
            found: Any = ydl.extract_info(address, download=False, process=True)
            info: Any = _only_video(found, address, config)
            _check(info, address, config)
            ydl.process_ie_result(info, download=True)
    except DownloadCancelled as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise RefusedSourceError(str(error)) from error
    except (YoutubeDLError, OSError, ValueError) as error:
        raise _translated(error, address, guard) from error
    return Downloaded(_whole(folder, address), str(info.get("title") or address), info.get("webpage_url"))


def _params(folder: Path, config: FetchConfig, meter: "_Meter") -> dict[str, Any]:
    height = f"[height<=?{config.largest_height}]"
    return {
        # Sound and picture in one file first; else both, joined afterwards; else what there is.
        "format": f"b{height}/(bv{height},ba)/b/bv",
        # A number in place of the title, the id and the format: none of those becomes a path.
        "outtmpl": {"default": str(folder / "%(autonumber)d.media")},
        "logger": _Quiet(),
        "progress_hooks": [meter.hear],
        "noplaylist": True,
        "playlist_items": "1",
        "socket_timeout": config.timeout_s,
        "retries": config.attempts - 1,
        "fragment_retries": config.attempts - 1,
        "extractor_retries": config.attempts - 1,
        "continuedl": True,
    }


class _Meter:
    """Passes on how far a download is, and ends one that is too large."""

    def __init__(self, progress: Progress, label: str, config: FetchConfig, address: str) -> None:
        self._progress, self._label, self._config, self._address = progress, label, config, address
        self._done = 0.0

    def hear(self, state: dict[str, Any]) -> None:
        done = float(state.get("downloaded_bytes") or 0)
        total = state.get("total_bytes") or state.get("total_bytes_estimate")
        if max(done, state.get("total_bytes") or 0) > self._config.largest_bytes:
            from yt_dlp.utils import DownloadCancelled  # noqa: PLC0415 - loaded already when this is called

            raise DownloadCancelled(
                f"{self._address} is larger than `fetch.largest_bytes` of {self._config.largest_bytes:,} bytes: raise "
                "that, or take a smaller format with `fetch.largest_height`."
            )
        self._progress.begin(self._label, total, "B")
        self._progress.advance(self._label, done - self._done if done >= self._done else done)
        self._done = done


def _only_video(info: dict[str, Any] | None, address: str, config: FetchConfig) -> dict[str, Any]:
    if not info:
        raise FetchError(f"No video was found at {address}.")
    if info.get("_type") not in {"playlist", "multi_video"}:
        return info
    entries = [each for each in info.get("entries") or () if each]
    if not entries:
        raise FetchError(f"No video was found at {address}.")
    count = info.get("playlist_count") or len(entries)
    if count > 1 and not config.playlists:
        raise RefusedSourceError(
            f"{address} is a list of {count} videos: name one of them, or set `fetch.playlists` to take the first."
        )
    return entries[0]


def _check(info: dict[str, Any], address: str, config: FetchConfig) -> None:
    """Refuse what is known to be out of bounds before any of it is fetched."""
    if info.get("is_live"):
        raise RefusedSourceError(f"{address} is still going on: fetch it when it has ended.")
    lasts_s = float(info.get("duration") or 0)
    if lasts_s > config.longest_s:
        raise RefusedSourceError(
            f"{address} lasts {lasts_s:,.0f} s, over `fetch.longest_s` of {config.longest_s:,.0f}: raise that."
        )
    size_bytes = int(info.get("filesize") or 0)
    if size_bytes > config.largest_bytes:
        raise RefusedSourceError(
            f"{address} has {size_bytes:,} bytes, over `fetch.largest_bytes` of {config.largest_bytes:,}: raise that."
        )


def _translated(error: Exception, address: str, guard: Guard) -> Exception:
    if guard.refused:
        return RefusedSourceError(
            f"{address} leads to {guard.refused}, which is not on the public internet, and is not fetched from. If you "
            "trust whoever names videos, set `fetch.allow_private`: REELSIFT_FETCH__ALLOW_PRIVATE=true."
        )
    reason = " ".join(NOISE.sub("", str(error)).split()) or type(error).__name__
    if GONE.search(reason):
        return WithdrawnVideoError(f"{address} is no longer there: {reason}")
    return FetchError(f"{address} could not be fetched: {reason} What has come is kept; try again.")


def _whole(folder: Path, address: str) -> Path:
    """Return the one file that came, or the one that sound and picture are joined to."""
    found = sorted(folder.glob("*.media"))
    if not found:
        raise FetchError(f"{address} gave no file: its host may have no format that can be fetched without ffmpeg.")
    return found[0] if len(found) == 1 else join_streams(found, folder / "joined.mkv")
