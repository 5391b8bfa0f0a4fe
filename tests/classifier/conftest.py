"""Fixtures of the tests that use MLflow."""

import shutil
from pathlib import Path

import pytest

from tasks.classifier.tracking import TrackingStore, tracking_store


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's empty database: making its tables takes 2.5 s, copying them nothing."""
    from tasks.classifier.tracking_mlflow import connect

    store = tracking_store(tmp_path_factory.mktemp("migrated"))
    connect(store)
    assert store.sqlite_path is not None
    return store.sqlite_path


@pytest.fixture
def store(migrated_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingStore:
    """An empty local store; the working folder is another, empty one, where nothing may appear."""
    store = tracking_store(tmp_path / "home")
    assert store.sqlite_path is not None
    store.folder.mkdir(parents=True)
    shutil.copy(migrated_database, store.sqlite_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return store
