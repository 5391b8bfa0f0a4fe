"""Where a store is, the addresses of its pages, and what it says where it cannot be used."""

import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import OperationalError

from tasks.contracts.errors import TrackingError
from tasks.tracking.client import connect, make_tables
from tasks.tracking.registry import list_models
from tasks.tracking.store import tracking_store


def test_the_default_is_a_database_in_the_home(tmp_path: Path) -> None:
    store = tracking_store(tmp_path)
    assert store.uri == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert store.sqlite_path == tmp_path / "mlflow" / "mlflow.db"
    assert store.artifact_root == f"file://{tmp_path}/mlflow/artifacts"
    assert list(tmp_path.iterdir()) == []


def test_a_relative_home_is_the_same_wherever_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking_store(Path(".reelsift")) == tracking_store(tmp_path / ".reelsift")


def test_a_server_decides_where_its_files_are(tmp_path: Path) -> None:
    store = tracking_store(tmp_path, "http://10.0.0.7:5000/")
    assert store.uri == store.ui_url == "http://10.0.0.7:5000"
    assert store.artifact_root is None
    assert store.sqlite_path is None
    assert store.ui_command is None


def test_addresses(tmp_path: Path) -> None:
    store = tracking_store(tmp_path)
    assert store.run_url("3", "abc") == "http://127.0.0.1:5000/#/experiments/3/runs/abc"
    assert store.model_url("cooking", 2) == "http://127.0.0.1:5000/#/models/cooking/versions/2"
    assert store.artifact_url("abc", "figures/a b.png").endswith("/get-artifact?path=figures%2Fa+b.png&run_uuid=abc")


def test_the_command_may_be_pasted_into_a_shell(tmp_path: Path) -> None:
    store = tracking_store(tmp_path / "my home")
    assert store.ui_command == f"mlflow server --host 127.0.0.1 --backend-store-uri '{store.uri}'"


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "./mlruns", "databricks"])
def test_stores_without_a_registry_are_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(TrackingError, match=f"No MLflow store can be at '{uri}': it must begin with one of http://"):
        tracking_store(tmp_path, uri)


@pytest.mark.parametrize("use", [connect, list_models], ids=["connect", "list"])
def test_a_server_that_is_not_there(tmp_path: Path, use: object) -> None:
    assert callable(use)
    store = tracking_store(tmp_path, "http://127.0.0.1:9")  # the discard port: nothing listens
    began = time.monotonic()
    with pytest.raises(TrackingError, match=r"No MLflow server answers at http://127\.0\.0\.1:9"):
        use(store)
    assert time.monotonic() - began < 20  # MLflow's client alone would go on for minutes


def test_one_at_a_time(tmp_path: Path) -> None:
    store = tracking_store(tmp_path)
    order = []

    def second() -> None:
        with store.alone("work"):
            order.append("second")

    with store.alone("work"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_home_with_a_space(migrated_database: Path, tmp_path: Path) -> None:
    store = tracking_store(tmp_path / "my home")
    assert store.sqlite_path is not None
    store.folder.mkdir(parents=True)
    store.sqlite_path.write_bytes(migrated_database.read_bytes())
    connect(store).create_registered_model("cooking")
    assert list_models(store) == []
    assert {path.name for path in tmp_path.iterdir()} == {"my home"}


def test_a_database_whose_making_was_killed_is_made_again_and_no_other(tmp_path: Path, migrated_database: Path) -> None:
    """SQLite keeps the tables of a broken migration, and forgets how far it was: MLflow could never go on."""
    store = tracking_store(tmp_path)
    assert store.sqlite_path is not None
    store.folder.mkdir()
    shutil.copy(migrated_database, store.sqlite_path)
    with closing(sqlite3.connect(store.sqlite_path)) as database, database:
        for statement in ("DELETE FROM experiments", "DELETE FROM alembic_version", "DROP TABLE webhook_events"):
            database.execute(statement)
    shutil.copy(store.sqlite_path, tmp_path / "alone.db")
    with pytest.raises(OperationalError, match="duplicate column"):
        SqlAlchemyStore(f"sqlite:///{tmp_path}/alone.db", str(tmp_path))
    assert not store.has_tables
    assert [each.name for each in connect(store).search_experiments()] == ["Default"]
    assert store.has_tables
    made = store.sqlite_path.read_bytes()
    make_tables(store)
    assert store.sqlite_path.read_bytes() == made
    assert {path.name for path in store.folder.iterdir()} == {"mlflow.db", "tables.lock"}


def test_a_file_that_is_no_database_stays_what_it_is(tmp_path: Path) -> None:
    store = tracking_store(tmp_path)
    assert store.sqlite_path is not None
    store.folder.mkdir()
    store.sqlite_path.write_bytes(b"a letter to a friend" * 100)
    assert store.has_tables
    with pytest.raises(TrackingError, match="not a database"):
        list_models(store)
    assert store.sqlite_path.read_bytes().startswith(b"a letter")
