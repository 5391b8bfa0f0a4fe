"""Sources to batches: every one once, evenly, and the same each time."""

import numpy as np
import pytest

from tasks.fan_out.batching import split


@pytest.mark.parametrize(
    ("work", "workers", "batch_s", "expected"),
    [
        pytest.param([], 2, 300, [], id="nothing"),
        pytest.param([5.0], 4, 300, [[0]], id="one-video"),
        pytest.param([1.0] * 4, 2, 300, [[0, 2], [1, 3]], id="a-share-for-each-worker"),
        pytest.param([100.0] * 6, 1, 300, [[0, 2, 4], [1, 3, 5]], id="no-batch-much-over-its-length"),
        pytest.param([0.0, 0.0], 2, 300, [[0], [1]], id="no-work"),
        pytest.param([10.0, 900.0, 10.0], 2, 300, [[1], [0], [2]], id="one-that-is-longer-than-a-batch"),
    ],
)
def test_a_case_known_by_hand(work: list[float], workers: int, batch_s: float, expected: list[list[int]]) -> None:
    assert split(work, workers=workers, batch_s=batch_s) == expected


@pytest.mark.parametrize("seed", range(20))
def test_every_video_is_in_one_batch_and_the_load_is_within_grahams_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    work = rng.exponential(60, rng.integers(1, 400)).tolist()
    workers, batch_s = int(rng.integers(1, 9)), float(rng.uniform(30, 600))
    groups = split(work, workers=workers, batch_s=batch_s)
    assert sorted(place for group in groups for place in group) == list(range(len(work)))
    loads = [sum(work[place] for place in group) for group in groups]
    assert loads == sorted(loads, reverse=True)
    assert len(groups) >= min(workers, len(work))
    longest = max(work)
    best = max(longest, sum(work) / len(groups))
    assert max(loads) <= 4 / 3 * best * (1 + 1e-9) + 1e-9
    assert split(work, workers=workers, batch_s=batch_s) == groups
