"""The metrics of the YouTube-8M challenges: Hit@1, PERR, GAP@k and MAP, over batches.

Follows `eval_util.py` of the starter code (github.com/google/youtube-8m), which is not what scikit-learn computes:

- GAP@k pools the k best (score, label) pairs of every video and takes the non-interpolated AP over the pool.
  Its denominator is **all** positives, also those outside the k best.
- MAP takes the same AP label by label over the pairs that survive the k best. A label without a positive is
  left out; one with positives and no surviving pair counts 0.

Pairs of equal score count against the model: misses are taken before hits, also where the k best end amid equals. (The
starter code shuffles them.) So a model's GAP over more labels than it knows differs by the denominator alone, which all
models on the same videos share: their order does not depend on which labels the others know.

Where videos have one label each, the figures of a classification stand beside these. There, too, a video's own label
comes last among equals.

Segments are judged by the MAP@K of the challenge of 2019 (`segment_eval_inference.py`), on rated segments alone.

Shapes: B videos of a batch, N of all, S segments, L labels, K pairs kept a video, P = N x K pooled pairs.
"""

# ruff: noqa: N803, N806, N815 - capitals at the end of a tensor's name are its axes, as in the legend above.

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.datasets.load import Videos

if TYPE_CHECKING:
    from torch import Tensor  # whose import takes a second: a promotion of models that have been judged needs none

TOP_K = 20  # pairs a video: GAP@20 ranked the challenges
NO_PREDICTION = -math.inf  # the score of a label unknown to a model: never a hit


@dataclass(frozen=True)
class Metrics:
    """The figures of all videos seen. All in [0, 1]; the last two are of shape (L,)."""

    videos: int
    gap: float
    map: float
    hit_at_1: float
    perr: float
    ap_L: NDArray[np.float64] = field(repr=False, compare=False)  # NaN where a label has no positive
    positives_L: NDArray[np.int64] = field(repr=False, compare=False)

    def named(self) -> dict[str, float]:
        """Return the figures under the names that they are logged by."""
        return {"gap_at_20": self.gap, "map": self.map, "hit_at_1": self.hit_at_1, "perr": self.perr}


@dataclass(frozen=True)
class BestPairs:
    """The K best labels of each of N videos, by falling score; of equal scores the misses come first, then the hits.

    All that the figures need of a video's scores, however many labels there are.
    """

    scores_NK: NDArray[np.float32]
    labels_NK: NDArray[np.int32]  # the columns that the labels had in the scores
    hits_NK: NDArray[np.bool_]
    first_N: NDArray[np.bool_]  # whether the best label, the first of equals, is one of the video's

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.scores_NK)

    def first(self, k: int) -> "BestPairs":
        """Return the `k` best of each video, or as many as there are."""
        return BestPairs(self.scores_NK[:, :k], self.labels_NK[:, :k], self.hits_NK[:, :k], self.first_N)

    @classmethod
    def joined(cls, parts: Sequence["BestPairs"]) -> "BestPairs":
        """Return the pairs of all parts, which have as many a video."""
        columns = ([getattr(part, name) for part in parts] for name in ("scores_NK", "labels_NK", "hits_NK", "first_N"))
        return cls(*map(np.concatenate, columns))


class YouTube8MMetrics:
    """Accumulates batches, of which it keeps the best pairs; `compute` gives the exact figures over all of them."""

    def __init__(self, k: int = TOP_K) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.k = k
        self._videos = 0
        self._hits = 0.0
        self._precision = 0.0
        self._positives_L: NDArray[np.int64] | None = None
        self._kept: list[BestPairs] = []

    def update(self, scores_BL: "Tensor", targets_BL: "Tensor") -> None:
        """Add a batch of scores (in [0, 1]) and of targets (0 or 1, or bool) of the same shape.

        Raises:
            ValueError: the shapes differ from one another or from earlier batches'.
        """
        self._check(scores_BL, targets_BL)
        if len(scores_BL) == 0:
            return
        targets_BL = targets_BL.bool()
        positives_B = targets_BL.sum(dim=1)
        pairs = best_pairs(scores_BL, targets_BL, max(self.k, int(positives_B.max())))
        self.add(pairs, positives_B.cpu().numpy(), targets_BL.sum(dim=0).cpu().numpy())

    def add(self, pairs: BestPairs, positives_B: NDArray[np.int64], positives_L: NDArray[np.int64]) -> None:
        """Add the best pairs of a batch: `k` of each video or more, and as many as it has labels, if there are so many.

        The positives are how many labels each video has, and how many videos have each label.
        """
        self._kept.append(pairs.first(self.k))
        self._positives_L = positives_L if self._positives_L is None else self._positives_L + positives_L
        self._videos += len(pairs)
        self._hits += float(pairs.first_N.sum())
        self._precision += float(precision_at_equal_recall(pairs, positives_B).sum())

    def compute(self) -> Metrics:
        """Return the figures over all batches.

        Raises:
            ValueError: no video was added.
        """
        if self._positives_L is None or self._videos == 0:
            raise ValueError("metrics of no video at all are undefined; call update() first")
        kept = BestPairs.joined(self._kept)
        order_P = ranking(kept.scores_NK.flatten(), kept.hits_NK.flatten())
        labels_P, hits_P = kept.labels_NK.flatten()[order_P], kept.hits_NK.flatten()[order_P]
        ap_L = average_precision_by_label(labels_P, hits_P, self._positives_L)
        return Metrics(
            videos=self._videos,
            gap=average_precision(hits_P, int(self._positives_L.sum())),
            map=float(np.nanmean(ap_L)) if (self._positives_L > 0).any() else 0.0,
            hit_at_1=self._hits / self._videos,
            perr=self._precision / self._videos,
            ap_L=ap_L,
            positives_L=self._positives_L,
        )

    def _check(self, scores_BL: "Tensor", targets_BL: "Tensor") -> None:
        if scores_BL.ndim != 2 or scores_BL.shape != targets_BL.shape or scores_BL.shape[1] == 0:
            raise ValueError(
                f"scores and targets must both have shape (videos, labels), got {tuple(scores_BL.shape)} "
                f"and {tuple(targets_BL.shape)}"
            )
        if self._positives_L is not None and len(self._positives_L) != scores_BL.shape[1]:
            raise ValueError(f"earlier batches had {len(self._positives_L)} labels, this one {scores_BL.shape[1]}")


