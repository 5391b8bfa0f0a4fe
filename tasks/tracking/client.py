"""MLflow, imported once with its environment set, and its registry client."""

import atexit
import importlib.util
import os
import sys
import tempfile
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import httpx

from tasks.contracts.errors import TrackingAwayError, TrackingError
from tasks.contracts.files import appearing, sqlite_uri, temporary_folder
from tasks.tracking.server import TURNED_AWAY, turned_away
from tasks.tracking.store import RegisteredVersion, TrackingStore, follow_home

ENVIRONMENT = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # read when mlflow is imported
    "DO_NOT_TRACK": "1",
    "MLFLOW_UV_AUTO_DETECT": "false",  # else the uv.lock of the working folder is copied into each model
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # stages report progress themselves
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for one JSON object
}
os.environ.update(ENVIRONMENT)
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # it logs each step otherwise
# Half a minute a request, rather than four: `kept_training` tries again, with less to repeat than a training.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")


# After the environment is set. Other modules take these names from here: sorted imports would put MLflow's own
# before this module.
with warnings.catch_warnings():
    # mlflow.pyfunc warns, as it is imported, of a type hint of its own.
    warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType", category=UserWarning)
    import mlflow
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts
    from mlflow.entities import Dataset as LoggedDataset
    from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.store.entities import PagedList
    from mlflow.types import Schema, TensorSpec
    from mlflow.utils import requirements_utils


ANSWER_WITHIN_S = 10.0
LOCKED = "database is locked"  # as SQLite says it
SERVER_FAULT = 500  # HTTP status codes from here on are the server's; MLflow's client gives it to lost connections, too
ERROR_LENGTH = 600  # characters of what MLflow says


def connect(store: TrackingStore) -> MlflowClient:
    """Return a client of the store, made (and its tables with it) where it is local and not there yet.

    MLflow's process-wide URIs are set as well: its registry on SQL looks models up through them, whatever
    the client was made with, and would make a `mlflow.db` in the working folder. So a process works with
    one store at a time.

    Raises:
        TrackingError: no server answers there, or the database is not one of this MLflow's version.
    """
    if store.is_server:
        _check_that_it_answers(store.uri)
    if (store.artifact_root or "").startswith("s3://") and importlib.util.find_spec("boto3") is None:
        raise TrackingError(
            f"MLflow keeps files at {store.artifact_root} by boto3, which is not installed: `pip install -e '.[s3]'` "
            "in the checkout."
        )
    follow_home(store)
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.uri)
    make_tables(store)
    with translated(store):
        return MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)


def make_tables(store: TrackingStore) -> None:
    """Make a local store's database where it is not there, or was left unfinished by a process that was killed.

    It takes its place once it is whole: MLflow's migrations cannot go on where they broke off. Two processes that made
    the tables at once would fail both.

    Raises:
        TrackingError: it cannot be made.
    """
    if store.has_tables:
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - for the first use of a home

    path = store.sqlite_path
    assert path is not None
    with store.alone("tables"), translated(store):
        if not store.has_tables:
            with appearing(path) as temporary:
                made = SqlAlchemyStore(sqlite_uri(temporary), store.artifact_root or store.files.as_uri())
                made.engine.dispose()


@contextmanager
def translated(store: TrackingStore) -> Iterator[None]:
    """Turn MLflow's own errors into `TrackingError`."""
    try:
        yield
    except MlflowException as error:
        if (status := error.get_http_status_code()) in TURNED_AWAY:
            raise turned_away(store.uri, status, str(error)) from error
        kind = TrackingAwayError if _is_passing(store, error) else TrackingError
        raise kind(f"MLflow at {store.uri}: {_in_one_line(error)}") from error
    except _object_store_errors() as error:
        raise TrackingError(
            f"MLflow's files at {store.artifact_root or store.uri}: {_in_one_line(error)}. Where they lie is "
            "said by REELSIFT_TRACKING__ARTIFACTS, MLFLOW_S3_ENDPOINT_URL and AWS_*."
        ) from error


