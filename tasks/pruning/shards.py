"""Downloaded shards whose rows are in a part of the store, so that only another filter would need them again.

In: the folders of shards and of parts. Out: the old ones, and those deleted. Does not know versions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tasks.pruning.disk import Going, files_in, folders_in, last_touched, remove
from tasks.pruning.items import Bounds, Found, Item, Kept, Kind, Outcome
from tasks.records.footer import read_tallies
from tasks.shards.plan import saved_name

A_BUILD_AT_LEAST = timedelta(hours=1)  # between finding a shard on the disk, and filtering it


@dataclass(frozen=True)
class Shards:
    """The shards in `folder`, by release and partition, and the parts in `store`; both are folders of `home`."""

    folder: Path
    store: Path
    home: Path
    bounds: Bounds
    going: Going

    def find(self) -> Found:
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
        return Found(goes=tuple(goes), stays=tuple(stays))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete shards, unless a build has looked at one or the last part with its rows is gone."""
        kept = self._with_rows_kept() if items else set()
        for item in items:
            yield self._remove(item, kept)

    def _remove(self, item: Item, kept: set[tuple[str, str]]) -> Outcome:
        assert item.path is not None
        try:
            if not self._is_old(item.path):
                return Outcome(item=item, spared="it was used meanwhile")
            if _identity(item.path) not in kept:
                return Outcome(item=item, spared="no part has its rows any more")
            return Outcome(item=item, freed_bytes=remove(item.path, self.home))
        except OSError as error:
            return Outcome(item=item, spared=f"it cannot be deleted: {error.strerror or error}")

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
            (tally.partition, saved_name(tally.name))
            for folder in folders_in(self.store, self.home)
            for path in files_in(folder, self.home)
            if path.suffix == ".parquet" and path.name[0] != "."
            for tally in read_tallies(path) or ()
        }


def _identity(path: Path) -> tuple[str, str]:
    return "/".join(path.parent.parts[-2:]), path.name
