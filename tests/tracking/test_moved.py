"""A home that was moved or copied: its models are read and written where it is now, and nowhere else."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow.artifacts import load_dict

from conf.settings import load_settings
from tasks.contracts.errors import ConfigError, did_you_mean
from tasks.contracts.files import sqlite_path, sqlite_uri
from tasks.tracking.client import connect, download_artifacts, mlflow
from tasks.tracking.loading import load_classifier
from tasks.tracking.registry import list_models
from tasks.tracking.store import TrackingStore, tracking_store
from tests.support.classifiers import registered, untrained

FEATURES = np.random.default_rng(0).standard_normal((3, 1152), dtype=np.float32)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("name", ["copy", "a ?b #c%20d;e&ü"])
def test_a_copy_works_in_itself_and_leaves_the_original(store: TrackingStore, tmp_path: Path, name: str) -> None:
    classifier = untrained(seed=4)
    row = registered(store, classifier=classifier, alias="champion")
    original = store.folder.parent
    before = contents(original)
    shutil.copytree(original, tmp_path / name)
    copied = tracking_store(tmp_path / name)
    assert [each.reference for each in list_models(copied)] == [row.reference]
    assert np.array_equal(load_classifier(copied, row).predict(FEATURES), classifier.predict(FEATURES))
    connect(copied)  # which MLflow's own functions ask from here on
    for address in ("models:/cooking@champion", f"runs:/{row.run_id}/classifier"):
        model = mlflow.pyfunc.load_model(address)  # as a person does, or another program
        assert np.array_equal(model.predict(FEATURES), classifier.predict(FEATURES))
    place = Path(download_artifacts(artifact_uri="models:/cooking@champion/requirements.txt"))
    assert place.is_relative_to(copied.files)
    assert "torch==" in place.read_text()
    mlflow.MlflowClient().log_dict(row.run_id, {"noted": name}, "note.json")
    assert load_dict(f"runs:/{row.run_id}/note.json") == {"noted": name}
    newer = registered(copied, classifier=untrained(seed=5))
    assert newer.reference == "cooking/2"
    assert len(list((copied.folder / "artifacts").rglob("model.safetensors"))) == 2
    assert contents(original) == before
    assert not list(Path.cwd().iterdir())


def test_a_moved_home_comes_up_nowhere_else(store: TrackingStore, tmp_path: Path) -> None:
    classifier = untrained(seed=6)
    row = registered(store, classifier=classifier)
    former, now = store.folder.parent, tmp_path / "elsewhere now"
    former.rename(now)
    moved = tracking_store(now)
    assert np.array_equal(load_classifier(moved, row).predict(FEATURES), classifier.predict(FEATURES))
    registered(moved)
    assert not former.exists()


@pytest.mark.parametrize("path", ["/a/b.db", "/a b/c#d/e%20f.db", "/a?b/c%3F#d.db", "relative.db"])
def test_the_address_of_a_database_is_read_back(path: str) -> None:
    assert sqlite_path(sqlite_uri(Path(path))) == Path(path)
    assert sqlite_path("postgresql://host/name") is None


def test_an_empty_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSIFT_HOME", "")
    with pytest.raises(ConfigError, match=r"home \(from REELSIFT_HOME\) is '': .*it must name a folder"):
        load_settings()


def test_suggestions() -> None:
    assert did_you_mean("cook", ["cooking", "dance"]) == " Did you mean 'cooking'?"
    assert did_you_mean("imagenett", ["champion", "imagenet"]) == " Did you mean 'imagenet'?"
    assert did_you_mean("x", ["cooking"]) == ""
