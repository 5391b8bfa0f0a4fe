"""`mlflow models serve` with the champion, with pickle forbidden, as a person would run it."""

import os
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from tasks.classifier.tracking import TrackingStore
from tasks.classifier.tracking_mlflow import connect, mlflow
from tests.support.classifiers import registered, untrained
from tests.support.mlflow_servers import free_port, running


def test_it_answers_as_the_model_does(remote: TrackingStore, tmp_path: Path) -> None:
    registered(remote, "served", classifier=untrained(seed=5), alias="champion")
    connect(remote)
    features = np.random.default_rng(0).standard_normal((3, 1152), dtype=np.float32)
    expected = mlflow.pyfunc.load_model("models:/served@champion").predict(features)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/served@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": remote.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # the activated .venv
    }
    with running(command, environment, tmp_path, f"http://127.0.0.1:{port}/health"):
        address = f"http://127.0.0.1:{port}/invocations"
        answer = httpx.post(address, json={"inputs": features.tolist()}, timeout=60)
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(np.asarray(answer.json()["predictions"], np.float32), expected, rtol=1e-6)
        refused = httpx.post(address, json={"inputs": features[:, :1024].tolist()}, timeout=60)
        assert refused.status_code == 400
        assert "Shape of input" in refused.text


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
