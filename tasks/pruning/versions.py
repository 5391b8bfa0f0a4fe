"""Dataset versions, parts, shards and features that are no longer needed."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from tasks.contracts.datasets import DatasetManifest, placed
from tasks.contracts.errors import DamagedDatasetError
from tasks.contracts.media import CONTENT_DIGITS
from tasks.datasets.catalogue import Entry, list_datasets
from tasks.datasets.folders import locked, not_in_use
from tasks.datasets.manifest import LATEST, read_manifest
from tasks.pruning.items import (
    Bounds,
    Findings,
    Going,
    Item,
    Kept,
    Kind,
    Outcome,
    files_in,
    folders_in,
    is_inside,
    last_touched,
    newest_change,
    remove,
    removed_if,
)
from tasks.records.part_file import read_tallies
from tasks.shards.plan import saved_name

IN_USE = "it is being read"


@dataclass(frozen=True)
class Reference:
    """Somebody who needs a dataset version."""

    why: str
    used: datetime


References = Mapping[str, Reference]  # by slug/id of the version; by its id alone where the slug was not kept


@dataclass(frozen=True)
class Versions:
    """The versions below `root`, a folder of `home`."""

    root: Path
    home: Path
    bounds: Bounds
    registered: Callable[[], References]  # asked for every version that is to go; raises TrackingError
    going: Going

    def find(self, references: References) -> Findings:
        """Say which versions are old, and which of them stay, given who refers to them by now."""
        goes, stays = list[Item](), list[Kept]()
        for name, (entry, why_kept) in self._judged(references).items():
            used = _last_used(entry, references)
            if not self.bounds.is_old(used):
                continue
            if why_kept:
                stays.append(Kept(kind=Kind.DATASET, name=name, why=why_kept, last_used=used))
            else:
                why = "no model, run or pointer refers to it"
                size = self.going.take(entry.folder)
                goes.append(
                    Item(kind=Kind.DATASET, name=name, why=why, last_used=used, size_bytes=size, path=entry.folder)
                )
        return Findings(goes=tuple(goes), stays=tuple(stays))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete versions one by one, each judged again while nobody publishes and nobody begins to read it."""
        for item in items:
            with locked(self.root):
                yield removed_if(item, partial(self._remove, item))

    def _remove(self, item: Item, path: Path) -> Outcome:
        with not_in_use(path) as is_free:
            spared = self._objection(item.name) if is_free else IN_USE
            return Outcome(item=item, spared=spared) if spared else self._removed(item, path)

    def _removed(self, item: Item, folder: Path) -> Outcome:
        return Outcome(item=item, freed_bytes=remove(folder, self.home))

    def _objection(self, name: str) -> str:
        references = self.registered()
        entry, why_kept = self._judged(references)[name]
        return why_kept if why_kept or self.bounds.is_old(_last_used(entry, references)) else "it was used meanwhile"

    def _judged(self, references: References) -> dict[str, tuple[Entry, str]]:
        """Return every version, the newest first, with why it must stay."""
        if not is_inside(self.root / "any", self.home):
            return {}
        pointed = _pointed_at(self.root)
        newest: defaultdict[str, int] = defaultdict(int)
        judged: dict[str, tuple[Entry, str]] = {}
        for entry in list_datasets(self.root):
            newest[entry.slug] += not entry.problem
            judged[f"{entry.slug}/{entry.id}"] = entry, self._why_kept(entry, pointed, references, newest[entry.slug])
        return judged

    def _why_kept(self, entry: Entry, pointed: set[Path], references: References, rank: int) -> str:
        if (reference := _reference(entry, references)) is not None:
            return reference.why
        if entry.folder in pointed:
            return "`latest` means it"
        if not entry.problem and rank <= self.bounds.keep:
            return f"one of the newest {self.bounds.keep} of {entry.slug}"
        return ""


def _pointed_at(root: Path) -> set[Path]:
    """Return the versions that `latest` means, of all and of each slug."""
    found = set[Path]()
    for pointer in (root / LATEST, *root.glob(f"*/{LATEST}")):
        with suppress(OSError):
            found.add(pointer.parent / pointer.readlink())
    return found


def _last_used(entry: Entry, references: References) -> datetime:
    known = _reference(entry, references)
    return max(entry.published_at, known.used) if known else entry.published_at


