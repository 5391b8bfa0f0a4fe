"""Task: the parts of a request become a dataset version.

In: a request and its parts. Out: the version's id, folder and figures. The cache key is the version's id; the
caller checks that the version is still there. A newly published version says so with an event.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.context import TaskRunContext
from prefect.events import emit_event

from tasks.contracts.artifacts import DatasetManifest, Part
from tasks.contracts.revision import code_revision
from tasks.datasets.publish import publish
from tasks.datasets.request import DatasetRequest
from tasks.records.parts import FILTER_VERSION, options_of

PUBLISH_CACHE_VERSION = 1  # raise by hand when a version's files are laid out differently
PUBLISHED_EVENT = "reelsift.dataset.published"


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    return f"yt8m-dataset-{PUBLISH_CACHE_VERSION}-{parameters['request'].id}"


@task(
    name="publish-dataset",
    task_run_name="publish-{request.slug}",
    cache_key_fn=_cache_key,
    persist_result=True,
    result_serializer="json",
)
def publish_dataset(
    request: DatasetRequest, parts: Sequence[Mapping[str, Any]], *, root: Path, store: Path
) -> dict[str, Any]:
    """Publish the version below `root`; the event comes after the commit, and only then."""
    manifest = publish(
        root,
        store,
        [Part.model_validate(part) for part in parts],
        slug=request.slug,
        label_ids=request.filter.label_ids,
        labels=request.label_names,
        options=options_of(request.filter),
        filter_version=FILTER_VERSION,
        splits=request.splits,
        code_revision=code_revision(),
    )
    emit_event(
        PUBLISHED_EVENT, resource=_resource(manifest), payload={"rows": manifest.rows, "matches": manifest.matches}
    )
    return {"id": manifest.id, "slug": manifest.slug, "rows": manifest.rows, "matches": manifest.matches}


def _resource(manifest: DatasetManifest) -> dict[str, str]:
    return {"prefect.resource.id": f"reelsift.dataset.{manifest.id}", "prefect.resource.name": manifest.slug}
