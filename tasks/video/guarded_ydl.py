"""yt-dlp, held to what a pipeline may do: http and https through a guard, nothing executed, nothing of a person's own.

In: parameters, a guard and a folder. Out: a `YoutubeDL` whose every connection the guard makes, and whose files bear
names that no stranger has chosen. Does not know what is fetched.

Only yt-dlp's handler upon urllib is kept: its other ones would connect by themselves. A proxy would connect for us,
past the guard; so the environment's is used only where private addresses are allowed anyway. Plugins, configuration
files, cookies, netrc, JavaScript runtimes, ffmpeg and all other programs are not used.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

os.environ["YTDLP_NO_PLUGINS"] = "1"  # read when yt_dlp looks for some

from yt_dlp import YoutubeDL
from yt_dlp.downloader.common import FileDownloader
from yt_dlp.utils import Popen

from tasks.video.addresses import Guard
from tasks.video.guarded_http import close_all, guarded_handler

NOTHING_RUN: dict[str, Any] = {
    "quiet": True,
    "no_warnings": True,
    "noprogress": True,
    "color": "no_color",
    "cachedir": False,
    "usenetrc": False,
    "enable_file_urls": False,
    "js_runtimes": {},
    "remote_components": [],
    "ffmpeg_location": os.devnull,
    "hls_prefer_native": True,
    "fixup": "never",
    "postprocessors": [],
    "writethumbnail": False,
    "updatetime": False,
}


def _refuse_to_run(_self: object, args: object, *_: object, **__: object) -> NoReturn:
    raise PermissionError(f"yt-dlp may run no program here, and wanted to: {args!r}")


# A few of its extractors would run what they find on the PATH.
setattr(Popen, "__init__", _refuse_to_run)  # noqa: B010 - an assignment would not pass for its type
_open_for_writing: Any = FileDownloader.sanitize_open


def _open_and_remember(downloader: Any, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - yt-dlp's own
    """Open a file, so that one that is given up half-way is closed, and what has come of it is on the disk."""
    stream, name = _open_for_writing(downloader, *args, **kwargs)
    if isinstance(downloader.ydl, GuardedYdl):
        downloader.ydl.opened.append(stream)
    return stream, name


setattr(FileDownloader, "sanitize_open", _open_and_remember)  # noqa: B010 - an assignment would not pass for its type


class GuardedYdl(YoutubeDL):
    """A `YoutubeDL` whose connections a guard makes; `files` are those that it has been told to write, in order."""

    def __init__(
        self, guard: Guard, folder: Path, params: dict[str, Any], check: Callable[[dict[str, Any]], None]
    ) -> None:
        self.guard = guard
        self.files: list[Path] = []
        self.opened: list[Any] = []  # responses and files
        self._folder = folder
        self._check = check
        no_proxy = {} if guard.allow_private else {"proxy": ""}
        merged: Any = {**NOTHING_RUN, **no_proxy, **params}
        super().__init__(merged)

    def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:  # noqa: ANN401, ARG002 - yt-dlp's own
        """Take one handler, whose connections the guard makes, in place of all that yt-dlp has."""
        only: Any = [guarded_handler(self.guard, self.opened)]
        return super().build_request_director(only, preferences)

    def process_info(self, info_dict: Any) -> Any:  # noqa: ANN401 - yt-dlp's own
        """Check one file before it is fetched, and fetch it."""
        close_all(self.opened)
        self._check(info_dict)
        path = self._path(info_dict)
        if path not in self.files:
            self.files.append(path)
        return super().process_info(info_dict)

    def close(self) -> None:
        """End it, and hang up."""
        close_all(self.opened)
        super().close()

    def prepare_filename(self, info_dict: Any, *_: object, **__: object) -> str:  # noqa: ANN401 - yt-dlp's own
        """Return a name that comes from no template: neither titles nor ids nor extensions become paths."""
        return str(self._path(info_dict))

    def _path(self, info_dict: dict[str, Any]) -> Path:
        """Name a file by its format, so that what has come of one format is not continued with another."""
        key = f"{info_dict.get('format_id')}\n{info_dict.get('filesize')}\n{info_dict.get('height')}"
        return self._folder / f"{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:16]}.media"