def _reference(entry: Entry, references: References) -> Reference | None:
    return references.get(f"{entry.slug}/{entry.id}") or references.get(entry.id)


A_FILTERING_AT_LEAST = timedelta(hours=1)  # between writing or finding a part, and publishing it


@dataclass(frozen=True)
class Parts:
    """The parts in `store`; both it and `root`, the versions' folder, are folders of `home`."""

    store: Path
    root: Path
    home: Path
    bounds: Bounds
    going: Going

    def find(self, versions_going: Collection[Path] = ()) -> Findings:
        """Say which parts are old, and which of them are of a version that stays."""
        owners = _owners(self.root, self.home, versions_going)
        goes, stays = list[Item](), list[Kept]()
        for path in _parts(self.store, self.home):
            used = last_touched(path)
            if not self._is_old(path):
                continue
            name = path.relative_to(self.store).as_posix()
            if owner := owners.of(path):
                stays.append(Kept(kind=Kind.PART, name=name, why=f"{owner} is made of it", last_used=used))
                continue
            why, size = "no version is made of it", self.going.take(path)
            goes.append(Item(kind=Kind.PART, name=name, why=why, last_used=used, size_bytes=size, path=path))
        return Findings(goes=tuple(goes), stays=tuple(stays))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete parts, unless a version has come to be made of one, or a build to need it."""
        if not items:
            return
        with locked(self.root):
            owners = _owners(self.root, self.home)
            for item in items:
                yield removed_if(item, partial(self._remove, item, owners))

    def _remove(self, item: Item, owners: "_Owners", path: Path) -> Outcome:
        if owner := owners.of(path):
            return Outcome(item=item, spared=f"{owner} is made of it")
        if not self._is_old(path):
            return Outcome(item=item, spared="it was used meanwhile")
        return Outcome(item=item, freed_bytes=remove(path, self.home))

    def _is_old(self, path: Path) -> bool:
        return self.bounds.is_old(last_touched(path), at_least=A_FILTERING_AT_LEAST)


@dataclass(frozen=True)
class _Owners:
    """Which version needs which part."""

    by_digest: dict[str, str]
    by_shard: dict[tuple[str, str, str], str]

    def of(self, path: Path) -> str:
        """Return a version that is made of a part; a part without rows is no file of it, but lists its shards."""
        if owner := self.by_digest.get(path.stem.rpartition("-")[2]):
            return owner
        tallies = read_tallies(path) or ()
        if any(tally.matches + tally.background for tally in tallies):
            return ""
        owners = (self.by_shard.get((tally.partition, tally.name, tally.md5), "") for tally in tallies)
        return next(filter(None, owners), "")


def _owners(root: Path, home: Path, without: Collection[Path] = ()) -> _Owners:
    by_digest, by_shard = dict[str, str](), dict[tuple[str, str, str], str]()
    for manifest in _manifests(root, home, without):
        name = f"{manifest.slug}/{manifest.id}"
        by_digest |= {part.sha256: name for part in manifest.parts}
        by_shard |= {(shard.partition, shard.name, shard.md5): name for shard in manifest.shards}
    return _Owners(by_digest, by_shard)


def _manifests(root: Path, home: Path, without: Collection[Path]) -> Iterator[DatasetManifest]:
    for entry in list_datasets(root) if is_inside(root / "any", home) else ():
        if entry.folder not in without:
            with suppress(DamagedDatasetError):
                yield read_manifest(entry.folder)


def _parts(store: Path, home: Path) -> Iterator[Path]:
    for folder in folders_in(store, home):
        yield from (path for path in files_in(folder, home) if path.suffix == ".parquet" and path.name[0] != ".")


AN_IMPORT_AT_LEAST = timedelta(days=1)  # between extracting the first video, and publishing the version


@dataclass(frozen=True)
class KeptFeatures:
    """The features of videos in `folder`, by feature space and content; both it and `root` are folders of `home`."""

    folder: Path
    root: Path
    home: Path
    bounds: Bounds
    going: Going

    def find(self, versions_going: Collection[Path] = ()) -> Findings:
        """Say which are old, and which of them are of a video in a version that stays: one more is imported quickly."""
        owners = self._owners(versions_going)
        goes, stays = list[Item](), list[Kept]()
        for path in self._all():
            used = newest_change(path)
            if not self._is_old(path):
                continue
            name = path.relative_to(self.folder).as_posix()
            if owner := owners.get(path.name):
                stays.append(Kept(kind=Kind.FEATURES, name=name, why=f"{owner} is made of them", last_used=used))
                continue
            why, size = "no version is made of them", self.going.take(path)
            goes.append(Item(kind=Kind.FEATURES, name=name, why=why, last_used=used, size_bytes=size, path=path))
        return Findings(goes=tuple(goes), stays=tuple(stays))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete features, unless a version has come to be made of some meanwhile."""
        if not items:
            return
        with locked(self.root):
            owners = self._owners()
            for item in items:
                yield removed_if(item, partial(self._remove, item, owners))

    def _remove(self, item: Item, owners: Mapping[str, str], path: Path) -> Outcome:
        if owner := owners.get(path.name):
            return Outcome(item=item, spared=f"{owner} is made of them")
        if not self._is_old(path):
            return Outcome(item=item, spared="they were extracted again meanwhile")
        return Outcome(item=item, freed_bytes=remove(path, self.home))

    def _is_old(self, path: Path) -> bool:
        return self.bounds.is_old(newest_change(path), at_least=AN_IMPORT_AT_LEAST)

    def _all(self) -> Iterator[Path]:
        for space in folders_in(self.folder, self.home):
            yield from (path for path in folders_in(space, self.home) if len(path.name) == CONTENT_DIGITS)

    def _owners(self, without: Collection[Path] = ()) -> dict[str, str]:
        """Return a version for each content of which one is made, by the name of its folder."""
        return {
            shard.clip.sha256[:CONTENT_DIGITS]: manifest.reference
            for manifest in _manifests(self.root, self.home, without)
            for shard in manifest.shards
            if shard.clip and shard.clip.sha256
        }


