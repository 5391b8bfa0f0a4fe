"""What MLflow's pages say of models, kept up to date: called wherever an alias has moved or a version was added."""

from tasks.classifier.registry import list_models
from tasks.classifier.registry_text import described, is_described, model_section, version_section
from tasks.classifier.tracking import TrackingStore
from tasks.classifier.tracking_log import log_comparable
from tasks.classifier.tracking_mlflow import MlflowClient

DESCRIBING = "descriptions"  # what only one process of a home does at a time


def describe(client: MlflowClient, store: TrackingStore, name: str, version: int | None = None) -> None:
    """Let the model's page, and those of its versions and of their runs, say what the registry holds.

    A new version may know more labels than the others, which changes their figures too: so all that have a section
    get a new one where it differs, and `version` gets one in any case; the runs' metrics follow. The registry is read
    after an alias has moved, by one process at a time: so the last one to write has seen every move.
    """
    with store.alone(DESCRIBING):
        rows = list_models(store, name)
        _describe_model(client, name, model_section(rows))
        for row in rows:
            _describe_version(client, name, row.version, version_section(row), begin=row.version == version)
            log_comparable(client, row)


def _describe_model(client: MlflowClient, name: str, section: str) -> None:
    was = client.get_registered_model(name).description or ""
    if (now := described(was, section)) != was:
        client.update_registered_model(name, now)


def _describe_version(client: MlflowClient, name: str, version: int, section: str, *, begin: bool) -> None:
    was = client.get_model_version(name, str(version)).description or ""
    if (begin or is_described(was)) and (now := described(was, section)) != was:
        client.update_model_version(name, str(version), now)
