"""Sound, cut into seconds."""

import numpy as np
import pytest

from tasks.features.sound_network import EXAMPLE_SAMPLES, LEAST_SAMPLES, windows_of

SECOND = 16_000


@pytest.mark.parametrize("block", [pytest.param(size, id=str(size)) for size in (SECOND * 30, SECOND, 7_001)])
def test_windows_begin_with_each_second_whatever_the_blocks(block: int) -> None:
    samples = np.arange(SECOND * 3 + LEAST_SAMPLES, dtype=np.float32)
    blocks = [samples[start : start + block] for start in range(0, len(samples), block)]
    found = np.concatenate(list(windows_of(blocks)))
    assert found.shape == (4, EXAMPLE_SAMPLES)
    assert found[:, 0].tolist() == [0, SECOND, 2 * SECOND, 3 * SECOND]
    np.testing.assert_array_equal(found[1], samples[SECOND : SECOND + EXAMPLE_SAMPLES])
    assert not found[3, LEAST_SAMPLES:].any()  # filled up


@pytest.mark.parametrize(
    ("rest", "seconds"),
    [
        pytest.param(0, 0, id="nothing"),
        pytest.param(LEAST_SAMPLES - 1, 0, id="less-than-half-a-window"),
        pytest.param(LEAST_SAMPLES, 1, id="half-a-window"),
        pytest.param(SECOND - 1, 1, id="more-than-a-window"),
    ],
)
def test_what_is_left_over_counts_from_half_a_window(rest: int, seconds: int) -> None:
    assert sum(len(windows) for windows in windows_of([np.ones(rest, np.float32)])) == seconds
