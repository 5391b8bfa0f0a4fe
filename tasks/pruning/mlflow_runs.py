"""Runs as MLflow knows them, and their deletion.

Hidden is what MLflow's pages call deleted. Only the owner of the database can forget: the home's own is here, also
while a server serves it; another server's runs stay hidden until it runs `mlflow gc`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import AwareDatetime

from tasks.contracts.errors import TrackingError
from tasks.contracts.model import FrozenModel
from tasks.pruning.items import at, is_inside
from tasks.tracking.registry import DATASET_TAG, KIND_TAG, dataset_of
from tasks.tracking.store import TrackingStore, tracking_store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

    from tasks.tracking.client import MlflowClient

EVERYTHING, VISIBLE = 3, 1  # `ViewType.ALL` and `ViewType.ACTIVE_ONLY` of MLflow's interface
WHY = {"FAILED": "it failed", "KILLED": "it was killed", "FINISHED": "its model was never registered"}


class KnownRun(FrozenModel):
    """A run, whatever became of it."""

    run_id: str
    experiment_id: str
    dataset: str  # slug/id of the version that it learnt from; empty where it names none
    is_ours: bool
    is_hidden: bool
    why: str
    used: AwareDatetime
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Runs:
    """The runs of `store`, whose own folder is in `home`."""

    store: TrackingStore
    home: Path

    def all(self) -> list[KnownRun]:
        """Return every run; the hidden ones only where they can be forgotten.

        Raises:
            TrackingError: the store cannot be read.
        """
        if self.store.sqlite_path and not self.store.sqlite_path.exists():
            return []
        from tasks.tracking.client import translated  # noqa: PLC0415 - imports MLflow, 3 to 4 s

        with translated(self.store):
            return list(self._all())

    def hide(self, run: KnownRun) -> None:
        """Delete a run as MLflow's pages do: nobody sees it any more, and nothing is lost yet."""
        from tasks.tracking.client import translated  # noqa: PLC0415

        with translated(self.store):
            if not run.is_hidden:
                self._client.delete_run(run.run_id)

    def forget(self, run: KnownRun) -> None:
        """Delete what MLflow still knows of a run and its models, where the database is here."""
        from tasks.tracking.client import translated  # noqa: PLC0415

        with translated(self.store):
            database: Any = self._database_of(run.run_id)
            for model in self._models([run.experiment_id]):
                if model.source_run_id == run.run_id:
                    self._client.delete_logged_model(model.model_id)
                    if database:
                        database._hard_delete_logged_model(model.model_id)
            if database:  # as `mlflow gc` does; that would delete all else that is hidden as well
                database._hard_delete_run(run.run_id)

    def unregister(self, name: str, version: int) -> None:
        """Delete a version from the registry."""
        from tasks.tracking.client import translated  # noqa: PLC0415

        with translated(self.store):
            self._client.delete_model_version(name, str(version))

    @cached_property
    def _client(self) -> "MlflowClient":
        from tasks.tracking.client import connect  # noqa: PLC0415

        return connect(self.store)

    @cached_property
    def _own(self) -> tuple[frozenset[str], Any]:
        """The runs of the database in the home, and MLflow's way to it, where a server serves that."""
        from tasks.tracking.client import connect  # noqa: PLC0415

        beneath = tracking_store(self.home)
        assert beneath.sqlite_path is not None
        if not beneath.sqlite_path.exists():
            return frozenset(), None
        try:
            with closing(sqlite3.connect(f"{beneath.sqlite_path.as_uri()}?mode=ro", uri=True)) as database:
                runs = frozenset(row[0] for row in database.execute("SELECT run_uuid FROM runs"))
            return runs, connect(beneath)._tracking_client.store
        except sqlite3.Error as error:
            raise TrackingError(f"The database {beneath.sqlite_path} cannot be read: {error}.") from error

    def _database_of(self, run_id: str) -> Any:  # noqa: ANN401 - MLflow's stores have no common type for this
        if not self.store.is_server:
            return self._client._tracking_client.store
        runs, database = self._own
        return database if run_id in runs else None

    def _all(self) -> Iterator[KnownRun]:
        experiments = [each.experiment_id for each in _pages(self._client.search_experiments, view_type=VISIBLE)]
        if not experiments:
            return
        locations: dict[str, list[tuple[str, str]]] = {}
        for model in self._models(experiments):
            locations.setdefault(model.source_run_id or "", []).append((model.model_id, model.artifact_location))
        runs: Iterator[Run] = _pages(self._client.search_runs, experiment_ids=experiments, run_view_type=EVERYTHING)
        for run in runs:
            known = self._known(run, locations.get(run.info.run_id, []))
            if not known.is_hidden or self._database_of(known.run_id):
                yield known

    def _models(self, experiments: list[str]) -> "Iterator[LoggedModel]":
        return _pages(self._client.search_logged_models, experiment_ids=experiments)

    def _known(self, run: "Run", models: list[tuple[str, str]]) -> KnownRun:
        info, tags = run.info, run.data.tags
        is_hidden = info.lifecycle_stage == "deleted"
        places = [(info.run_id, info.artifact_uri or ""), *models]
        return KnownRun(
            run_id=info.run_id,
            experiment_id=info.experiment_id,
            dataset=dataset_of(tags),
            is_ours={DATASET_TAG, KIND_TAG} <= tags.keys(),
            is_hidden=is_hidden,
            why="it was deleted in MLflow" if is_hidden else WHY.get(info.status, "it never ended"),
            used=at((info.end_time or info.start_time) / 1000),
            folders=tuple(folder for place in places if (folder := self._folder(*place))),
        )

    def _folder(self, name: str, uri: str) -> Path | None:
        """Return the folder of the home that bears a run's or model's id and holds its files, if there is one."""
        parts = urlsplit(uri)
        if parts.scheme == "file":
            files = Path(unquote(parts.path))
        elif parts.scheme == "mlflow-artifacts":  # kept by the home's server, if this is its database
            files = self.store.folder / "artifacts" / unquote(parts.path).lstrip("/")
        else:
            return None
        is_there = files.parent.name == name and files.parent.is_dir() and not files.parent.is_symlink()
        return files.parent if is_there and is_inside(files.parent, self.home) else None


def _pages(search: Any, **query: Any) -> Iterator[Any]:  # noqa: ANN401 - any of the client's searches
    """Yield all that a search of MLflow's client finds, page by page."""
    token = None
    while True:
        page = search(**query, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
