"""An evaluation says the same as the metrics read by hand, whatever dataset version it is given."""

import dataclasses

import numpy as np
import pytest
import torch

from tasks.classifier import scoring
from tasks.classifier.config import PRESETS
from tasks.classifier.data import multi_hot
from tasks.classifier.evaluate import match_average_precision
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.metrics import YouTube8MMetrics
from tasks.classifier.models import build_model
from tasks.classifier.scoring import evaluate, score_matches
from tasks.contracts.errors import ModelError
from tests.classifier.videos import COOKING, NAMES, made_videos

VIDEOS = made_videos(120, background=0.4)
UNSEEN = 777


def made(*label_ids: int, has_match: bool = True) -> FittedClassifier:
    torch.manual_seed(0)
    config = PRESETS["moe"]
    names = tuple(NAMES.get(label, "?") for label in label_ids)
    module = build_model(config, len(label_ids) + has_match)
    return FittedClassifier(module, label_ids, names, config, "ds-0123456789ab", has_match)


def test_equals_the_metrics_of_the_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "JUDGED_ROWS", 7)
    classifier = made(COOKING, 3, 37, UNSEEN)
    found = evaluate(classifier, VIDEOS)
    matching = VIDEOS.take(VIDEOS.is_match)
    metrics = YouTube8MMetrics()
    targets = multi_hot(matching, classifier.label_ids)
    metrics.update(torch.from_numpy(classifier.predict(matching.features)), torch.from_numpy(targets))
    expected = metrics.compute()
    assert (found.videos, found.gap, found.map) == pytest.approx((len(matching), expected.gap, expected.map))
    assert (found.hit1, found.perr) == pytest.approx((expected.hit_at_1, expected.perr))
    assert [label.positives for label in found.labels] == targets.sum(axis=0).tolist()
    assert found.labels[0].name == "Cooking"
    assert found.labels[0].average_precision == pytest.approx(expected.ap_L[0].item())
    assert found.labels[3].average_precision is None, "no video has it"


def test_unknown_labels_are_left_out_and_counted_in_coverage() -> None:
    found = evaluate(made(COOKING, 37), VIDEOS)
    matching = VIDEOS.take(VIDEOS.is_match)
    known = np.isin(matching.label_ids, (COOKING, 37)).sum()
    assert 0 < known < len(matching.label_ids)
    assert found.coverage == pytest.approx(known / len(matching.label_ids))
    assert sum(label.positives for label in found.labels) == known


def test_match_ap_is_over_all_videos() -> None:
    found = evaluate(made(COOKING), VIDEOS)
    scores = made(COOKING).predict_match(VIDEOS.features)
    hits = VIDEOS.is_match[np.argsort(-scores)]
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    assert found.match_ap == pytest.approx(precision[hits].mean())


@pytest.mark.parametrize(
    ("has_match", "background"), [(False, 0.4), (True, 0.0)], ids=["no-such-output", "no-background"]
)
def test_no_match_ap(has_match: bool, background: float) -> None:
    assert evaluate(made(COOKING, has_match=has_match), made_videos(20, background=background)).match_ap is None


def test_match_average_precision_by_hand() -> None:
    scores, truth = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False])
    assert match_average_precision(scores, truth) == pytest.approx((1 + 2 / 3) / 2)


def test_scores_are_of_the_matches_in_their_order() -> None:
    scores = score_matches(made(COOKING, 3), VIDEOS)
    assert scores.label_ids == (COOKING, 3)
    expected = made(COOKING, 3).predict(VIDEOS.features[VIDEOS.is_match])
    assert np.array_equal(scores.pairs.scores_NK, -np.sort(-expected, axis=1))
    assert np.array_equal(scores.pairs.labels_NK, np.argsort(-expected, axis=1))
    assert len(scores) == VIDEOS.is_match.sum()


def test_nothing_to_judge_on() -> None:
    without = dataclasses.replace(VIDEOS, is_match=np.zeros(len(VIDEOS), np.bool_))
    with pytest.raises(ModelError, match=r"None of the 120 videos matches.*reelsift dataset list"):
        evaluate(made(COOKING), without)
