"""The promotion gate: whether a challenger beats the champion, by a paired bootstrap of the gain in GAP."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.classifier.config import GateConfig
from tasks.classifier.evaluate import Scores, judge, matches_of, union_of_labels
from tasks.classifier.metrics import TOP_K, BestPairs, ranking
from tasks.contracts.errors import ModelError
from tasks.datasets.load import SparseLabels, Videos

# ruff: noqa: N803, N806, N815 - capitals at the end of a tensor's name are its axes, as in the legend above.


BLOCK_ELEMENTS = 4_000_000  # pairs x resamples at once: bounds the memory to some 100 MB
ROUNDING = 1e-12  # what sums of the same precisions in another order may differ by: no gain


@dataclass(frozen=True)
class Gain:
    """The GAP of B less that of A on the same videos, and its percentile interval."""

    gap_a: float
    gap_b: float
    low: float
    high: float
    confidence: float

    @property
    def gain(self) -> float:
        """The gain on the videos themselves."""
        return self.gap_b - self.gap_a

    @property
    def is_above_zero(self) -> bool:
        """Whether B is better on the videos themselves and in the whole interval."""
        return self.gain > ROUNDING and self.low > ROUNDING

    @property
    def is_below_zero(self) -> bool:
        """Whether B is worse on the videos themselves and in the whole interval."""
        return self.gain < -ROUNDING and self.high < -ROUNDING


@dataclass(frozen=True)
class _Pool:
    """A model's pooled pairs, best first: whose video each is, and which are hits."""

    video_P: NDArray[np.int32]
    hit_P: NDArray[np.bool_]


