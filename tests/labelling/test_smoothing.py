"""The mean over a window, against a loop that says what it means."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.labelling.label import smoothed


def by_loop(scores: NDArray[np.float32], window: int, *, centred: bool) -> NDArray[np.float32]:
    """The mean of a list that a loop gathers."""
    rows = []
    for moment in range(len(scores)):
        back, ahead = ((window - 1) // 2, window // 2) if centred else (window - 1, 0)
        places = [place for place in range(moment - back, moment + ahead + 1) if 0 <= place < len(scores)]
        rows.append(np.mean([scores[place].astype(np.float64) for place in places], axis=0))
    return np.array(rows)


@pytest.mark.parametrize("centred", [False, True], ids=["causal", "centred"])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 40])
@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_it_is_the_mean_of_the_moments_within_the_window(count: int, window: int, centred: bool) -> None:
    scores = np.random.default_rng(count).random((count, 300), dtype=np.float32)
    found = smoothed(scores, window, centred=centred)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_loop(scores, window, centred=centred), rtol=0, atol=1e-6)


def test_a_causal_mean_knows_nothing_of_what_comes() -> None:
    scores = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    changed = scores.copy()
    changed[12:] = 0
    np.testing.assert_array_equal(smoothed(scores, 5)[:12], smoothed(changed, 5)[:12])


def test_it_stays_within_zero_and_one_over_a_long_video() -> None:
    scores = np.zeros((50_000, 2), np.float32)
    scores[::7, 0] = 1
    scores[:, 1] = 1
    assert smoothed(scores, 3).min() == 0
    assert smoothed(scores, 3).max() == 1
    np.testing.assert_allclose(smoothed(scores, 7)[6:, 0], 1 / 7, rtol=1e-6)


def test_no_moments_stay_none() -> None:
    assert smoothed(np.zeros((0, 3), np.float32), 5).shape == (0, 3)
