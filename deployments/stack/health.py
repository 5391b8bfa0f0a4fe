"""Whether the parts of the stack are ready.

In: parts and the processes that they became. Out: yes or no, for each. Asks over HTTP, without Prefect, whose import
alone would take longer than the answer. Neither starts nor stops anything.
"""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx

from conf.running_stack import RunningPart
from deployments.stack.options import Credentials
from deployments.stack.part import Part

TIMEOUT_S = 5.0
ONLINE = "ONLINE"


class Health:
    """Asks the servers of one stack."""

    def __init__(self, api_url: str, credentials: Credentials | None) -> None:
        auth = (credentials.user, credentials.password) if credentials else None
        self._api_url = api_url
        self._client = httpx.Client(auth=auth, timeout=TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def is_ready(self, part: Part, running: RunningPart) -> bool:
        """Say whether a part does what it is for: a server answers, a worker has told its server of itself."""
        with suppress(httpx.HTTPError, ValueError, KeyError):
            if part.health_url:
                return self._client.get(part.health_url).is_success
            if part.pool:
                return self._is_online(part.name, self._workers(part.pool), running.started_s)
        return False

    def _workers(self, pool: str) -> list[dict[str, Any]]:
        """Return what the Prefect server knows of a pool's workers."""
        client = secrets.token_hex(8)
        token = self._client.get(f"{self._api_url}/csrf-token", params={"client": client})
        # A server without that protection says so with 422, and wants no token.
        shown = {"Prefect-Csrf-Token": token.json()["token"], "Prefect-Csrf-Client": client} if token.is_success else {}
        answer = self._client.post(f"{self._api_url}/work_pools/{pool}/workers/filter", json={}, headers=shown)
        return answer.raise_for_status().json()

    @staticmethod
    def _is_online(name: str, workers: Iterable[dict[str, Any]], started_s: float) -> bool:
        """Say whether this worker is there: one of the same name may have died a moment ago, and still be listed."""
        return any(
            worker["name"] == name
            and worker["status"] == ONLINE
            and datetime.fromisoformat(worker["last_heartbeat_time"]).timestamp() >= started_s
            for worker in workers
        )
