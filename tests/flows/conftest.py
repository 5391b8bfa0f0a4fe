"""A home for each test of a flow."""

import shutil
from pathlib import Path

import pytest

from conf.home import Home
from tasks.tracking.store import tracking_store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Home:
    """An empty home that flows write to, with a mirror's retries made short."""
    monkeypatch.setenv("REELSIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REELSIFT_FLOW__RETRIES", "0")
    monkeypatch.setenv("REELSIFT_DOWNLOAD__ATTEMPTS", "2")
    monkeypatch.setenv("REELSIFT_DOWNLOAD__BACKOFF_BASE_S", "0")
    monkeypatch.setenv("REELSIFT_DOWNLOAD__RESERVE_BYTES", "0")
    return Home(tmp_path / "home")


@pytest.fixture
def mlflow_tables(home: Home, migrated_database: Path) -> None:
    """Put MLflow's empty tables into the home: for tests that train, as to make them takes seconds."""
    path = tracking_store(home.root).sqlite_path
    assert path is not None
    path.parent.mkdir(parents=True)
    shutil.copy(migrated_database, path)
