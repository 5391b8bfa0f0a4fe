"""Boxes from the output of a YOLOX network."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.detection.yolox import anchor_count, grid, read_output

SIDE = 64
CLASSES = 80


def silent() -> NDArray[np.float32]:
    return np.zeros((anchor_count(SIDE), 5 + CLASSES), np.float32)


def say(
    output: NDArray[np.float32], anchor: int, class_id: int, score: float, *, stride: int, size: float = 16.0
) -> None:
    """Let an anchor see a thing of this size in the middle of its cell."""
    output[anchor, 0:2] = 0.5
    output[anchor, 2:4] = np.log(size / stride)
    output[anchor, 4] = 0.9
    output[anchor, 5 + class_id] = score / 0.9


def test_416_pixels_have_3549_anchors() -> None:
    assert anchor_count(416) == 3549


def test_cells_are_decoded_at_every_stride() -> None:
    output = silent()
    say(output, 9, 1, 0.8, stride=8)  # second row, second cell of 8 pixels
    say(output, 64 + 5, 2, 0.7, stride=16)  # second row, second cell of 16 pixels
    say(output, 64 + 16 + 3, 3, 0.6, stride=32)  # the last cell of 32 pixels
    found = read_output(output, SIDE, 0.5)
    np.testing.assert_allclose(found.boxes, [[4, 4, 20, 20], [16, 16, 32, 32], [40, 40, 56, 56]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.8, 0.7, 0.6], atol=1e-6)
    assert found.class_ids.tolist() == [1, 2, 3]


def test_decoding_is_that_of_a_plain_loop() -> None:
    output = np.random.default_rng(5).uniform(0, 1, (anchor_count(SIDE), 85)).astype(np.float32)
    cells, strides = grid(SIDE)
    expected, anchor = [], 0
    for stride in (8, 16, 32):
        for row in range(SIDE // stride):
            for column in range(SIDE // stride):
                assert (cells[anchor].tolist(), strides[anchor, 0]) == ([column, row], stride)
                best = max(range(80), key=lambda class_id: output[anchor, 5 + class_id])
                score = output[anchor, 4] * output[anchor, 5 + best]
                expected.append((float(score), best))
                anchor += 1
    found = read_output(output, SIDE, 0.97)
    above = sorted(((score, best) for score, best in expected if score >= 0.97), reverse=True)
    assert set(zip(found.scores.tolist(), found.class_ids.tolist(), strict=True)) <= set(above)
    assert (found.scores[0], found.class_ids[0]) == above[0]


@pytest.mark.parametrize(
    ("first", "second", "size", "kept"),
    [
        pytest.param(1, 1, 32.0, 1, id="one class, overlapping"),
        pytest.param(1, 2, 32.0, 2, id="two classes, overlapping"),
        pytest.param(1, 2, 128.0, 1, id="two classes in one place"),
        pytest.param(1, 1, 8.0, 2, id="one class, apart"),
    ],
)
def test_a_thing_is_found_once(first: int, second: int, size: float, kept: int) -> None:
    output = silent()
    say(output, 27, first, 0.8, stride=8, size=size)
    say(output, 28, second, 0.7, stride=8, size=size)
    assert len(read_output(output, SIDE, 0.3)) == kept


def test_what_is_not_finite_is_no_box() -> None:
    output = silent()
    for anchor, place in ((3, 0), (5, 3), (7, 4)):
        say(output, anchor, 1, 0.8, stride=8)
        output[anchor, place] = np.nan
    say(output, 9, 1, 0.8, stride=8, size=1e30)
    assert np.isfinite(read_output(output, SIDE, 0.3).boxes).all()


def test_scores_below_the_bound_do_not_count() -> None:
    output = silent()
    say(output, 9, 1, 0.49, stride=8)
    assert len(read_output(output, SIDE, 0.5)) == 0
    assert len(read_output(output, SIDE, 0.48)) == 1
