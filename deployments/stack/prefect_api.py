"""The API of a Prefect server, asked without Prefect, whose import would take longer than the answers."""

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

from conf.environment import LOOPBACK_NAMES
from conf.home import Home
from conf.prefect_server import ANSWER_S, API_VARIABLE, key_header
from conf.stack_state import Credentials, stack_variables
from tasks.contracts.errors import ServerError
from tasks.contracts.text import without_secrets

TIMEOUT_S = 10.0
TRIES, BUSY_S = 20, 0.5
FEW_TRIES = 4  # of what nobody should wait for
PAGE = 200  # the most that the server gives at once


class PrefectApi:
    """A client of one server, which shows the password and the token that changes need.

    `options` are those of httpx.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        *,
        tries: int = TRIES,
        **options: Any,  # noqa: ANN401 - httpx's own
    ) -> None:
        auth = (credentials.user, credentials.password) if credentials else None
        self._url, self._tries = url, tries
        self._client = httpx.Client(auth=auth, **{"timeout": TIMEOUT_S, "trust_env": False} | options)
        self._token: dict[str, str] | None = None

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, url: str) -> httpx.Response:
        """Ask any address of the stack."""
        return self._client.get(url)

    def send(self, method: str, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        """Send something, and return the JSON of the answer.

        Raises:
            httpx.HTTPError: the server refuses, or does not answer.
        """
        answer = self._sent(method, path, body)
        for _ in range(self._tries):
            if answer.status_code == httpx.codes.FORBIDDEN:  # the token has expired
                self._token = None
            elif answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # SQLite has one writer, who is somebody else
                time.sleep(BUSY_S)
            else:
                break
            answer = self._sent(method, path, body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _sent(self, method: str, path: str, body: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        if self._token is None:
            self._token = self._new_token()
        return self._client.request(method, f"{self._url}{path}", json=body, headers=self._token)

    def all(self, kind: str, body: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield all objects of a kind (`deployments`, `flow_runs`, `automations`) that a filter selects."""
        offset = 0
        while True:
            page = self.send("POST", f"/{kind}/filter", {**(body or {}), "limit": PAGE, "offset": offset})
            yield from page
            if len(page) < PAGE:
                return
            offset += PAGE

    def _new_token(self) -> dict[str, str]:
        client = secrets.token_hex(8)
        token = self._client.get(f"{self._url}/csrf-token", params={"client": client})
        if not token.is_success:  # a server without that protection says so with 422, and wants no token
            return {}
        return {"Prefect-Csrf-Token": token.json()["token"], "Prefect-Csrf-Client": client}


def tell(home: Home, event: Mapping[str, Any]) -> None:
    """Send an event to the server that the environment names, else to that of the home's stack; if neither, to nobody.

    `event` is what Prefect's `emit_event` takes.

    Raises:
        ServerError: the server does not answer within seconds, or does not take it.
        StackError: what is noted of the stack, or its password, cannot be read.
    """
    variables = os.environ if os.environ.get(API_VARIABLE) else {**os.environ, **stack_variables(home)}
    url = variables.get(API_VARIABLE)
    if not url:
        return
    user, _, password = variables.get("PREFECT_API_AUTH_STRING", "").partition(":")
    credentials = Credentials(user, password) if user else None
    sent = {"id": str(uuid4()), "occurred": datetime.now(UTC).isoformat(), **event}
    try:
        uses_proxies = httpx.URL(url).host not in LOOPBACK_NAMES
        options = {"timeout": ANSWER_S, "headers": key_header(), "trust_env": uses_proxies}
        with closing(PrefectApi(url.rstrip("/"), credentials, tries=FEW_TRIES, **options)) as api:
            api.send("POST", "/events", [sent])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise ServerError(
            without_secrets(f"The Prefect server at {url} was not told ({why}), so its automations know nothing of it.")
        ) from error
