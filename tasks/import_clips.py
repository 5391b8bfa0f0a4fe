"""Task: the clips of a request become a dataset version.

The cache key is the version's slug and id, as that of `publish_dataset`; the caller checks that it is still there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.datasets.caveats import summary_of
from tasks.imports.parts import publish_import
from tasks.imports.request import ImportRequest
from tasks.publish_dataset import announce

IMPORT_CACHE_VERSION = 1  # raise by hand when a version's files are laid out differently


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    request: ImportRequest = parameters["request"]
    return f"import-{IMPORT_CACHE_VERSION}-{request.slug}-{request.id}"


@task(
    name="import-clips",
    task_run_name="import-{request.slug}",
    cache_key_fn=_cache_key,
    persist_result=True,
    result_serializer="json",
)
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
