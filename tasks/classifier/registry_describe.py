"""The descriptions in MLflow's registry, kept up to date: called wherever an alias has moved.

In: a client and the name of a model. Out: its description, and perhaps that of a version, written anew where they would
differ. Does not know what they say.
"""

from tasks.classifier.registry import list_models
from tasks.classifier.registry_text import described, model_section, version_section
from tasks.classifier.tracking import TrackingStore
from tasks.classifier.tracking_mlflow import MlflowClient

DESCRIBING = "descriptions"  # what only one process of a home does at a time


def describe(client: MlflowClient, store: TrackingStore, name: str, version: int | None = None) -> None:
    """Let the model's page, and that of `version`, say what the registry holds.

    Whoever moved an alias reads the registry after that, alone: so the last one to write has seen every move.
    """
    with store.alone(DESCRIBING):
        rows = list_models(store, name)
        _describe_model(client, name, model_section(rows))
        for row in rows:
            if row.version == version:
                _describe_version(client, name, str(version), version_section(row))


def _describe_model(client: MlflowClient, name: str, section: str) -> None:
    was = client.get_registered_model(name).description or ""
    if (now := described(was, section)) != was:
        client.update_registered_model(name, now)


def _describe_version(client: MlflowClient, name: str, version: str, section: str) -> None:
    was = client.get_model_version(name, version).description or ""
    if (now := described(was, section)) != was:
        client.update_model_version(name, version, now)
