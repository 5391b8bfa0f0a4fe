"""What runs left behind: temporary files, old logs, fetched videos, trainings that MLflow has not got, and notes."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatch
from functools import cached_property, partial
from pathlib import Path

from tasks.datasets.folders import TEMPORARY, locked, not_in_use
from tasks.pruning.items import (
    Bounds,
    Findings,
    Going,
    Item,
    Kept,
    Kind,
    Outcome,
    at,
    files_in,
    folders_in,
    is_inside,
    newest_change,
    remove,
    removed_if,
)
from tasks.pruning.versions import Reference
from tasks.shards.transfer import PART_SUFFIX
from tasks.tracking.kept_training import CandidateNote, KeptTraining, store_mark
from tasks.tracking.registry import TRAINING_TAG, registered_versions
from tasks.tracking.store import TrackingStore
from tasks.video.cache import GONE_NAME, LOCK_NAME, METADATA_NAME, Place

ABANDONED_AFTER = timedelta(days=1)
# The stack's parts write to `<name>.log` for as long as they run, be it without a word for weeks.
OLD_LOGS = ("*.log.[0-9]*", "*.previous.log", "reelsift.log")
OLD_SCORES = "*.npz"  # what a model said of videos: it says so again where a comparison wants it


@dataclass(frozen=True)
class Leftovers:
    """What lies in folders of `home`."""

    folders: Sequence[Path]  # where things appear by renaming
    downloads: Sequence[Path]  # where what was cut off is kept for the next try
    logs: Sequence[Path]
    scores: Path
    root: Path  # where dataset versions are published
    home: Path
    bounds: Bounds
    going: Going

    def find(self) -> Findings:
        """Say what no living process can be working on."""
        goes = list[Item]()
        for path in [*_hidden(self.folders, self.home), *_unfinished(self.downloads, self.home)]:
            if self._is_abandoned(path):
                with suppress(OSError), _if_free(path) as is_free:
                    goes += [self._item(Kind.LEFTOVER, path, "its maker is gone")] if is_free else []
        for kind, folders, names in ((Kind.LOG, self.logs, OLD_LOGS), (Kind.SCORES, [self.scores], [OLD_SCORES])):
            old = filter(self._is_abandoned, _named(folders, names, self.home))
            goes += [self._item(kind, path, "old") for path in old]
        return Findings(goes=tuple(goes))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete leftovers and logs; those of dataset versions while nobody publishes."""
        with ExitStack() as alone:
            if any(item.path and item.path.is_relative_to(self.root) for item in items):
                alone.enter_context(locked(self.root))
            for item in items:
                yield removed_if(item, partial(self._remove, item))

    def _remove(self, item: Item, path: Path) -> Outcome:
        with _if_free(path) as is_free:
            if not is_free or not self._is_abandoned(path):
                return Outcome(item=item, spared="a process is working on it")
            return Outcome(item=item, freed_bytes=remove(path, self.home))

    def _is_abandoned(self, path: Path) -> bool:
        is_hidden = fnmatch(path.name, TEMPORARY)  # what is unfinished is resumed, and logs are read: not in a day
        bounds = self.bounds.model_copy(update={"older_than": timedelta(0)}) if is_hidden else self.bounds
        return bounds.is_old(newest_change(path), at_least=ABANDONED_AFTER)

    def _item(self, kind: Kind, path: Path, why: str) -> Item:
        name = path.relative_to(self.home).as_posix()
        size = self.going.take(path)
        return Item(kind=kind, name=name, why=why, last_used=newest_change(path), size_bytes=size, path=path)


def _hidden(folders: Sequence[Path], home: Path) -> Iterator[Path]:
    """Yield temporary files and folders; what lies in such a folder goes with it."""
    for top in folders:
        if top.is_symlink() or not is_inside(top / "any", home):
            continue
        for folder, below, files in os.walk(top):
            names = [name for name in (*below, *files) if fnmatch(name, TEMPORARY)]
            below[:] = sorted(set(below) - set(names))
            yield from (Path(folder) / name for name in sorted(names))


def _unfinished(folders: Sequence[Path], home: Path) -> Iterator[Path]:
    """Yield downloads that were cut off: `*.part` files, which the same download would go on with."""
    for top in folders:
        if top.is_symlink() or not is_inside(top / "any", home):
            continue
        for folder, below, files in os.walk(top):
            below[:] = sorted(name for name in below if not name.startswith("."))
            yield from (Path(folder) / name for name in sorted(files) if name.endswith(PART_SUFFIX))


def _named(folders: Sequence[Path], names: Sequence[str], home: Path) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink() and is_inside(folder / "any", home):
            named = (path for path in sorted(folder.iterdir()) if any(fnmatch(path.name, each) for each in names))
            yield from (path for path in named if path.is_file() and not path.is_symlink())


def _if_free(path: Path) -> AbstractContextManager[bool]:
    """Say whether no living process holds a lock on a file or folder, and hold it; nobody can lock a link."""
    return nullcontext(True) if path.is_symlink() else not_in_use(path)


A_RUN_AT_LEAST = timedelta(days=1)  # between asking for a video and being done with it
PLACE_NAME_LENGTH = 32  # hex digits


