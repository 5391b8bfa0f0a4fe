"""yt-dlp restricted: HTTP through the guard with bounded pages, no program but the sandboxed deno."""

import hashlib
import http.client
import logging
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from urllib.request import OpenerDirector
from urllib.request import ProxyHandler as StandardProxyHandler

from yt_dlp import YoutubeDL
from yt_dlp.downloader.common import FileDownloader
from yt_dlp.extractor import gen_extractor_classes
from yt_dlp.extractor.youtube.jsc._builtin.ejs import EJSBaseJCP
from yt_dlp.extractor.youtube.jsc.provider import JsChallengeProviderError, register_provider
from yt_dlp.extractor.youtube.pot._provider import BuiltinIEContentProvider
from yt_dlp.networking._urllib import HTTPHandler, ProxyHandler, UrllibRH
from yt_dlp.networking.exceptions import HTTPError, RequestError
from yt_dlp.utils import Popen, version_tuple
from yt_dlp.utils._jsruntime import JsRuntimeInfo

from tasks.contracts.errors import ConfigError
from tasks.shards.proxies import Proxy, proxy_for
from tasks.video.addresses import AddressGuard, bound_reading, unpacked_response
from tasks.video.failures import Heard, plain_line
from tasks.video.javascript import ScriptError, deno_path, deno_version, run_script
from tasks.video.youtube import is_on_youtube

FOR_KIDS = b"made for kids"  # as yt-dlp looks for it
OTHER_SCHEMES = ("ftp", "data")  # of urllib's; a redirect may lead there, and ftp would connect by itself


def guarded_handler(guard: AddressGuard, opened: list[Any], heard: Heard) -> Any:  # noqa: ANN401 - a class of yt-dlp's
    """Return a request handler of which each connection, after a redirect too, is made by `guard`.

    Responses that are not closed yet are found in `opened`, what went wrong in `heard`.
    """
    members = {
        "connection_class": staticmethod(_connection_class(guard)),
        "opened": opened,
        "heard": heard,
        "allow_private": guard.allow_private,
    }
    return type("GuardedRH", (_GuardedRH,), members)


def close_all(opened: list[Any]) -> None:
    """Hang up on hosts whose answers nobody has read to the end: looking at the start of a file leaves such."""
    while opened:
        opened.pop().close()


def _connection_class(guard: AddressGuard) -> Any:  # noqa: ANN401 - as yt-dlp's `_make_conn_class`
    class GuardedConnection(http.client.HTTPConnection):
        def connect(self) -> None:
            self._create_connection = guard.connect
            super().connect()

    class GuardedTlsConnection(http.client.HTTPSConnection):
        def connect(self) -> None:
            self._create_connection = guard.connect
            super().connect()

    def connection_class(base: Any, req: Any) -> Any:  # noqa: ANN401 - yt-dlp's own signature
        if guard.allow_private and "Ytdl-socks-proxy" in req.headers:  # the environment's
            return HTTPHandler._make_conn_class(base, req)
        return GuardedTlsConnection if issubclass(base, http.client.HTTPSConnection) else GuardedConnection

    return connection_class


TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
CONTEXTS: dict[tuple[object, ...], ssl.SSLContext] = {}  # reading all authorities takes longer than a small file


