"""How good a classifier is on the matching videos of any dataset version.

In: a fitted classifier and videos. Out: the challenge's metrics, label by label too, and the scores that a
comparison needs. Does not know of registries nor where the videos came from.

Shapes: N videos, L labels.
"""

# ruff: noqa: N803, N806, N815 - capitals at the end of a tensor's name are its axes, as in the legend above.

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.classifier.data import multi_hot
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.metrics import Metrics, YouTube8MMetrics, average_precision, ranking
from tasks.contracts.errors import ModelError
from tasks.datasets.load import Videos

JUDGED_ROWS = 4096  # videos a batch of the metrics: bounds the memory


@dataclass(frozen=True)
class LabelResult:
    """One label of the model, judged."""

    index: int
    name: str
    positives: int
    average_precision: float | None  # None where no video has the label


@dataclass(frozen=True)
class Evaluation:
    """The figures over all matching videos, of the labels that the model knows.

    Labels that the model does not know are left out of every figure: their positives are in no denominator.
    `coverage` says what share of all positives that leaves, so 1.0 means that nothing was left out.
    """

    videos: int
    gap: float
    map: float
    hit1: float
    perr: float
    coverage: float
    match_ap: float | None  # AP of 'does it match at all' over all videos; None without such an output or background
    labels: tuple[LabelResult, ...]


@dataclass(frozen=True)
class Scores:
    """What a classifier says about the matching videos of a dataset version, in their order."""

    label_ids: tuple[int, ...]
    scores_NL: NDArray[np.float32]


def evaluate(classifier: FittedClassifier, videos: Videos) -> Evaluation:
    """Judge the classifier on all matching videos.

    Raises:
        ModelError: there is no matching video.
    """
    matching = matches_of(videos)
    scores_NL = classifier.predict(matching.features)
    metrics = judge(scores_NL, multi_hot(matching, classifier.label_ids))
    return Evaluation(
        videos=metrics.videos,
        gap=metrics.gap,
        map=metrics.map,
        hit1=metrics.hit_at_1,
        perr=metrics.perr,
        coverage=int(metrics.positives_L.sum()) / max(1, len(matching.label_ids)),
        match_ap=_match_ap(classifier, videos),
        labels=_label_results(classifier, metrics),
    )


def score_matches(classifier: FittedClassifier, videos: Videos) -> Scores:
    """Return the classifier's scores of the matching videos.

    Raises:
        ModelError: there is no matching video.
    """
    return Scores(classifier.label_ids, classifier.predict(matches_of(videos).features))


def matches_of(videos: Videos) -> Videos:
    """Return the matching videos, in their order.

    Raises:
        ModelError: there is none.
    """
    if not videos.is_match.any():
        raise ModelError(
            f"None of the {len(videos)} videos matches, so there is nothing to judge on. Choose a dataset with "
            "matches: `reelsift dataset list`."
        )
    return videos.take(videos.is_match)


def judge(scores_NL: NDArray[np.float32], targets_NL: NDArray[np.uint8]) -> Metrics:
    """Return the challenge's metrics of all rows."""
    metrics = YouTube8MMetrics()
    for first in range(0, len(scores_NL), JUDGED_ROWS):
        rows = slice(first, first + JUDGED_ROWS)
        metrics.update(torch.from_numpy(scores_NL[rows]), torch.from_numpy(targets_NL[rows]))
    return metrics.compute()


def match_average_precision(scores_N: Tensor, is_match_N: Tensor) -> float | None:
    """Return the AP of 'does it match at all' over all videos, None where all match or none does."""
    matches = int(is_match_N.sum())
    if matches in {0, len(is_match_N)}:
        return None
    return average_precision(is_match_N[ranking(scores_N, is_match_N)], matches)


def _match_ap(classifier: FittedClassifier, videos: Videos) -> float | None:
    if classifier.match_index is None:
        return None
    scores = classifier.predict_match(videos.features)
    return match_average_precision(torch.from_numpy(scores), torch.from_numpy(videos.is_match))


def _label_results(classifier: FittedClassifier, metrics: Metrics) -> tuple[LabelResult, ...]:
    columns = zip(
        classifier.label_ids, classifier.label_names, metrics.positives_L.tolist(), metrics.ap_L.tolist(), strict=True
    )
    return tuple(LabelResult(index, name, n, ap if n else None) for index, name, n, ap in columns)
