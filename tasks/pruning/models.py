"""MLflow's runs that came to nothing, and, if asked for, registered versions that have no alias: found, and deleted.

Only what reelsift logged is looked at: a server may be others' as well. Files are deleted where they lie in the home;
what a server keeps elsewhere, its own `mlflow gc` frees. Hidden is what MLflow's pages call deleted. Only the owner of
the database can forget: the home's own is here, also while a server serves it.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import AwareDatetime

from tasks.contracts.errors import TrackingError
from tasks.contracts.model import FrozenModel
from tasks.pruning.items import Bounds, Findings, Going, Item, Kept, Kind, Outcome, at, is_inside, remove
from tasks.pruning.versions import Reference
from tasks.tracking.registry import DATASET_TAG, KIND_TAG, dataset_of, is_ours, registered_versions
from tasks.tracking.store import RegisteredVersion, TrackingStore, tracking_store

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


A_RUN_AT_LEAST = timedelta(days=1)  # between its beginning and the registration of its model


@dataclass(frozen=True)
class Models:
    """Runs and versions of `store`."""

    store: TrackingStore
    home: Path
    bounds: Bounds
    going: Going
    with_models: bool  # whether versions without an alias may go

    def find(self) -> Findings:
        """Say which runs and versions are old, and which of them stay.

        Raises:
            TrackingError: the store cannot be read.
        """
        versions, runs = registered_versions(self.store), self._known
        goes, stays = list[Item](), list[Kept]()
        for version, why_kept in self._judged(versions):
            used = at(version.created_ms / 1000)
            if not self.bounds.is_old(used):
                continue
            if why_kept:
                stays.append(Kept(kind=Kind.MODEL, name=_name(version), why=why_kept, last_used=used))
                continue
            size = self._size(runs.get(version.run_id))
            goes.append(Item(kind=Kind.MODEL, name=_name(version), why="no alias", last_used=used, size_bytes=size))
        registered = {version.run_id for version in versions}
        for run in runs.values():
            if run.is_ours and run.run_id not in registered and self._is_old(run):
                size = self._size(run)
                goes.append(Item(kind=Kind.RUN, name=run.run_id, why=run.why, last_used=run.used, size_bytes=size))
        return Findings(goes=tuple(goes), stays=tuple(stays))

    def references(self, going: Sequence[Item]) -> dict[str, Reference]:
        """Return who refers to which dataset version, of the runs and models that stay when `going` is gone.

        Raises:
            TrackingError: the store cannot be read.
        """
        gone = {item.name for item in going}
        runs = sorted(self._known.values(), key=lambda run: run.used)
        staying = [run for run in runs if run.dataset and not run.is_hidden and run.run_id not in gone]
        learnt = {run.dataset: Reference(f"run {run.run_id} learnt from it", run.used) for run in staying}
        return learnt | self.models_references(gone)

    def models_references(self, gone: Collection[str] = ()) -> dict[str, Reference]:
        """Return the same of registered models alone, which takes no import of MLflow.

        Raises:
            TrackingError: the store cannot be read.
        """
        found = dict[str, Reference]()
        for version in sorted(registered_versions(self.store), key=lambda version: bool(version.aliases)):
            dataset = dataset_of(version.tags)
            if dataset and _name(version) not in gone:
                found[dataset] = Reference(f"{_title(version)} was trained on it", at(version.created_ms / 1000))
        return found

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete versions and runs one by one, unless one has got an alias or has been registered meanwhile."""
        from tasks.tracking.promotion import MOVING_ALIASES  # noqa: PLC0415 - imports torch and MLflow

        for item in items:
            try:
                with self.store.alone(MOVING_ALIASES) if item.kind is Kind.MODEL else nullcontext():
                    yield self._remove(item)
            except (TrackingError, OSError) as error:
                yield Outcome(item=item, spared=str(error))

    def _remove(self, item: Item) -> Outcome:
        versions = registered_versions(self.store)
        if item.kind is Kind.RUN:
            if any(version.run_id == item.name for version in versions):
                return Outcome(item=item, spared="it was registered meanwhile")
            return Outcome(item=item, freed_bytes=self._delete(item.name))
        for version, why_kept in self._judged(versions):
            if _name(version) == item.name:
                if why_kept:
                    return Outcome(item=item, spared=why_kept)
                self._runs.unregister(version.name, version.version)
                is_shared = any(other.run_id == version.run_id for other in versions if other is not version)
                return Outcome(item=item, freed_bytes=0 if is_shared else self._delete(version.run_id))
        return Outcome(item=item, spared="it is gone already")

    def _delete(self, run_id: str) -> int:
        """Delete a run: first from everybody's sight, then its files, then what MLflow knows of it."""
        run = self._known.get(run_id)
        if run is None:
            return 0
        self._runs.hide(run)
        freed = sum(remove(folder, self.home) for folder in run.folders if folder.exists())
        self._runs.forget(run)
        return freed

    @cached_property
    def _runs(self) -> Runs:
        return Runs(self.store, self.home)

    @cached_property
    def _known(self) -> Mapping[str, KnownRun]:
        """The runs at the first look: where one has its files does not change."""
        return {run.run_id: run for run in self._runs.all()}

    def _judged(self, versions: Sequence[RegisteredVersion]) -> Iterator[tuple[RegisteredVersion, str]]:
        """Yield the versions that reelsift registered, the newest of each name first, with why one stays."""
        ours = [version for version in versions if is_ours(version.tags)]
        rank: defaultdict[str, int] = defaultdict(int)
        for version in sorted(ours, key=lambda version: -version.version):
            rank[version.name] += 1
            if version.aliases:
                yield version, f"it is {' and '.join(version.aliases)}"
            elif not self.with_models:
                yield version, "it is registered; `--models` lets versions go that have no alias"
            elif rank[version.name] <= self.bounds.keep:
                yield version, f"one of the newest {self.bounds.keep} of {version.name}"
            else:
                yield version, ""

    def _is_old(self, run: KnownRun) -> bool:
        return self.bounds.is_old(run.used, at_least=A_RUN_AT_LEAST)

    def _size(self, run: KnownRun | None) -> int:
        return sum(map(self.going.take, run.folders)) if run else 0


def prefect_runs(versions: Sequence[RegisteredVersion]) -> Mapping[str, str]:
    """Return the ids of the Prefect flow runs that trained registered versions, with what refers to each."""
    return {
        version.tags["prefect_flow_run_id"]: f"it trained {_title(version)}"
        for version in versions
        if "prefect_flow_run_id" in version.tags
    }


def _name(version: RegisteredVersion) -> str:
    return f"{version.name}/{version.version}"


def _title(version: RegisteredVersion) -> str:
    aliases = " and ".join(version.aliases)
    return f"{_name(version)}, {aliases} of {version.name}," if aliases else _name(version)
