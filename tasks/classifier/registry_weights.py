"""From a registered version to the classifier itself.

In: a `TrackingStore` and a row of its registry. Out: a `FittedClassifier` on the CPU. Does not know how a
version is chosen.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.registry import ModelRow
from tasks.classifier.tracking import TrackingStore
from tasks.classifier.tracking_mlflow import connect, download_artifacts, temporary_files, translated

WEIGHTS_FOLDER = "artifacts/classifier"  # below the pyfunc model's folder, where MLflow puts the artifact `classifier`


def load_classifier(store: TrackingStore, row: ModelRow) -> FittedClassifier:
    """Return the classifier of a version, wherever the store keeps its files.

    Reads the card and the weights alone: the script beside them, which `mlflow.pyfunc.load_model` runs, is not run.

    Raises:
        TrackingError: the files cannot be fetched.
        ModelError: they are not a classifier.
    """
    connect(store)
    uri = f"models:/{row.reference}/{WEIGHTS_FOLDER}"
    with temporary_files(store), TemporaryDirectory() as folder, translated(store):
        fetched = download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=store.uri)
        return FittedClassifier.load(Path(fetched))
