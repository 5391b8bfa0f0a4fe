"""The gate lets a better challenger pass, and says of every other why not."""

import numpy as np
import pytest

from tasks.classifier.config import GateConfig
from tasks.classifier.data import multi_hot
from tasks.classifier.evaluate import Scores
from tasks.classifier.gate import Decision, decide
from tasks.contracts.errors import ModelError
from tests.classifier.videos import COOKING, OTHERS, made_videos
from tests.support.classifiers import scores_from

VIDEOS = made_videos(300, background=0.3)
LABELS = tuple(sorted((COOKING, *OTHERS)))
MATCHING = VIDEOS.take(VIDEOS.is_match)
TRUTH = multi_hot(MATCHING, LABELS)
CONFIG = GateConfig()


def scores(skill: float, *, labels: tuple[int, ...] = LABELS, confused: int | None = None) -> Scores:
    """Return scores that know the truth as well as `skill` says, except those of a label to `confused`."""
    rng = np.random.default_rng(int(skill * 1000))
    noisy = rng.random(TRUTH.shape) + skill * TRUTH
    if confused is not None:
        noisy[:, LABELS.index(confused)] = rng.random(len(TRUTH))
    columns = [LABELS.index(label) for label in labels]
    return scores_from(labels, [(noisy[:, columns] / 4).astype(np.float32)], MATCHING)


def test_the_first_model_passes_and_the_reason_says_so() -> None:
    decision = decide(None, scores(0.1), VIDEOS, CONFIG)
    assert decision.promote
    assert "no champion yet" in decision.reason
    assert (decision.gain, decision.interval, decision.lost_labels) == (None, None, ())


def test_a_better_challenger_passes() -> None:
    decision = decide(scores(0.3), scores(1.0), VIDEOS, CONFIG)
    assert decision.promote
    assert decision.gain is not None
    assert decision.interval == (decision.gain.low, decision.gain.high)
    assert decision.gain.low > 0
    assert f"on {len(TRUTH)} videos" in decision.reason
    assert f"GAP {decision.gain.gap_a:.4f} -> {decision.gain.gap_b:.4f}" in decision.reason


@pytest.mark.parametrize(
    ("challenger", "why"),
    [
        pytest.param(0.5, "the gain may be chance", id="same"),
        pytest.param(0.51, "the gain may be chance", id="luck"),
        pytest.param(0.2, "the challenger is worse", id="worse"),
    ],
)
def test_what_is_not_better_does_not_pass(challenger: float, why: str) -> None:
    decision = decide(scores(0.5), scores(challenger), VIDEOS, CONFIG)
    assert not decision.promote
    assert why in decision.reason


def test_a_label_that_gets_worse_holds_a_better_challenger_back() -> None:
    decision = decide(scores(0.5), scores(1.5, confused=OTHERS[0]), VIDEOS, CONFIG)
    assert decision.gain is not None
    assert decision.gain.low > 0
    assert not decision.promote
    assert [label.index for label in decision.lost_labels] == [OTHERS[0]]
    assert f"1 label(s) lose more than 0.05 AP, most of all label {OTHERS[0]}" in decision.reason


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(GateConfig(min_positives=250), id="too-few-positives"),
        pytest.param(GateConfig(max_ap_loss=1.0), id="any-loss-allowed"),
    ],
)
def test_the_labels_guard_is_a_setting(config: GateConfig) -> None:
    assert decide(scores(0.5), scores(1.5, confused=OTHERS[0]), VIDEOS, config).promote


def lost(decision: Decision) -> list[int]:
    return [label.index for label in decision.lost_labels]


def test_a_label_that_the_challenger_does_not_know_is_lost() -> None:
    decision = decide(scores(0.5), scores(1.5, labels=LABELS[1:]), VIDEOS, CONFIG)
    assert lost(decision) == [LABELS[0]]
    assert decision.lost_labels[0].challenger_ap == 0


def test_a_label_that_only_the_challenger_knows_is_a_gain() -> None:
    fewer, more = scores(0.5, labels=(COOKING,)), scores(0.5)
    decision = decide(fewer, more, VIDEOS, CONFIG)
    assert decision.promote
    assert decision.gain is not None
    assert decision.gain.gap_a == pytest.approx(TRUTH[:, LABELS.index(COOKING)].sum() / TRUTH.sum())


def test_scores_of_other_videos_are_refused() -> None:
    with pytest.raises(ModelError, match=rf"scores are of {len(TRUTH)} videos, but \d+ match"):
        decide(None, scores(0.5), made_videos(10), CONFIG)
