"""Who we are to an MLflow server, and what it means when it turns us away.

In: a server's address, and the variables that MLflow's own client reads. Out: an httpx client that shows them, and
errors that say what to set. Imports no MLflow.
"""

import os
from pathlib import Path

import httpx

from tasks.contracts.errors import TrackingError

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
            f"MLflow at {address} does not allow this to {user or 'whoever gives no name'} (403). Ask for the "
            f"permission, or set {USERNAME} and {PASSWORD} to those of somebody who has it."
        )
    if user and os.environ.get(PASSWORD):
        return TrackingError(
            f"MLflow at {address} does not know the user {user!r} with this password (401). Correct {USERNAME} and "
            f"{PASSWORD}."
        )
    return TrackingError(
        f"MLflow at {address} wants to know who asks (401). Set {USERNAME} and {PASSWORD} (or {TOKEN})."
    )
