"""The registry read in three ways, and references to its models."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from tasks.contracts.errors import TrackingError, UnknownModelError
from tasks.tracking.client import connect, search_with_client
from tasks.tracking.loading import load_classifier
from tasks.tracking.registry import KNOWN_SCHEMAS, list_models, resolve, search_database
from tasks.tracking.store import TrackingStore, tracking_store
from tests.support.classifiers import DATASET_ID, registered, untrained


def test_a_row_says_what_the_tags_say(store: TrackingStore) -> None:
    row = registered(store, alias="challenger")
    assert row == list_models(store)[0]
    assert (row.name, row.version, row.aliases, row.kind) == ("cooking", 1, ("challenger",), "logistic")
    assert (row.gap, row.map, row.seconds, row.dataset_id) == (0.75, 0.25, 1.5, DATASET_ID)
    assert datetime.now(UTC) - row.created_at < timedelta(minutes=5)
    assert row.verdict is None


def test_newest_first_and_of_one_name(store: TrackingStore) -> None:
    rows = [registered(store), registered(store, "dance"), registered(store)]
    assert [row.reference for row in list_models(store)] == ["cooking/2", "dance/1", "cooking/1"]
    assert list_models(store, "cooking") == [rows[2], rows[0]]


def test_sql_answers_what_mlflow_answers(store: TrackingStore) -> None:
    registered(store, alias="champion")
    registered(store, "dance", alias="challenger")
    client = connect(store)
    client.set_registered_model_alias("cooking", "previous_champion", "1")
    client.delete_model_version("cooking", str(registered(store).version))
    by_sql = search_database(store)
    assert by_sql is not None
    assert sorted(by_sql, key=repr) == sorted(search_with_client(store), key=repr)
    assert len(by_sql) == 2


def test_the_queries_are_for_the_installed_mlflow() -> None:
    import mlflow.store.db_migrations

    scripts = ScriptDirectory(mlflow.store.db_migrations.__path__[0])
    assert scripts.get_current_head() in KNOWN_SCHEMAS


def test_another_schema_is_left_to_mlflow(store: TrackingStore) -> None:
    assert store.sqlite_path is not None
    with sqlite3.connect(store.sqlite_path) as database:
        database.execute("UPDATE alembic_version SET version_num = 'newer'")
    assert search_database(store) is None
    with pytest.raises(TrackingError, match="out-of-date database schema"):
        list_models(store)


def test_models_of_others_are_left_out(store: TrackingStore) -> None:
    connect(store).create_registered_model("someone-elses")
    connect(store).create_model_version("someone-elses", source=str(store.folder))
    assert list_models(store) == []


def test_no_store_yet_means_no_models_and_makes_none(tmp_path: Path) -> None:
    store = tracking_store(tmp_path / "home")
    assert list_models(store) == []
    assert not (tmp_path / "home").exists()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    store = tracking_store(tmp_path)
    store.folder.mkdir()
    (store.folder / "mlflow.db").write_text("no database, by any reading " * 100)
    with pytest.raises(TrackingError, match=r"mlflow.db cannot be read: file is not a database"):
        list_models(store)


def test_looking_does_not_import_mlflow(store: TrackingStore) -> None:
    registered(store)
    script = (
        "import sys; from pathlib import Path; from tasks.tracking.registry import list_models;"
        "from tasks.tracking.store import tracking_store;"
        f"print(len(list_models(tracking_store(Path({str(store.folder.parent)!r})))), 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param(lambda _: "champion", id="alias-alone"),
        pytest.param(lambda _: "cooking@champion", id="alias"),
        pytest.param(lambda _: "cooking/1", id="version"),
        pytest.param(lambda _: "models:/cooking@champion", id="models-alias"),
        pytest.param(lambda _: "models:/cooking/1", id="models-version"),
        pytest.param(lambda row: row.run_id, id="run"),
    ],
)
def test_references(store: TrackingStore, reference: Callable) -> None:
    row = registered(store, alias="champion")
    registered(store)
    assert resolve(store, reference(row)) == row


@pytest.mark.parametrize(
    "reference", ["challenger", "cooking@challenger", "cooking/3", "dance/1", "f" * 32, "", "@", "/"]
)
def test_unknown_references_name_what_there_is(store: TrackingStore, reference: str) -> None:
    registered(store, alias="champion")
    with pytest.raises(UnknownModelError, match=r"There are: cooking@champion, cooking/1\. Train one: `reelsift train"):
        resolve(store, reference)


def test_where_none_is_the_champion_the_error_says_how_one_becomes_it(store: TrackingStore) -> None:
    row = registered(store, alias="challenger")
    with pytest.raises(UnknownModelError, match=rf"None is the champion yet: .*`reelsift models promote {row.name}`"):
        resolve(store, "champion")


def test_unknown_where_there_are_none(store: TrackingStore) -> None:
    with pytest.raises(UnknownModelError, match=r"No model 'champion' at sqlite.*There are none yet. Train one"):
        resolve(store, "champion")


def test_an_alias_of_several_models_is_refused(store: TrackingStore) -> None:
    registered(store, alias="champion")
    registered(store, "dance", alias="champion")
    with pytest.raises(UnknownModelError, match=r"names 2 models\. Say which: cooking@champion, dance@champion"):
        resolve(store, "champion")


def test_weights_come_back(store: TrackingStore) -> None:
    import numpy as np

    classifier = untrained(seed=7)
    row = registered(store, classifier=classifier)
    features = np.random.default_rng(0).standard_normal((5, 1152), dtype=np.float32)
    assert np.array_equal(load_classifier(store, row).predict(features), classifier.predict(features))
