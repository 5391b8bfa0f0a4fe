"""A classifier as an MLflow model, logged and registered.

In: a fitted classifier and the run that made it. Out: files in the store (weights in safetensors, the script
`pyfunc_model.py` and the code that it imports, no pickle) and a new version in the registry.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.model_code import write_model_code
from tasks.classifier.tracking_mlflow import (
    LoggedModelOutput,
    MlflowClient,
    MlflowException,
    Model,
    ModelSignature,
    Schema,
    TensorSpec,
    save_model,
)
from tasks.contracts.artifacts import FEATURE_SIZE

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
    card = Model(
        artifact_path=logged.artifact_location, model_uuid=logged.model_id, run_id=run_id, model_id=logged.model_id
    )
    with TemporaryDirectory() as folder:
        client.log_model_artifacts(logged.model_id, str(_saved(classifier, card, Path(folder))))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    _ensure_registered(client, name)
    registered = client.create_model_version(
        name, source=f"models:/{logged.model_id}", run_id=run_id, tags=dict(tags), model_id=logged.model_id
    )
    return int(registered.version)


def _saved(classifier: FittedClassifier, card: Model, folder: Path) -> Path:
    """Write the model in MLflow's layout and return its folder."""
    weights = folder / ARTIFACT
    weights.mkdir()
    classifier.save(weights)
    (folder / "code").mkdir()
    code = write_model_code(folder / "code")
    with _importable(code.package.parent):  # MLflow runs the script as it saves it
        save_model(
            folder / "model",
            mlflow_model=card,
            python_model=str(code.script),
            code_paths=[str(code.package)],
            artifacts={ARTIFACT: str(weights)},
            signature=_signature(len(classifier.label_ids)),
            input_example=np.zeros((1, FEATURE_SIZE), np.float32),
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


def _signature(labels: int) -> ModelSignature:
    float32 = np.dtype(np.float32)
    return ModelSignature(
        inputs=Schema([TensorSpec(float32, (-1, FEATURE_SIZE))]), outputs=Schema([TensorSpec(float32, (-1, labels))])
    )


def _ensure_registered(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