def best_pairs(scores_BL: "Tensor", targets_BL: "Tensor", k: int = TOP_K) -> BestPairs:
    """Return the `k` best pairs of each video, or all where there are fewer labels."""
    kept = min(k, scores_BL.shape[1])
    scores_BK, labels_BK = scores_BL.topk(kept, dim=1)
    last_B1 = scores_BK[:, -1:]
    ends_amid_equals_B = ((scores_BL >= last_B1).sum(dim=1) > kept) & (last_B1 > NO_PREDICTION).squeeze(1)
    if ends_amid_equals_B.any():
        labels_BK[ends_amid_equals_B] = _misses_first(
            scores_BL[ends_amid_equals_B], targets_BL[ends_amid_equals_B].bool()
        )[:, :kept]
    labels_BK = labels_BK.sort(dim=1).values
    scores_BK, hits_BK = scores_BL.gather(1, labels_BK), targets_BL.gather(1, labels_BK).bool()
    order_BK = _misses_first(scores_BK, hits_BK)
    scores_BK, labels_BK, hits_BK = (each.gather(1, order_BK) for each in (scores_BK, labels_BK, hits_BK))
    return BestPairs(
        scores_NK=scores_BK.cpu().numpy(),
        labels_NK=labels_BK.int().cpu().numpy(),
        hits_NK=(hits_BK & (scores_BK > NO_PREDICTION)).cpu().numpy(),
        first_N=targets_BL.gather(1, scores_BL.argmax(dim=1, keepdim=True)).squeeze(1).bool().cpu().numpy(),
    )


def _misses_first(scores_BL: "Tensor", targets_BL: "Tensor") -> "Tensor":
    """Return the labels of each video by falling score; of equal scores the misses come first, then the hits."""
    labels_BL = targets_BL.byte().argsort(dim=1, stable=True)
    return labels_BL.gather(1, scores_BL.gather(1, labels_BL).argsort(dim=1, descending=True, stable=True))


