"""Task: the best candidate goes through the gate.

In: a dataset version and a reference to a model. Out: whether it became the champion, and why; the run shows the
same. Does not train anything.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks.classifier.config import GateConfig
from tasks.classifier.splits import frozen_split
from tasks.classifier.tracking import TrackingStore
from tasks.datasets.catalogue import open_dataset

if TYPE_CHECKING:
    from tasks.classifier.promotion import Promotion


@task(name="promote-model", task_run_name="promote-{reference}")
def promote_model(
    version: str, reference: str, store: TrackingStore, gate: GateConfig, *, root: Path
) -> dict[str, Any]:
    """Make the model the challenger, and the champion if the gate lets it, judged on `version` (slug/id)."""
    # Imported here, as in `compare_models`: a retraining with nothing to do needs none of it.
    from tasks.classifier.promotion import nominate, promote  # noqa: PLC0415

    dataset = open_dataset(root, version)
    nominate(store, reference)
    promotion = promote(store, reference, frozen_split(dataset), dataset_id=dataset.manifest.id, gate=gate)
    create_markdown_artifact(_verdict(promotion), key=f"promotion-{dataset.manifest.slug}")
    return promotion.model_dump(mode="json")


def _verdict(promotion: "Promotion") -> str:
    outcome = "is the new champion" if promotion.promoted else f"does not replace {promotion.champion}"
    return f"### {promotion.model} {outcome}\n\n{promotion.reason}\n"
