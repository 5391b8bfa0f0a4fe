"""A real Prefect server for all tests of flows, and a home for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.logging.configuration import setup_logging
from prefect.testing.utilities import prefect_test_harness

from conf.home import Home


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A server with a database of its own, and results in a folder of its own."""
    with prefect_test_harness(server_startup_timeout=180):
        setup_logging()
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Home:
    """An empty home that flows write to, with a mirror's retries made short."""
    monkeypatch.setenv("REELSIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REELSIFT_FLOW__RETRIES", "0")
    monkeypatch.setenv("REELSIFT_DOWNLOAD__ATTEMPTS", "2")
    monkeypatch.setenv("REELSIFT_DOWNLOAD__BACKOFF_BASE_S", "0")
    monkeypatch.setenv("REELSIFT_DOWNLOAD__RESERVE_BYTES", "0")
    return Home(tmp_path / "home")
