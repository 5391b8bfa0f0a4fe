"""Fixtures that every stage's tests share."""

import fcntl
import functools
import gc
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tasks.tracking.store import TrackingStore
    from tests.support.s3_server import S3Server

# Tests run side by side, four processes on two processors, where threads of PyTorch's spin while they wait for each
# other: that took half of its time. Children inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests talk to loopback, without TLS. Each of Prefect's clients nevertheless reads the certificates of all authorities
# first, which takes it 22 ms; of one, whose key nobody has, it takes none.
AUTHORITY = {"PREFECT_API_SSL_CERT_FILE": str(Path(__file__).parent / "support" / "authority.pem")}
os.environ |= AUTHORITY

# What this process was told before the asserts of tests are rewritten.
WRITES_NO_BYTECODE = sys.dont_write_bytecode

# What starts slowly is started once: the tests that share it run one after the other, in one process, and begin first.
SHARED_SERVERS = ("local_stack", "prefect_server", "prefect_server of commands", "mlflow_server")
TENSORFLOW = "tensorflow"  # as is what takes 5 s to import
# Tests that type commands beside the Prefect server are as long as all others beside it, and have one of their own.
COMMANDS = {
    "test_cli_frames", "test_cli_import", "test_cli_models", "test_cli_prune", "test_cli_runs", "test_killed_build",
    "test_tour", "test_two_slugs",
}  # fmt: skip
# The longest of the rest begin next, so that none begins last while the other processes have nothing left to do.
LONG_FILES = (
    "test_private_server", "test_fuzz", "test_cli_videos", "test_cli_options", "test_train",
    "test_environment_refused", "test_pointrend", "test_cli", "test_watchdog", "test_cli_secrets", "test_from_python",
    "test_notebook", "test_torchvision_detector", "test_sequence", "test_versions",
)  # fmt: skip

# `--fast`: what is left out, the longest files and real data among it. A file is not even imported if it needs such a
# thing; of the others, single tests go that start processes.
SERVERS = {*SHARED_SERVERS, "s3_server", "prefect_database", "migrated_database", "empty_store", "real_data"}
SLOW_FILES = re.compile(
    r"tensorflow|playwright|support\.browser|reelsift\.test_cli|support\.mlflow_servers|dask", re.IGNORECASE
)
STARTS_PROCESSES = {"subprocess", "Popen", "multiprocessing"}

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

    Tests with their asserts rewritten are kept for the next run, as what is installed is kept compiled, whatever this
    process was told about bytecode: to rewrite them takes longer than to import what they import. A shell that starts
    this in the background has it ignore signals, which commands that are tested would inherit.
    """
    sys.dont_write_bytecode = False
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
    rank = {name: place for place, name in enumerate((*SHARED_SERVERS, TENSORFLOW, *LONG_FILES))}
    items.sort(key=lambda item: rank.get(groups[item], rank.get(item.path.stem, len(rank))))


def pytest_collection_finish() -> None:
    """Leave what was imported out of all later collections."""
    from conf import collect_rarely

    sys.dont_write_bytecode = WRITES_NO_BYTECODE
    gc.collect()
    gc.freeze()
    gc.enable()
    collect_rarely()


def pytest_unconfigure() -> None:
    """Look for garbage until there is none, where pytest looks five times, so that it finds what nobody closed."""
    while gc.collect():
        pass
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End a shared server after the last test that wants it: an idle stack takes a tenth of a processor."""
    fixtures = getattr(item, "_fixtureinfo", None)
    for name in SHARED_SERVERS:
        if fixtures and name in fixtures.name2fixturedefs and name not in getattr(nextitem, "fixturenames", (name,)):
            fixtures.name2fixturedefs[name][-1].finish(getattr(item, "_request"))  # noqa: B009 - private


def _is_slow(item: pytest.Item) -> bool:
    if SERVERS & set(getattr(item, "fixturenames", ())):
        return True
    fixtures = getattr(item, "_fixtureinfo", None)
    made = [each[-1].func for each in fixtures.name2fixturedefs.values()] if fixtures else []
    functions = [inspect.unwrap(each) for each in (getattr(item, "function", None), *made) if inspect.isfunction(each)]
    named = {"__init__", "__enter__"}.union(*(_names_in(each.__code__) for each in functions))
    return any(_starts_processes(each, named, set()) for each in functions)


