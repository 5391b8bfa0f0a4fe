"""The same against a real MLflow server on loopback that asks for a password."""

from pathlib import Path

import numpy as np
import pytest

from tasks.classifier.config import GateConfig
from tasks.tracking.candidate import log_candidate
from tasks.tracking.client import connect, mlflow, search_with_client
from tasks.tracking.comparison import compare, log_comparison
from tasks.tracking.loading import load_classifier
from tasks.tracking.promotion import promote, rollback
from tasks.tracking.registry import champions, list_models
from tasks.tracking.server import open_client, search_server
from tasks.tracking.store import TrackingStore
from tests.support.classifiers import DATASET_ID, made_up_dataset, made_up_videos, trained

SLUG = "dancing"  # other tests have the same server


def test_the_whole_path(remote: TrackingStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    videos, gate = made_up_videos(seed=1), GateConfig(resamples=100)
    connect(remote).create_experiment(SLUG, f"mlflow-artifacts:/{SLUG}")  # files go through the server
    results = [trained(epochs=1), trained(epochs=8)]
    candidates = [log_candidate(remote, result, made_up_dataset(tmp_path, SLUG), videos) for result in results]
    assert promote(remote, candidates[0].reference, videos, dataset_id=DATASET_ID, gate=gate).promoted
    assert promote(remote, candidates[1].reference, videos, dataset_id=DATASET_ID, gate=gate).promoted
    by_rest = search_server(remote)
    assert by_rest is not None
    assert sorted(by_rest, key=repr) == sorted(search_with_client(remote), key=repr)
    assert [row.reference for row in champions(remote, within_s=3) if row.name == SLUG] == [candidates[1].reference]
    newest, oldest = list_models(remote, SLUG)
    assert (newest.aliases, oldest.aliases) == (("champion",), ("previous_champion",))
    expected = results[1].classifier.predict(videos.features)
    assert np.array_equal(load_classifier(remote, newest).predict(videos.features), expected)
    assert np.array_equal(mlflow.pyfunc.load_model(f"models:/{SLUG}@champion").predict(videos.features), expected)
    assert_pages_answer(remote, candidates[1].run_id)
    assert rollback(remote, SLUG).model == candidates[0].reference
    assert capfd.readouterr().out == ""
    assert not (tmp_path / "mlruns").exists()
    assert not (tmp_path / "mlflow.db").exists()


def assert_pages_answer(remote: TrackingStore, run_id: str) -> None:
    comparison = compare(
        remote, made_up_videos(seed=1), dataset_id=DATASET_ID, name=SLUG, gate=GateConfig(resamples=100)
    )
    assert comparison.ui_command is None
    assert comparison.best.run_id == run_id
    with open_client(remote.uri, timeout_s=10) as client:
        picture = client.get(log_comparison(remote, comparison))
    assert picture.status_code == 200
    assert picture.content.startswith(b"\x89PNG")
    assert comparison.registry_url == f"{remote.uri}/#/models/{SLUG}"
