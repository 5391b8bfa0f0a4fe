"""The classifier of a registered version, read from wherever the store keeps its files."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.classifier.fitted import FittedClassifier
from tasks.tracking.registry import ModelRow, files_of
from tasks.tracking.store import TrackingStore

WEIGHTS_FOLDER = "artifacts/classifier"  # below the pyfunc model's folder, where MLflow puts the artifact `classifier`


def load_classifier(store: TrackingStore, row: ModelRow) -> FittedClassifier:
    """Return the classifier of a version.

    Reads the metadata and the weights alone: the script beside them, which `mlflow.pyfunc.load_model` runs, is not run.
    Files on this disk are read without MLflow, whose import and database take 3 s.

    Raises:
        TrackingError: the files cannot be fetched.
        ModelError: they are not a classifier.
    """
    files = files_of(store, row)
    if files:
        return FittedClassifier.load(files / WEIGHTS_FOLDER)
    from tasks.tracking.client import connect, download_artifacts, temporary_files, translated  # noqa: PLC0415

    connect(store)
    uri = f"models:/{row.reference}/{WEIGHTS_FOLDER}"
    with temporary_files(store), TemporaryDirectory() as folder, translated(store):
        return FittedClassifier.load(
            Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=store.uri))
        )
