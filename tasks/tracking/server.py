"""An MLflow server over HTTP, without importing MLflow: its registry, its pages, and its authentication."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from tasks.contracts.errors import TrackingAwayError, TrackingError
from tasks.tracking.store import LOCAL_UI, SERVER_WITHIN_S, RegisteredVersion, TrackingStore

USERNAME, PASSWORD, TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"
# What only MLflow's own client can show; the file is one that it reads as well.
OTHER_WAYS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
CREDENTIALS_FILE = Path("~/.mlflow/credentials")
TURNED_AWAY = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
NOT_ALLOWED_HOST = ("Invalid Host header", "this server is not called")  # MLflow's own answer, and the guard's: 403


def open_client(address: str, timeout_s: float) -> httpx.Client:
    """Return a client of the server at `address` that shows the environment's credentials, if there are any."""
    # A user name goes before a token, as MLflow's own client has it.
    user, password, token = (os.environ.get(name) for name in (USERNAME, PASSWORD, TOKEN))
    auth = httpx.BasicAuth(user, password) if user and password else None
    headers = {"Authorization": f"Bearer {token}"} if token and not auth else {}
    return httpx.Client(base_url=address, auth=auth, headers=headers, timeout=timeout_s)


def has_other_ways() -> bool:
    """Say whether MLflow's own client may know credentials that `open_client` does not."""
    return any(os.environ.get(name) for name in OTHER_WAYS) or CREDENTIALS_FILE.expanduser().exists()


def turned_away(address: str, status: int, why: str) -> TrackingError:
    """Return the error for a server's 401 or 403; `why` is what it answered."""
    if any(answer in why for answer in NOT_ALLOWED_HOST):
        return TrackingError(
            f"MLflow at {address} does not let itself be called by that name (403). Use one of its `--allowed-hosts`, "
            "or start it with this one among them (`reelsift up --public-name NAME`)."
        )
    user = os.environ.get(USERNAME)
    if status == httpx.codes.FORBIDDEN:
        return TrackingError(
            f"MLflow at {address} does not allow this to {user or 'a user without a name'} (403). Ask for the "
            f"permission, or set {USERNAME} and {PASSWORD} to those of somebody who has it."
        )
    if user and os.environ.get(PASSWORD):
        return TrackingError(
            f"MLflow at {address} has no user {user!r} with this password (401). Correct {USERNAME} and {PASSWORD}."
        )
    return TrackingError(
        f"MLflow at {address} requires authentication (401). Set {USERNAME} and {PASSWORD} (or {TOKEN})."
    )


API = "/api/2.0/mlflow"
PAGE_ROWS = 1000  # the most that a server gives of registered models; it would give more of versions


def search_server(store: TrackingStore, within_s: float = SERVER_WITHIN_S) -> list[RegisteredVersion] | None:
    """Return every model version of a store that is a server; None where it wants credentials of another kind.

    Each of its answers may take so long.

    Raises:
        TrackingError: nothing answers there, or something that is not MLflow, or it does not let us in.
    """
    try:
        with open_client(f"{store.uri}{API}", within_s) as client:
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


PAGES_TIMEOUT_S = 5.0
REALM = 'Basic realm="mlflow"'


def pages_answer(store: TrackingStore, run_id: str) -> bool:
    """Say whether what answers at the store's pages is an MLflow server that has this run.

    At the usual address anything may answer, MLflow with another database too: so it is asked for the run, and is shown
    no password. Where it wants one, that it is MLflow must do; the browser will ask for it.
    """
    if store.is_server:
        return True
    is_anybody = store.ui_url == LOCAL_UI
    try:
        with (
            httpx.Client(base_url=store.ui_url) if is_anybody else open_client(store.ui_url, PAGES_TIMEOUT_S) as client
        ):
            answer = client.get("/api/2.0/mlflow/runs/get", params={"run_id": run_id}, timeout=PAGES_TIMEOUT_S)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                return answer.headers.get("www-authenticate") == REALM
            return answer.is_success and answer.json()["run"]["info"]["run_id"] == run_id
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False