@dataclass(frozen=True)
class FetchedVideos:
    """The places in `cache`, a folder of `home`."""

    cache: Path
    home: Path
    bounds: Bounds
    going: Going

    def find(self) -> Findings:
        """Say which videos, whole or not, were last asked for before the bound."""
        goes = list[Item]()
        for folder in folders_in(self.cache, self.home):
            if len(folder.name) != PLACE_NAME_LENGTH or not self._is_old(folder) or _is_note(folder):
                continue
            video = Place(folder).find()
            why = "nobody has asked for it since" if video else "it never came whole"
            name = (video.title or video.source) if video else folder.name
            item = Item(kind=Kind.VIDEO, name=name, why=why, last_used=_asked_for(folder), path=folder)
            goes.append(item.model_copy(update={"size_bytes": self.going.take(folder)}))
        return Findings(goes=tuple(goes))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete videos, unless one is being fetched or was asked for meanwhile."""
        for item in items:
            yield removed_if(item, partial(self._remove, item))

    def _remove(self, item: Item, path: Path) -> Outcome:
        try:
            with _lock_of(path):
                if not self._is_old(path):
                    return Outcome(item=item, spared="it was asked for meanwhile")
                return Outcome(item=item, freed_bytes=remove(path, self.home))
        except BlockingIOError:
            return Outcome(item=item, spared="it is being fetched")

    def _is_old(self, folder: Path) -> bool:
        return self.bounds.is_old(_asked_for(folder), at_least=A_RUN_AT_LEAST)


def _is_note(folder: Path) -> bool:
    """Say whether there is nothing but a note of what a video was, without which it would be fetched again."""
    names = {path.name for path in folder.iterdir()} - {LOCK_NAME}
    return bool(names) and names <= {METADATA_NAME, GONE_NAME}


def _asked_for(folder: Path) -> datetime:
    """Return when a video was last asked for: asking opens the lock for writing, which sets the file's time."""
    lock = folder / LOCK_NAME
    return at(lock.lstat().st_mtime) if lock.exists() else newest_change(folder)


@contextmanager
def _lock_of(folder: Path) -> Iterator[None]:
    """Take a place's lock as `cache.place_of` does, but at once or not at all, and without leaving a trace."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


A_TRAINING_AT_LEAST = timedelta(days=1)  # between two tries of the same command
BEING_LOGGED = "it is being logged"


@dataclass(frozen=True)
class Trainings:
    """The trainings that are kept in the folder of `store`, in `home`."""

    store: TrackingStore
    home: Path
    bounds: Bounds
    going: Going

    def find(self) -> Findings:
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
        return Findings(goes=tuple(goes), stays=tuple(stays))

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
            yield removed_if(item, partial(self._remove, item))

    def _remove(self, item: Item, path: Path) -> Outcome:
        with not_in_use(path) as is_free:
            if not is_free:
                return Outcome(item=item, spared=BEING_LOGGED)
            if not self._why_gone(KeptTraining(path)):
                return Outcome(item=item, spared="it was asked for meanwhile")
            return Outcome(item=item, freed_bytes=remove(path, self.home))

    def _why_gone(self, training: KeptTraining) -> str:
        """Say why a training may go; nothing where it must stay."""
        name, is_old = training.record.get("name"), self._is_old(training.folder)
        if fnmatch(training.folder.name, TEMPORARY):
            return "its deleter is gone"
        if name is None:
            return "it was cut off as it was written" if is_old else ""
        if any(version.tags.get(TRAINING_TAG) == name for version in registered_versions(self.store)):
            return "MLflow has it"
        return "MLflow never got it, and nobody has asked for it since" if is_old else ""

    def _is_old(self, folder: Path) -> bool:
        return self.bounds.is_old(newest_change(folder), at_least=A_TRAINING_AT_LEAST)

    @cached_property
    def _all(self) -> list[KeptTraining]:
        return [KeptTraining(folder) for folder in folders_in(self.store.kept, self.home)]


@dataclass(frozen=True)
class Notes:
    """The notes of trainings in the folder of `store`, in `home`: they name the candidates that these became."""

    store: TrackingStore
    home: Path
    bounds: Bounds
    going: Going

    def find(self) -> Findings:
        """Say which notes are old and name no model of the registry; those of another store are left alone.

        Raises:
            TrackingError: the store cannot be read.
        """
        goes = list[Item]()
        for path in files_in(self.store.notes, self.home):
            if path.suffix == ".json" and (why := self._why_gone(path)):
                item = Item(kind=Kind.NOTE, name=_noted(path), why=why, last_used=newest_change(path), path=path)
                goes.append(item.model_copy(update={"size_bytes": self.going.take(path)}))
        return Findings(goes=tuple(goes))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete notes, unless one was asked for meanwhile."""
        for item in items:
            yield removed_if(item, partial(self._remove, item))

    def _remove(self, item: Item, path: Path) -> Outcome:
        if not self._why_gone(path):
            return Outcome(item=item, spared="it was asked for meanwhile")
        return Outcome(item=item, freed_bytes=remove(path, self.home))

    def _why_gone(self, path: Path) -> str:
        if not self.bounds.is_old(newest_change(path), at_least=A_TRAINING_AT_LEAST):
            return ""
        content = CandidateNote(path).content
        if not content:
            return "it is damaged"
        if content.get("store", self._mark) != self._mark or _run_id(content) in self._run_ids:
            return ""
        return "its model is not in MLflow any more"

    @cached_property
    def _mark(self) -> str:
        return store_mark(self.store)

    @cached_property
    def _run_ids(self) -> set[str]:
        return {version.run_id for version in registered_versions(self.store)}


def _noted(path: Path) -> str:
    """Name a note by the model that it names, or by its file."""
    candidate = CandidateNote(path).content.get("candidate")
    return f"{candidate.get('name')}/{candidate.get('version')}" if isinstance(candidate, dict) else path.name


def _run_id(content: Mapping[str, object]) -> object:
    candidate = content["candidate"]
    return candidate.get("run_id") if isinstance(candidate, dict) else None


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
