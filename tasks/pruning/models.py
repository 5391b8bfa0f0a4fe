"""MLflow's runs that came to nothing, and, if asked for, registered versions that have no alias.

Only what reelsift logged is looked at: a server may be others' as well. Files are deleted where they lie in the home;
what a server keeps elsewhere, its own `mlflow gc` frees.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from tasks.contracts.errors import TrackingError
from tasks.pruning.items import Bounds, Findings, Going, Item, Kept, Kind, Outcome, at, remove
from tasks.pruning.mlflow_runs import KnownRun, Runs
from tasks.pruning.versions import Reference
from tasks.tracking.registry import dataset_of, is_ours, registered_versions
from tasks.tracking.store import RegisteredVersion, TrackingStore

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
