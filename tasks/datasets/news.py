"""What a request asks for that no published version holds yet.

In: a request and the folder of all datasets. Out: how many of its shards are new, and the version that stands for
the request where none is. Reads manifests only; does not know what is done about it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.artifacts import DatasetManifest, PlannedShard, ShardTally
from tasks.datasets.catalogue import list_datasets, open_dataset
from tasks.datasets.request import DatasetRequest
from tasks.records.parts import FILTER_VERSION, options_of


@dataclass(frozen=True)
class News:
    """A request beside the versions of the same slug that were made with the same options."""

    shards: int  # in the plan, as the request selects them
    new: int  # of them, those that the version before lacks: unknown by partition and md5, so a mended one is new
    gone: int  # shards of the version before that the plan no longer has
    holder: DatasetManifest | None  # the version asked for, else the newest that holds every shard asked for


def news_of(request: DatasetRequest, root: Path) -> News:
    """Compare the request with what is published below `root`.

    A plan that only lost shards brings nothing new: the version that holds them stays the one to train on.
    """
    versions = list(_alike(request, root))
    wanted = _contents(request.shards)
    exact = [version for version in versions if version.id == request.id]
    holder = next(iter(exact or [version for version in versions if wanted <= _contents(version.shards)]), None)
    before = holder or next(iter(versions), None)
    held = _contents(before.shards) if before else set()
    return News(shards=len(request.shards), new=len(wanted - held), gone=len(held - wanted), holder=holder)


def _alike(request: DatasetRequest, root: Path) -> Iterator[DatasetManifest]:
    """Yield the versions of the request's slug and options, the newest first; damaged manifests do not count."""
    made_by = (options_of(request.filter), FILTER_VERSION)
    for entry in list_datasets(root):
        if entry.slug == request.slug and not entry.problem:
            manifest = open_dataset(root, f"{entry.slug}/{entry.id}").manifest
            if (manifest.options, manifest.filter_version) == made_by:
                yield manifest


def _contents(shards: Iterable[PlannedShard | ShardTally]) -> set[tuple[str, str]]:
    """Return what decides which rows there are, as the id of a version is made of it."""
    return {(shard.partition, shard.md5) for shard in shards}
