"""The registry of an MLflow server, read over its REST interface without MLflow.

In: a `TrackingStore` that is a server. Out: its model versions, or None where MLflow's own client must ask
(it knows more ways of showing credentials). Interface: https://mlflow.org/docs/latest/rest-api.html, version 2.0.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from tasks.classifier.registry_version import RegisteredVersion
from tasks.classifier.tracking import TrackingStore
from tasks.classifier.tracking_access import TURNED_AWAY, has_other_ways, open_client, turned_away
from tasks.contracts.errors import TrackingAwayError, TrackingError

API = "/api/2.0/mlflow"
PAGE_ROWS = 1000  # the most that a server gives of registered models; it would give more of versions
TIMEOUT_S = 10.0


def search_server(store: TrackingStore) -> list[RegisteredVersion] | None:
    """Return every model version of a store that is a server; None where it wants credentials of another kind.

    Raises:
        TrackingError: nothing answers there, or something that is not MLflow, or it does not let us in.
    """
    try:
        with open_client(f"{store.uri}{API}", TIMEOUT_S) as client:
            return _search(client)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status not in TURNED_AWAY:
            kind = TrackingAwayError if error.response.is_server_error else TrackingError
            raise kind(f"MLflow at {store.uri} answered {status} to a search.") from error
        if has_other_ways():
            return None
        raise turned_away(store.uri, status, error.response.text) from error
    except httpx.TransportError as error:
        raise TrackingAwayError(f"No MLflow server answers at {store.uri}: {error}. Is it running?") from error
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise TrackingError(f"No MLflow server answers at {store.uri}: {error}. Is it running?") from error


def _search(client: httpx.Client) -> list[RegisteredVersion]:
    aliases: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for model in _pages(client, "registered-models"):
        for alias in model.get("aliases", ()):
            aliases[model["name"], int(alias["version"])].append(alias["alias"])
    return [_version(found, aliases) for found in _pages(client, "model-versions")]


def _version(found: Mapping[str, Any], aliases: Mapping[tuple[str, int], list[str]]) -> RegisteredVersion:
    key = found["name"], int(found["version"])
    tags = {tag["key"]: tag.get("value", "") for tag in found.get("tags", ())}
    names = tuple(sorted(aliases.get(key, ())))
    return RegisteredVersion(*key, found.get("run_id", ""), int(found["creation_timestamp"]), tags, names)


def _pages(client: httpx.Client, resource: str) -> Iterator[Mapping[str, Any]]:
    """Yield all rows of `{resource}/search`, page by page."""
    parameters: dict[str, str | int] = {"max_results": PAGE_ROWS}
    while True:
        answer = client.get(f"/{resource}/search", params=parameters).raise_for_status().json()
        yield from answer.get(resource.replace("-", "_"), ())
        if not answer.get("next_page_token"):
            return
        parameters["page_token"] = answer["next_page_token"]
