"""yt-dlp, held to what a pipeline may do: http and https through a guard, nothing executed, nothing of a person's own.

In: parameters and a guard. Out: a `YoutubeDL` whose every connection the guard makes. Does not know what is fetched.

Only yt-dlp's handler upon urllib is kept. Its other handlers, and proxies from the environment, would connect by
themselves; plugins, configuration files, cookies, netrc, JavaScript runtimes and ffmpeg are not used.
"""

import http.client
import os
from typing import Any
from urllib.request import OpenerDirector

os.environ.setdefault("YTDLP_NO_PLUGINS", "1")  # read when yt_dlp is imported

from yt_dlp import YoutubeDL
from yt_dlp.networking._urllib import HTTPHandler, UrllibRH

from tasks.video.addresses import Guard

NOTHING_RUN: dict[str, Any] = {
    "quiet": True,
    "no_warnings": True,
    "noprogress": True,
    "proxy": "",  # none, whatever the environment says
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


class GuardedYdl(YoutubeDL):
    """A `YoutubeDL` whose connections a guard makes."""

    def __init__(self, guard: Guard, params: dict[str, Any]) -> None:
        self.guard = guard
        merged: Any = {**NOTHING_RUN, **params}
        super().__init__(merged)

    def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:  # noqa: ANN401, ARG002 - yt-dlp's own
        """Take one handler, whose connections the guard makes, in place of all that yt-dlp has."""
        only: Any = [_handler(self.guard)]
        return super().build_request_director(only, preferences)


def _handler(guard: Guard) -> Any:  # noqa: ANN401 - a class of yt-dlp's, which has no types
    """Return a request handler of which each connection, after a redirect too, is made by `guard`."""

    class GuardedConnection(http.client.HTTPConnection):
        def connect(self) -> None:
            self._create_connection = guard.connect
            super().connect()

    class GuardedTlsConnection(http.client.HTTPSConnection):
        def connect(self) -> None:
            self._create_connection = guard.connect
            super().connect()

    def connection_class(base: Any, req: Any) -> Any:  # noqa: ANN401, ARG001 - yt-dlp's own signature
        return GuardedTlsConnection if issubclass(base, http.client.HTTPSConnection) else GuardedConnection

    class GuardedRH(UrllibRH):
        _SUPPORTED_URL_SCHEMES = ("http", "https")  # its ftp would connect by itself

        def _create_instance(self, *args: Any, **kwargs: Any) -> OpenerDirector:  # noqa: ANN401 - yt-dlp's own
            opener: Any = super()._create_instance(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
            for place in opener.handlers:
                if isinstance(place, HTTPHandler):
                    place._make_conn_class = connection_class
            return opener

    return GuardedRH
