"""A finished training as a run of MLflow and a version in its registry.

In: a training's result, the dataset it learnt from and its validation videos. Out: a `Candidate`, which is also
the `challenger` of its dataset's slug. Does not decide whether it is any good.
"""

import csv
import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from pydantic import Field

from tasks.classifier.evaluate import Evaluation, evaluate
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.registry import (
    CHALLENGER,
    DATASET_TAG,
    EXPERIMENT_TAG,
    GAP_TAG,
    KIND_TAG,
    MAP_TAG,
    SECONDS_TAG,
    SPLIT_DIGEST_TAG,
)
from tasks.classifier.tracking import TrackingStore
from tasks.classifier.tracking_figures import candidate_figures
from tasks.classifier.tracking_mlflow import (
    DatasetInput,
    InputTag,
    LoggedDataset,
    Metric,
    MlflowClient,
    Param,
    connect,
    translated,
)
from tasks.classifier.tracking_model import register_classifier
from tasks.classifier.tracking_split import split_digest
from tasks.classifier.train import TrainingResult
from tasks.contracts.model import FrozenModel
from tasks.contracts.revision import code_revision
from tasks.datasets.load import Videos
from tasks.datasets.manifest import Dataset

METRICS_A_BATCH = 1000  # the most that MLflow takes at once
TAG_LENGTH = 8000  # characters, the most that MLflow keeps of a run's tag


class StartedBy(FrozenModel):
    """The run of a Prefect flow that trained a model."""

    flow_run_id: str
    flow_run_url: str | None = None


class Candidate(FrozenModel):
    """A trained model where MLflow keeps it."""

    name: str = Field(description="the dataset's slug, under which it is registered")
    version: int
    kind: str
    run_id: str
    experiment_id: str
    dataset_id: str
    metrics: dict[str, float]
    seconds: float = Field(description="of training")
    run_url: str
    model_url: str

    @property
    def reference(self) -> str:
        """What names exactly this version."""
        return f"{self.name}/{self.version}"


def log_candidate(
    store: TrackingStore,
    result: TrainingResult,
    dataset: Dataset,
    validate: Videos,
    *,
    started_by: StartedBy | None = None,
) -> Candidate:
    """Log a training as a run of its dataset's experiment and register the model as the slug's `challenger`.

    Raises:
        TrackingError: the store cannot be used.
        ModelError: there is no matching video to judge on.
    """
    evaluation = evaluate(result.classifier, validate)
    slug, kind = dataset.manifest.slug, str(result.classifier.config.model)
    metrics = _final_metrics(evaluation)
    tags = _tags(result, dataset, started_by) | {SPLIT_DIGEST_TAG: split_digest(validate)}
    client = connect(store)
    with translated(store):
        experiment_id = _experiment(client, store, slug)
        with _run(client, experiment_id, result, tags) as run_id:
            _log_numbers(client, run_id, result, metrics)
            _log_dataset(client, run_id, dataset)
            _log_files(client, run_id, evaluation)
            for path, figure in candidate_figures(result, validate, dataset.manifest).items():
                client.log_figure(run_id, figure, path)
            known = {EXPERIMENT_TAG: experiment_id, GAP_TAG: repr(evaluation.gap), MAP_TAG: repr(evaluation.map)}
            version = register_classifier(client, result.classifier, run_id=run_id, name=slug, tags=tags | known)
        client.set_registered_model_alias(slug, CHALLENGER, str(version))
    return Candidate(
        name=slug,
        version=version,
        kind=kind,
        run_id=run_id,
        experiment_id=experiment_id,
        dataset_id=dataset.manifest.id,
        metrics=metrics,
        seconds=result.seconds,
        run_url=store.run_url(experiment_id, run_id),
        model_url=store.model_url(slug, version),
    )


