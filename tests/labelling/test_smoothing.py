"""The mean over a window, and edges that it smears, each against a loop that says what it means."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.labelling.config import LabelOptions
from tasks.labelling.label import find_segments, smoothed
from tasks.labelling.scores import sharpened


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


def best_start(raw: NDArray[np.float32], first: int, last: int, window: int) -> int:
    """The start of a step from the level before to the level inside that fits with the least squares, by trying all."""
    level = float(np.median(raw[first:last]))
    before = raw[max(0, first - window) : first]
    outside = float(np.median(before)) if len(before) else 0.0
    middle, reach = (first + last) // 2, window // 2
    tried = range(max(0, first - reach), min(first + reach, middle) + 1)

    def misfit(start: int) -> float:
        places = np.arange(tried[0], middle)
        return float(np.square(raw[places] - np.where(places < start, outside, level)).sum())

    return min(tried, key=misfit)


@pytest.mark.parametrize("window", [2, 3, 5, 15])
@pytest.mark.parametrize("seed", range(5))
def test_an_edge_is_where_a_step_fits_best(seed: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    raw = np.clip(np.repeat([0.1, 0.8], 20) + rng.normal(0, 0.3, 40), 0, 1).astype(np.float32)
    first = 20 + int(rng.integers(-(window // 2), window // 2 + 1))
    ((start, end),) = sharpened([(first, 40)], raw, window)
    assert start == best_start(raw, first, 40, window)
    backwards = sharpened([(0, 40 - first)], raw[::-1], window)  # an end is a start, seen from the other side
    assert backwards == [(40 - end, 40 - start)]


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 7, 9])
@pytest.mark.parametrize("rate_hz", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("level", [0.75, 0.99])
def test_segments_begin_and_end_with_what_they_name(window: int, rate_hz: float, level: float) -> None:
    """Each of three labels is shown in turn, for longer than half of the window: at no threshold else would it hold."""
    rng = np.random.default_rng(window)
    lengths = rng.integers(10, 30, 12)
    shown = np.repeat(np.arange(12) % 3, lengths)
    raw = np.clip(np.where(shown[:, None] == np.arange(3), level, 0.05) + rng.normal(0, 0.05, (len(shown), 3)), 0, 1)
    raw = raw.astype(np.float32)
    times_s, options = np.arange(len(raw)) / rate_hz, LabelOptions(window=window, rate_hz=rate_hz)
    labels = [(place, str(place)) for place in range(3)]
    means = smoothed(raw, window, centred=True)
    found = find_segments(times_s, means, labels, options, len(raw) / rate_hz, raw)
    edges_s = [0.0, *(lengths.cumsum() / rate_hz)]
    assert [(each.label_id, each.start_s, each.end_s) for each in found] == [
        (number % 3, pytest.approx(edges_s[number]), pytest.approx(edges_s[number + 1])) for number in range(12)
    ]


def test_what_one_frame_shows_does_not_last() -> None:
    raw = np.array([[0, 0.9, 0, 0, 0.9, 0.9, 0]], np.float32).T
    options = LabelOptions(window=1)
    found = find_segments(np.arange(7.0), raw, [(1, "one")], options, 7, raw)
    assert [(each.start_s, each.end_s) for each in found] == [(4, 6)]


def test_a_label_that_grows_sure_holds_from_where_it_was_likely() -> None:
    """As long as it stays over `leave`, and reaches `enter` once: those who know the whole need not wait for that."""
    raw = np.array([[0.1, 0.4, 0.45, 0.55, 0.4, 0.1, 0.4, 0.45, 0.4]], np.float32).T
    found = find_segments(np.arange(9.0), raw, [(1, "one")], LabelOptions(window=1), 9, raw)
    assert [(each.start_s, each.end_s) for each in found] == [(1, 5)]
    live = find_segments(np.arange(9.0), raw, [(1, "one")], LabelOptions(window=1), 9)
    assert [(each.start_s, each.end_s) for each in live] == [(3, 5)]


@pytest.mark.parametrize("seed", range(20))
def test_sharpened_stretches_stay_apart_and_near_where_they_were(seed: int) -> None:
    rng = np.random.default_rng(seed)
    window = int(rng.integers(1, 16))
    raw = rng.choice([0.0, 0.3, 0.9], 200).astype(np.float32)
    edges = np.unique(rng.integers(0, 201, 40)).tolist()
    stretches = list(zip(edges[::2], edges[1::2], strict=False))
    found = sharpened(stretches, raw, window)
    assert all(0 <= start < end <= 200 for start, end in found)
    assert all(before[1] < after[0] for before, after in pairwise(found))
    moved = {edge for stretch in found for edge in stretch}
    assert all(min(abs(edge - was) for was in edges) <= window // 2 for edge in moved)


def test_where_there_is_no_step_an_edge_stays() -> None:
    assert sharpened([(1, 4), (5, 8)], np.full(9, 0.9, np.float32), 3) == [(1, 4), (5, 8)]
