"""Events of dataset versions and champions, asked of the real server that took them."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient

from tasks.publish_dataset import PUBLISHED_EVENT
from tasks.tracking.promotion import PROMOTED_EVENT

WITHIN_S = 20.0
LOOK_EVERY_S = 0.2


def published_events(client: SyncPrefectClient, version: str, at_least: int = 1) -> list[dict[str, Any]]:
    """Return the events of a version's publication."""
    wanted = {
        "event": {"name": [PUBLISHED_EVENT]},
        "resource": {"id": [f"reelsift.dataset.{version.replace('/', '.')}"]},
    }
    return _events(posting(client), wanted, at_least)


def posting(client: SyncPrefectClient) -> Callable[[str, dict[str, Any]], Any]:
    """Return what asks the API of a client's server."""
    return lambda path, body: client.request("POST", path, json=body).json()  # pyright: ignore[reportArgumentType]


def champion_events(
    post: Callable[[str, dict[str, Any]], Any], since: datetime, at_least: int = 1
) -> list[dict[str, Any]]:
    """Return the events of new champions since then, the oldest first; `post` asks the server's API."""
    wanted = {"event": {"name": [PROMOTED_EVENT]}, "occurred": {"since": since.isoformat()}, "order": "ASC"}
    return _events(post, wanted, at_least)


def _events(post: Callable[[str, dict[str, Any]], Any], wanted: dict[str, Any], at_least: int) -> list[dict[str, Any]]:
    """Return the events that a filter selects; they take a moment to arrive."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        events: list[dict[str, Any]] = post("/events/filter", {"filter": wanted, "limit": 50})["events"]
        if len(events) >= at_least or time.monotonic() > deadline_s:
            return events
        time.sleep(LOOK_EVERY_S)
