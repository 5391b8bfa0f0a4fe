"""Prefect's and MLflow's servers behind a guard: known hosts and origins only, and wrong passwords slowed and logged.

Run it with uvicorn, `python -m uvicorn --factory conf.guarded_server:prefect_app --no-proxy-headers`, with the names by
which the server may be called in the environment. Pages of other sites then cannot reach it by a rebound DNS name, nor
over HTTP, nor over a WebSocket, to which the same-origin policy of browsers does not apply.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import logging
import os
import pwd
import re
import secrets
import sys
import time
from asyncio import sleep
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from conf import collect_rarely
from tasks.contracts.model import is_loopback

# Comma-separated: names and addresses without a port; origins as browsers send them (`http://127.0.0.1:4200`).
HOSTS_VARIABLE = "REELSIFT_SERVER_HOSTS"
ORIGINS_VARIABLE = "REELSIFT_SERVER_ORIGINS"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")

AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:/@\[\]?#,]+)(?::\d{1,5})?")
WRONG_ANSWER_AFTER_S = 1.0
MAX_GUESSES, GUESSES_WITHIN_S = 10, 60.0  # different wrong passwords of one client, which then has to wait
MAX_CLIENTS = 1000  # whose guesses are remembered
POLICY_VIOLATION = 1008  # a WebSocket's close code

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("reelsift.guard")


def prefect_app() -> App:
    """Return Prefect's server, guarded; all else is set by Prefect's own variables."""
    return _prefect(webserver_only=False)


def prefect_pages_app() -> App:
    """Return the same with pages and API alone, for where `prefect server services start` runs beside it."""
    return _prefect(webserver_only=True)


def _prefect(*, webserver_only: bool) -> App:
    collect_rarely()
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    secret = get_current_settings().server.api.auth_string
    return _guarded(create_app(webserver_only=webserver_only), secret.get_secret_value() if secret else None)


def mlflow_app() -> App:
    """Return MLflow's server, guarded, with MLflow's own users where its variables name one.

    `mlflow server --app-name reelsift` finds it by an entry point of this package, and sets all else.
    """
    user, password = (os.environ.get(f"MLFLOW_AUTH_ADMIN_{name}") for name in ("USERNAME", "PASSWORD"))
    if user and password:
        from mlflow.server.auth import create_app

        return _guarded(cast("App", create_app()), f"{user}:{password}")
    from mlflow.server.fastapi_app import app

    return _guarded(cast("App", app), None)


def _guarded(app: App, auth_string: str | None) -> App:
    hosts, origins = (_listed(os.environ.get(name, "")) for name in (HOSTS_VARIABLE, ORIGINS_VARIABLE))
    return BrowserGuard(app, hosts=hosts or LOOPBACK_HOSTS, origins=origins, auth_string=auth_string)


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


class BrowserGuard:
    """An ASGI app that lets through to another what comes by a known name, from a known origin or from no browser."""

    def __init__(self, app: App, *, hosts: Iterable[str], origins: Iterable[str], auth_string: str | None) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._origins = {origin.lower() for origin in origins}
        self._guesses = Guesses()
        self._auth_string = auth_string
        self._header = b"Basic " + base64.b64encode(auth_string.encode()) if auth_string else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
        elif reason := self._refusal(scope):
            _log.warning("Refused %s %s: %s", scope["type"], scope["path"], reason)
            await _refuse(scope, send, 403, reason)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, self._authenticated(scope, receive, send), send)

    def _refusal(self, scope: Scope) -> str | None:
        """Say why a request is none of this server's; nothing where it is."""
        host = _only(scope, b"host") or ""
        authority = AUTHORITY.fullmatch(host)
        if authority is None or authority["name"] not in self._hosts:
            return f"this server is not called {host!r}; `reelsift up --public-name NAME` gives it another name"
        if not any(name == b"origin" for name, _ in scope["headers"]):
            return None
        origin = _only(scope, b"origin") or ""
        if origin in self._origins or origin in {f"http://{host}", f"https://{host}"}:
            return None
        return f"pages of {origin!r} may not use this server"

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        credentials = _header(scope, b"authorization")
        if self._header is None or credentials is None:
            await self._app(scope, receive, _unframed(send))
            return
        right = hmac.compare_digest(credentials, self._header)
        attempt = self._guesses.attempt(scope, None if right else credentials)
        if not attempt.is_admitted:
            await _refuse(scope, send, 429, "too many wrong passwords; wait a minute")
            return

        async def judged(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401 and not right:
                await attempt.failed(scope)  # MLflow may have other users, whose passwords are right as well
            await send(message)

        await self._app(scope, receive, _unframed(judged))

    def _authenticated(self, scope: Scope, receive: Receive, send: Send) -> Receive:
        """Return `receive`, which looks at the password that a WebSocket's first message holds."""
        seen = False

        async def looking() -> Message:
            nonlocal seen
            message = await receive()
            if seen or self._auth_string is None or message["type"] != "websocket.receive":
                return message
            seen = True
            token = _token(message)
            right = hmac.compare_digest(token.encode(), self._auth_string.encode())
            attempt = self._guesses.attempt(scope, None if right else token.encode())
            if right and attempt.is_admitted:
                return message
            await attempt.failed(scope)
            with suppress(RuntimeError, OSError):  # it has gone meanwhile
                await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "Invalid token"})
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}

        return looking


