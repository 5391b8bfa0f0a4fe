"""What is logged of a run: parameters, metrics, the dataset as its input, tables. Does not open or end runs."""

import csv
import io
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from tasks.classifier.evaluate import Evaluation
from tasks.contracts.text import in_csv
from tasks.datasets.manifest import Dataset
from tasks.tracking.client import (
    DatasetInput,
    InputTag,
    LoggedDataset,
    Metric,
    MlflowClient,
    MlflowException,
    Param,
)
from tasks.tracking.registry import (
    COVERAGE_TAG,
    GAP,
    MAP,
    MEMORY_TAG,
    OWN_GAP_TAG,
    OWN_LABELS,
    OWN_MAP_TAG,
    PARAMETERS_TAG,
    SECONDS_TAG,
    SPEED_TAG,
    ModelRow,
)

if TYPE_CHECKING:
    from tasks.classifier.train import TrainingResult

# What depends on the labels that it is judged over. In MLflow, the plain names are for the figures over all labels that
# one of the models knows, which are logged as the registry is described: by these anybody may rank.
BY_LABELS = (GAP, MAP, "perr")
METRICS_A_BATCH = 1000  # the most that MLflow takes at once


def final_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return the figures of an evaluation under their names."""
    metrics = {
        GAP: evaluation.gap,
        MAP: evaluation.map,
        "hit_at_1": evaluation.hit1,
        "perr": evaluation.perr,
        COVERAGE_TAG: evaluation.coverage,
    }
    if evaluation.match_ap is not None:
        metrics["match_ap"] = evaluation.match_ap
    return metrics | (evaluation.classes.named() if evaluation.classes else {})


def _named_in_mlflow(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return a model's figures over its own labels under names that say so."""
    return {f"{name}{OWN_LABELS}" if name in BY_LABELS else name: value for name, value in metrics.items()}


def log_comparable(client: MlflowClient, row: ModelRow) -> None:
    """Let the run of a version say how it compares: GAP and MAP over all labels that a version of its dataset knows.

    Where an earlier release logged the run, its own figures get their names as well.
    """
    try:
        run = client.get_run(row.run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # deleted for good
            return
        raise
    figures = {GAP: row.gap, MAP: row.map, OWN_GAP_TAG: row.own_gap, OWN_MAP_TAG: row.own_map}
    news = {
        name: value
        for name, value in figures.items()
        if value is not None and not math.isclose(run.data.metrics.get(name, math.nan), value, rel_tol=1e-12)
    }
    if news and run.info.lifecycle_stage == "active":
        now_ms, step = int(time.time() * 1000), int(run.data.params.get("best_epoch", 0))
        client.log_batch(row.run_id, [Metric(name, value, now_ms, step) for name, value in news.items()])


def log_numbers(client: MlflowClient, run_id: str, result: "TrainingResult", metrics: dict[str, float]) -> None:
    """Log the parameters, each epoch's metrics below `epoch/`, and the final ones of the epoch that was kept."""
    now_ms = int(time.time() * 1000)
    params = result.classifier.config.model_dump(mode="json") | {"best_epoch": result.best_epoch}
    series = [
        Metric(f"epoch/{name}", value, now_ms, record.epoch)
        for record in result.history
        for name, value in {
            "loss": record.loss,
            "learning_rate": record.learning_rate,
            **_named_in_mlflow(record.metrics),
        }.items()
    ]
    final = _named_in_mlflow(metrics) | {SECONDS_TAG: result.seconds}
    if cost := result.cost:
        final |= {PARAMETERS_TAG: cost.parameters, SPEED_TAG: cost.videos_per_s, MEMORY_TAG: cost.peak_mb}
    series += [Metric(name, value, now_ms, result.best_epoch) for name, value in final.items()]
    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
    for first in range(0, len(series), METRICS_A_BATCH):
        client.log_batch(run_id, metrics=series[first : first + METRICS_A_BATCH])


def log_dataset(client: MlflowClient, run_id: str, dataset: Dataset) -> None:
    """Log the dataset version as the run's input, its id as the digest."""
    manifest = dataset.manifest
    logged = LoggedDataset(
        name=manifest.slug,
        digest=manifest.id,
        source_type="local",
        source=json.dumps({"uri": str(dataset.folder)}),
        profile=json.dumps({"rows": manifest.rows, "matches": manifest.matches}),
    )
    client.log_inputs(run_id, [DatasetInput(logged, [InputTag("mlflow.data.context", "training")])])


def log_files(client: MlflowClient, run_id: str, evaluation: Evaluation) -> None:
    """Log the evaluation as JSON and its labels as a table, the commonest first; and its classes, where it has any."""
    told = asdict(replace(evaluation, classes=None))
    del told["classes"]
    client.log_dict(run_id, {"judged_over": "the labels that it knows"} | told, "evaluation.json")
    if evaluation.classes:
        client.log_text(run_id, class_table(evaluation), "classes.csv")
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("label_id", "name", "positives", "average_precision"))
    for label in sorted(evaluation.labels, key=lambda label: -label.positives):
        ap = "" if label.average_precision is None else f"{label.average_precision:.6f}"
        rows.writerow((label.index, in_csv(label.name), label.positives, ap))
    client.log_text(run_id, table.getvalue(), "labels.csv")


def class_table(evaluation: Evaluation) -> str:
    """Return precision, recall and the confusion matrix as CSV: a row for each label, a column for each prediction."""
    classes = evaluation.classes
    assert classes is not None
    rows = classes.rows({label.index: label.name for label in evaluation.labels})
    names = [in_csv(str(row["name"])) for row in rows]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("label_id", "name", "videos", "precision", "recall", *(f"as {name}" for name in names)))
    for row, name, counts in zip(rows, names, classes.confusion_LL.tolist(), strict=True):
        shares = ("" if row[key] is None else f"{row[key]:.6f}" for key in ("precision", "recall"))
        writer.writerow((row["label_id"], name, row["videos"], *shares, *counts))
    return table.getvalue()