def _tags(result: TrainingResult, dataset: Dataset, started_by: StartedBy | None) -> dict[str, str]:
    """Return what both the run and the version are tagged with."""
    classifier = result.classifier
    tags = {
        KIND_TAG: str(classifier.config.model),
        DATASET_TAG: dataset.manifest.id,
        "dataset_slug": dataset.manifest.slug,
        SECONDS_TAG: f"{result.seconds:.3f}",
        "labels": _label_list(classifier),
        "feature_space": classifier.feature_space,
        "code_revision": code_revision(),
    }
    if started_by:
        tags["prefect_flow_run_id"] = started_by.flow_run_id
        tags["prefect_flow_run_url"] = started_by.flow_run_url or ""
    return tags


def _label_list(classifier: FittedClassifier) -> str:
    """Return the labels as JSON, id to name; of many their number alone, as `labels.csv` has them all."""
    labels = json.dumps(dict(zip(classifier.label_ids, classifier.label_names, strict=True)), ensure_ascii=False)
    return labels if len(labels) <= TAG_LENGTH else f"{len(classifier.label_ids)} labels"


def _final_metrics(evaluation: Evaluation) -> dict[str, float]:
    metrics = {
        GAP_TAG: evaluation.gap,
        MAP_TAG: evaluation.map,
        "hit_at_1": evaluation.hit1,
        "perr": evaluation.perr,
        "coverage": evaluation.coverage,
    }
    return metrics if evaluation.match_ap is None else metrics | {"match_ap": evaluation.match_ap}


def _experiment(client: MlflowClient, store: TrackingStore, slug: str) -> str:
    known = client.get_experiment_by_name(slug)
    return known.experiment_id if known else client.create_experiment(slug, store.artifact_root)


@contextmanager
def _run(client: MlflowClient, experiment_id: str, result: TrainingResult, tags: dict[str, str]) -> Iterator[str]:
    """Open a run that began when the training did; it ends as failed where the block raises."""
    config = result.classifier.config
    began_ms = int((time.time() - result.seconds) * 1000)
    run = client.create_run(experiment_id, began_ms, tags, run_name=f"{config.model} seed {config.seed}")
    status = "FAILED"
    try:
        yield run.info.run_id
        status = "FINISHED"
    finally:
        client.set_terminated(run.info.run_id, status)


def _log_numbers(client: MlflowClient, run_id: str, result: TrainingResult, metrics: dict[str, float]) -> None:
    """Log the parameters, each epoch's metrics below `epoch/`, and the final ones of the epoch that was kept."""
    now_ms = int(time.time() * 1000)
    params = result.classifier.config.model_dump(mode="json") | {"best_epoch": result.best_epoch}
    series = [
        Metric(f"epoch/{name}", value, now_ms, record.epoch)
        for record in result.history
        for name, value in {"loss": record.loss, "learning_rate": record.learning_rate, **record.metrics}.items()
    ]
    final = metrics | {"train_seconds": result.seconds}
    series += [Metric(name, value, now_ms, result.best_epoch) for name, value in final.items()]
    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
    for first in range(0, len(series), METRICS_A_BATCH):
        client.log_batch(run_id, metrics=series[first : first + METRICS_A_BATCH])


def _log_dataset(client: MlflowClient, run_id: str, dataset: Dataset) -> None:
    manifest = dataset.manifest
    logged = LoggedDataset(
        name=manifest.slug,
        digest=manifest.id,
        source_type="local",
        source=json.dumps({"uri": str(dataset.folder)}),
        profile=json.dumps({"rows": manifest.rows, "matches": manifest.matches}),
    )
    client.log_inputs(run_id, [DatasetInput(logged, [InputTag("mlflow.data.context", "training")])])


def _log_files(client: MlflowClient, run_id: str, evaluation: Evaluation) -> None:
    """Log the evaluation as JSON and its labels as a table, the commonest first."""
    client.log_dict(run_id, asdict(evaluation), "evaluation.json")
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("label_id", "name", "positives", "average_precision"))
    for label in sorted(evaluation.labels, key=lambda label: -label.positives):
        ap = "" if label.average_precision is None else f"{label.average_precision:.6f}"
        rows.writerow((label.index, label.name, label.positives, ap))
    client.log_text(run_id, table.getvalue(), "labels.csv")
