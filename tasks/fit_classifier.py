"""Task: one candidate is trained on a dataset version and kept in MLflow.

In: the version's place, a config and where MLflow is. Out: the candidate's name, version and figures. The
cache key is the version and the config; the caller checks that MLflow still has the version.
"""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from prefect import task
from prefect.context import TaskRunContext
from prefect.runtime import flow_run

from tasks.classifier.config import TrainConfig
from tasks.classifier.splits import training_splits
from tasks.contracts.errors import TrackingAwayError, TrackingError
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.folders import in_use
from tasks.runs import current_progress
from tasks.tracking.registry import list_models
from tasks.tracking.store import TrackingStore

FIT_CACHE_VERSION = 1  # raise by hand when the same config trains to something else


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    return fit_cache_key(parameters["version"], parameters["config"], parameters["store"])


def fit_cache_key(version: str, config: TrainConfig, store: TrackingStore) -> str:
    """Return `yt8m-fit-<version>-<digest>` of the version (slug/id), the config and the store that keeps the model.

    The slug counts: the model is registered under it. A home's own database counts as such, wherever the home is.
    """
    is_own = store.sqlite_path is not None and store.sqlite_path.parent == store.folder
    content = f"{version}\n{config.model_dump_json()}\n{'home' if is_own else store.uri}"
    return f"yt8m-fit-{FIT_CACHE_VERSION}-{hashlib.sha256(content.encode()).hexdigest()}"


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
    # Imported here: a flow whose candidates are all cached needs neither torch nor mlflow, 5 s of imports.
    from tasks.classifier.train import fit  # noqa: PLC0415
    from tasks.tracking.candidate import StartedBy, log_candidate  # noqa: PLC0415
    from tasks.tracking.kept_training import KeptTraining, patiently  # noqa: PLC0415

    list_models(store)  # that MLflow cannot be used, or wants a password, is told before hours of training, not after
    kept = KeptTraining.of(store, fit_cache_key(version, config, store))
    dataset = open_dataset(root, version)
    # Until a model is registered that refers to the version, and MLflow has the training.
    with in_use(dataset.folder), in_use(kept.folder):
        train, validate = training_splits(dataset)
        result = kept.load()
        if result is None:
            result = fit(
                train,
                validate,
                label_names={label.index: label.name for label in dataset.manifest.label_counts},
                target_label_ids=dataset.manifest.label_ids,
                config=config,
                dataset_id=dataset.manifest.id,
                progress=current_progress(),
            )
            kept.save(result, dataset.manifest.reference)
        started_by = StartedBy(flow_run_id=flow_run.id, flow_run_url=_page_of_this_run()) if flow_run.id else None
        log = partial(log_candidate, store, result, dataset, validate, started_by=started_by, training=kept.name)
        try:
            with in_use(kept.folder):  # as it is now
                candidate = patiently(log)
        except TrackingAwayError as error:
            raise TrackingAwayError(
                f"{error} The trained model is kept: the same command logs it once MLflow answers, and trains nothing."
            ) from error
        kept.remove()
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
