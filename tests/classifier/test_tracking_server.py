"""The same against a real MLflow server on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tasks.classifier.comparison import compare, log_comparison
from tasks.classifier.config import GateConfig
from tasks.classifier.promotion import promote, rollback
from tasks.classifier.registry import list_models
from tasks.classifier.registry_client import search_with_client
from tasks.classifier.registry_rest import search_server
from tasks.classifier.registry_weights import load_classifier
from tasks.classifier.tracking import TrackingStore, tracking_store
from tasks.classifier.tracking_candidate import log_candidate
from tasks.classifier.tracking_mlflow import ENVIRONMENT, mlflow
from tests.support.classifiers import DATASET_ID, made_up_dataset, made_up_videos, trained

STARTS_WITHIN_S = 90
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # workers for MLflow's own evaluations: seconds to start


@pytest.fixture(scope="module")
def server(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with an empty store of its own."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(migrated_database.read_bytes())
    with socket.socket() as probe:  # mlflow does not say which port it took when given 0
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | ENVIRONMENT | NO_JOBS, stdout=log, stderr=log, start_new_session=True
    )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        log.close()


def wait_until_it_answers(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{address}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"no MLflow server at {address}, exit status {process.poll()}")


@pytest.fixture
def remote(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingStore:
    monkeypatch.chdir(tmp_path)
    return tracking_store(tmp_path / "home", server)


def test_the_whole_path(remote: TrackingStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    videos, gate = made_up_videos(seed=1), GateConfig(resamples=100)
    results = [trained(epochs=1), trained(epochs=8)]
    candidates = [log_candidate(remote, result, made_up_dataset(tmp_path), videos) for result in results]
    assert promote(remote, candidates[0].reference, videos, dataset_id=DATASET_ID, gate=gate).promoted
    assert promote(remote, "challenger", videos, dataset_id=DATASET_ID, gate=gate).promoted
    by_rest = search_server(remote)
    assert by_rest is not None
    assert sorted(by_rest, key=repr) == sorted(search_with_client(remote), key=repr)
    newest, oldest = list_models(remote)
    assert (newest.aliases, oldest.aliases) == (("champion",), ("previous_champion",))
    expected = results[1].classifier.predict(videos.features)
    assert np.array_equal(load_classifier(remote, newest).predict(videos.features), expected)
    assert np.array_equal(mlflow.pyfunc.load_model("models:/cooking@champion").predict(videos.features), expected)
    assert_pages_answer(remote, candidates[1].run_id)
    assert rollback(remote, "cooking").reference == candidates[0].reference
    assert capfd.readouterr().out == ""
    assert not (tmp_path / "mlruns").exists()
    assert not (tmp_path / "mlflow.db").exists()


def assert_pages_answer(remote: TrackingStore, run_id: str) -> None:
    comparison = compare(
        remote, made_up_videos(seed=1), dataset_id=DATASET_ID, name="cooking", gate=GateConfig(resamples=100)
    )
    assert comparison.ui_command is None
    assert comparison.best.run_id == run_id
    picture = httpx.get(log_comparison(remote, comparison))
    assert picture.status_code == 200
    assert picture.content.startswith(b"\x89PNG")
    assert "<title>MLflow</title>" in httpx.get(comparison.compare_url).text
