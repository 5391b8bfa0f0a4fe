"""Parts of the store that no dataset version is made of, and that no build has looked at for long.

In: the store, the folder of all versions. Out: the old ones, and those deleted, while nobody publishes. Does not know
what a part holds but for how many rows.

A part is a version's by its digest: the version's file is a link to it, so that as long as the version stays, deleting
the part would free nothing and have the next build filter its shards anew.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tasks.contracts.artifacts import DatasetManifest
from tasks.contracts.errors import DamagedDatasetError
from tasks.datasets.catalogue import list_datasets
from tasks.datasets.folders import locked
from tasks.datasets.manifest import read_manifest
from tasks.pruning.disk import Going, files_in, folders_in, is_inside, last_touched, remove
from tasks.pruning.items import Bounds, Found, Item, Kept, Kind, Outcome
from tasks.records.footer import read_tallies

A_BUILD_AT_LEAST = timedelta(hours=1)  # between writing or finding a part, and publishing it


@dataclass(frozen=True)
class Parts:
    """The parts in `store`; both it and `root`, the versions' folder, are folders of `home`."""

    store: Path
    root: Path
    home: Path
    bounds: Bounds
    going: Going

    def find(self, versions_going: Collection[Path] = ()) -> Found:
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
        return Found(goes=tuple(goes), stays=tuple(stays))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete parts, unless a version has come to be made of one, or a build to need it."""
        if not items:
            return
        with locked(self.root):
            owners = _owners(self.root, self.home)
            for item in items:
                yield self._remove(item, owners)

    def _remove(self, item: Item, owners: "_Owners") -> Outcome:
        assert item.path is not None
        try:
            if owner := owners.of(item.path):
                return Outcome(item=item, spared=f"{owner} is made of it")
            if not self._is_old(item.path):
                return Outcome(item=item, spared="it was used meanwhile")
            return Outcome(item=item, freed_bytes=remove(item.path, self.home))
        except OSError as error:
            return Outcome(item=item, spared=f"it cannot be deleted: {error.strerror or error}")

    def _is_old(self, path: Path) -> bool:
        return self.bounds.is_old(last_touched(path), at_least=A_BUILD_AT_LEAST)


@dataclass(frozen=True)
class _Owners:
    """Which version needs which part."""

    by_digest: dict[str, str]
    by_shard: dict[tuple[str, str, str], str]

    def of(self, path: Path) -> str:
        """Return a version that is made of a part; a part without rows is no file of it, but tells of its shards."""
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
