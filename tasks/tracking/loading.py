"""The classifier of a registered version, read from wherever the store keeps its files, and what it says of videos."""

import hashlib
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tasks.classifier.config import METADATA_NAME
from tasks.classifier.evaluate import Scores
from tasks.datasets.load import Videos
from tasks.tracking.registry import ModelRow, files_of
from tasks.tracking.store import TrackingStore

if TYPE_CHECKING:
    from tasks.classifier.fitted import FittedClassifier

WEIGHTS_FOLDER = "artifacts/classifier"  # below the pyfunc model's folder, where MLflow puts the artifact `classifier`
SCORES_FORMAT = 1  # of kept scores; another number has all of them made again


def load_classifier(store: TrackingStore, row: ModelRow) -> "FittedClassifier":
    """Return the classifier of a version.

    Reads the metadata and the weights alone: the script beside them, which `mlflow.pyfunc.load_model` runs, is not run.
    Files on this disk are read without MLflow, whose import and database take 3 s.

    Raises:
        TrackingError: the files cannot be fetched.
        ModelError: they are not a classifier.
    """
    # Imported here, PyTorch with it: what models have said before is looked up without.
    from tasks.classifier.fitted import FittedClassifier  # noqa: PLC0415

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


def scores_of(store: TrackingStore, row: ModelRow, videos: Videos) -> Scores:
    """Return what a version says of the matching videos: as it was kept the first time, where its files are here.

    Raises:
        TrackingError: the files cannot be fetched.
        ModelError: they are not a classifier, or no video matches.
        FeatureSpaceError: the videos' features are of another space than the model's.
    """
    kept = _kept_scores(store, row, videos)
    found = Scores.read(kept) if kept else None
    if found:
        return found
    from tasks.classifier.scoring import score_matches  # noqa: PLC0415 - as above

    scores = score_matches(load_classifier(store, row), videos)
    keep_scores(store, row, videos, scores)
    return scores


def keep_scores(store: TrackingStore, row: ModelRow, videos: Videos, scores: Scores) -> None:
    """Keep what a version says of videos for `scores_of`; a disk that takes nothing more takes no score either."""
    path = _kept_scores(store, row, videos)
    if path:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            scores.write(path)


def _kept_scores(store: TrackingStore, row: ModelRow, videos: Videos) -> Path | None:
    """Return where scores are kept, named by the weights and the videos; None where MLflow has the files elsewhere."""
    files = files_of(store, row)
    if files is None:
        return None
    try:
        metadata = (files / WEIGHTS_FOLDER / METADATA_NAME).read_bytes()  # which names the weights' digest
    except OSError:
        return None
    told = hashlib.sha256(metadata)
    told.update(f"{SCORES_FORMAT} {videos.digest}".encode())
    return store.scores / f"{told.hexdigest()}.npz"
