"""The registered model, loaded as anybody with MLflow would."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.utils import requirements_utils

from tasks.classifier.config import ModelKind
from tasks.contracts.errors import ModelError
from tasks.tracking.client import ENVIRONMENT, connect, download_artifacts, mlflow
from tasks.tracking.loading import WEIGHTS_FOLDER, load_classifier
from tasks.tracking.store import TrackingStore
from tests.support.classifiers import registered, untrained

FEATURES = np.random.default_rng(0).standard_normal((5, 1152), dtype=np.float32)
MOMENTS = np.stack(
    [FEATURES, np.where(np.arange(5)[:, None] < 3, FEATURES, np.float32(np.nan))]
)  # the second is shorter


def test_loads_by_alias_without_pickle(store: TrackingStore) -> None:
    classifier = untrained(seed=3)
    registered(store, classifier=classifier, alias="champion")
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    model = mlflow.pyfunc.load_model("models:/cooking@champion")
    scores = model.predict(FEATURES)
    assert scores.dtype == np.float32
    assert np.array_equal(scores, classifier.predict(FEATURES))


def test_the_signature_is_enforced(store: TrackingStore) -> None:
    registered(store)
    model = mlflow.pyfunc.load_model("models:/cooking/1")
    signature = model.metadata.signature
    assert [(str(spec.type), spec.shape) for spec in signature.inputs] == [("float32", (-1, 1152))]
    assert [(str(spec.type), spec.shape) for spec in signature.outputs] == [("float32", (-1, 3))]
    with pytest.raises(MlflowException, match="float64 does not match expected dtype float32"):
        model.predict(FEATURES.astype(np.float64))
    with pytest.raises(MlflowException, match="Shape of input"):
        model.predict(FEATURES[:, :1024])


def test_what_is_kept(store: TrackingStore, tmp_path: Path) -> None:
    registered(store)
    connect(store)
    folder = Path(download_artifacts(artifact_uri="models:/cooking/1", dst_path=str(tmp_path)))
    assert {path.name for path in (folder / WEIGHTS_FOLDER).iterdir()} == {"classifier.json", "model.safetensors"}
    flavor = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["python_function"]
    assert Path(flavor["model_code_path"]).name == "pyfunc_model.py"
    assert "python_model" not in flavor  # where a pickle would be named
    requirements = (folder / "requirements.txt").read_text()
    assert {line.partition("==")[0] for line in requirements.split()} == {
        "mlflow",
        "numpy",
        "pydantic",
        "safetensors",
        "torch",
    }
    assert not (folder / "uv.lock").exists()


def test_installed_packages_are_not_looked_through(store: TrackingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    surveys: list[None] = []
    monkeypatch.setattr(requirements_utils, "_MODULES_TO_PACKAGES", None)  # as in a process that has logged none yet
    monkeypatch.setattr(
        "mlflow.utils.requirements_utils.importlib_metadata.packages_distributions",
        lambda: surveys.append(None) or {},
    )
    registered(store)
    assert not surveys
    requirements_utils.warn_dependency_requirement_mismatches(["torch"])
    assert surveys  # MLflow still does so by this name: the test can fail


ELSEWHERE = """
import importlib.util, sys
sys.path.append(sys.argv[1])
assert not [name for name in ("tasks", "conf", "flows", "deployments", "reelsift") if importlib.util.find_spec(name)]
import mlflow, numpy
for folder, features, scores in zip(*[iter(sys.argv[2:])] * 3):
    numpy.save(scores, mlflow.pyfunc.load_model(folder).predict(numpy.load(features)))
"""


def test_it_loads_where_reelsift_is_not_installed(store: TrackingStore, tmp_path: Path) -> None:
    """In an interpreter that has the packages of the model's requirements, and nothing of this project's checkout."""
    asked = [(untrained(seed=7), FEATURES), (untrained(seed=7, kind=ModelKind.GRU), MOMENTS)]
    words = list[str]()
    for number, (classifier, features) in enumerate(asked, 1):
        registered(store, classifier=classifier)
        connect(store)
        uri = f"models:/cooking/{number}"
        words.append(download_artifacts(artifact_uri=uri, dst_path=str(tmp_path / f"model {number}")))
        words += [str(tmp_path / f"features {number}.npy"), str(tmp_path / f"scores {number}.npy")]
        np.save(words[-2], features)
    packages = sysconfig.get_path("purelib")
    # `-S`: no `.pth` file is read, by which the editable install would come in; `-I`: no working folder, no variables.
    command = [sys.executable, "-I", "-S", "-c", ELSEWHERE, packages, *words]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=ENVIRONMENT)
    assert run.returncode == 0, run.stderr
    for scores, (classifier, features) in zip(words[2::3], asked, strict=True):
        assert np.array_equal(np.load(scores), classifier.predict(features))


def test_the_carried_code_hides_no_module_of_the_checkout(store: TrackingStore, tmp_path: Path) -> None:
    registered(store)
    connect(store)
    folder = Path(download_artifacts(artifact_uri="models:/cooking/1", dst_path=str(tmp_path)))
    (package,) = (path for path in (folder / "code").iterdir() if path.is_dir())
    assert re.fullmatch(r"reelsift_model_[0-9a-f]{12}", package.name)
    carried = list(folder.rglob("*.py"))
    assert len(carried) > 5
    assert not [path for path in carried if re.search(r"^\s*(from|import) tasks\b", path.read_text(), re.MULTILINE)]


def test_loading_the_weights_runs_no_code_of_the_store(store: TrackingStore) -> None:
    row = registered(store)
    (script,) = (store.folder / "artifacts").rglob("pyfunc_model.py")
    script.write_text("raise SystemExit('ran')")
    assert load_classifier(store, row).label_ids == (0, 1, 2)


def test_files_on_this_disk_are_read_without_mlflow(store: TrackingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    row = registered(store)
    monkeypatch.setitem(sys.modules, "tasks.tracking.client", None)  # an import of it fails
    assert load_classifier(store, row).label_ids == (0, 1, 2)


def test_weights_changed_in_the_store_are_refused(store: TrackingStore) -> None:
    row = registered(store)
    (weights,) = (store.folder / "artifacts").rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ModelError, match="do not belong together"):
        load_classifier(store, row)


def test_the_environment_of_every_use() -> None:
    assert ENVIRONMENT["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert ENVIRONMENT["DO_NOT_TRACK"] == "1"
    assert {name: os.environ[name] for name in ENVIRONMENT} == ENVIRONMENT