def gap_gain(
    pairs_a: BestPairs,
    pairs_b: BestPairs,
    positives_V: NDArray[np.int64],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Gain:
    """Return the gain in GAP@20 of the pairs of B over those of A, with its paired bootstrap interval.

    `positives_V` is how many labels each video has.

    Raises:
        ValueError: they are not of the same videos, or there is none.
    """
    if not len(pairs_a) == len(pairs_b) == len(positives_V) or len(positives_V) == 0:
        raise ValueError(
            "both models must have scored the same videos, at least one, got "
            f"{len(pairs_a)}, {len(pairs_b)} and the labels of {len(positives_V)}"
        )
    pools = [_pool(pairs) for pairs in (pairs_a, pairs_b)]
    once = np.ones((1, len(positives_V)), np.int32)
    gap_a, gap_b = (float(_gaps(pool, once, positives_V)[0]) for pool in pools)
    gains = _resampled_gains(pools[0], pools[1], positives_V, resamples, np.random.default_rng(seed))
    low, high = _interval(gains, confidence)
    return Gain(gap_a, gap_b, low, high, confidence)


def _interval(gains: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return the percentile interval, interpolated unless that would be between a loss and a gain.

    There it takes the outer one. So on which side of 0 an end lies depends on the order of the gains alone, which is
    the same over whichever further labels the models are judged.
    """
    ends = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(gains, ends).tolist()
    outer_low = float(np.quantile(gains, ends[0], method="lower"))
    outer_high = float(np.quantile(gains, ends[1], method="higher"))
    return outer_low if outer_low <= 0 < low else low, outer_high if high < 0 <= outer_high else high


def _pool(pairs: BestPairs) -> _Pool:
    best = pairs.first(TOP_K)
    order_P = ranking(best.scores_NK.flatten(), best.hits_NK.flatten())
    return _Pool((order_P // best.scores_NK.shape[1]).astype(np.int32), best.hits_NK.flatten()[order_P])


def _resampled_gains(
    pool_a: _Pool, pool_b: _Pool, positives_V: NDArray[np.int64], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    videos = len(positives_V)
    block = max(1, BLOCK_ELEMENTS // len(pool_a.hit_P))
    gains = []
    for first in range(0, resamples, block):
        drawn = rng.integers(videos, size=(min(block, resamples - first), videos))
        times_RV = np.stack([np.bincount(row, minlength=videos) for row in drawn]).astype(np.int32)
        gains.append(_gaps(pool_b, times_RV, positives_V) - _gaps(pool_a, times_RV, positives_V))
    return np.concatenate(gains)


def _gaps(pool: _Pool, times_RV: NDArray[np.int32], positives_V: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the GAP of each resample, given how many times it holds each video."""
    hits_T = np.flatnonzero(pool.hit_P)
    if not len(hits_T):
        return np.zeros(len(times_RV))
    times_RP = times_RV[:, pool.video_P[: hits_T[-1] + 1]]
    times_RT = times_RP[:, hits_T]
    since_the_hit_before_T = np.concatenate([[0], hits_T[:-1] + 1])
    pairs_RT = np.add.reduceat(times_RP, since_the_hit_before_T, axis=1).cumsum(axis=1)
    misses_RT = pairs_RT - times_RT.cumsum(axis=1)
    harmonic = np.concatenate([[0.0], (1 / np.arange(1, pairs_RT.max() + 1)).cumsum()])
    sums_RT = times_RT - misses_RT * (harmonic[pairs_RT] - harmonic[pairs_RT - times_RT])
    return sums_RT.sum(axis=1) / np.maximum(1, times_RV @ positives_V)


# ruff: noqa: N803, N806 - capitals at the end of a tensor's name are its axes, as in the legend above.


@dataclass(frozen=True)
class LostLabel:
    """A label whose AP falls by more than the gate allows."""

    index: int
    positives: int
    champion_ap: float
    challenger_ap: float


@dataclass(frozen=True)
class Decision:
    """What the gate says, why, and the figures behind it."""

    promote: bool
    reason: str
    gain: Gain | None  # None without a champion
    lost_labels: tuple[LostLabel, ...]

    @property
    def interval(self) -> tuple[float, float] | None:
        """The bootstrap interval of the gain in GAP, None without a champion."""
        return (self.gain.low, self.gain.high) if self.gain else None


def decide(
    champion: Scores | None,
    challenger: Scores,
    videos: Videos,
    config: GateConfig,
    label_ids: Collection[int] = (),
) -> Decision:
    """Decide on the matching ones of `videos`, those that `score_matches` scored.

    The figures are over the labels that the two know and `label_ids`, e.g. those of other models in the same table.

    Raises:
        ModelError: no video matches, or the scores are not of these videos.
    """
    matching = matches_of(videos)
    for scores in filter(None, (champion, challenger)):
        if len(scores) != len(matching):
            raise ModelError(
                f"The scores are of {len(scores)} videos, but {len(matching)} match: score both models on "
                "the same dataset version."
            )
    if champion is None:
        return Decision(True, "There is no champion yet, so the challenger becomes it unopposed.", None, ())
    judged_ids = union_of_labels(champion.label_ids, challenger.label_ids, label_ids)
    truth = matching.labels_among(judged_ids)
    gain = gap_gain(
        champion.pairs,
        challenger.pairs,
        truth.per_video,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
    )
    lost = _lost_labels(judged_ids, champion, challenger, truth, config)
    return Decision(gain.is_above_zero and not lost, _reason(gain, lost, len(matching), config), gain, lost)


def _lost_labels(
    label_ids: tuple[int, ...], champion: Scores, challenger: Scores, truth: SparseLabels, config: GateConfig
) -> tuple[LostLabel, ...]:
    before, after = judge(champion, truth, label_ids), judge(challenger, truth, label_ids)
    columns = zip(label_ids, before.positives_L.tolist(), before.ap_L.tolist(), after.ap_L.tolist(), strict=True)
    return tuple(
        LostLabel(label, positives, ap_before, ap_after)
        for label, positives, ap_before, ap_after in columns
        if positives >= config.min_positives and ap_before - ap_after > config.max_ap_loss
    )


def _reason(gain: Gain, lost: tuple[LostLabel, ...], videos: int, config: GateConfig) -> str:
    figures = (
        f"GAP {gain.gap_a:.4f} -> {gain.gap_b:.4f} ({gain.gain:+.4f}, {gain.confidence:.0%} interval {gain.low:+.4f} "
        f"to {gain.high:+.4f}) on {videos} videos"
    )
    if not gain.is_above_zero:
        why = "the challenger is worse" if gain.is_below_zero else "the gain may be chance"
        return f"Kept the champion: {why}. {figures}; the interval must lie above 0."
    if lost:
        worst = max(lost, key=lambda label: label.champion_ap - label.challenger_ap)
        return (
            f"Kept the champion: {len(lost)} label(s) lose more than {config.max_ap_loss} AP, most of all label "
            f"{worst.index} ({worst.champion_ap:.3f} -> {worst.challenger_ap:.3f}, {worst.positives} videos). "
            f"{figures}."
        )
    return f"The challenger is better: {figures}, and no label loses more than {config.max_ap_loss} AP."
