"""Dataset versions that nobody needs any more.

In: the folder of all versions, who refers to which. Out: the old ones, and those deleted, under the publisher's lock
and the version's own, so that neither a build nor a training loses what it works on. Does not know the registry.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tasks.contracts.errors import TrackingError
from tasks.datasets.catalogue import Entry, list_datasets
from tasks.datasets.folders import locked, not_in_use
from tasks.datasets.identity import LATEST
from tasks.pruning.disk import Going, is_inside, remove
from tasks.pruning.items import Bounds, Found, Item, Kept, Kind, Outcome

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

    def find(self, references: References) -> Found:
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
        return Found(goes=tuple(goes), stays=tuple(stays))

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete versions one by one, each judged anew while nobody publishes and nobody begins to read it."""
        for item in items:
            with locked(self.root):
                yield self._remove(item)

    def _remove(self, item: Item) -> Outcome:
        assert item.path is not None
        try:
            with not_in_use(item.path) as is_free:
                spared = self._objection(item.name) if is_free else IN_USE
                return Outcome(item=item, spared=spared) if spared else self._removed(item, item.path)
        except FileNotFoundError:
            return Outcome(item=item, spared="it is gone already")
        except TrackingError as error:
            return Outcome(item=item, spared=str(error))
        except OSError as error:
            return Outcome(item=item, spared=f"it cannot be deleted: {error.strerror or error}")

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
