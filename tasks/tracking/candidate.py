"""A finished training as an MLflow run and a registered version: parameters, metrics, figures, dataset, model."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from tasks.classifier.data import multi_hot
from tasks.classifier.evaluate import Evaluation, evaluation_of
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.metrics import ClassMetrics
from tasks.classifier.scoring import predictions, score_matches
from tasks.classifier.splits import spread_rows
from tasks.classifier.train import TrainingResult
from tasks.contracts.datasets import DatasetManifest
from tasks.contracts.model import FrozenModel, code_revision
from tasks.datasets.load import Videos
from tasks.datasets.manifest import Dataset
from tasks.reports.figures import (
    calibration_figure,
    confusion_figure,
    cooccurrence_figure,
    laid_out,
    precision_recall_figure,
    training_figure,
)
from tasks.tracking.client import MlflowClient, connect, temporary_files, translated
from tasks.tracking.describe import describe, runs_view_tags
from tasks.tracking.loading import keep_scores
from tasks.tracking.logged import final_metrics, log_dataset, log_files, log_numbers
from tasks.tracking.model import register_classifier
from tasks.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    COVERAGE_TAG,
    DATASET_SLUG_TAG,
    DATASET_TAG,
    EXPERIMENT_TAG,
    FEATURE_SPACE_TAG,
    FLOW_RUN_TAG,
    FLOW_RUN_URL_TAG,
    JUDGED_LABELS_TAG,
    KIND_TAG,
    LABELS_DIGEST_TAG,
    MEMORY_TAG,
    OWN_GAP_TAG,
    OWN_MAP_TAG,
    PARAMETERS_TAG,
    SECONDS_TAG,
    SPEED_TAG,
    SPLIT_DIGEST_TAG,
    TRAINING_TAG,
    labels_digest,
    list_models,
    resolve,
)
from tasks.tracking.store import TrackingStore, packed

SHOWN_METRICS = {"gap_at_20": "GAP", "map": "MAP", "match_ap": "AP of the match"}


def candidate_figures(
    result: TrainingResult, evaluation: Evaluation, validate: Videos, manifest: DatasetManifest
) -> Mapping[str, Figure]:
    """Draw all figures of a training, of what it says of the validation videos and how that was judged.

    Of many videos and labels, those of all pairs of the two are drawn of some videos, spread evenly.
    """
    matching = validate.matches()
    drawn = matching.take(spread_rows(len(matching), DRAWN_ELEMENTS // len(result.classifier.label_ids)))
    scores = np.concatenate(list(predictions(result.classifier, drawn)))
    truth = multi_hot(drawn, result.classifier.label_ids).astype(bool)
    names = result.classifier.label_names
    classes = evaluation.classes
    confusion = {"figures/confusion.png": _confusion(classes, result.classifier)} if classes else {}
    return confusion | {
        "figures/precision_recall.png": precision_recall_figure(scores, truth, names),
        "figures/calibration.png": calibration_figure(scores, truth),
        "figures/training.png": _training(result),
        "figures/cooccurrence.png": cooccurrence_figure(manifest),
    }


def _confusion(classes: ClassMetrics, classifier: FittedClassifier) -> Figure:
    known = dict(zip(classifier.label_ids, classifier.label_names, strict=True))
    names = [known.get(label, f"label {label}") for label in classes.label_ids]
    subtitle = f"{classes.confusion_LL.sum():,} videos; top-1 {classes.top_1:.3f}, top-5 {classes.top_5:.3f}"
    return confusion_figure(classes.confusion_LL, names, subtitle)


def _training(result: TrainingResult) -> Figure:
    series = {
        title: [record.metrics[name] for record in result.history]
        for name, title in SHOWN_METRICS.items()
        if name in result.metrics
    }
    return training_figure([record.loss for record in result.history], series, result.best_epoch)


DRAWN_ELEMENTS = 8_000_000  # pairs of video and label in a figure: sorting these takes seconds, and 200 MB
TAG_LENGTH = 8000  # characters, the most that MLflow keeps of a run's tag
SHOWN_TAGS = frozenset({KIND_TAG, DATASET_TAG, FEATURE_SPACE_TAG})


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
    metrics: dict[str, float] = Field(description="over the labels that it knows")
    label_ids: tuple[int, ...] = Field(
        default=(), description="that it knows; none where an earlier release trained it"
    )
    seconds: float = Field(description="of training")
    parameters: int | None = Field(
        default=None, description="that are learnt; none where an earlier release trained it"
    )
    videos_per_s: float | None = Field(default=None, description="learnt from, reading them included")
    peak_mb: float | None = Field(default=None, description="memory of training, 10^6 bytes")
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
    training: str | None = None,
) -> Candidate:
    """Log a training as a run of its dataset's experiment and register the model under the dataset's slug.

    Args:
        store: where MLflow is.
        result: the training.
        dataset: the version that it learnt from.
        validate: the videos to judge on.
        started_by: the flow run that trained.
        training: what names this very training: where an earlier call that was cut off registered its model, that is
            taken, and what it left half-done is deleted.

    Raises:
        TrackingAwayError: MLflow does not answer for now.
        TrackingError: the store cannot be used.
        ModelError: there is no matching video to judge on.
    """
    scores = score_matches(result.classifier, validate)
    evaluation = evaluation_of(scores, validate)
    slug, kind = dataset.manifest.slug, str(result.classifier.config.model)
    metrics = final_metrics(evaluation)
    tags = _tags(result, dataset, started_by) | {SPLIT_DIGEST_TAG: validate.digest}
    client = connect(store)
    with temporary_files(store), translated(store):
        experiment_id = _experiment(client, store, slug)
        earlier = _registered_before(client, store, experiment_id, slug, training) if training else None
        if earlier:
            run_id, version = earlier
        else:
            tags |= {TRAINING_TAG: training} if training else {}
            with _run(client, experiment_id, result, tags) as run_id:
                log_numbers(client, run_id, result, metrics)
                log_dataset(client, run_id, dataset)
                log_files(client, run_id, evaluation)
                figures = candidate_figures(result, evaluation, validate, dataset.manifest)
                for path, figure in figures.items():
                    client.log_figure(run_id, laid_out(figure), path)
                facts = _facts(result) | {
                    EXPERIMENT_TAG: experiment_id,
                    OWN_GAP_TAG: repr(evaluation.gap),
                    OWN_MAP_TAG: repr(evaluation.map),
                    COVERAGE_TAG: repr(evaluation.coverage),
                    JUDGED_LABELS_TAG: str(evaluation.labels_with_positives),
                }
                labels = dict(zip(result.classifier.label_ids, result.classifier.label_names, strict=True))
                client.log_dict(run_id, {**tags, **facts, "labels": labels}, "about.json")
                facts |= {name: value for name, value in tags.items() if name not in SHOWN_TAGS}
                shown = {name: value for name, value in tags.items() if name in SHOWN_TAGS}
                version = register_classifier(
                    client, result.classifier, run_id=run_id, name=slug, tags=packed(shown, facts)
                )
        if _is_up_for_promotion(store, slug, version):
            client.set_registered_model_alias(slug, CHALLENGER, str(version))
        describe(client, store, slug, version)
        keep_scores(store, resolve(store, f"{slug}/{version}"), validate, scores)
    return Candidate(
        name=slug,
        version=version,
        kind=kind,
        run_id=run_id,
        experiment_id=experiment_id,
        dataset_id=dataset.manifest.id,
        metrics=metrics,
        label_ids=result.classifier.label_ids,
        seconds=result.seconds,
        **(asdict(result.cost) if result.cost else {}),
        run_url=store.run_url(experiment_id, run_id),
        model_url=store.model_url(slug, version),
    )


def _registered_before(
    client: MlflowClient, store: TrackingStore, experiment_id: str, slug: str, training: str
) -> tuple[str, int] | None:
    """Return the run and version of a logging of this training that was cut off after it registered the model.

    Runs that were cut off before are deleted.
    """
    runs = client.search_runs([experiment_id], filter_string=f"tags.`{TRAINING_TAG}` = '{training}'")
    versions = {row.run_id: row.version for row in list_models(store, slug)} if runs else {}
    for run in runs:
        if run.info.run_id not in versions:
            client.delete_run(run.info.run_id)
    found = next((run.info.run_id for run in runs if run.info.run_id in versions), None)
    if found is None:
        return None
    client.set_terminated(found, "FINISHED")
    return found, versions[found]


def _is_up_for_promotion(store: TrackingStore, name: str, version: int) -> bool:
    """Say whether a new version goes before the challenger that there is: unless that is better on the same videos."""
    rows = list_models(store, name)
    new = next(row for row in rows if row.version == version)
    now = next((row for row in rows if CHALLENGER in row.aliases and CHAMPION not in row.aliases), None)
    if now is None or now.gap is None or new.gap is None or now.split_digest != new.split_digest:
        return True
    return new.gap >= now.gap


def _tags(result: TrainingResult, dataset: Dataset, started_by: StartedBy | None) -> dict[str, str]:
    """Return what the run is tagged with; of these, a version shows `SHOWN_TAGS`."""
    classifier = result.classifier
    tags = {
        KIND_TAG: str(classifier.config.model),
        DATASET_TAG: dataset.manifest.id,
        DATASET_SLUG_TAG: dataset.manifest.slug,
        FEATURE_SPACE_TAG: classifier.space.name,
        "code_revision": code_revision(),
    }
    if started_by:
        tags[FLOW_RUN_TAG] = started_by.flow_run_id
        tags[FLOW_RUN_URL_TAG] = started_by.flow_run_url or ""
    return tags


def _facts(result: TrainingResult) -> dict[str, str]:
    """Return what else lists of models read of a version."""
    facts = {SECONDS_TAG: f"{result.seconds:.3f}", LABELS_DIGEST_TAG: labels_digest(_label_list(result.classifier))}
    if cost := result.cost:
        facts |= {PARAMETERS_TAG: str(cost.parameters), SPEED_TAG: f"{cost.videos_per_s:.1f}"}
        facts[MEMORY_TAG] = f"{cost.peak_mb:.0f}"
    return facts


def _label_list(classifier: FittedClassifier) -> str:
    """Return the labels as JSON, id to name; of many their number alone: as earlier releases tagged them."""
    labels = json.dumps(dict(zip(classifier.label_ids, classifier.label_names, strict=True)), ensure_ascii=False)
    return labels if len(labels) <= TAG_LENGTH else f"{len(classifier.label_ids)} labels"


def _experiment(client: MlflowClient, store: TrackingStore, slug: str) -> str:
    with store.alone("experiment"):  # two trainings that find none would both make it, and one fail
        known = client.get_experiment_by_name(slug)
        experiment_id = known.experiment_id if known else client.create_experiment(slug, store.artifact_root)
    for name, value in runs_view_tags().items():
        if known is None or known.tags.get(name) != value:
            client.set_experiment_tag(experiment_id, name, value)
    return experiment_id


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
