"""Finished trainings that wait on the disk until MLflow has them.

One that MLflow has, or that nobody has asked for in a long time, goes; one that a process is logging is locked, and
stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from tasks.classifier.kept_training import KeptTraining
from tasks.classifier.registry import TRAINING_TAG, registered_versions
from tasks.classifier.tracking import TrackingStore
from tasks.contracts.errors import TrackingError
from tasks.datasets.folders import TEMPORARY, not_in_use
from tasks.pruning.disk import Going, folders_in, newest_change, remove
from tasks.pruning.items import Bounds, Found, Item, Kept, Kind, Outcome
from tasks.pruning.versions import Reference

A_RUN_AT_LEAST = timedelta(days=1)  # between two tries of the same command
BEING_LOGGED = "it is being logged"


@dataclass(frozen=True)
class Trainings:
    """The trainings that are kept in the folder of `store`, in `home`."""

    store: TrackingStore
    home: Path
    bounds: Bounds
    going: Going

    def find(self) -> Found:
        """Say which trainings MLflow has, or are old, and which wait to be logged.

        Raises:
            TrackingError: the store cannot be read.
        """
        goes, stays = list[Item](), list[Kept]()
        for training in self._all:
            name, used, why_gone = _name(training), newest_change(training.folder), self._why_gone(training)
            if why_gone and _is_free(training.folder):
                size = self.going.take(training.folder)
                item = Item(kind=Kind.TRAINING, name=name, why=why_gone, last_used=used, size_bytes=size)
                goes.append(item.model_copy(update={"path": training.folder}))
            elif training.record:
                why = BEING_LOGGED if why_gone else "MLflow has not got it yet: the same training logs it"
                stays.append(Kept(kind=Kind.TRAINING, name=name, why=why, last_used=used))
        return Found(goes=tuple(goes), stays=tuple(stays))

    def references(self, going: Sequence[Item] = ()) -> Mapping[str, Reference]:
        """Return which dataset versions the trainings that stay learnt from: their logging needs these."""
        gone = {item.path for item in going}
        staying = [training for training in self._all if training.folder.exists() and training.folder not in gone]
        return {
            str(training.record["dataset"]): Reference(
                "a training of it is not in MLflow yet", newest_change(training.folder)
            )
            for training in staying
            if training.record.get("dataset")
        }

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete trainings one by one, unless one is being logged, or was asked for meanwhile."""
        for item in items:
            yield self._remove(item)

    def _remove(self, item: Item) -> Outcome:
        assert item.path is not None
        try:
            with not_in_use(item.path) as is_free:
                if not is_free:
                    return Outcome(item=item, spared=BEING_LOGGED)
                if not self._why_gone(KeptTraining(item.path)):
                    return Outcome(item=item, spared="it was asked for meanwhile")
                return Outcome(item=item, freed_bytes=remove(item.path, self.home))
        except FileNotFoundError:
            return Outcome(item=item, spared="it is gone already")
        except TrackingError as error:
            return Outcome(item=item, spared=str(error))
        except OSError as error:
            return Outcome(item=item, spared=f"it cannot be deleted: {error.strerror or error}")

    def _why_gone(self, training: KeptTraining) -> str:
        """Say why a training may go; nothing where it must stay."""
        name, is_old = training.record.get("name"), self._is_old(training.folder)
        if fnmatch(training.folder.name, TEMPORARY):
            return "whoever was deleting it is gone"
        if name is None:
            return "it was cut off as it was written" if is_old else ""
        if any(version.tags.get(TRAINING_TAG) == name for version in registered_versions(self.store)):
            return "MLflow has it"
        return "MLflow never got it, and nobody has asked for it since" if is_old else ""

    def _is_old(self, folder: Path) -> bool:
        return self.bounds.is_old(newest_change(folder), at_least=A_RUN_AT_LEAST)

    @cached_property
    def _all(self) -> list[KeptTraining]:
        return [KeptTraining(folder) for folder in folders_in(self.store.kept, self.home)]


def _is_free(folder: Path) -> bool:
    try:
        with not_in_use(folder) as is_free:
            return is_free
    except OSError:
        return False


def _name(training: KeptTraining) -> str:
    """Name a training by what it learnt from and how; one of an earlier release by its folder."""
    told = [str(training.record[part]) for part in ("dataset", "model") if training.record.get(part)]
    return " ".join(told) or training.folder.name
