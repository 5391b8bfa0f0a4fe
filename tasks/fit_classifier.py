"""Task: one candidate is trained on a dataset version and kept in MLflow.

The cache key is the version and the config; the caller checks that MLflow still has the version.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import task
from prefect.context import TaskRunContext
from prefect.runtime import flow_run

from tasks.classifier.config import TrainConfig
from tasks.contracts.errors import TrackingAwayError, TrackingError
from tasks.datasets.catalogue import open_dataset
from tasks.runs import current_progress
from tasks.tracking.kept_training import train_candidate, training_key
from tasks.tracking.registry import list_models
from tasks.tracking.store import TrackingStore


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    return training_key(parameters["version"], parameters["config"], parameters["store"])


@task(
    name="fit-classifier",
    task_run_name="fit-{config.model}",
    cache_key_fn=_cache_key,
    persist_result=True,
    result_serializer="json",
)
def fit_classifier(version: str, config: TrainConfig, store: TrackingStore, *, root: Path) -> dict[str, Any]:
    """Train on the train split of `version` (slug/id), judge on its validate split, log, register.

    Raises:
        TrainingError: the dataset holds too little to learn from, or the loss became NaN or infinite.
        TrackingAwayError: MLflow does not answer; what was trained is kept, and logged by the next run.
        TrackingError: MLflow's store cannot be used.
    """
    list_models(store)  # that MLflow cannot be used, or wants a password, is said before hours of training, not after
    candidate = train_candidate(
        open_dataset(root, version),
        config,
        store,
        progress=current_progress(),
        flow_run=(str(flow_run.id), _page_of_this_run()) if flow_run.id else None,
    )
    return candidate.model_dump(mode="json")


def _page_of_this_run() -> str | None:
    """Return the address of the flow's run; where no server has pages, Prefect's begins with `None/`."""
    return flow_run.ui_url if str(flow_run.ui_url).startswith("http") else None


def is_kept(candidate: Mapping[str, Any], store: TrackingStore) -> bool:
    """Say whether MLflow still has what a cached training made."""
    try:
        return any(row.run_id == candidate["run_id"] for row in list_models(store))
    except TrackingAwayError:
        raise  # it may well have it, and could not take another
    except TrackingError:
        return False
