"""Task: the candidates of a dataset version, and the champion, judged side by side.

In: a dataset version and references to models. Out: the comparison; its table, picture and links are artifacts of
the run. Moves no alias.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks.classifier.config import GateConfig
from tasks.classifier.splits import frozen_split
from tasks.classifier.tracking import TrackingStore
from tasks.contracts.text import markdown_row
from tasks.datasets.catalogue import open_dataset

if TYPE_CHECKING:
    from tasks.classifier.comparison import Comparison


@task(name="compare-models", task_run_name="compare-{version}")
def compare_models(
    version: str, references: Sequence[str], store: TrackingStore, gate: GateConfig, *, root: Path
) -> dict[str, Any]:
    """Judge the models on the frozen split of `version` (slug/id), and show how they compare."""
    # Imported here: a retraining with nothing to do needs neither torch nor mlflow, 10 s of imports.
    from tasks.classifier.comparison import compare, log_comparison  # noqa: PLC0415

    dataset = open_dataset(root, version)
    comparison = compare(
        store,
        frozen_split(dataset),
        dataset_id=dataset.manifest.id,
        name=dataset.manifest.slug,
        references=references,
        gate=gate,
    )
    picture_url = log_comparison(store, comparison)
    show_comparison(comparison, picture_url)
    return comparison.model_dump(mode="json")


@task(name="show-comparison", persist_result=False, cache_policy=NO_CACHE)
def show_comparison(comparison: "Comparison", picture_url: str) -> None:
    """Create the artifacts `comparison-<slug>`: the table, a link to MLflow's own comparison, and the picture."""
    key = f"comparison-{comparison.name}"
    create_table_artifact(
        [markdown_row(row.model_dump(mode="json", exclude={"run_id", "experiment_id"})) for row in comparison.rows],
        key=key,
        description=f"{comparison.videos:,} matching videos of {comparison.dataset_id}, the best by GAP first",
    )
    create_link_artifact(comparison.compare_url, link_text="Compare these runs in MLflow", key=f"{key}-mlflow")
    create_markdown_artifact(f"![GAP and MAP of each model]({picture_url})", key=f"{key}-picture")