def _starts_processes(what: Any, named: set[str], seen: set[int]) -> bool:
    """Say whether something of the tests starts a process, or calls a helper or a method of these names that does."""
    if id(what) in seen or not str(getattr(what, "__module__", "")).startswith("tests."):
        return False
    seen.add(id(what))
    if inspect.isclass(what):
        return any(_starts_processes(vars(what)[name], named, seen) for name in named & vars(what).keys())
    if not inspect.isfunction(what):
        return False
    function = inspect.unwrap(what)
    names = _names_in(function.__code__)
    return bool(names & STARTS_PROCESSES) or any(
        _starts_processes(function.__globals__.get(name), named, seen) for name in names
    )


@functools.cache
def _names_in(code: CodeType) -> frozenset[str]:
    """Return what a function and those within it name, but for their own variables."""
    within = (_names_in(each) for each in code.co_consts if isinstance(each, CodeType))
    return frozenset(code.co_names).union(*within)


def _server_of(item: pytest.Item) -> str | None:
    server = next((name for name in SHARED_SERVERS if name in getattr(item, "fixturenames", ())), None)
    if server is None and _imports_tensorflow(item.path):
        return TENSORFLOW
    return f"{server} of commands" if server == "prefect_server" and item.path.stem in COMMANDS else server


@functools.cache
def _imports_tensorflow(path: Path) -> bool:
    return "late_tensorflow" in path.read_text(encoding="utf-8")


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
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """How the first of all processes that want a folder fills it, while the others wait."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder, unfinished = shared / name, shared / f"{name}.making"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                unfinished.mkdir(exist_ok=True)
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session", autouse=True)
def warm_commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let commands that are typed again start without importing everything again."""
    from tests.support import warm_commands

    own = tmp_path_factory.getbasetemp()
    warm_commands.chosen = warm_commands.Warm(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)
    yield
    warm_commands.chosen.close()


@pytest.fixture(scope="session")
def prefect_database(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Prefect's empty database: making its tables takes 2.3 s, copying them nothing."""

    def make(folder: Path) -> None:
        others = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=others | {"PREFECT_HOME": str(folder)}, check=True, capture_output=True)

    return made_once("prefect-tables", make) / "prefect.db"


@pytest.fixture(scope="session")
def migrated_database(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """MLflow's empty database: making its tables takes 2.5 s, copying them nothing."""
    from tasks.tracking.store import tracking_store

    def make(folder: Path) -> None:
        from tasks.tracking.client import connect

        connect(tracking_store(folder))

    store = tracking_store(made_once("mlflow-tables", make))
    assert store.sqlite_path is not None
    return store.sqlite_path


@pytest.fixture(scope="session")
def feature_weights(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Small weights in the form of YouTube-8M's extractors; to write them takes 4 s, of TensorFlow. Copy them."""
    from tests.support.feature_weights import write_feature_weights

    return made_once("feature-weights", lambda folder: (write_feature_weights(folder), None)[1])


@pytest.fixture(scope="session")
def with_tables(prefect_database: Path, migrated_database: Path) -> Callable[[Path], Path]:
    """How a home gets both empty databases, where it is not their making that is tested."""

    def filled(home: Path) -> Path:
        for database, name in ((prefect_database, "prefect"), (migrated_database, "mlflow")):
            (home / name).mkdir(parents=True)
            shutil.copy(database, home / name)
        return home

    return filled


@pytest.fixture(scope="session")
def prefect_server(prefect_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Prefect server with a database of its own."""
    from prefect.logging.configuration import setup_logging
    from prefect.settings import (
        PREFECT_API_BLOCKS_REGISTER_ON_START,
        PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION,
        PREFECT_SERVER_ANALYTICS_ENABLED,
        temporary_settings,
    )
    from prefect.testing import utilities

    # As the private server of a command has it: else all integrations are imported first, and Prefect hears of it.
    off = (
        PREFECT_API_BLOCKS_REGISTER_ON_START,
        PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION,
        PREFECT_SERVER_ANALYTICS_ENABLED,
    )
    folder = tmp_path_factory.mktemp("prefect")
    shutil.copy(prefect_database, folder / "prefect-test.db")  # where the harness has its database
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(utilities, "mkdtemp", lambda: str(folder))
        with (
            temporary_settings(dict.fromkeys(off, False)),
            utilities.prefect_test_harness(server_startup_timeout=180),
        ):
            setup_logging()
            yield


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
