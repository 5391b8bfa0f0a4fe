"""Fixtures of the tests that use MLflow."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.home import Home
from tasks.tracking.store import TrackingStore
from tests.support.mlflow_servers import RunningMlflow, running_mlflow


@pytest.fixture
def store(empty_store: TrackingStore) -> TrackingStore:
    """An empty local store; the working folder is another, empty one, where nothing may appear."""
    return empty_store


@pytest.fixture(scope="session")
def mlflow_server(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMlflow]:
    """A server that asks for a password, on the database of a home: one for all tests, 20 s to start."""
    home = Home(tmp_path_factory.mktemp("served") / "home")
    home.models.mkdir(parents=True)
    shutil.copy(migrated_database, home.models / "mlflow.db")
    with running_mlflow(home) as server:
        yield server


@pytest.fixture
def remote(mlflow_server: RunningMlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingStore:
    """That server as a store, its password in the environment; the working folder is another, where nothing may be."""
    for name, value in mlflow_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return mlflow_server.store
