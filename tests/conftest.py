"""Fixtures that every stage's tests share."""

import gc
import inspect
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tasks.tracking.store import TrackingStore
    from tests.support.s3_server import S3Server

# Tests run side by side, four processes on two processors, where threads of PyTorch's spin while they wait for each
# other: that took half of its time. Children inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What starts slowly is started once: the tests that share it run one after the other, in one process, and begin first.
SHARED_SERVERS = ("local_stack", "prefect_server", "prefect_server of commands", "mlflow_server")
# Tests that type commands beside the Prefect server are as long as all others beside it, and have one of their own.
COMMANDS = {"test_cli_models", "test_cli_prune", "test_cli_runs", "test_killed_build", "test_two_slugs"}
# The longest of the rest begin next, so that none begins last while the other processes have nothing left to do.
LONG_FILES = (
    "test_private_server", "test_fuzz", "test_cli_videos", "test_cli_options", "test_train",
    "test_environment_refused", "test_pointrend", "test_cli", "test_watchdog", "test_cli_secrets", "test_from_python",
    "test_notebook", "test_tour",
)  # fmt: skip

# `--fast`: what is left out, the longest files and real data among it. A file is not even imported if it needs such a
# thing; of the others, single tests go that start processes.
SERVERS = {*SHARED_SERVERS, "s3_server", "migrated_database", "empty_store", "real_data"}
SLOW_FILES = re.compile(
    r"tensorflow|playwright|support\.browser|reelsift\.test_cli|support\.mlflow_servers|dask", re.IGNORECASE
)
STARTS_PROCESSES = re.compile(r"\b(?:subprocess|Popen|multiprocessing|reelsift\()")

REAL_DATA = Path(os.environ.get("REELSIFT_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--fast`, which `make test-fast` types."""
    parser.addoption("--fast", action="store_true", help="only what needs no server, browser, TensorFlow or process")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--fast`, do not even import files of tests that need what is left out."""
    if not config.getoption("--fast") or collection_path.suffix != ".py" or collection_path.name == "conftest.py":
        return None
    is_slow = collection_path.stem in LONG_FILES or SLOW_FILES.search(collection_path.read_text(encoding="utf-8"))
    return True if is_slow else None  # None: whatever else decides


def pytest_configure() -> None:
    """Leave garbage alone until everything is imported: it would be looked through again and again.

    A shell that starts this in the background has it ignore signals, which commands that are tested would inherit.
    """
    gc.disable()
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests for `--dist loadgroup`: by the server that they share, else by file."""
    if items and items[0].config.getoption("--fast"):
        items[:] = [item for item in items if not _is_slow(item)]
    groups = {item: _server_of(item) or str(item.path) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    rank = {name: place for place, name in enumerate((*SHARED_SERVERS, *LONG_FILES))}
    items.sort(key=lambda item: rank.get(groups[item], rank.get(item.path.stem, len(rank))))


def pytest_collection_finish() -> None:
    """Leave what was imported out of all later collections."""
    gc.collect()
    gc.freeze()
    gc.enable()


def _is_slow(item: pytest.Item) -> bool:
    if SERVERS & set(getattr(item, "fixturenames", ())):
        return True
    function = getattr(item, "function", None)
    return function is not None and STARTS_PROCESSES.search(inspect.getsource(function)) is not None


def _server_of(item: pytest.Item) -> str | None:
    server = next((name for name in SHARED_SERVERS if name in getattr(item, "fixturenames", ())), None)
    return f"{server} of commands" if server == "prefect_server" and item.path.stem in COMMANDS else server


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real shards, videos and weights, where this machine has them."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; name another folder in REELSIFT_REAL_DATA")
    return REAL_DATA


@pytest.fixture(scope="session")
def real_mirror(real_data: Path) -> Path:
    """100 real shards in the layout of YouTube-8M's hosts (CC BY 4.0, Google LLC)."""
    return real_data / "yt8m-mirror"


@pytest.fixture(scope="session")
def synthetic_mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small made-up shards in the same layout; read it, do not change it."""
    from tasks.records.synthetic import write_mirror

    folder = tmp_path_factory.mktemp("mirror")
    write_mirror(folder)
    return folder


@pytest.fixture(scope="session")
def s3_server() -> "Iterator[S3Server]":
    """An object store on loopback, and credentials for it in the environment."""
    from tests.support.s3_server import CREDENTIALS, S3Server

    with pytest.MonkeyPatch.context() as environment, S3Server() as server:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A real Prefect server with a database of its own."""
    from prefect.logging.configuration import setup_logging
    from prefect.settings import (
        PREFECT_API_BLOCKS_REGISTER_ON_START,
        PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION,
        PREFECT_SERVER_ANALYTICS_ENABLED,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    # As the private server of a command has it: else all integrations are imported first, and Prefect hears of it.
    off = (
        PREFECT_API_BLOCKS_REGISTER_ON_START,
        PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION,
        PREFECT_SERVER_ANALYTICS_ENABLED,
    )
    with (
        temporary_settings(dict.fromkeys(off, False)),
        prefect_test_harness(server_startup_timeout=180),
    ):
        setup_logging()
        yield


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's empty database: making its tables takes 2.5 s, copying them nothing."""
    from tasks.tracking.client import connect
    from tasks.tracking.store import tracking_store

    store = tracking_store(tmp_path_factory.mktemp("migrated"))
    connect(store)
    assert store.sqlite_path is not None
    return store.sqlite_path


@pytest.fixture
def empty_store(migrated_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "TrackingStore":
    """An empty local store; the working folder is another, empty one, where nothing may appear."""
    from tasks.tracking.store import tracking_store

    store = tracking_store(tmp_path / "home")
    assert store.sqlite_path is not None
    store.folder.mkdir(parents=True)
    shutil.copy(migrated_database, store.sqlite_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return store
