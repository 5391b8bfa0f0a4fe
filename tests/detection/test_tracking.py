"""Following boxes from frame to frame."""

from collections.abc import Sequence

import numpy as np
import pytest

from tasks.detection.boxes import NO_TRACK, Detections
from tasks.detection.tracking import Follower, iou

CUP, HOT_DOG, BOTTLE, VASE = 41, 52, 39, 75
Thing = tuple[int, float, float, float, float, float]  # class, score, x_min, y_min, x_max, y_max


def boxes_of(things: Sequence[Thing]) -> Detections:
    rows = np.array(things, np.float32).reshape(-1, 6)
    keys = np.full(len(rows), NO_TRACK)
    return Detections(rows[:, 2:], rows[:, 1], rows[:, 0].astype(np.int16), keys=keys)


def follow(frames: Sequence[Sequence[Thing]], rate_hz: float, min_score: float | None = None) -> list[list[int]]:
    follower = Follower(rate_hz, min_score)
    return [follower.update(boxes_of(things), index / rate_hz).tolist() for index, things in enumerate(frames)]


def at(x: float, class_id: int = CUP, score: float = 0.9, size: float = 50) -> Thing:
    return (class_id, score, x, 100, x + size, 100 + size)


def test_a_thing_has_its_key_from_its_first_box_on() -> None:
    assert follow([[at(100)], [at(103)], [at(106)]], 30) == [[0], [0], [0]]


def test_two_things_that_pass_each_other_are_told_apart_by_class() -> None:
    frames = [[at(100 + 10 * step), at(300 - 10 * step, BOTTLE)] for step in range(20)]
    assert follow(frames, 30) == [[0, 1]] * 20


def test_keys_go_to_the_right_boxes_in_whatever_order_they_come() -> None:
    frames = [[at(100), at(300), at(500)], [at(500), at(100), at(300)], [at(300), at(500)]]
    assert follow(frames, 30) == [[0, 1, 2], [2, 0, 1], [1, 2]]


def test_a_cut_to_a_thing_of_another_class_starts_a_track() -> None:
    cup, hot_dog = (CUP, 0.9, 196, 11, 436, 303), (HOT_DOG, 0.7, 167, 79, 531, 218)
    assert follow([[cup], [cup], [hot_dog], [hot_dog]], 15) == [[0], [0], [1], [1]]


def test_a_class_that_flickers_stays_one_thing() -> None:
    frames = [[at(100, VASE if step % 3 == 2 else BOTTLE)] for step in range(12)]
    assert follow(frames, 30) == [[0]] * 12


def test_two_classes_in_nearly_one_place_stay_two_things() -> None:
    frames = [[at(100, BOTTLE), at(104, VASE, score=0.6)]] * 5
    assert follow(frames, 30) == [[0, 1]] * 5


def test_a_thing_out_of_sight_for_half_a_second_is_still_the_same() -> None:
    frames = [[at(100)]] * 10 + [[]] * 15 + [[at(100)]] * 2
    assert follow(frames, 30)[-1] == [0]


def test_a_thing_out_of_sight_for_longer_is_a_new_one() -> None:
    frames = [[at(100)]] * 10 + [[]] * 45 + [[at(100)]] * 2
    assert follow(frames, 30)[-1] == [1]


@pytest.mark.parametrize("rate_hz", [1.0, 0.1], ids=["1 Hz", "0.1 Hz"])
def test_one_missed_look_at_a_low_rate_does_not_end_a_track(rate_hz: float) -> None:
    assert follow([[at(100)], [at(100)], [], [at(100)]], rate_hz) == [[0], [0], [], [0]]


def test_a_thing_on_a_belt_keeps_its_track_at_few_looks_a_second() -> None:
    assert follow([[at(20 + 50 * step)] for step in range(10)], 3) == [[0]] * 10


def test_a_weak_box_prolongs_a_track_but_starts_none() -> None:
    assert follow([[at(100, score=0.35)], [at(100)], [at(100, score=0.35)]], 30) == [[NO_TRACK], [0], [0]]


def test_a_lower_bound_lets_weaker_boxes_start_tracks() -> None:
    assert follow([[at(100, score=0.2)], [at(100, score=0.2)]], 30, min_score=0.1) == [[0], [0]]


def test_nothing_is_followed_without_harm() -> None:
    assert follow([[], [], [at(100)], []], 30) == [[], [], [0], []]


def test_times_that_stand_still_do_no_harm() -> None:
    follower = Follower(30)
    assert [follower.update(boxes_of([at(100)]), 1.0).tolist() for _ in range(3)] == [[0]] * 3


def test_iou_is_that_of_a_plain_loop() -> None:
    first, second = (np.sort(np.random.default_rng(seed).uniform(0, 9, (6, 2, 2)), axis=1) for seed in (1, 2))
    first, second = (each.reshape(6, 4).astype(np.float32) for each in (first, second))
    for one, row in zip(first, iou(first, second), strict=True):
        for other, value in zip(second, row, strict=True):
            width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
            height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
            areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
            assert value == pytest.approx(width * height / (sum(areas) - width * height), abs=1e-5)
