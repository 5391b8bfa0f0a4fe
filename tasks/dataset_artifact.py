"""What a run shows of a dataset version in Prefect's UI.

In: a manifest. Out: an artifact: its figures, and its commonest labels. Does not make the version.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.contracts.artifacts import DatasetManifest
from tasks.contracts.text import in_markdown, markdown_row
from tasks.datasets.caveats import absence, caveats_of
from tasks.datasets.manifest import Dataset

COMMONEST = 20


def show_dataset(dataset: Dataset, absent: Sequence[Mapping[str, Any]] = ()) -> None:
    """Create the artifacts `dataset-<slug>` and `dataset-<slug>-labels`."""
    manifest = dataset.manifest
    warnings = [*caveats_of(manifest), *map(absence, absent)]
    text = _figures(manifest, dataset) + "".join(f"\n- {in_markdown(warning)}" for warning in warnings)
    create_markdown_artifact(text, key=f"dataset-{manifest.slug}", description=manifest.id)
    create_table_artifact(
        [
            markdown_row({"index": label.index, "name": label.name, **label.by_split})
            for label in manifest.label_counts[:COMMONEST]
        ],
        key=f"dataset-{manifest.slug}-labels",
        description=f"The {COMMONEST} commonest labels among the matches of {manifest.id}",
    )


def _figures(manifest: DatasetManifest, dataset: Dataset) -> str:
    splits = ", ".join(
        f"{split} {sum(part.matches for part in manifest.parts if part.split == split):,}" for split in manifest.splits
    )
    drops = "\n".join(
        f"| dropped: {in_markdown(reason)} | {count:,} |" for reason, count in sorted(manifest.drops.items()) if count
    )
    return (
        f"### {manifest.reference}\n\n| | |\n|---|---|\n| shards | {len(manifest.shards):,} |\n"
        f"| records read | {manifest.records:,} |\n| matches | {manifest.matches:,} ({splits}) |\n"
        f"| rows | {manifest.rows:,} |\n{drops}\n\nIn {in_markdown(str(dataset.folder))}, made by code "
        f"{manifest.code_revision}. `reelsift dataset show {manifest.reference}` shows more.\n"
    )