A_BUILD_AT_LEAST = timedelta(hours=1)  # between finding a shard on the disk, and filtering it


@dataclass(frozen=True)
class Shards:
    """The shards in `folder`, by release and partition, and the parts in `store`; both are folders of `home`."""

    folder: Path
    store: Path
    home: Path
    bounds: Bounds
    going: Going

    def find(self) -> Findings:
        """Say which shards are old, and which of them no part has the rows of."""
        kept = self._with_rows_kept()
        goes, stays = list[Item](), list[Kept]()
        for path in self._shards():
            used = last_touched(path)
            if not self._is_old(path):
                continue
            name = path.relative_to(self.folder).as_posix()
            if _identity(path) not in kept:
                stays.append(Kept(kind=Kind.SHARD, name=name, why="no part has its rows", last_used=used))
                continue
            why, size = "a part has its rows", self.going.take(path)
            goes.append(Item(kind=Kind.SHARD, name=name, why=why, last_used=used, size_bytes=size, path=path))
        return Findings(goes=tuple(goes), stays=tuple(stays))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete shards, unless a build has looked at one or the last part with its rows is gone."""
        kept = self._with_rows_kept() if items else set()
        for item in items:
            yield removed_if(item, partial(self._remove, item, kept))

    def _remove(self, item: Item, kept: set[tuple[str, str]], path: Path) -> Outcome:
        if not self._is_old(path):
            return Outcome(item=item, spared="it was used meanwhile")
        if _identity(path) not in kept:
            return Outcome(item=item, spared="no part has its rows any more")
        return Outcome(item=item, freed_bytes=remove(path, self.home))

    def _is_old(self, path: Path) -> bool:
        return self.bounds.is_old(last_touched(path), at_least=A_BUILD_AT_LEAST)

    def _shards(self) -> Iterator[Path]:
        """Yield `<release>/<level>/<split>/<name>.tfrecord`."""
        for release in folders_in(self.folder, self.home):
            for level in folders_in(release, self.home):
                for split in folders_in(level, self.home):
                    yield from (path for path in files_in(split, self.home) if path.suffix == ".tfrecord")

    def _with_rows_kept(self) -> set[tuple[str, str]]:
        return {
            (placed(tally.partition, 0)[1], saved_name(tally.name))
            for folder in folders_in(self.store, self.home)
            for path in files_in(folder, self.home)
            if path.suffix == ".parquet" and path.name[0] != "."
            for tally in read_tallies(path) or ()
        }


def _identity(path: Path) -> tuple[str, str]:
    return "/".join(path.parent.parts[-2:]), path.name