def _object_store_errors() -> tuple[type[Exception], ...]:
    """Return what boto3 raises, an extra that MLflow imports when it first needs it."""
    if "botocore" not in sys.modules:
        return ()
    from boto3.exceptions import Boto3Error  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    return (Boto3Error, BotoCoreError, ClientError)


_until_exit = ExitStack()
atexit.register(_until_exit.close)
_redirecting = threading.Lock()
_redirected = 0  # blocks that run now
_usual: str | None = None  # where temporary files lie outside of them


@contextmanager
def temporary_files(store: TrackingStore) -> Iterator[None]:
    """Let MLflow put its temporary files into the home: what a killed process leaves there, the next one removes.

    Where the home cannot be written to, they lie where they would.
    """
    global _redirected, _usual  # noqa: PLW0603 - as `tempfile.tempdir` is the process's
    with _redirecting:
        if not _redirected:
            _usual = tempfile.tempdir
            with suppress(OSError):
                tempfile.tempdir = str(_temporary_folder(store.folder))
        _redirected += 1
    try:
        yield
    finally:
        with _redirecting:
            _redirected -= 1
            if not _redirected:
                tempfile.tempdir = _usual


@cache
def _temporary_folder(parent: Path) -> Path:
    """Make a folder that stays until the process ends: libraries imported meanwhile may have put a cache there."""
    parent.mkdir(parents=True, exist_ok=True)
    return _until_exit.enter_context(temporary_folder(parent, ".making-"))


def _is_passing(store: TrackingStore, error: MlflowException) -> bool:
    """Say whether the same may succeed in a moment: a server is away or overloaded, a database is held by another."""
    return LOCKED in str(error) or (store.is_server and error.get_http_status_code() >= SERVER_FAULT)


def _in_one_line(error: Exception) -> str:
    """Return what an error says; of a failed statement, MLflow quotes pages after what went wrong."""
    said = " ".join(str(error).partition("[SQL:")[0].split())
    return said if len(said) <= ERROR_LENGTH else f"{said[:ERROR_LENGTH]}…"


def _check_that_it_answers(uri: str) -> None:
    """Ask the server for a sign of life, for MLflow's client alone would try again for minutes."""
    try:
        httpx.get(f"{uri}/health", timeout=ANSWER_WITHIN_S).raise_for_status()
    except httpx.HTTPError as error:
        raise TrackingAwayError(
            f"No MLflow server answers at {uri} ({error}). Start one with `mlflow server`, name another, or leave "
            "it out for a local store."
        ) from error


Row = TypeVar("Row")


def search_with_client(store: TrackingStore) -> list[RegisteredVersion]:
    """Return every model version.

    Raises:
        TrackingError: the store cannot be read.
    """
    client = connect(store)
    with translated(store):
        return _search(client)


def _search(client: MlflowClient) -> list[RegisteredVersion]:
    aliases: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for model in _pages(lambda token: client.search_registered_models(page_token=token)):
        for alias, version in sorted(model.aliases.items()):
            aliases[model.name, int(version)].append(alias)
    return [
        RegisteredVersion(
            name=found.name,
            version=int(found.version),
            run_id=found.run_id or "",
            created_ms=found.creation_timestamp,
            tags=found.tags,
            aliases=tuple(aliases[found.name, int(found.version)]),
        )
        for found in _pages(lambda token: client.search_model_versions(page_token=token))
    ]


def _pages(search: Callable[[str | None], PagedList[Row]]) -> Iterator[Row]:
    """Yield all rows, page by page."""
    token = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


__all__ = [
    "DatasetInput",
    "InputTag",
    "LoggedDataset",
    "LoggedModelOutput",
    "Metric",
    "MlflowClient",
    "Model",
    "ModelSignature",
    "PagedList",
    "Param",
    "Schema",
    "TensorSpec",
    "connect",
    "download_artifacts",
    "requirements_utils",
    "save_model",
    "temporary_files",
    "translated",
]
