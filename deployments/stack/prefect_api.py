"""The API of the stack's Prefect server, asked without Prefect, whose import would take longer than the answers."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx

from conf.stack_state import Credentials

TIMEOUT_S = 10.0
TRIES, BUSY_S = 20, 0.5
PAGE = 200  # the most that the server gives at once


class PrefectApi:
    """A client of one server, which shows the password and the token that changes need."""

    def __init__(self, url: str, credentials: Credentials | None) -> None:
        auth = (credentials.user, credentials.password) if credentials else None
        self._url = url
        self._client = httpx.Client(auth=auth, timeout=TIMEOUT_S, trust_env=False)
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
        for _ in range(TRIES):
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