class _GuardedRH(UrllibRH):
    """Makes no connection by itself."""

    _SUPPORTED_URL_SCHEMES = ("http", "https")
    connection_class: Any
    opened: list[Any]
    heard: Heard
    allow_private: bool

    def _make_sslcontext(self, legacy_ssl_support: bool | None = None) -> ssl.SSLContext:
        trusted = tuple(os.environ.get(name) for name in TRUST)
        key = (self.verify, legacy_ssl_support, self.legacy_ssl_support, self.prefer_system_certs, trusted)
        if key not in CONTEXTS:
            CONTEXTS[key] = super()._make_sslcontext(legacy_ssl_support)
        return CONTEXTS[key]

    def _create_instance(self, *args: Any, **kwargs: Any) -> OpenerDirector:  # noqa: ANN401 - yt-dlp's own
        opener: Any = super()._create_instance(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        for scheme in OTHER_SCHEMES:
            opener.handle_open.pop(scheme, None)
        for each in opener.handlers:
            if isinstance(each, ProxyHandler):
                chosen: Any = each
                chosen.http_open = chosen.https_open = self._by_proxy(each)
            if isinstance(each, HTTPHandler):
                handler: Any = each
                handler._make_conn_class = self.connection_class
                handler.http_response = handler.https_response = unpacked_response
        return opener

    def _by_proxy(self, handler: Any) -> Any:  # noqa: ANN401 - urllib's own protocol
        """Return what sends a request, a redirected one too, through the proxy of its address, where that may be."""

        def opened(request: Any) -> Any:  # noqa: ANN401 - urllib's own protocol
            proxy = self._proxy_of(request.get_full_url())
            if proxy is None:
                return None
            self.heard.proxy = str(proxy)
            if proxy.is_socks:  # which looks names up itself, as with every other program of ours
                request.add_header("Ytdl-socks-proxy", proxy.url.replace("socks5://", "socks5h://", 1))
                return None
            return StandardProxyHandler.proxy_open(handler, request, proxy.url, None)  # type: ignore[arg-type]

        return opened

    def _proxy_of(self, address: str) -> Proxy | None:
        if not self.allow_private:
            return None
        try:
            return proxy_for(address)
        except ConfigError as error:
            raise RequestError(str(error)) from error

    def _prepare_headers(self, request: Any, headers: Any) -> None:  # noqa: ANN401, ARG002 - yt-dlp's own
        headers["Accept-Encoding"] = "identity"  # a packed page cannot be bounded by its length

    def _send(self, request: Any) -> Any:  # noqa: ANN401 - yt-dlp's own
        try:
            return self._noted(super()._send(request))
        except HTTPError as error:
            self.heard.troubles.append(error)
            self._noted(error.response)
            raise
        except RequestError as error:
            self.heard.troubles.append(error)
            raise

    def _noted(self, response: Any) -> Any:  # noqa: ANN401 - yt-dlp's own
        self.opened[:] = [each for each in self.opened if not each.closed] + [response]
        return bound_reading(response, self._look if is_on_youtube(response.url) else len)

    def _look(self, page: bytes) -> None:
        """Remember what a page of YouTube says of its video, and the error that yt-dlp makes of it does not."""
        self.heard.for_kids = self.heard.for_kids or FOR_KIDS in page


os.environ["YTDLP_NO_PLUGINS"] = "1"  # read when yt_dlp looks for some


UNSOLVED = re.compile(r"No supported JavaScript runtime|Error solving|solving failed|script .* is not supported")

NOTHING_RUN: dict[str, Any] = {
    "quiet": True,
    "noprogress": True,
    "color": "no_color",
    "cachedir": False,
    "usenetrc": False,
    "proxy": "",  # the handler takes the environment's by itself, where it may
    "enable_file_urls": False,
    "js_runtimes": {},  # yt-dlp would run them by itself; `ConfinedDenoJCP` does it in their place
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


@register_provider
class ConfinedDenoJCP(EJSBaseJCP, BuiltinIEContentProvider):
    """Solves YouTube's challenges as yt-dlp's own provider does, with the scripts of yt-dlp-ejs, but confined."""

    JS_RUNTIME_NAME = "deno"

    @property
    def runtime_info(self) -> JsRuntimeInfo | None:
        """What runs the scripts; None where this environment has none."""
        path = deno_path()
        return JsRuntimeInfo("deno", str(path), deno_version(), version_tuple(deno_version())) if path else None

    def _run_js_runtime(self, stdin: str, /) -> str:
        try:
            return run_script(stdin)
        except ScriptError as error:
            raise JsChallengeProviderError(plain_line(str(error)), expected=True) from error


class Listener:
    """A logger that keeps warnings, for errors that come without their reason; the rest comes as exceptions."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def debug(self, _: str) -> None:
        """Ignore it."""

    def info(self, _: str) -> None:
        """Ignore it."""

    def warning(self, message: str) -> None:
        """Keep it, and tell the log; loudly where YouTube's better formats are lost."""
        self._heard.warnings.append(str(message))
        level = logging.WARNING if UNSOLVED.search(str(message)) else logging.INFO
        logging.getLogger("reelsift").log(level, "yt-dlp: %s", plain_line(str(message)))

    error = warning


class GuardedYdl(YoutubeDL):
    """A `YoutubeDL` whose connections a guard makes; `files` are those that it has been told to write, in order."""

    def __init__(
        self,
        guard: AddressGuard,
        folder: Path,
        params: dict[str, Any],
        check: Callable[[dict[str, Any]], None],
        heard: Heard,
    ) -> None:
        self.guard = guard
        self.heard = heard
        self.files: list[Path] = []
        self.opened: list[Any] = []  # responses and files
        self._folder = folder
        self._check = check
        # A network that looks into https has an authority of its own, and names it as for every other program.
        own_authorities = any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
        trust = {"compat_opts": {"no-certifi"}} if own_authorities else {}
        merged: Any = {**NOTHING_RUN, "logger": Listener(heard), **trust, **params}
        super().__init__(merged)

    def add_default_info_extractors(self) -> None:
        """Add yt-dlp's extractors in its order; its own way compares each of 1,800 names with all before it, twice."""
        classes: list[Any] = gen_extractor_classes()
        by_name = {each.IE_NAME.lower(): each for each in classes}  # the last of a name, as there
        for extractor in by_name.values():
            if extractor._ENABLED:
                self.add_info_extractor(extractor)

    def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:  # noqa: ANN401, ARG002 - yt-dlp's own
        """Take one handler, whose connections the guard makes, in place of all that yt-dlp has."""
        only: Any = [guarded_handler(self.guard, self.opened, self.heard)]
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
