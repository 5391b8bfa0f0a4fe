"""What a request asks for that no published version holds yet.

In: a request and manifests of versions. Out: how many of its shards are new, and the version that stands for
the request where none is. Does not read the parts, and does not know what is done about it.
"""

from collections.abc import Iterable
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


def news_of(request: DatasetRequest, versions: Iterable[DatasetManifest]) -> News:
    """Compare the request with what is published, the newest first.

    A plan that only lost shards brings nothing new: the version that holds them stays the one to train on.
    """
    alike = [version for version in versions if _is_alike(version, request)]
    wanted = _contents(request.shards)
    exact = [version for version in alike if version.id == request.id]
    holder = next(iter(exact or [version for version in alike if wanted <= _contents(version.shards)]), None)
    before = holder or next(iter(alike), None)
    held = _contents(before.shards) if before else set()
    return News(shards=len(request.shards), new=len(wanted - held), gone=len(held - wanted), holder=holder)


def manifests_here(root: Path, slug: str) -> list[DatasetManifest]:
    """Return the manifests of a slug's versions below `root`, the newest first; damaged ones do not count."""
    entries = [entry for entry in list_datasets(root) if entry.slug == slug and not entry.problem]
    return [open_dataset(root, f"{slug}/{entry.id}").manifest for entry in entries]


def _is_alike(version: DatasetManifest, request: DatasetRequest) -> bool:
    """Say whether the version would be the request's, were the shards the same."""
    made_by = (version.slug, version.options, version.filter_version)
    return made_by == (request.slug, options_of(request.filter), FILTER_VERSION)


def _contents(shards: Iterable[PlannedShard | ShardTally]) -> set[tuple[str, str]]:
    """Return what decides which rows there are, as the id of a version is made of it."""
    return {(shard.partition, shard.md5) for shard in shards}
