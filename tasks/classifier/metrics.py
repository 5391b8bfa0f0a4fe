"""The metrics of the YouTube-8M challenges: Hit@1, PERR, GAP@k and MAP, on tensors, over batches.

Follows `eval_util.py` of the starter code (github.com/google/youtube-8m), which is not what scikit-learn computes:

- GAP@k pools the k best (score, label) pairs of every video and takes the non-interpolated AP over the pool.
  Its denominator is **all** positives, also those outside the k best.
- MAP takes the same AP label by label over the pairs that survive the k best. A label without a positive is
  left out; one with positives and no surviving pair counts 0.

Pairs of equal score count against the model: misses are taken before hits, also where the k best end amid equals. (The
starter code shuffles them.) So a model's GAP over more labels than it knows differs by the denominator alone, which all
models on the same videos share: their order does not depend on which labels the others know.

Segments are judged by the MAP@K of the challenge of 2019 (`segment_eval_inference.py`), on rated segments alone.

Shapes: B videos of a batch, N of all, S segments, L labels, K pairs kept a video, P = N x K pooled pairs.
"""

# ruff: noqa: N803, N806, N815 - capitals at the end of a tensor's name are its axes, as in the legend above.

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

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
    ap_L: Tensor = field(repr=False, compare=False)  # float64, NaN where a label has no positive
    positives_L: Tensor = field(repr=False, compare=False)  # int64

    def named(self) -> dict[str, float]:
        """Return the figures under the names that they are logged by."""
        return {"gap_at_20": self.gap, "map": self.map, "hit_at_1": self.hit_at_1, "perr": self.perr}


class YouTube8MMetrics:
    """Accumulates batches; `compute` gives the figures over all of them so far."""

    def __init__(self, k: int = TOP_K) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.k = k
        self._videos = 0
        self._hits = torch.zeros((), dtype=torch.float64)
        self._precision = torch.zeros((), dtype=torch.float64)
        self._positives_L: Tensor | None = None
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []

    def update(self, scores_BL: Tensor, targets_BL: Tensor) -> None:
        """Add a batch of scores (in [0, 1]) and of targets (0 or 1, or bool) of the same shape.

        Raises:
            ValueError: the shapes differ from one another or from earlier batches'.
        """
        self._check(scores_BL, targets_BL)
        if len(scores_BL) == 0:
            return
        targets_BL = targets_BL.to(torch.bool)
        positives_L = targets_BL.sum(dim=0).cpu()
        self._kept.append(best_pairs(scores_BL, targets_BL, self.k))
        self._positives_L = positives_L if self._positives_L is None else self._positives_L + positives_L
        self._videos += len(scores_BL)
        self._hits += hits_at_one(scores_BL, targets_BL).sum().cpu()
        self._precision += precision_at_equal_recall(scores_BL, targets_BL).sum().cpu()

    def compute(self) -> Metrics:
        """Return the figures over all batches.

        Raises:
            ValueError: no video was added.
        """
        if self._positives_L is None or self._videos == 0:
            raise ValueError("metrics of no video at all are undefined; call update() first")
        scores_P, labels_P, hits_P = (torch.cat(parts).flatten() for parts in zip(*self._kept, strict=True))
        order_P = ranking(scores_P, hits_P)
        labels_P, hits_P = labels_P[order_P], hits_P[order_P]
        ap_L = average_precision_by_label(labels_P, hits_P, self._positives_L)
        return Metrics(
            videos=self._videos,
            gap=average_precision(hits_P, int(self._positives_L.sum())),
            map=ap_L.nanmean().nan_to_num().item(),
            hit_at_1=self._hits.item() / self._videos,
            perr=self._precision.item() / self._videos,
            ap_L=ap_L,
            positives_L=self._positives_L,
        )

    def _check(self, scores_BL: Tensor, targets_BL: Tensor) -> None:
        if scores_BL.ndim != 2 or scores_BL.shape != targets_BL.shape or scores_BL.shape[1] == 0:
            raise ValueError(
                f"scores and targets must both have shape (videos, labels), got {tuple(scores_BL.shape)} "
                f"and {tuple(targets_BL.shape)}"
            )
        if self._positives_L is not None and len(self._positives_L) != scores_BL.shape[1]:
            raise ValueError(f"earlier batches had {len(self._positives_L)} labels, this one {scores_BL.shape[1]}")


def best_pairs(scores_BL: Tensor, targets_BL: Tensor, k: int = TOP_K) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores_BK, labels_BK and hits_BK of each video's k best labels, on the CPU."""
    kept = min(k, scores_BL.shape[1])
    scores_BK, labels_BK = scores_BL.topk(kept, dim=1)
    last_B1 = scores_BK[:, -1:]
    ends_amid_equals_B = ((scores_BL >= last_B1).sum(dim=1) > kept) & (last_B1 > NO_PREDICTION).squeeze(1)
    if ends_amid_equals_B.any():
        labels_BK[ends_amid_equals_B] = _misses_first(
            scores_BL[ends_amid_equals_B], targets_BL[ends_amid_equals_B].bool()
        )[:, :kept]
        scores_BK = scores_BL.gather(1, labels_BK)
    hits_BK = targets_BL.gather(1, labels_BK) & (scores_BK > NO_PREDICTION)
    return scores_BK.cpu(), labels_BK.cpu(), hits_BK.cpu()