@dataclass(frozen=True)
class Attempt:
    """A request that shows a password."""

    client: str = ""
    is_admitted: bool = True  # else its client must wait
    is_new: bool = False  # a wrong password that this client has not tried before

    async def failed(self, scope: Scope) -> None:
        """Note that the password was wrong, and take some time over it."""
        if self.is_new:
            _log.warning("Wrong password from %s at %s", self.client, scope["path"])
        await sleep(WRONG_ANSWER_AFTER_S)


class Guesses:
    """The wrong passwords that clients have tried, each counted once: an old browser tab repeats its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._tried: dict[str, dict[bytes, float]] = {}

    def attempt(self, scope: Scope, wrong: bytes | None) -> Attempt:
        """Count a password that is not the right one, before anybody has answered, and say whether to go on."""
        if wrong is None and not self._tried:
            return Attempt()
        client, is_trusted = _client(scope)
        tried = self._recent(client)
        if len(tried) >= MAX_GUESSES and not is_trusted:
            return Attempt(client, is_admitted=False)
        if wrong is None:
            return Attempt(client)
        digest = hmac.digest(self._key, wrong, hashlib.sha256)
        is_new = digest not in tried
        if is_new:
            if len(self._tried) >= MAX_CLIENTS:
                self._tried.pop(next(iter(self._tried)))
            self._tried[client] = tried | {digest: self._clock()}
            if len(tried) + 1 == MAX_GUESSES and not is_trusted:
                _log.warning("%d wrong passwords from %s: it must wait for a minute", MAX_GUESSES, client)
        return Attempt(client, is_new=is_new)

    def _recent(self, client: str) -> dict[bytes, float]:
        since_s = self._clock() - GUESSES_WITHIN_S
        recent = {digest: at_s for digest, at_s in self._tried.pop(client, {}).items() if at_s > since_s}
        if recent:
            self._tried[client] = recent
        return recent


def _client(scope: Scope) -> tuple[str, bool]:
    """Name the client, and say whether that is this server's own account, which could read the password anyway."""
    address, port = scope.get("client") or ("unknown", 0)
    if not is_loopback(address):
        return address, False
    account = _account(address, port, (scope.get("server") or ("", 0))[1])
    if account is None:  # of this machine; one of its accounts must not lock out the others
        return address, True
    try:
        name = pwd.getpwuid(account).pw_name
    except KeyError:
        name = str(account)
    return f"the account {name}", account == os.getuid()


def _account(address: str, port: int, server_port: int | None) -> int | None:
    """Return the user at the other end of a connection within this machine, from the kernel's table (Linux)."""
    packed = ipaddress.ip_address(address).packed
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    local, remote = f"{''.join(f'{word:08X}' for word in words)}:{port:04X}", f":{server_port:04X}"
    with suppress(OSError):
        table = Path("/proc/net/tcp" if len(packed) == 4 else "/proc/net/tcp6").read_text(encoding="ascii")
        for row in map(str.split, table.splitlines()[1:]):
            if row[1] == local and row[2].endswith(remote):
                return int(row[7])
    return None


def _header(scope: Mapping[str, Any], name: bytes) -> bytes | None:
    return next((value for each, value in scope["headers"] if each == name), None)


def _only(scope: Mapping[str, Any], name: bytes) -> str | None:
    """Return a header, which must not be there twice: others might read the other one."""
    values = [value for each, value in scope["headers"] if each == name]
    return values[0].decode("latin-1").lower() if len(values) == 1 else None


def _token(message: Message) -> str:
    with suppress(ValueError, AttributeError):
        return str(json.loads(message.get("text") or "").get("token") or "")
    return ""


def _unframed(send: Send) -> Send:
    """Keep a server's pages out of the frames of others, where clicks are not what they seem to be."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and _header(message, b"x-frame-options") is None:
            message["headers"] = [*message["headers"], (b"x-frame-options", b"SAMEORIGIN")]
        await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":  # before it is accepted: the handshake fails with 403
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason[:100]})
        return
    body = json.dumps({"detail": f"Refused: {reason}."}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 429:
        headers.append((b"retry-after", str(int(GUESSES_WITHIN_S)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