def precision_at_equal_recall(pairs: BestPairs, positives_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each video with n labels the precision of its n best labels.

    A hit counts only where its score is above 0; a video without labels counts 0.
    """
    counted_NK = np.arange(pairs.scores_NK.shape[1]) < positives_N[:, None]
    hits_NK = pairs.hits_NK & counted_NK & (pairs.scores_NK > 0)
    return hits_NK.sum(axis=1) / np.maximum(positives_N, 1)


def ranking(scores_P: NDArray[np.floating[Any]], hits_P: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the order of pairs by falling score; of equal scores the misses come first."""
    return np.lexsort((hits_P, -scores_P))


def average_precision(hits_P: NDArray[np.bool_], positives: int) -> float:
    """Return the non-interpolated AP of pairs in ranking order: the mean over all positives of the precision at each.

    0 where there is no positive.
    """
    ranks_H = np.flatnonzero(hits_P) + 1
    return float((np.arange(1, len(ranks_H) + 1) / ranks_H).sum()) / max(1, positives)


def average_precision_by_label(
    labels_P: NDArray[np.int32], hits_P: NDArray[np.bool_], positives_L: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return each label's AP (NaN without positives) of pairs in ranking order."""
    by_label_P = labels_P.argsort(kind="stable")
    labels_P, hits_P = labels_P[by_label_P], hits_P[by_label_P]
    pairs_L = np.bincount(labels_P, minlength=len(positives_L))
    hits_L = np.bincount(labels_P, hits_P, minlength=len(positives_L))
    first_L, earlier_hits_L = pairs_L.cumsum() - pairs_L, hits_L.cumsum() - hits_L
    rank_P = np.arange(1, len(labels_P) + 1) - first_L[labels_P]
    found_P = hits_P.cumsum() - earlier_hits_L[labels_P]
    sums_L = np.bincount(labels_P, hits_P * found_P / rank_P, minlength=len(positives_L))
    return np.where(positives_L > 0, sums_L / np.maximum(positives_L, 1), np.nan)


SEGMENT_TOP_K = 100_000  # segments that a submission may name for each label


def segment_ap(
    scores_SL: NDArray[np.floating[Any]],
    is_rated_SL: NDArray[np.bool_],
    is_confirmed_SL: NDArray[np.bool_],
    k: int = SEGMENT_TOP_K,
) -> NDArray[np.float64]:
    """Return each label's AP (L,) over its k best segments, NaN without a positive; MAP@K is the mean of the others.

    The k best are of all segments, rated or not, and of them only those are judged that people have rated for the
    label: what nobody looked at is neither a hit nor a miss. The denominator is all positives of the label, also those
    outside the k best, and those without a prediction (`NO_PREDICTION`). Of equal scores misses come before hits.

    Args:
        scores_SL: any order of preference, higher first.
        is_rated_SL: whether people have said that the segment shows the label, or that it does not.
        is_confirmed_SL: whether they have said that it does; of no account where it is not rated.
        k: segments of each label that count.

    Raises:
        ValueError: the shapes differ, k is less than 1, or a score is NaN.
    """
    if scores_SL.ndim != 2 or not scores_SL.shape == is_rated_SL.shape == is_confirmed_SL.shape:
        raise ValueError(
            "scores, ratings and confirmations must all have shape (segments, labels), got "
            f"{scores_SL.shape}, {is_rated_SL.shape} and {is_confirmed_SL.shape}"
        )
    if k < 1 or np.isnan(scores_SL).any():
        raise ValueError(f"k must be at least 1 and no score NaN, got k = {k}")
    ap_L = np.full(scores_SL.shape[1], np.nan)
    for label in range(scores_SL.shape[1]):
        scores_S, is_rated_S = scores_SL[:, label], is_rated_SL[:, label].astype(np.bool_)
        hits_S = is_rated_S & is_confirmed_SL[:, label].astype(np.bool_)
        if hits_S.any():
            best_S = ranking(scores_S, hits_S)[:k]
            judged_S = best_S[is_rated_S[best_S] & (scores_S[best_S] > NO_PREDICTION)]
            ap_L[label] = average_precision(hits_S[judged_S], int(hits_S.sum()))
    return ap_L


BEST_CLASSES = 5  # top-5: whether a video's own label is among so many


@dataclass(frozen=True)
class ClassMetrics:
    """How often the best label, or one of the five best, is a video's own; and which are taken for which."""

    label_ids: tuple[int, ...]  # ascending: all that the videos have or a model knows
    top_1: float
    top_5: float
    confusion_LL: NDArray[np.int64]  # videos by their own label (rows) and the one that was predicted (columns)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of a label's videos, the share that was found; NaN where it has none."""
        return _shares(self.confusion_LL.diagonal(), self.confusion_LL.sum(axis=1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of the videos that were given a label, the share that has it; NaN where none was."""
        return _shares(self.confusion_LL.diagonal(), self.confusion_LL.sum(axis=0))

    def named(self) -> dict[str, float]:
        """Return the figures under the names that they are logged by."""
        return {"top_1": self.top_1, "top_5": self.top_5}

    def rows(self, names: dict[int, str]) -> list[dict[str, object]]:
        """Return a row for each label: its name, how many videos have it, precision and recall (None: undefined)."""
        columns = zip(self.label_ids, self.confusion_LL.sum(axis=1), self.precision, self.recall, strict=True)
        return [
            {
                "label_id": label,
                "name": names.get(label, str(label)),
                "videos": int(videos),
                "precision": None if np.isnan(precision) else float(precision),
                "recall": None if np.isnan(recall) else float(recall),
            }
            for label, videos, precision, recall in columns
        ]


def has_one_label_each(videos: Videos) -> bool:
    """Say whether each matching video has exactly one label, and there are two labels at least."""
    counts = np.diff(videos.label_offsets)[videos.is_match]
    matching = videos.label_ids[np.repeat(videos.is_match, np.diff(videos.label_offsets))]
    return len(counts) > 0 and bool((counts == 1).all()) and len(np.unique(matching)) > 1


def class_metrics(pairs: BestPairs, own_N: NDArray[np.int64], label_ids: tuple[int, ...]) -> ClassMetrics:
    """Judge the best pairs, five a video at least, of videos whose own labels stand in the columns `own_N`."""
    rank_N = np.where(pairs.hits_NK.any(axis=1), pairs.hits_NK.argmax(axis=1), len(label_ids))
    confusion_LL = np.zeros((len(label_ids),) * 2, np.int64)
    np.add.at(confusion_LL, (own_N, pairs.labels_NK[:, 0]), 1)
    return ClassMetrics(
        label_ids=label_ids,
        top_1=float((rank_N < 1).mean()),
        top_5=float((rank_N < BEST_CLASSES).mean()),
        confusion_LL=confusion_LL,
    )


def _shares(hits_L: NDArray[np.int64], of_L: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(hits_L, of_L, out=np.full(len(of_L), np.nan), where=of_L > 0)
