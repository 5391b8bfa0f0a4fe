"""A home with versions, parts and an empty registry, and time that passes in it."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.datasets import DatasetManifest, Part
from tasks.pruning.items import Bounds, Item, Outcome
from tasks.pruning.prune import Places, Pruning, PruningPlan, Wanted
from tasks.tracking.store import TrackingStore
from tests.datasets.made import Folders, make_part

DAY_S = 86_400


@dataclass(frozen=True)
class PrunedHome:
    """A home, and what is done with it."""

    root: Path
    store: TrackingStore

    @property
    def folders(self) -> Folders:
        return Folders(store=self.root / "parts", root=self.root / "datasets")

    @property
    def places(self) -> Places:
        names = ("datasets", "parts", "shards", "fetched", "videos", "weights")
        datasets, parts, shards, fetched, videos, weights = (self.root / name for name in names)
        return Places(
            home=self.root,
            datasets=datasets,
            parts=parts,
            shards=shards,
            fetched=fetched,
            features=self.root / "features",
            appearing=(datasets, parts, shards, fetched, videos, weights),
            downloads=(shards, weights),
            logs=(self.root / "logs", self.root / "stack"),
        )

    def part(self, letter: str, rows: int = 6) -> Part:
        """A part of one shard in the store, under a name that tells its digest; the one that is there, if one is."""
        part = make_part(self.folders.store, [f"traina{letter}.tfrecord"], rows=rows)
        made = self.folders.store / part.path
        path = f"{'0' * 16}/{letter * 16}-{part.sha256}.parquet"
        place = self.folders.store / path
        if place.exists():
            made.unlink()
        else:
            place.parent.mkdir(exist_ok=True)
            made.rename(place)
        return part.model_copy(update={"path": path})

    def publish(self, letters: str, *, days_ago: float = 0, **changes: Any) -> DatasetManifest:
        """A version of a part for each letter, as if published (and its parts used) some days ago."""
        manifest = self.folders.publish([self.part(letter) for letter in letters], **changes)
        age(self.folders.folder(manifest), days_ago)
        return manifest

    def pruning(self, *, days: float = 30, keep: int = 1, in_days: float = 0, **wanted: bool) -> Pruning:
        """A look at the home, perhaps as it will be in some days."""
        now = datetime.now(UTC) + timedelta(days=in_days)
        bounds = Bounds(now=now, older_than=timedelta(days=days), keep=keep)
        return Pruning(self.places, self.store, bounds, Wanted(**wanted))

    def plan(self, **options: Any) -> PruningPlan:
        return self.pruning(**options).plan()

    def prune(self, **options: Any) -> list[Outcome]:
        pruning = self.pruning(**options)
        return list(pruning.carry_out(pruning.plan()))


@pytest.fixture
def pruned(empty_store: TrackingStore, tmp_path: Path) -> PrunedHome:
    return PrunedHome(tmp_path / "home", empty_store)


def age(path: Path, days: float) -> None:
    """Let everything in a folder, or a file, be as old as this."""
    then = time.time() - days * DAY_S
    for each in [*path.rglob("*"), path]:
        os.utime(each, (then, then), follow_symlinks=False)


def names(found: Iterable[Any]) -> list[str]:
    """The names of items, or of what stays."""
    return [each.name for each in found]


def disk_bytes(root: Path) -> int:
    """The bytes of all files below a folder, each counted once however many names it has."""
    stats = [path.lstat() for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}.values())


def by_name(items: Iterable[Item]) -> dict[str, Item]:
    return {item.name: item for item in items}
