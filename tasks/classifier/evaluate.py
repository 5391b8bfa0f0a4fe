"""How good a classifier is on the matching videos of any dataset version, over the labels that it knows or over more.

Figures of models that know different labels compare only over the same ones. A label unknown to a model is
never among its pairs, and counts as missed in every video that has it.

Shapes: N videos, L labels.
"""

# ruff: noqa: N803, N806 - capitals at the end of a tensor's name are its axes, as in the legend above.

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tasks.classifier.metrics import (
    BestPairs,
    ClassMetrics,
    Metrics,
    YouTube8MMetrics,
    average_precision,
    class_metrics,
    has_one_label_each,
    ranking,
)
from tasks.contracts.errors import ModelError
from tasks.contracts.files import appearing
from tasks.datasets.load import SparseLabels, Videos


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


PAIRS = tuple(field.name for field in fields(BestPairs))


@dataclass(frozen=True)
class Scores:
    """What a classifier says about the matching videos of a dataset version, in their order: its best pairs.

    There are enough of each video for all figures over any further labels: `TOP_K`, and as many as it has labels.
    """

    label_ids: tuple[int, ...]  # that the classifier knows
    label_names: tuple[str, ...]
    pairs: BestPairs  # whose labels are columns of `label_ids`
    match_ap: float | None = None  # AP of 'does it match at all' over all videos; None where it cannot say

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.pairs)

    def over(self, label_ids: tuple[int, ...]) -> BestPairs:
        """Return the pairs in the columns of `label_ids`, ascending, which hold at least the classifier's own."""
        columns_L = np.searchsorted(label_ids, self.label_ids).astype(np.int32)
        return replace(self.pairs, labels_NK=columns_L[self.pairs.labels_NK])

    def write(self, path: Path) -> None:
        """Keep them in a file, which `read` reads."""
        arrays = {name: getattr(self.pairs, name) for name in PAIRS}
        match_ap = np.nan if self.match_ap is None else self.match_ap
        with appearing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, label_ids=self.label_ids, label_names=self.label_names, match_ap=match_ap, **arrays)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what `write` wrote; None where it is not there, or damaged: the checksums of the file tell."""
        try:
            with np.load(path, allow_pickle=False) as held:
                match_ap = float(held["match_ap"])
                return cls(
                    label_ids=tuple(held["label_ids"].tolist()),
                    label_names=tuple(held["label_names"].tolist()),
                    pairs=BestPairs(**{name: held[name] for name in PAIRS}),
                    match_ap=None if np.isnan(match_ap) else match_ap,
                )
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None


def evaluation_of(scores: Scores, videos: Videos, label_ids: Collection[int] = ()) -> Evaluation:
    """Judge the scores of all matching videos, over the labels that the classifier knows and `label_ids`.

    Raises:
        ModelError: there is no matching video.
    """
    matching = matches_of(videos)
    judged_ids = union_of_labels(scores.label_ids, label_ids)
    metrics = judge(scores, matching.labels_among(judged_ids), judged_ids)
    labels = _label_results(scores, judged_ids, metrics)
    return Evaluation(
        videos=metrics.videos,
        gap=metrics.gap,
        map=metrics.map,
        hit1=metrics.hit_at_1,
        perr=metrics.perr,
        coverage=sum(label.positives for label in labels) / max(1, len(matching.label_ids)),
        match_ap=scores.match_ap,
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


def judge(scores: Scores, truth: SparseLabels, judged_ids: tuple[int, ...]) -> Metrics:
    """Return the challenge's metrics over `judged_ids`, in whose columns the truth is."""
    metrics = YouTube8MMetrics()
    metrics.add(scores.over(judged_ids), truth.per_video, truth.per_label)
    return metrics.compute()


def match_average_precision(scores_N: NDArray[np.floating[Any]], is_match_N: NDArray[np.bool_]) -> float | None:
    """Return the AP of 'does it match at all' over all videos, None where all match or none does."""
    matches = int(is_match_N.sum())
    if matches in {0, len(is_match_N)}:
        return None
    return average_precision(is_match_N[ranking(scores_N, is_match_N)], matches)


def _label_results(scores: Scores, judged_ids: tuple[int, ...], metrics: Metrics) -> tuple[LabelResult, ...]:
    """Return the results of the model's own labels, in its order."""
    positives, aps = metrics.positives_L.tolist(), metrics.ap_L.tolist()
    columns = np.searchsorted(judged_ids, scores.label_ids).tolist()
    named = zip(scores.label_ids, scores.label_names, columns, strict=True)
    return tuple(
        LabelResult(index, name, positives[column], aps[column] if positives[column] else None)
        for index, name, column in named
    )
