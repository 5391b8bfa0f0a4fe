"""Whether a challenger takes the champion's place.

Models may know different labels. Both are judged on all labels that either knows, or on more: a label that a model does
not know is never among its pairs, and its videos count as missed. More labels change the figures of both by the same
factor, and never the decision.

Shapes: V videos, L labels.
"""

# ruff: noqa: N803, N806 - capitals at the end of a tensor's name are its axes, as in the legend above.

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.classifier.bootstrap import Gain, gap_gain
from tasks.classifier.config import GateConfig
from tasks.classifier.data import multi_hot
from tasks.classifier.evaluate import Scores, judge, matches_of, union_of_labels
from tasks.contracts.errors import ModelError
from tasks.datasets.load import Videos


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
        if len(scores.scores_NL) != len(matching):
            raise ModelError(
                f"The scores are of {len(scores.scores_NL)} videos, but {len(matching)} match: score both models on "
                "the same dataset version."
            )
    if champion is None:
        return Decision(True, "There is no champion yet, so the challenger becomes it unopposed.", None, ())
    judged_ids = union_of_labels(champion.label_ids, challenger.label_ids, label_ids)
    targets_VL = multi_hot(matching, judged_ids)
    champion_VL, challenger_VL = champion.over(judged_ids), challenger.over(judged_ids)
    gain = gap_gain(
        champion_VL,
        challenger_VL,
        targets_VL,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
    )
    lost = _lost_labels(judged_ids, champion_VL, challenger_VL, targets_VL, config)
    return Decision(gain.is_above_zero and not lost, _reason(gain, lost, len(matching), config), gain, lost)


def _lost_labels(
    label_ids: tuple[int, ...],
    champion_VL: NDArray[np.float32],
    challenger_VL: NDArray[np.float32],
    targets_VL: NDArray[np.uint8],
    config: GateConfig,
) -> tuple[LostLabel, ...]:
    before, after = judge(champion_VL, targets_VL), judge(challenger_VL, targets_VL)
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