def _misses_first(scores_BL: Tensor, targets_BL: Tensor) -> Tensor:
    """Return the labels of each video by falling score; of equal scores the misses come first, then the hits."""
    labels_BL = targets_BL.to(torch.uint8).argsort(dim=1, stable=True)
    return labels_BL.gather(1, scores_BL.gather(1, labels_BL).argsort(dim=1, descending=True, stable=True))


def hits_at_one(scores_BL: Tensor, targets_BL: Tensor) -> Tensor:
    """Return for each video whether its best label, the first of equals, is one of its labels; as float64."""
    return targets_BL.gather(1, scores_BL.argmax(dim=1, keepdim=True)).squeeze(1).double()


def precision_at_equal_recall(scores_BL: Tensor, targets_BL: Tensor) -> Tensor:
    """Return for each video with n labels the precision of its n best labels, as float64.

    A hit counts only where its score is above 0; a video without labels counts 0.
    """
    n_B1 = targets_BL.sum(dim=1, keepdim=True)
    best_BN, labels_BN = scores_BL.topk(max(1, int(n_B1.max())), dim=1)
    counted_BN = torch.arange(best_BN.shape[1], device=n_B1.device) < n_B1
    hits_BN = targets_BL.gather(1, labels_BN) & counted_BN & (best_BN > 0)
    return hits_BN.sum(dim=1).double() / n_B1.squeeze(1).clamp(min=1)


def ranking(scores_P: Tensor, hits_P: Tensor) -> Tensor:
    """Return the order of pairs by falling score; of equal scores the misses come first."""
    misses_first_P = hits_P.to(torch.uint8).argsort(stable=True)
    return misses_first_P[scores_P[misses_first_P].argsort(descending=True, stable=True)]


def average_precision(hits_P: Tensor, positives: int) -> float:
    """Return the non-interpolated AP of pairs in ranking order: the mean over all positives of the precision at each.

    0 where there is no positive.
    """
    ranks_H = hits_P.nonzero().squeeze(1).double() + 1
    found_H = torch.arange(1, len(ranks_H) + 1, dtype=torch.float64)
    return (found_H / ranks_H).sum().item() / max(1, positives)


def average_precision_by_label(labels_P: Tensor, hits_P: Tensor, positives_L: Tensor) -> Tensor:
    """Return each label's AP (float64, NaN without positives) of pairs in ranking order."""
    by_label_P = labels_P.argsort(stable=True)
    labels_P, hits_P = labels_P[by_label_P], hits_P[by_label_P]
    pairs_L = torch.bincount(labels_P, minlength=len(positives_L))
    hits_L = torch.bincount(labels_P, weights=hits_P.double(), minlength=len(positives_L))
    first_L, earlier_hits_L = pairs_L.cumsum(0) - pairs_L, hits_L.cumsum(0) - hits_L
    rank_P = torch.arange(1, len(labels_P) + 1) - first_L[labels_P]
    found_P = hits_P.double().cumsum(0) - earlier_hits_L[labels_P]
    sums_L = torch.bincount(labels_P, weights=hits_P * found_P / rank_P, minlength=len(positives_L))
    return torch.where(positives_L > 0, sums_L / positives_L.clamp(min=1), torch.nan)


SEGMENT_TOP_K = 100_000  # segments that a submission may name for each label


def segment_ap(scores_SL: Tensor, is_rated_SL: Tensor, is_positive_SL: Tensor, k: int = SEGMENT_TOP_K) -> Tensor:
    """Return each label's AP (float64 (L,), NaN without a positive) over its k best segments; MAP@K is `nanmean()`.

    The k best are of all segments, rated or not, and of them only those are judged that people have rated for the
    label: what nobody looked at is neither a hit nor a miss. The denominator is all positives of the label, also those
    outside the k best, and those without a prediction (`NO_PREDICTION`). Of equal scores misses come before hits.

    Raises:
        ValueError: the shapes differ, k is less than 1, or a score is NaN.
    """
    if scores_SL.ndim != 2 or not scores_SL.shape == is_rated_SL.shape == is_positive_SL.shape:
        raise ValueError(
            f"scores, ratings and positives must all have shape (segments, labels), got {tuple(scores_SL.shape)}, "
            f"{tuple(is_rated_SL.shape)} and {tuple(is_positive_SL.shape)}"
        )
    if k < 1 or scores_SL.isnan().any():
        raise ValueError(f"k must be at least 1 and no score NaN, got k = {k}")
    is_rated_SL = is_rated_SL.to(torch.bool).cpu()
    is_hit_SL = is_rated_SL & is_positive_SL.to(torch.bool).cpu()
    ap_L = torch.full((scores_SL.shape[1],), torch.nan, dtype=torch.float64)
    for label in is_hit_SL.any(dim=0).nonzero().squeeze(1).tolist():
        scores_S, hits_S = scores_SL[:, label].cpu(), is_hit_SL[:, label]
        best_S = ranking(scores_S, hits_S)[:k]
        best_S = best_S[is_rated_SL[best_S, label] & (scores_S[best_S] > NO_PREDICTION)]
        ap_L[label] = average_precision(hits_S[best_S], int(hits_S.sum()))
    return ap_L
