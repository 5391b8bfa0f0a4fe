"""What killed runs left behind, and old logs.

In: folders of a home. Out: hidden temporary files and folders, unfinished downloads, and logs that nobody writes to any
more; and those deleted. A lock that a living process holds keeps its file. Does not know whose they were.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path

from tasks.datasets.folders import TEMPORARY, locked, not_in_use
from tasks.pruning.disk import Going, is_inside, newest_change, remove
from tasks.pruning.items import Bounds, Found, Item, Kind, Outcome
from tasks.shards.partfile import PART_SUFFIX

ABANDONED_AFTER = timedelta(days=1)
# The stack's parts write to `<name>.log` for as long as they run, be it without a word for weeks.
OLD_LOGS = ("*.log.[0-9]*", "*.previous.log", "reelsift.log")


@dataclass(frozen=True)
class Leftovers:
    """What lies in folders of `home`."""

    folders: Sequence[Path]  # where things appear by renaming
    downloads: Sequence[Path]  # where what was cut off is kept for the next try
    logs: Sequence[Path]
    root: Path  # where dataset versions are published
    home: Path
    bounds: Bounds
    going: Going

    def find(self) -> Found:
        """Say what no living process can be working on."""
        goes = list[Item]()
        for path in [*_hidden(self.folders, self.home), *_unfinished(self.downloads, self.home)]:
            if self._is_abandoned(path):
                with suppress(OSError), _if_free(path) as is_free:
                    goes += [self._item(Kind.LEFTOVER, path, "whoever was making it is gone")] if is_free else []
        goes += [self._item(Kind.LOG, path, "old") for path in _logs(self.logs, self.home) if self._is_abandoned(path)]
        return Found(goes=tuple(goes))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete leftovers and logs; those of dataset versions while nobody publishes."""
        with ExitStack() as alone:
            if any(item.path and item.path.is_relative_to(self.root) for item in items):
                alone.enter_context(locked(self.root))
            for item in items:
                yield self._remove(item)

    def _remove(self, item: Item) -> Outcome:
        assert item.path is not None
        try:
            with _if_free(item.path) as is_free:
                if not is_free or not self._is_abandoned(item.path):
                    return Outcome(item=item, spared="somebody is at work on it")
                return Outcome(item=item, freed_bytes=remove(item.path, self.home))
        except FileNotFoundError:
            return Outcome(item=item, spared="it is gone already")
        except OSError as error:
            return Outcome(item=item, spared=f"it cannot be deleted: {error.strerror or error}")

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


def _logs(folders: Sequence[Path], home: Path) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink() and is_inside(folder / "any", home):
            named = (path for path in sorted(folder.iterdir()) if any(fnmatch(path.name, each) for each in OLD_LOGS))
            yield from (path for path in named if path.is_file() and not path.is_symlink())


def _if_free(path: Path) -> AbstractContextManager[bool]:
    """Say whether no living process holds a lock on a file or folder, and hold it; nobody can lock a link."""
    return nullcontext(True) if path.is_symlink() else not_in_use(path)
