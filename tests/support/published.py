"""Events of dataset versions, asked of the real server that took them."""

import time
from typing import Any

from prefect.client.orchestration import SyncPrefectClient

from tasks.publish_dataset import PUBLISHED_EVENT

WITHIN_S = 20.0
LOOK_EVERY_S = 0.2


def published_events(client: SyncPrefectClient, version: str, at_least: int = 1) -> list[dict[str, Any]]:
    """Return the events of a version's publication; they take a moment to arrive."""
    wanted = {
        "event": {"name": [PUBLISHED_EVENT]},
        "resource": {"id": [f"reelsift.dataset.{version.replace('/', '.')}"]},
    }
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        answer = client.request("POST", "/events/filter", json={"filter": wanted, "limit": 50})
        events: list[dict[str, Any]] = answer.json()["events"]
        if len(events) >= at_least or time.monotonic() > deadline_s:
            return events
        time.sleep(LOOK_EVERY_S)
