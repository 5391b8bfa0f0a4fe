"""What is logged of a run: parameters, metrics, the dataset as its input, tables. Does not open or end runs."""

import csv
import io
import json
import time
from dataclasses import asdict

from tasks.classifier.evaluate import Evaluation
from tasks.classifier.registry import COVERAGE_TAG, GAP_TAG, MAP_TAG
from tasks.classifier.tracking_mlflow import DatasetInput, InputTag, LoggedDataset, Metric, MlflowClient, Param
from tasks.classifier.train import TrainingResult
from tasks.datasets.manifest import Dataset

# GAP over every label that the videos have, so a label that a model does not know counts as missed: of the figures in
# MLflow, the one in which models compare whatever they know.
COMPARABLE_GAP = "gap_at_20_all_labels"
METRICS_A_BATCH = 1000  # the most that MLflow takes at once


def final_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return the figures of an evaluation under the names that they are logged by."""
    metrics = {
        GAP_TAG: evaluation.gap,
        MAP_TAG: evaluation.map,
        "hit_at_1": evaluation.hit1,
        "perr": evaluation.perr,
        COVERAGE_TAG: evaluation.coverage,
    }
    return metrics if evaluation.match_ap is None else metrics | {"match_ap": evaluation.match_ap}


def log_numbers(client: MlflowClient, run_id: str, result: TrainingResult, metrics: dict[str, float]) -> None:
    """Log the parameters, each epoch's metrics below `epoch/`, and the final ones of the epoch that was kept."""
    now_ms = int(time.time() * 1000)
    params = result.classifier.config.model_dump(mode="json") | {"best_epoch": result.best_epoch}
    series = [
        Metric(f"epoch/{name}", value, now_ms, record.epoch)
        for record in result.history
        for name, value in {"loss": record.loss, "learning_rate": record.learning_rate, **record.metrics}.items()
    ]
    comparable = {COMPARABLE_GAP: metrics[GAP_TAG] * metrics[COVERAGE_TAG]}
    final = metrics | comparable | {"train_seconds": result.seconds}
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
    """Log the evaluation as JSON and its labels as a table, the commonest first."""
    client.log_dict(run_id, asdict(evaluation), "evaluation.json")
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("label_id", "name", "positives", "average_precision"))
    for label in sorted(evaluation.labels, key=lambda label: -label.positives):
        ap = "" if label.average_precision is None else f"{label.average_precision:.6f}"
        rows.writerow((label.index, label.name, label.positives, ap))
    client.log_text(run_id, table.getvalue(), "labels.csv")
