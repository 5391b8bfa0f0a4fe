"""Boxes carried between detections."""

import numpy as np
import pytest

from tasks.detection.boxes import NO_TRACK, Detections, TimedFrame
from tasks.detection.tracking import between, carried

PIXELS = np.zeros((10, 10, 3), np.uint8)


def boxes(*things: tuple[int, float]) -> Detections:
    """Boxes of 10 x 10 pixels, each of a track and at a place."""
    corners = np.array([[x, 0, x + 10, 10] for _, x in things], np.float32).reshape(-1, 4)
    keys = np.array([key for key, _ in things], np.int64)
    scores, masks = np.full(len(things), 0.5, np.float32), ("{}",) * len(things)
    return Detections(corners, scores, keys.astype(np.int16), masks, keys)


def frame(index: int, found: Detections | None = None) -> TimedFrame:
    return TimedFrame(index, index / 10, PIXELS, True, found is not None, found)


def places(made: TimedFrame) -> dict[int, float]:
    assert made.found is not None
    return dict(zip(made.found.keys.tolist(), made.found.boxes[:, 0].tolist(), strict=True))


def test_a_box_goes_along_the_line_between_its_two_places() -> None:
    made = list(carried([frame(0, boxes((7, 0))), *map(frame, range(1, 5)), frame(5, boxes((7, 50)))]))
    assert [each.index for each in made] == list(range(6))
    assert [places(each) for each in made] == [{7: pytest.approx(10.0 * step)} for step in range(6)]
    assert [each.found.carried for each in made if each.found] == [False, True, True, True, True, False]


def test_time_counts_not_frames() -> None:
    first, second = frame(0, boxes((7, 0))), frame(2, boxes((7, 100)))
    late = TimedFrame(1, 0.15, PIXELS, True, False)
    assert places(list(carried([first, late, second]))[1]) == {7: pytest.approx(75.0)}


def test_a_thing_seen_on_one_side_only_is_there_until_half_way() -> None:
    before, after = boxes((1, 0), (2, 30)), boxes((1, 0), (3, 60))
    assert between(before, after, 0.4).keys.tolist() == [1, 2]
    assert between(before, after, 0.6).keys.tolist() == [1, 3]


def test_boxes_of_no_track_and_masks_are_not_carried() -> None:
    made = between(boxes((NO_TRACK, 0), (1, 5)), boxes((NO_TRACK, 0), (1, 5)), 0.5)
    assert (made.keys.tolist(), made.masks) == ([1], None)


def test_after_the_last_detection_boxes_stay() -> None:
    made = list(carried([frame(0, boxes((7, 20))), frame(1), frame(2)]))
    assert [places(each) for each in made] == [{7: 20.0}] * 3


def test_empty_moments_carry_nothing() -> None:
    made = list(carried([frame(0, boxes()), frame(1), frame(2, boxes((1, 5)))]))
    assert [len(each.found) for each in made if each.found is not None] == [0, 1, 1]


def test_what_waits_is_bounded_and_then_stays_where_it_was() -> None:
    given = iter([frame(0, boxes((7, 0))), *map(frame, range(1, 9)), frame(9, boxes((7, 90)))])
    made = carried(given, waiting_bytes=3 * PIXELS.nbytes)
    first = [next(made) for _ in range(3)]
    assert next(given).index == 6  # three waited when the fourth came
    assert [places(each) for each in first] == [{7: 0.0}] * 3
    assert [each.index for each in made] == [3, 4, 5, 7, 8, 9]
