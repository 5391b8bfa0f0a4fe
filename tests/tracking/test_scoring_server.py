"""`mlflow models serve` with the champion, with pickle forbidden, as a person would run it."""

import os
import re
import shutil
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from tasks.tracking.client import connect, mlflow
from tasks.tracking.store import TrackingStore, tracking_store
from tests.support.classifiers import registered, untrained
from tests.support.mlflow_servers import free_port, running

README = Path(__file__).parents[2] / "README.md"
FEATURES = np.random.default_rng(0).standard_normal((3, 1152), dtype=np.float32)
ACTIVATED = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}  # the .venv


def test_it_answers_as_the_model_does(remote: TrackingStore, tmp_path: Path) -> None:
    registered(remote, "served", classifier=untrained(seed=5), alias="champion")
    connect(remote)
    expected = mlflow.pyfunc.load_model("models:/served@champion").predict(FEATURES)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/served@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = (
        os.environ
        | {
            "MLFLOW_TRACKING_URI": remote.uri,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        }
        | ACTIVATED
    )
    with running(command, environment, tmp_path, f"http://127.0.0.1:{port}/health"):
        address = f"http://127.0.0.1:{port}/invocations"
        answer = httpx.post(address, json={"inputs": FEATURES.tolist()}, timeout=60)
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(np.asarray(answer.json()["predictions"], np.float32), expected, rtol=1e-6)
        refused = httpx.post(address, json={"inputs": FEATURES[:, :1024].tolist()}, timeout=60)
        assert refused.status_code == 400
        assert "Shape of input" in refused.text


def test_the_line_of_the_readme_serves_the_champion_of_a_home(migrated_database: Path, tmp_path: Path) -> None:
    """Typed in a folder whose name is no address, beside its `.reelsift`."""
    (line,) = re.findall(r"`(MLFLOW_TRACKING_URI=\S+ mlflow models serve [^`]+)`", README.read_text(encoding="utf-8"))
    folder = tmp_path / "a ?b #c%20d"
    store = tracking_store(folder / ".reelsift")
    store.folder.mkdir(parents=True)
    shutil.copy(migrated_database, store.folder)
    classifier = untrained(seed=8)
    registered(store, classifier=classifier, alias="champion")
    port = free_port()
    assert "--port 5001" in line
    command = ["bash", "-c", line.replace("5001", str(port))]
    unset = {variable for variable in os.environ if variable.startswith("MLFLOW_")}
    environment = {key: value for key, value in os.environ.items() if key not in unset} | ACTIVATED
    with running(command, environment, folder, f"http://127.0.0.1:{port}/health"):
        answer = httpx.post(f"http://127.0.0.1:{port}/invocations", json={"inputs": FEATURES.tolist()}, timeout=60)
        assert answer.status_code == 200, answer.text
        scores = np.asarray(answer.json()["predictions"], np.float32)
    np.testing.assert_allclose(scores, classifier.predict(FEATURES), rtol=1e-6)
    assert {path.name for path in folder.iterdir() if not path.name.startswith("server-")} == {".reelsift"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
