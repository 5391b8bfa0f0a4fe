"""Fetched videos that no run has asked for in a long time.

In: the shelf of fetched videos. Out: the old ones, and those deleted, each under the lock of its own place. Does not
know what was found in them: that lies elsewhere, and stays.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tasks.pruning.disk import Going, at, folders_in, newest_change, remove
from tasks.pruning.items import Bounds, Found, Item, Kind, Outcome
from tasks.video.shelf import LOCK_NAME, Place

A_RUN_AT_LEAST = timedelta(days=1)  # between asking for a video and being done with it
PLACE_NAME_LENGTH = 32  # hex digits


@dataclass(frozen=True)
class Fetched:
    """The places in `shelf`, a folder of `home`."""

    shelf: Path
    home: Path
    bounds: Bounds
    going: Going

    def find(self) -> Found:
        """Say which videos, whole or not, were last asked for before the bound."""
        goes = list[Item]()
        for folder in folders_in(self.shelf, self.home):
            if len(folder.name) != PLACE_NAME_LENGTH or not self._is_old(folder):
                continue
            video = Place(folder).find()
            why = "nobody has asked for it since" if video else "it never came whole"
            name = (video.title or video.source) if video else folder.name
            item = Item(kind=Kind.VIDEO, name=name, why=why, last_used=_asked_for(folder), path=folder)
            goes.append(item.model_copy(update={"size_bytes": self.going.take(folder)}))
        return Found(goes=tuple(goes))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete videos, unless one is being fetched or was asked for meanwhile."""
        for item in items:
            yield self._remove(item)

    def _remove(self, item: Item) -> Outcome:
        assert item.path is not None
        try:
            with _lock_of(item.path):
                if not self._is_old(item.path):
                    return Outcome(item=item, spared="it was asked for meanwhile")
                return Outcome(item=item, freed_bytes=remove(item.path, self.home))
        except BlockingIOError:
            return Outcome(item=item, spared="it is being fetched")
        except OSError as error:
            return Outcome(item=item, spared=f"it cannot be deleted: {error.strerror or error}")

    def _is_old(self, folder: Path) -> bool:
        return self.bounds.is_old(_asked_for(folder), at_least=A_RUN_AT_LEAST)


def _asked_for(folder: Path) -> datetime:
    """Return when a video was last asked for: whoever does opens the lock for writing, which the file's time tells."""
    lock = folder / LOCK_NAME
    return at(lock.lstat().st_mtime) if lock.exists() else newest_change(folder)


@contextmanager
def _lock_of(folder: Path) -> Iterator[None]:
    """Take a place's lock as `shelf.place_of` does, but at once or not at all, and without leaving a trace."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
