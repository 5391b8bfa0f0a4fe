"""The metrics against worked examples of the starter code, and against a slow reading of its definition."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.classifier.metrics import NO_PREDICTION, Metrics, YouTube8MMetrics, segment_ap

P = [[0.9, 0.8, 0.1], [0.2, 0.7, 0.6]]
Y = [[1, 0, 1], [0, 0, 1]]
RANDOM = np.random.RandomState(0)  # the worked example was computed from this very generator
P_RANDOM = RANDOM.rand(50, 30).tolist()
Y_RANDOM = (RANDOM.rand(50, 30) < 0.1).tolist()


def computed(scores: list[list[float]], targets: list[list[int]], k: int = 20, batch: int = 1000) -> Metrics:
    metrics = YouTube8MMetrics(k)
    for first in range(0, len(scores), batch):
        rows = slice(first, first + batch)
        metrics.update(torch.tensor(scores[rows], dtype=torch.float64), torch.tensor(targets[rows]))
    return metrics.compute()


@pytest.mark.parametrize("batch", [1000, 7, 1], ids=["whole", "sevens", "ones"])
@pytest.mark.parametrize(
    ("scores", "targets", "k", "expected"),
    [
        pytest.param(P, Y, 20, (0.5, 0.25, 0.6666667, 1.0), id="all-kept"),
        pytest.param(P, Y, 2, (0.5, 0.25, 0.5, 0.75), id="two-kept"),
        pytest.param(P, Y, 1, (0.5, 0.25, 0.3333333, 0.5), id="one-kept"),
        pytest.param(P, [[1, 0, 0], [0, 0, 0]], 20, (0.5, 0.5, 1.0, 1.0), id="video-without-labels"),
        pytest.param(
            [[0.9, 0, 0], [0.5, 0.4, 0.3]], [[1, 1, 0], [1, 1, 0]], 20, (1.0, 0.75, 0.9166667, 1.0), id="zero-scores"
        ),
        pytest.param(P_RANDOM, Y_RANDOM, 20, (0.08, 0.0615, 0.0680442148, 0.1144132185), id="random"),
    ],
)
def test_equals_the_starter_code(
    scores: list[list[float]], targets: list[list[int]], k: int, expected: tuple[float, ...], batch: int
) -> None:
    metrics = computed(scores, targets, k, batch)
    assert (metrics.hit_at_1, metrics.perr, metrics.gap, metrics.map) == pytest.approx(expected, abs=1e-7)
    assert metrics.videos == len(scores)


def slow_gap(scores: NDArray[np.float64], targets: NDArray[np.bool_], k: int) -> float:
    """Read the definition out, pair by pair; misses before hits of the same score."""
    pairs = []
    for row, truth in zip(scores, targets, strict=True):
        kept = np.argsort(-row, kind="stable")[:k]
        pairs += [(-row[label], bool(truth[label])) for label in kept]
    found, total = 0, 0.0
    for rank, (_, hit) in enumerate(sorted(pairs), start=1):
        found += hit
        total += hit * found / rank
    return total / targets.sum()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 3, 20])
def test_gap_equals_its_definition_with_ties(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(8) / 8, (30, 1)), axis=1)  # ties between videos, none within one
    targets = rng.random((30, 8)) < 0.3
    assert computed(scores.tolist(), targets.tolist(), k).gap == pytest.approx(slow_gap(scores, targets, k), abs=1e-12)


def test_map_is_the_mean_of_the_gap_of_each_label_alone() -> None:
    rng = np.random.default_rng(3)
    scores, targets = rng.random((40, 6)), rng.random((40, 6)) < 0.2
    targets[:, 4] = False
    metrics = computed(scores.tolist(), targets.tolist())
    alone = [slow_gap(scores[:, [c]], targets[:, [c]], 1) for c in range(6) if c != 4]
    assert metrics.ap_L[[0, 1, 2, 3, 5]].tolist() == pytest.approx(alone, abs=1e-12)
    assert np.isnan(metrics.ap_L[4])
    assert metrics.positives_L.tolist() == targets.sum(axis=0).tolist()
    assert metrics.map == pytest.approx(np.mean(alone))


def test_a_label_without_a_surviving_pair_counts_as_zero() -> None:
    metrics = computed([[0.9, 0.1], [0.8, 0.2]], [[1, 1], [1, 0]], k=1)
    assert metrics.ap_L.tolist() == [1.0, 0.0]
    assert metrics.map == 0.5


def test_equal_scores_are_no_merit() -> None:
    hits_first, hits_last = [[1, 0]] * 10 + [[0, 1]] * 10, [[0, 1]] * 10 + [[1, 0]] * 10
    scores = [[0.5, 0.4]] * 20
    assert computed(scores, hits_first).gap == computed(scores, hits_last).gap
    assert computed(scores, hits_first).gap < 0.5


def test_no_prediction_is_never_a_hit() -> None:
    metrics = computed([[0.9, NO_PREDICTION]], [[1, 1]])
    assert (metrics.gap, metrics.ap_L.tolist()) == (0.5, [1.0, 0.0])


def test_an_empty_batch_changes_nothing() -> None:
    metrics = YouTube8MMetrics()
    metrics.update(torch.zeros(0, 3), torch.zeros(0, 3))
    metrics.update(torch.tensor(P), torch.tensor(Y))
    assert metrics.compute().gap == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        pytest.param((2, 3), (2, 4), r"got \(2, 3\) and \(2, 4\)", id="they-differ"),
        pytest.param((3,), (3,), r"got \(3,\) and \(3,\)", id="one-axis"),
        pytest.param((2, 0), (2, 0), r"got \(2, 0\)", id="no-labels"),
        pytest.param((2, 5), (2, 5), "earlier batches had 3 labels, this one 5", id="other-batches-differ"),
    ],
)
def test_shapes_are_checked(scores: tuple[int, ...], targets: tuple[int, ...], message: str) -> None:
    metrics = YouTube8MMetrics()
    metrics.update(torch.tensor(P), torch.tensor(Y))
    with pytest.raises(ValueError, match=message):
        metrics.update(torch.zeros(scores), torch.zeros(targets))


def test_no_videos_have_no_metrics() -> None:
    with pytest.raises(ValueError, match="no video at all"):
        YouTube8MMetrics().compute()


def test_k_is_checked() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        YouTube8MMetrics(0)


UNRATED = -1


def rated_by(ratings: list[list[int]]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which segments are rated for which labels, and confirmed; `UNRATED` where nobody looked."""
    table = np.array(ratings)
    return table != UNRATED, table == 1


