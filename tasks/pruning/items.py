"""What can be pruned, with its size and age, and how it is looked at and deleted on the disk."""

import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Protocol

from pydantic import AwareDatetime, Field

from tasks.contracts.errors import TrackingError
from tasks.contracts.model import FrozenModel
from tasks.datasets.folders import TEMPORARY, sync_folder, temporary_beside


class Kind(StrEnum):
    """What a thing is."""

    MODEL = "model"
    RUN = "MLflow run"
    TRAINING = "kept training"
    NOTE = "note of a training"
    SCORES = "scores of a model"
    DATASET = "dataset"
    PART = "part"
    SHARD = "shard"
    FEATURES = "features of a video"
    VIDEO = "fetched video"
    LEFTOVER = "leftover"
    LOG = "log"
    FLOW_RUN = "flow run"


class Item(FrozenModel):
    """One thing that would go."""

    kind: Kind
    name: str = Field(description="as the commands that show it name it")
    why: str
    last_used: AwareDatetime | None = None
    size_bytes: int = Field(
        default=0, description="that its going frees, after that of those before; links counted once"
    )
    path: Path | None = Field(default=None, description="where it lies, if it is a file or folder")


class Kept(FrozenModel):
    """One thing that stays although it is old."""

    kind: Kind
    name: str
    why: str
    last_used: AwareDatetime | None = None


class Outcome(FrozenModel):
    """The outcome for one thing that was to go."""

    item: Item
    freed_bytes: int = 0
    spared: str = Field(default="", description="why it stayed after all; empty where it is gone")


class Bounds(FrozenModel):
    """How old is old, and how much stays whatever its age."""

    now: AwareDatetime
    older_than: timedelta
    keep: int = Field(ge=1, description="newest dataset versions of each slug, and versions of each model, that stay")

    def is_old(self, used: datetime, *, at_least: timedelta = timedelta(0)) -> bool:
        """Say whether something was last used longer ago than the bound, and than `at_least`."""
        return used <= self.now - max(self.older_than, at_least)


class Findings(FrozenModel):
    """What one look found."""

    goes: tuple[Item, ...] = ()
    stays: tuple[Kept, ...] = ()


class Remover(Protocol):
    """What deletes things of one kind."""

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete things that were found, but for those that somebody has come to need since."""
        ...


class Going:
    """The bytes that go with one thing after another: those of a file go with the last of its names."""

    def __init__(self) -> None:
        self._names: Counter[tuple[int, int]] = Counter()

    def take(self, path: Path) -> int:
        """Return the bytes that deleting `path` frees, once all that was taken before is gone."""
        freed = 0
        for stat in _stats(path):
            if S_ISREG(stat.st_mode):
                file = stat.st_dev, stat.st_ino
                self._names[file] += 1
                freed += stat.st_size if self._names[file] == stat.st_nlink else 0
        return freed


def is_inside(path: Path, home: Path) -> bool:
    """Say whether `path` lies below `home` with no link on the way; it may be one itself."""
    try:
        below = path.parent.absolute().relative_to(home.absolute())
    except ValueError:
        return False
    return ".." not in below.parts and Path(os.path.realpath(path.parent)) == Path(os.path.realpath(home)) / below


def folders_in(parent: Path, home: Path) -> list[Path]:
    """Return the folders in `parent`, none where that is not itself a folder of the home; links do not count."""
    return [path for path in _entries(parent, home) if path.is_dir() and not path.is_symlink()]


def files_in(parent: Path, home: Path) -> list[Path]:
    """Return the files in `parent`, as `folders_in` does the folders."""
    return [path for path in _entries(parent, home) if path.is_file() and not path.is_symlink()]


def _entries(parent: Path, home: Path) -> list[Path]:
    if not parent.is_dir() or parent.is_symlink() or not is_inside(parent / "any", home):
        return []
    with suppress(FileNotFoundError):
        return sorted(parent.iterdir())
    return []


def newest_change(path: Path) -> datetime:
    """Return when anything in `path` was last written; what is not there any more is never old."""
    return at(max([_time(path, "st_mtime"), *(stat.st_mtime for stat in _stats(path))]))


def last_touched(path: Path) -> datetime:
    """Return when a file was last written or read, as far as the file system notes the latter (to a day, mostly)."""
    return at(max(_time(path, "st_mtime"), _time(path, "st_atime")))


def _time(path: Path, which: str) -> float:
    try:
        return getattr(path.lstat(), which)
    except FileNotFoundError:
        return math.inf


def at(time_s: float) -> datetime:
    """Return seconds since the epoch as a time; one of a broken clock becomes one that is never old."""
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(time_s, UTC)
    return datetime.max.replace(tzinfo=UTC)


def removed_if(item: Item, remove_it: Callable[[Path], Outcome]) -> Outcome:
    """Return the outcome for an item of the disk: what `remove_it` says, or why that failed."""
    assert item.path is not None
    try:
        return remove_it(item.path)
    except FileNotFoundError:
        return Outcome(item=item, spared="it is gone already")
    except TrackingError as error:
        return Outcome(item=item, spared=str(error))
    except OSError as error:
        return Outcome(item=item, spared=f"it cannot be deleted: {error.strerror or error}")


def remove(path: Path, home: Path) -> int:
    """Delete a file or folder of the home and return the bytes that this freed.

    A folder is renamed first: a process killed now leaves what the next publisher, or pruning, takes for a leftover.

    Raises:
        OSError: it is not there, lies elsewhere, or cannot be deleted.
    """
    if not is_inside(path, home):
        raise PermissionError(f"it does not lie in {home}")
    freed = Going().take(path)
    if not S_ISDIR(path.lstat().st_mode):
        path.unlink()
        return freed
    hidden = path
    if not path.match(TEMPORARY):
        hidden = temporary_beside(path)
        path.rename(hidden)
        sync_folder(path.parent)
    shutil.rmtree(hidden)
    return freed


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Yield what the system says of a file, or of every file below a folder; what vanishes meanwhile is left out."""
    with suppress(FileNotFoundError):
        if not S_ISDIR(path.lstat().st_mode):
            yield path.lstat()
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                yield (Path(folder) / name).lstat()
