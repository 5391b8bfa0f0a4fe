"""The bootstrap against resamples that are really drawn and judged by the metrics."""

import time

import numpy as np
import pytest
import torch

from tasks.classifier import gate as bootstrap
from tasks.classifier.gate import Gain, gap_gain
from tasks.classifier.metrics import BestPairs, YouTube8MMetrics, best_pairs


def made(videos: int, labels: int, *, skills: tuple[float, ...], seed: int = 0) -> list[np.ndarray]:
    """Return targets, and for each of `skills` scores that say so much of them; rounded, so that some tie."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((videos, labels)) < 0.1).astype(np.uint8)
    scores = [(rng.random((videos, labels)) + skill * targets).round(2).astype(np.float32) for skill in skills]
    return [targets, *scores]


def pairs(scores: np.ndarray, targets: np.ndarray) -> BestPairs:
    return best_pairs(torch.from_numpy(scores), torch.from_numpy(targets), 25)


def gain(scores_a: np.ndarray, scores_b: np.ndarray, targets: np.ndarray, **changes: int) -> Gain:
    positives = targets.sum(axis=1, dtype=np.int64)
    options = {"resamples": 1000, "seed": 0} | changes
    return gap_gain(pairs(scores_a, targets), pairs(scores_b, targets), positives, confidence=0.95, **options)


def gap(scores: np.ndarray, targets: np.ndarray) -> float:
    metrics = YouTube8MMetrics()
    metrics.update(torch.from_numpy(scores), torch.from_numpy(targets))
    return metrics.compute().gap


def test_every_resample_is_judged_as_the_metrics_would() -> None:
    targets, scores = made(30, 40, skills=(0.3,))
    drawn = np.random.default_rng(5).integers(30, size=(50, 30))
    times = np.stack([np.bincount(row, minlength=30) for row in drawn])
    expected = [gap(scores[row], targets[row]) for row in drawn]
    pool = bootstrap._pool(pairs(scores, targets))
    assert bootstrap._gaps(pool, times.astype(np.int32), targets.sum(axis=1, dtype=np.int64)) == pytest.approx(
        expected, abs=1e-12
    )


def test_gain_is_the_difference_of_the_gaps() -> None:
    targets, weak, strong = made(200, 30, skills=(0.1, 0.4))
    found = gain(weak, strong, targets)
    assert (found.gap_a, found.gap_b) == pytest.approx((gap(weak, targets), gap(strong, targets)), abs=1e-12)
    assert found.gain == found.gap_b - found.gap_a
    assert 0 < found.low < found.gain < found.high


def test_swapped_models_have_the_mirrored_interval() -> None:
    targets, weak, strong = made(100, 30, skills=(0.1, 0.4))
    there, back = gain(weak, strong, targets), gain(strong, weak, targets)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def test_a_model_gains_nothing_over_itself() -> None:
    targets, scores = made(50, 30, skills=(0.2,))
    found = gain(scores, scores, targets)
    assert (found.gain, found.low, found.high) == (0, 0, 0)


def test_the_interval_covers_zero_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        targets, a, b = made(150, 25, skills=(0.2, 0.2), seed=seed)
        found = gain(a, b, targets, resamples=200)
        covered += found.low <= 0 <= found.high
    assert covered >= 51


def test_the_seed_decides_and_blocks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    targets, a, b = made(60, 30, skills=(0.1, 0.2))
    whole = gain(a, b, targets)
    assert gain(a, b, targets) == whole
    assert gain(a, b, targets, seed=1) != whole
    monkeypatch.setattr(bootstrap, "BLOCK_ELEMENTS", 60 * 20 * 7)
    assert gain(a, b, targets) == whole


def test_it_is_fast() -> None:
    targets, a, b = made(200, 71, skills=(0.1, 0.2))
    started = time.process_time()
    gain(a, b, targets)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("a", "b", "y", "message"),
    [
        pytest.param(3, 2, 3, "got 3, 2 and the labels of 3", id="models-differ"),
        pytest.param(3, 3, 2, "and the labels of 2", id="targets-differ"),
        pytest.param(0, 0, 0, "at least one, got 0", id="no-video"),
    ],
)
def test_videos_are_checked(a: int, b: int, y: int, message: str) -> None:
    one, other = (pairs(np.zeros((rows, 4), np.float32), np.zeros((rows, 4), np.uint8)) for rows in (a, b))
    with pytest.raises(ValueError, match=message):
        gap_gain(one, other, np.zeros(y, np.int64), confidence=0.95, resamples=100, seed=0)


def test_a_model_without_a_hit_gains_nothing() -> None:
    """As one has that knows none of the labels that the videos have."""
    targets, scores = made(20, 30, skills=(0.2,))
    nothing = pairs(scores, np.zeros_like(targets))
    found = gap_gain(nothing, nothing, targets.sum(axis=1), confidence=0.95, resamples=100, seed=0)
    assert (found.gap_a, found.gap_b, found.low, found.high) == (0, 0, 0, 0)
