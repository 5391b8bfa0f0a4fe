"""Whether the parts of the stack are ready.

In: parts and the processes that they became. Out: yes or no, for each. Asks over HTTP, without Prefect, whose import
alone would take longer than the answer. Neither starts nor stops anything.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import psutil

from conf.running_stack import RunningPart, age_s
from deployments.stack.part import Part
from deployments.stack.prefect_api import PrefectApi

ONLINE = "ONLINE"


class Health:
    """Asks the servers of one stack."""

    def __init__(self, api: PrefectApi) -> None:
        self._api = api

    def is_ready(self, part: Part, running: RunningPart) -> bool:
        """Say whether a part does what it is for: a server answers, a worker has told its server of itself."""
        with suppress(httpx.HTTPError, psutil.Error, ValueError, KeyError):
            if part.health_url:  # what answers there may be the server of another home that was quicker
                return running.has_its_port and self._api.get(part.health_url).is_success
            if part.pool:
                workers = self._api.send("POST", f"/work_pools/{part.pool}/workers/filter", {})
                return self._is_online(part.name, workers, age_s(running.pid))
        return False

    @staticmethod
    def _is_online(name: str, workers: Iterable[dict[str, Any]], age_s: float) -> bool:
        """Say whether this worker is there: one of the same name may have died a moment ago, and still be listed.

        So its last heartbeat must be younger than its process, both counted back from now: a clock that is set
        between the two is of no account.
        """
        return any(
            worker["name"] == name
            and worker["status"] == ONLINE
            and (datetime.now(UTC) - datetime.fromisoformat(worker["last_heartbeat_time"])).total_seconds() <= age_s
            for worker in workers
        )
