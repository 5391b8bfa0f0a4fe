"""What may go from a home, and its going.

Touches the home alone: what lies in an object store stays there.

Things are looked at, and go, in the order in which one keeps another: models, runs, kept trainings, notes, versions,
parts, features, shards.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

from tasks.contracts.errors import TrackingError
from tasks.contracts.model import FrozenModel
from tasks.pruning.items import Bounds, Findings, Going, Item, Kept, Kind, Outcome, Remover
from tasks.pruning.leftovers import FetchedVideos, Leftovers, Notes, Trainings
from tasks.pruning.models import Models
from tasks.pruning.versions import KeptFeatures, Parts, References, Shards, Versions
from tasks.tracking.store import TrackingStore


class Places(FrozenModel):
    """The folders of a home."""

    home: Path
    datasets: Path
    parts: Path
    shards: Path
    fetched: Path
    features: Path
    appearing: tuple[Path, ...]  # where files and folders appear by renaming, those above included
    downloads: tuple[Path, ...]  # where downloads that were cut off wait for the next try
    logs: tuple[Path, ...]


class Wanted(FrozenModel):
    """What goes only if asked for."""

    models: bool = False
    shards: bool = False
    fetched: bool = False


class PruningPlan(FrozenModel):
    """What would go, what stays although it is old, and what could not be looked at."""

    goes: tuple[Item, ...]
    stays: tuple[Kept, ...]
    problem: str = ""

    @property
    def freed_bytes(self) -> int:
        """What the going of all frees."""
        return sum(item.size_bytes for item in self.goes)


@dataclass(frozen=True)
class Pruning:
    """One look at a home, and what it found."""

    places: Places
    store: TrackingStore
    bounds: Bounds
    wanted: Wanted
    _going: Going = field(default_factory=Going)

    def plan(self) -> PruningPlan:
        """Find what may go. Where the registry cannot be read, nothing that a model might refer to is in the plan."""
        found, problem = list[Findings](), ""
        try:
            found += self._referred_to()
        except TrackingError as error:
            problem = f"{error} Nothing that a model might refer to is pruned: datasets, runs and models stay."
        going = {item.path for each in found for item in each.goes if item.kind is Kind.DATASET and item.path}
        found += [self._parts.find(going), self._features.find(going)]
        found += [self._shards.find()] if self.wanted.shards else []
        found += [self._fetched.find()] if self.wanted.fetched else []
        found.append(self._leftovers.find())
        goes, stays = (tuple(each for part in found for each in getattr(part, side)) for side in ("goes", "stays"))
        return PruningPlan(goes=goes, stays=stays, problem=problem)

    def carry_out(self, plan: PruningPlan) -> Iterator[Outcome]:
        """Delete what is in the plan, each thing looked at once more."""
        removers: dict[Kind, Remover] = {
            Kind.MODEL: self._models,
            Kind.RUN: self._models,
            Kind.TRAINING: self._trainings,
            Kind.NOTE: self._notes,
            Kind.SCORES: self._leftovers,
            Kind.DATASET: self._versions,
            Kind.PART: self._parts,
            Kind.SHARD: self._shards,
            Kind.FEATURES: self._features,
            Kind.VIDEO: self._fetched,
            Kind.LEFTOVER: self._leftovers,
            Kind.LOG: self._leftovers,
        }
        for kind, items in groupby(plan.goes, key=lambda item: item.kind):
            yield from removers[kind].remove(list(items))

    def _referred_to(self) -> Sequence[Findings]:
        models, trainings = self._models.find(), self._trainings.find()
        references = {**self._trainings.references(trainings.goes), **self._models.references(models.goes)}
        return [models, trainings, self._notes.find(), self._versions.find(references)]

    def _registered(self) -> References:
        return {**self._trainings.references(), **self._models.models_references()}

    @cached_property
    def _models(self) -> Models:
        return Models(self.store, self.places.home, self.bounds, self._going, self.wanted.models)

    @property
    def _versions(self) -> Versions:
        places = self.places
        return Versions(places.datasets, places.home, self.bounds, self._registered, self._going)

    @property
    def _trainings(self) -> Trainings:
        return Trainings(self.store, self.places.home, self.bounds, self._going)

    @property
    def _notes(self) -> Notes:
        return Notes(self.store, self.places.home, self.bounds, self._going)

    @property
    def _parts(self) -> Parts:
        return Parts(self.places.parts, self.places.datasets, self.places.home, self.bounds, self._going)

    @property
    def _features(self) -> KeptFeatures:
        places = self.places
        return KeptFeatures(places.features, places.datasets, places.home, self.bounds, self._going)

    @property
    def _shards(self) -> Shards:
        return Shards(self.places.shards, self.places.parts, self.places.home, self.bounds, self._going)

    @property
    def _fetched(self) -> FetchedVideos:
        return FetchedVideos(self.places.fetched, self.places.home, self.bounds, self._going)

    @property
    def _leftovers(self) -> Leftovers:
        places = self.places
        folders, root = (places.appearing, places.downloads, places.logs, self.store.scores), places.datasets
        return Leftovers(*folders, root, places.home, self.bounds, self._going)
