"""How good a classifier is on the matching videos of any dataset version, over the labels that it knows or over more.

Figures of models that know different labels compare only over the same ones. A label unknown to a model is
never among its pairs, and counts as missed in every video that has it.

Shapes: N videos, L labels.
"""

# ruff: noqa: N803, N806 - capitals at the end of a tensor's name are its axes, as in the legend above.

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.classifier.classes import ClassMetrics, class_metrics, has_one_label_each
from tasks.classifier.data import Targets, sparse_targets
from tasks.classifier.fitted import FittedClassifier, block_rows
from tasks.classifier.metrics import (
    TOP_K,
    BestPairs,
    Metrics,
    YouTube8MMetrics,
    average_precision,
    best_pairs,
    ranking,
)
from tasks.contracts.errors import ModelError
from tasks.datasets.load import Videos

JUDGED_ROWS = 4096  # videos a batch of the metrics, fewer where there are many labels: bounds the memory


@dataclass(frozen=True)
class LabelResult:
    """One label of the model, judged."""

    index: int
    name: str
    positives: int
    average_precision: float | None  # None where no video has the label


@dataclass(frozen=True)
class Evaluation:
    """The figures over all matching videos, of the labels judged on: those that the model knows, and perhaps more.

    Over its own labels alone, positives of others are in no denominator. `coverage` says what share of all positives
    the model's own labels have, whichever labels it was judged on; `gap` times that is its GAP over all labels.
    """

    videos: int
    gap: float
    map: float
    hit1: float
    perr: float
    coverage: float
    match_ap: float | None  # AP of 'does it match at all' over all videos; None without such an output or background
    labels: tuple[LabelResult, ...]  # the model's own
    classes: ClassMetrics | None = None  # where each video has one label; over all labels that there are

    @property
    def labels_with_positives(self) -> int:
        """How many of the model's own labels these videos have: MAP over its own labels is the mean over so many."""
        return sum(label.positives > 0 for label in self.labels)


@dataclass(frozen=True)
class Scores:
    """What a classifier says about the matching videos of a dataset version, in their order: its best pairs.

    There are enough of each video for all figures over any further labels: `TOP_K`, and as many as it has labels.
    """

    label_ids: tuple[int, ...]  # that the classifier knows
    pairs: BestPairs  # whose labels are columns of `label_ids`

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.pairs)

    def over(self, label_ids: tuple[int, ...]) -> BestPairs:
        """Return the pairs in the columns of `label_ids`, ascending, which hold at least the classifier's own."""
        columns_L = torch.from_numpy(np.searchsorted(label_ids, self.label_ids).astype(np.int32))
        return replace(self.pairs, labels_NK=columns_L[self.pairs.labels_NK.long()])

    @classmethod
    def of(cls, label_ids: tuple[int, ...], blocks: Iterable[NDArray[np.float32]], matching: Videos) -> Self:
        """Keep the best pairs of the scores (rows, L) of all matching videos, which come in blocks, in their order."""
        truth = sparse_targets(matching, label_ids)
        depth = max(TOP_K, int(np.diff(matching.label_offsets).max(initial=0)))
        parts, begin = list[BestPairs](), 0
        for scores_BL in blocks:
            rows_B = torch.arange(begin, begin + len(scores_BL))
            parts.append(best_pairs(torch.from_numpy(scores_BL), truth.dense(rows_B), depth))
            begin += len(scores_BL)
        return cls(label_ids, BestPairs.joined(parts))


def evaluate(classifier: FittedClassifier, videos: Videos, label_ids: Collection[int] = ()) -> Evaluation:
    """Judge the classifier on all matching videos, over the labels that it knows and `label_ids`.

    Raises:
        ModelError: there is no matching video.
    """
    return evaluation_of(classifier, score_matches(classifier, videos), videos, label_ids)


def evaluation_of(
    classifier: FittedClassifier, scores: Scores, videos: Videos, label_ids: Collection[int] = ()
) -> Evaluation:
    """Judge scores that `score_matches` returned, as `evaluate` does."""
    matching = matches_of(videos)
    judged_ids = union_of_labels(scores.label_ids, label_ids)
    metrics = judge(scores, sparse_targets(matching, judged_ids), judged_ids)
    labels = _label_results(classifier, judged_ids, metrics)
    return Evaluation(
        videos=metrics.videos,
        gap=metrics.gap,
        map=metrics.map,
        hit1=metrics.hit_at_1,
        perr=metrics.perr,
        coverage=sum(label.positives for label in labels) / max(1, len(matching.label_ids)),
        match_ap=_match_ap(classifier, videos),
        labels=labels,
        classes=_classes(scores, matching, judged_ids),
    )


def _classes(scores: Scores, matching: Videos, judged_ids: tuple[int, ...]) -> ClassMetrics | None:
    if not has_one_label_each(matching):
        return None
    label_ids = union_of_labels(judged_ids, labels_of(matching))
    return class_metrics(scores.over(label_ids), np.searchsorted(label_ids, matching.label_ids), label_ids)


def union_of_labels(*label_ids: Collection[int]) -> tuple[int, ...]:
    """Return every label id of these, ascending."""
    return tuple(sorted({int(label) for ids in label_ids for label in ids}))


def labels_of(videos: Videos) -> tuple[int, ...]:
    """Return the ids of all labels that the matching videos have, ascending.

    Raises:
        ModelError: there is no matching video.
    """
    return union_of_labels(np.unique(matches_of(videos).label_ids).tolist())


def score_matches(classifier: FittedClassifier, videos: Videos) -> Scores:
    """Return the classifier's scores of the matching videos.

    Raises:
        ModelError: there is no matching video.
        FeatureSpaceError: the videos' features are of another space than the classifier's.
    """
    classifier.space.check_same(videos.space, who=f"The model of {classifier.dataset_id}", what="the dataset")
    matching = matches_of(videos)
    rows = block_rows(len(classifier.label_ids), JUDGED_ROWS)
    firsts = range(0, len(matching), rows)
    blocks = (classifier.predict(matching.features[first : first + rows]) for first in firsts)
    return Scores.of(classifier.label_ids, blocks, matching)


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
    return videos.matches()


def judge(scores: Scores, truth: Targets, judged_ids: tuple[int, ...]) -> Metrics:
    """Return the challenge's metrics over `judged_ids`, in whose columns the truth is."""
    metrics = YouTube8MMetrics()
    metrics.add(scores.over(judged_ids), truth.positives_N, truth.positives_L)
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


def _label_results(
    classifier: FittedClassifier, judged_ids: tuple[int, ...], metrics: Metrics
) -> tuple[LabelResult, ...]:
    """Return the results of the model's own labels, in its order."""
    positives, aps = metrics.positives_L.tolist(), metrics.ap_L.tolist()
    columns = np.searchsorted(judged_ids, classifier.label_ids).tolist()
    named = zip(classifier.label_ids, classifier.label_names, columns, strict=True)
    return tuple(
        LabelResult(index, name, positives[column], aps[column] if positives[column] else None)
        for index, name, column in named
    )
