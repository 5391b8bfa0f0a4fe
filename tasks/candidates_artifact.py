"""What a run shows of its candidates in Prefect's UI: a table, and a link to MLflow's own comparison of these runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_link_artifact, create_table_artifact

from tasks.classifier.tracking import TrackingStore
from tasks.contracts.artifacts import DatasetManifest
from tasks.contracts.text import markdown_row


def show_candidates(manifest: DatasetManifest, candidates: Sequence[Mapping[str, Any]], store: TrackingStore) -> None:
    """Create the artifacts `candidates-<slug>` and `candidates-<slug>-mlflow`."""
    create_table_artifact(
        [
            markdown_row({"model": f"{each['name']}/{each['version']}", "kind": each["kind"], **each["metrics"]})
            | {"run": each["run_url"]}
            for each in candidates
        ],
        key=f"candidates-{manifest.slug}",
        description=(
            f"Candidates trained on {manifest.id}, judged on its validate split over all labels that one of them knows"
        ),
    )
    create_link_artifact(
        store.compare_url([each["experiment_id"] for each in candidates], [each["run_id"] for each in candidates]),
        link_text="Compare these runs in MLflow",
        key=f"candidates-{manifest.slug}-mlflow",
    )
