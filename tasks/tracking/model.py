"""A classifier as a logged and registered MLflow model, with the code that loads it."""

import ast
import functools
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tasks.classifier.fitted import FittedClassifier
from tasks.tracking.client import (
    LoggedModelOutput,
    MlflowClient,
    MlflowException,
    Model,
    ModelSignature,
    Schema,
    TensorSpec,
    requirements_utils,
    save_model,
)

ROOT = Path(__file__).parents[2]
PACKAGE = "tasks"  # whose modules are carried
SCRIPT = Path(__file__).with_name("pyfunc_model.py")
IMPORT = re.compile(rf"^(\s*)(from|import) {PACKAGE}\b", re.MULTILINE)
DIGEST_LENGTH = 12


@dataclass(frozen=True)
class ModelCode:
    """The code of a model on the disk."""

    script: Path  # which MLflow runs to load the model
    package: Path  # the folder with what the script imports, to be carried beside it


def write_model_code(folder: Path) -> ModelCode:
    """Write the script, and the package that it imports, into an existing folder."""
    sources = {path.relative_to(ROOT / PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in _closure()}
    script = SCRIPT.read_text(encoding="utf-8")
    digest = hashlib.sha256("\0".join([script, *(f"{name}\0{sources[name]}" for name in sorted(sources))]).encode())
    name = f"reelsift_model_{digest.hexdigest()[:DIGEST_LENGTH]}"
    for place, text in sources.items():
        path = folder / name / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_renamed(text, name), encoding="utf-8")
    for inner in (path for path in (folder / name).rglob("*") if path.is_dir()):
        (inner / "__init__.py").touch()
    (folder / name / "__init__.py").touch()
    written = folder / SCRIPT.name
    written.write_text(_renamed(script, name), encoding="utf-8")
    return ModelCode(written, folder / name)


def _renamed(source: str, package: str) -> str:
    return IMPORT.sub(rf"\1\2 {package}", source)


@functools.cache  # what is imported once is not read again, however it changes on the disk
def _closure() -> frozenset[Path]:
    """Return the modules of this project that the script imports, and what those import in turn."""
    found: set[Path] = set()
    waiting = [SCRIPT]
    while waiting:
        for path in _imported(waiting.pop()) - found:
            found.add(path)
            waiting.append(path)
    return frozenset(found)


def _imported(path: Path) -> set[Path]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    modules = {str(node.module) for node in nodes} | {
        f"{node.module}.{alias.name}" for node in nodes for alias in node.names
    }
    files = (
        ROOT.joinpath(*module.split(".")).with_suffix(".py") for module in modules if module.startswith(f"{PACKAGE}.")
    )
    return {file for file in files if file.is_file()}


ARTIFACT = "classifier"  # the folder with the weights, by the name under which the script asks for it
# What the carried code imports. Given explicitly, as MLflow spends 8-20 s inferring them.
REQUIREMENTS = ("mlflow", "numpy", "pydantic", "safetensors", "torch")


def register_classifier(
    client: MlflowClient, classifier: FittedClassifier, *, run_id: str, name: str, tags: Mapping[str, str]
) -> int:
    """Log the classifier as a model of the run and return the number of its new version under `name`."""
    run = client.get_run(run_id)
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=ARTIFACT,
        source_run_id=run_id,
        tags=dict(tags),
        params=run.data.params,
        model_type=str(classifier.config.model),
    )
    described = Model(
        artifact_path=logged.artifact_location, model_uuid=logged.model_id, run_id=run_id, model_id=logged.model_id
    )
    with TemporaryDirectory() as folder:
        client.log_model_artifacts(logged.model_id, str(_saved(classifier, described, Path(folder))))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    _ensure_registered(client, name)
    registered = client.create_model_version(
        name, source=f"models:/{logged.model_id}", run_id=run_id, tags=dict(tags), model_id=logged.model_id
    )
    return _first_version(client, name, run_id) or int(registered.version)


def _first_version(client: MlflowClient, name: str, run_id: str) -> int | None:
    """Return the first version of a run and delete any other: MLflow's client repeats a request of lost answer."""
    of_run = [each for each in client.search_model_versions(f"name = '{name}'") if each.run_id == run_id]
    first, *repeated = sorted(int(each.version) for each in of_run) or [None]
    for number in repeated:
        client.delete_model_version(name, str(number))
    return first


def _saved(classifier: FittedClassifier, described: Model, folder: Path) -> Path:
    """Write the model in MLflow's layout and return its folder."""
    weights = folder / ARTIFACT
    weights.mkdir()
    classifier.save(weights)
    (folder / "code").mkdir()
    code = write_model_code(folder / "code")
    with _importable(code.package.parent), _without_survey():  # MLflow runs the script as it saves it
        save_model(
            folder / "model",
            mlflow_model=described,
            python_model=str(code.script),
            code_paths=[str(code.package)],
            artifacts={ARTIFACT: str(weights)},
            signature=_signature(classifier),
            input_example=np.zeros((1, *[1] * classifier.is_over_time, classifier.space.size), np.float32),
            pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in REQUIREMENTS],
        )
    return folder / "model"


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _without_survey() -> Iterator[None]:
    """Keep MLflow from reading the file lists of all installed packages, which takes it a second.

    It does so to warn of requirements that differ from what is installed. Ours are read from what is installed.
    """
    name = "_MODULES_TO_PACKAGES"  # what such a survey found; None before the first
    known = getattr(requirements_utils, name, None)
    setattr(requirements_utils, name, known or {})
    try:
        yield
    finally:
        setattr(requirements_utils, name, known)


def _signature(classifier: FittedClassifier) -> ModelSignature:
    """Return the shapes of what comes in, videos or their moments, and of what goes out."""
    float32, features = np.dtype(np.float32), classifier.space.size
    videos = (-1, -1, features) if classifier.is_over_time else (-1, features)
    labels = (-1, len(classifier.label_ids))
    return ModelSignature(inputs=Schema([TensorSpec(float32, videos)]), outputs=Schema([TensorSpec(float32, labels)]))


def _ensure_registered(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
