"""Tasks: the parts of a request, or the clips of an import, become a dataset version.

The cache key is the version's slug and id; the caller checks that the version is still there. A newly published version
says so with an event, one that was there before does not; the event says whether the run that published goes on to
train.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.context import TaskRunContext
from prefect.events import emit_event
from prefect.runtime import flow_run

from tasks.contracts.datasets import DatasetManifest, Part
from tasks.datasets.caveats import summary_of
from tasks.datasets.request import DatasetRequest
from tasks.datasets.stored import publish_request
from tasks.imports.parts import publish_import
from tasks.imports.request import ImportRequest
from tasks.runs import current_progress, says

# To be raised by hand when a version's files are laid out differently.
PUBLISH_CACHE_VERSION, IMPORT_CACHE_VERSION = 2, 1
PUBLISHED_EVENT = "reelsift.dataset.published"
TRAINING_LABEL = "reelsift.training"  # of the event's resource; the trigger in deployments/prefect.yaml matches on it
TRAINING_WANTED = "wanted"
TRAINING_FOLLOWS = "follows"
TRAINING_FOLLOWS_TAG = "training-follows"  # of a flow run whose caller goes on to train on what it publishes


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    request: DatasetRequest = parameters["request"]
    return f"yt8m-dataset-{PUBLISH_CACHE_VERSION}-{request.slug}-{request.id}"


def in_headline(version: Mapping[str, Any]) -> str:
    """Say of a version how much of what was read is in it."""
    return f"{version['matches']:,} of {version['records']:,} match"


@task(
    name="publish-dataset",
    task_run_name="publish {request.slug}",
    cache_key_fn=_cache_key,
    persist_result=True,
    result_serializer="json",
)
@says(in_headline)
def publish_dataset(
    request: DatasetRequest,
    parts: Sequence[Mapping[str, Any]],
    *,
    root: Path,
    store: Path,
    storage: str | None = None,
) -> dict[str, Any]:
    """Publish the version below `root` and in the storage; the event comes after the commit, and only then.

    Raises:
        DatasetError: the parts do not make up a version, or it cannot be written.
        StorageError: the storage cannot be used.
    """
    taken = [Part.model_validate(part) for part in parts]
    dataset, is_new = publish_request(
        request, taken, root=root, store=store, storage=storage, progress=current_progress()
    )
    if is_new:
        announce(dataset.manifest)
    return summary_of(dataset.manifest)


def _import_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    request: ImportRequest = parameters["request"]
    return f"import-{IMPORT_CACHE_VERSION}-{request.slug}-{request.id}"


@task(
    name="import-clips",
    task_run_name="publish {request.slug}",
    cache_key_fn=_import_key,
    persist_result=True,
    result_serializer="json",
)
@says(in_headline)
def import_clips(
    request: ImportRequest, *, root: Path, store: Path, features: Path, storage: str | None = None
) -> dict[str, Any]:
    """Write the rows and publish the version; the event comes after the commit, and only then.

    Raises:
        DatasetError: the version cannot be written, or features are gone.
        StorageError: the storage cannot be used.
    """
    dataset, is_new = publish_import(request, root=root, store=store, features=features, storage=storage)
    if is_new:
        announce(dataset.manifest)
    return summary_of(dataset.manifest)


def announce(manifest: DatasetManifest) -> None:
    """Let the server know of a version that was published."""
    emit_event(PUBLISHED_EVENT, resource=_resource(manifest), payload=summary_of(manifest))


def _resource(manifest: DatasetManifest) -> dict[str, str]:
    return {
        "prefect.resource.id": f"reelsift.dataset.{manifest.slug}.{manifest.id}",
        "prefect.resource.name": manifest.slug,
        TRAINING_LABEL: TRAINING_FOLLOWS if TRAINING_FOLLOWS_TAG in flow_run.tags else TRAINING_WANTED,
    }
