"""The registry as MLflow's own client sees it: of any store, but at the price of importing MLflow.

In: a `TrackingStore`. Out: its model versions. Does not know what the tags mean.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TypeVar

from tasks.classifier.registry_version import RegisteredVersion
from tasks.classifier.tracking import TrackingStore
from tasks.classifier.tracking_mlflow import MlflowClient, PagedList, connect, translated

Row = TypeVar("Row")


def search_with_client(store: TrackingStore) -> list[RegisteredVersion]:
    """Return every model version.

    Raises:
        TrackingError: the store cannot be read.
    """
    client = connect(store)
    with translated(store):
        return _search(client)


def _search(client: MlflowClient) -> list[RegisteredVersion]:
    aliases: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for model in _pages(lambda token: client.search_registered_models(page_token=token)):
        for alias, version in sorted(model.aliases.items()):
            aliases[model.name, int(version)].append(alias)
    return [
        RegisteredVersion(
            name=found.name,
            version=int(found.version),
            run_id=found.run_id or "",
            created_ms=found.creation_timestamp,
            tags=found.tags,
            aliases=tuple(aliases[found.name, int(found.version)]),
        )
        for found in _pages(lambda token: client.search_model_versions(page_token=token))
    ]


def _pages(search: Callable[[str | None], PagedList[Row]]) -> Iterator[Row]:
    """Yield all rows, page by page."""
    token = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return
