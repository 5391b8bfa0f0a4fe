"""Figures of a classification, against scikit-learn's, and where they are shown."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from tasks.classifier.config import ModelKind
from tasks.classifier.metrics import (
    NO_PREDICTION,
    BestPairs,
    ClassMetrics,
    best_pairs,
    class_metrics,
    has_one_label_each,
)
from tasks.classifier.scoring import evaluate
from tasks.datasets.load import Videos
from tasks.tracking.logged import final_metrics
from tests.support.classifiers import made_up_videos, untrained


def one_label_each(rows: int = 200, labels: int = 8) -> Videos:
    """Videos of one label each, some labels rarer than others."""
    videos = made_up_videos(rows)
    ids = np.minimum(np.random.default_rng(0).geometric(0.3, rows) - 1, labels - 1)
    return replace(videos, label_offsets=np.arange(rows + 1), label_ids=ids.astype(np.int32))


def pairs(scores: np.ndarray, own: np.ndarray) -> BestPairs:
    truth = np.arange(scores.shape[1]) == own[:, np.newaxis]
    return best_pairs(torch.from_numpy(scores), torch.from_numpy(truth))


def test_figures_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, top_k_accuracy_score

    rng = np.random.default_rng(1)
    own, scores = one_label_each().label_ids, rng.random((200, 8)).astype(np.float32)
    scores[np.arange(200), own] += 0.3
    found = class_metrics(pairs(scores, own), own.astype(np.int64), tuple(range(8)))
    labels = list(range(8))
    assert found.top_1 == pytest.approx(top_k_accuracy_score(own, scores, k=1, labels=labels))
    assert found.top_5 == pytest.approx(top_k_accuracy_score(own, scores, k=5, labels=labels))
    predicted = scores.argmax(axis=1)
    assert np.array_equal(found.confusion_LL, confusion_matrix(own, predicted, labels=labels))
    precision, recall, _, counts = precision_recall_fscore_support(own, predicted, labels=labels, zero_division=0)  # pyright: ignore[reportArgumentType] - its stubs know only the word
    rows = found.rows({0: "zero"})
    assert [row["videos"] for row in rows] == np.asarray(counts).tolist()
    assert [row["precision"] or 0 for row in rows] == pytest.approx(precision)
    assert [row["recall"] or 0 for row in rows] == pytest.approx(recall)
    assert [row["name"] for row in rows[:2]] == ["zero", "1"]


def test_equals_count_against_the_model_and_unknown_labels_are_never_hit() -> None:
    scores = np.full((3, 6), 0.5, np.float32)
    scores[2] = [NO_PREDICTION, 0.1, 0.2, NO_PREDICTION, NO_PREDICTION, NO_PREDICTION]
    own = np.array([0, 5, 3])
    found = class_metrics(pairs(scores, own), own, tuple(range(6)))
    assert (found.top_1, found.top_5) == (0, 0)
    assert found.confusion_LL.diagonal().sum() == 0
    assert found.confusion_LL[3, 2] == 1
    assert found.rows({})[0]["precision"] is not None
    assert found.rows({})[4] == {"label_id": 4, "name": "4", "videos": 0, "precision": None, "recall": None}


def test_only_videos_of_one_label_each_are_judged_so() -> None:
    videos = one_label_each()
    assert has_one_label_each(videos)
    assert not has_one_label_each(made_up_videos())
    assert not has_one_label_each(replace(videos, label_ids=np.zeros(200, np.int32)))
    two = replace(videos, label_offsets=np.append(0, np.arange(2, 202)), label_ids=np.append(videos.label_ids, 1))
    assert not has_one_label_each(two)
    background = replace(two, is_match=np.arange(200) > 0)  # what the background has does not count
    assert has_one_label_each(background)


def test_an_evaluation_has_them_over_all_labels_that_there_are() -> None:
    videos, classifier = one_label_each(), untrained(labels=3, kind=ModelKind.MOE)
    evaluation = evaluate(classifier, videos)
    classes = evaluation.classes
    assert isinstance(classes, ClassMetrics)
    assert classes.label_ids == tuple(range(8))  # five of which the model does not know
    predicted = classifier.predict(videos.features).argmax(axis=1)
    assert classes.top_1 == pytest.approx((predicted == videos.label_ids).mean()) == evaluation.hit1
    assert classes.confusion_LL.sum(axis=1)[3:].sum() == (videos.label_ids >= 3).sum()
    assert final_metrics(evaluation).keys() >= {"top_1", "top_5"}
    assert evaluate(classifier, made_up_videos()).classes is None
    assert "top_1" not in final_metrics(evaluate(classifier, made_up_videos()))


def test_the_table_of_a_run_is_read_back() -> None:
    from tasks.tracking.logged import class_table

    evaluation = evaluate(untrained(labels=3), one_label_each())
    rows = list(csv.DictReader(io.StringIO(class_table(evaluation))))
    assert evaluation.classes is not None
    assert [int(row["videos"]) for row in rows] == evaluation.classes.confusion_LL.sum(axis=1).tolist()
    assert [int(row["as label 1"]) for row in rows] == evaluation.classes.confusion_LL[:, 1].tolist()
