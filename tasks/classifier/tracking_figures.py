"""The figures that are kept with a run.

In: a training's result, its validation videos and the dataset's manifest. Out: figures by the path that each
gets among the run's files. Does not know how they are drawn nor where they go.
"""

from collections.abc import Mapping

from matplotlib.figure import Figure

from tasks.classifier.data import multi_hot
from tasks.classifier.evaluate import score_matches
from tasks.classifier.train import TrainingResult
from tasks.contracts.artifacts import DatasetManifest
from tasks.datasets.load import Videos
from tasks.reports.classifier_figures import (
    calibration_figure,
    precision_recall_figure,
    training_figure,
)
from tasks.reports.dataset_figures import cooccurrence_figure

SHOWN_METRICS = {"gap_at_20": "GAP", "map": "MAP", "match_ap": "AP of the match"}


def candidate_figures(result: TrainingResult, validate: Videos, manifest: DatasetManifest) -> Mapping[str, Figure]:
    """Draw all figures of a training.

    Raises:
        ModelError: there is no matching video to judge on.
    """
    scores = score_matches(result.classifier, validate)
    truth = multi_hot(validate, scores.label_ids)[validate.is_match].astype(bool)
    names = result.classifier.label_names
    return {
        "figures/precision_recall.png": precision_recall_figure(scores.scores_NL, truth, names),
        "figures/calibration.png": calibration_figure(scores.scores_NL, truth),
        "figures/training.png": _training(result),
        "figures/cooccurrence.png": cooccurrence_figure(manifest),
    }


def _training(result: TrainingResult) -> Figure:
    series = {
        title: [record.metrics[name] for record in result.history]
        for name, title in SHOWN_METRICS.items()
        if name in result.metrics
    }
    return training_figure([record.loss for record in result.history], series, result.best_epoch)