@pytest.mark.parametrize(
    ("scores", "ratings", "k", "expected"),
    [
        pytest.param([[0.9], [0.8], [0.7]], [[1], [0], [1]], 10, [5 / 6], id="hits at ranks 1 and 3: (1 + 2/3) / 2"),
        pytest.param([[0.9], [0.8], [0.7]], [[1], [UNRATED], [1]], 10, [1], id="what nobody rated is no miss"),
        pytest.param([[0.9], [0.8], [0.7]], [[UNRATED], [0], [1]], 10, [1 / 2], id="nor a hit"),
        pytest.param([[0.9], [0.8], [0.7]], [[1], [0], [1]], 2, [1 / 2], id="all positives count, also beyond k"),
        pytest.param([[0.9], [0.8], [0.7]], [[UNRATED], [0], [1]], 2, [0], id="unrated segments take places of the k"),
        pytest.param([[0.5], [0.5]], [[1], [0]], 10, [1 / 2], id="of equal scores the miss comes first"),
        pytest.param([[0.5], [0.5]], [[1], [UNRATED]], 1, [0], id="also where the k best end amid equals"),
        pytest.param([[0.9], [NO_PREDICTION]], [[0], [1]], 10, [0], id="a positive without a prediction counts 0"),
        pytest.param([[0.9], [0.8]], [[0], [UNRATED]], 10, [np.nan], id="a label without a positive is left out"),
        pytest.param(
            [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]],
            [[1, 0], [0, 1], [UNRATED, 0]],
            10,
            [1, 1],
            id="labels are judged one by one",
        ),
    ],
)
def test_segments_are_judged_by_what_people_rated(
    scores: list[list[float]], ratings: list[list[int]], k: int, expected: list[float]
) -> None:
    found = segment_ap(np.array(scores), *rated_by(ratings), k=k)
    assert found == pytest.approx(expected, nan_ok=True)


def test_segments_are_judged_as_by_the_definition() -> None:
    """The definition of the challenge of 2019, segment by segment: cut at k, pass over the unrated, then AP."""
    rng = np.random.default_rng(3)
    scores, ratings = (
        rng.permutation(200 * 7).reshape(200, 7) / 1400,
        rng.choice((UNRATED, 0, 1), (200, 7), p=(0.7, 0.2, 0.1)),
    )
    is_rated, is_confirmed = rated_by(ratings.tolist())
    for k in (5, 60, 200):
        wanted = []
        for label in range(7):
            hits = seen = total = 0
            for segment in sorted(range(200), key=lambda each: -scores[each, label])[:k]:
                if ratings[segment, label] == UNRATED:
                    continue
                seen += 1
                if ratings[segment, label] == 1:
                    hits += 1
                    total += hits / seen
            wanted.append(total / (ratings[:, label] == 1).sum())
        assert segment_ap(scores, is_rated, is_confirmed, k=k) == pytest.approx(wanted)


def test_segments_that_do_not_fit_together_are_refused() -> None:
    one = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"must all have shape \(segments, labels\), got \(2, 3\), \(3, 3\)"):
        segment_ap(one, np.ones((3, 3), np.bool_), one > 0)
    with pytest.raises(ValueError, match="k must be at least 1"):
        segment_ap(one, one > 0, one > 0, k=0)
