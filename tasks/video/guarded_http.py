"""yt-dlp's http, of which each connection is made by a guard, and each page bounded.

In: a guard. Out: a request handler for yt-dlp that knows http and https alone. Does not know what is asked for.
"""

import http.client
from typing import Any
from urllib.request import OpenerDirector
from urllib.request import ProxyHandler as StandardProxyHandler

from yt_dlp.networking._urllib import HTTPHandler, ProxyHandler, UrllibRH
from yt_dlp.networking.exceptions import HTTPError, RequestError

from tasks.contracts.errors import ConfigError
from tasks.shards.proxies import Proxy, proxy_for
from tasks.video.addresses import Guard
from tasks.video.bounded_pages import bound_reading, unpacked_response
from tasks.video.failures import Heard
from tasks.video.youtube import is_on_youtube

FOR_KIDS = b"made for kids"  # as yt-dlp looks for it
OTHER_SCHEMES = ("ftp", "data")  # of urllib's; a redirect may lead there, and ftp would connect by itself


def guarded_handler(guard: Guard, opened: list[Any], heard: Heard) -> Any:  # noqa: ANN401 - a class of yt-dlp's
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


def _connection_class(guard: Guard) -> Any:  # noqa: ANN401 - as yt-dlp's `_make_conn_class`
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


class _GuardedRH(UrllibRH):
    """Makes no connection by itself."""

    _SUPPORTED_URL_SCHEMES = ("http", "https")
    connection_class: Any
    opened: list[Any]
    heard: Heard
    allow_private: bool

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
