"""Dataset versions built by the stages alone, from a folder of shards; no flow and no server has a part in it."""

from pathlib import Path
from typing import Any

from tasks.contracts.datasets import PlannedShard
from tasks.datasets.manifest import Dataset
from tasks.datasets.publish import publish
from tasks.datasets.request import plan_request
from tasks.records.parts import FILTER_VERSION, options_of, write_part
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import resolve

BOTH = ("video/train", "video/validate")


def build(
    mirror: Path,
    root: Path,
    *labels: str,
    partitions: tuple[str, ...] = BOTH,
    limit: int | None = None,
    **options: Any,
) -> Dataset:
    """Build and publish the version of these labels below `root`, its parts and vocabulary beside it."""
    download = DownloadConfig(mirrors=(str(mirror),))
    request = plan_request(
        labels,
        partitions=partitions,
        limit=limit,
        filter_options={"background": "all", **options},
        vocabulary_folder=root / "vocabulary",
        download=download,
    )
    mirrors = resolve(download)

    def locate(shard: PlannedShard) -> Path:
        (path,) = mirrors.shard(shard)
        return Path(path)

    parts = [write_part(root / "parts", batch, request.filter, locate) for batch in request.batches]
    manifest = publish(
        root / "datasets",
        root / "parts",
        parts,
        slug=request.slug,
        label_ids=request.filter.label_ids,
        labels=request.label_names,
        options=options_of(request.filter),
        filter_version=FILTER_VERSION,
        splits=request.splits,
        code_revision="test",
    )
    return Dataset(manifest, root / "datasets" / manifest.slug / manifest.id)
