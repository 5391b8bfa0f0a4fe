"""When labels hold."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contracts.media import MediaFacts
from tasks.labelling.config import LabelOptions
from tasks.labelling.label import end_of, find_segments, hysteresis

LABELS = [(7, "espresso"), (3, "hotdog")]


def column(*scores: float) -> NDArray[np.float32]:
    return np.array(scores, np.float32)


def spans(scores: NDArray[np.float32], end_s: float | None = None, **options: float) -> list[tuple[float, float]]:
    """Start and end of the segments of one label whose moments are a second apart."""
    times_s = np.arange(len(scores), dtype=np.float64)
    last_s = float(len(scores)) if end_s is None else end_s
    found = find_segments(times_s, scores[:, None], LABELS, LabelOptions.model_validate(options), last_s)
    return [(segment.start_s, segment.end_s) for segment in found]


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        (column(), []),
        (column(0.1, 0.2), []),
        (column(0.5), [(0, 1)]),
        (column(0.4, 0.5, 0.4, 0.3), [(1, 3)]),
        (column(0.9, 0.35, 0.9), [(0, 3)]),
        (column(0.9, 0.34, 0.9), [(0, 1), (2, 3)]),
        (column(0.4, 0.4, 0.6), [(2, 3)]),
    ],
    ids=[
        "nothing",
        "never",
        "at-the-threshold",
        "enters-and-leaves",
        "stays-at-leave",
        "leaves-below",
        "between-first",
    ],
)
def test_a_label_holds_from_enter_until_below_leave(scores: NDArray[np.float32], wanted: list) -> None:
    assert spans(scores, enter=0.5, leave=0.35) == wanted


def by_loop(scores: NDArray[np.float32], enter: float, leave: float) -> list[tuple[int, int]]:
    found, start = [], None
    for moment, score in enumerate(scores):
        if start is None and score >= np.float32(enter):
            start = moment
        elif start is not None and score < np.float32(leave):
            found.append((start, moment))
            start = None
    return [*found, (start, len(scores))] if start is not None else found


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_a_loop_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(rng.integers(1, 200)), 1).astype(np.float32)  # equal to a threshold now and then
    leave, enter = sorted(np.round(rng.random(2), 1))
    assert hysteresis(scores, enter, leave) == by_loop(scores, enter, leave)


@pytest.mark.parametrize("seed", range(20))
def test_segments_of_a_label_are_apart_and_within_the_video(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((100, 2), dtype=np.float32)
    times_s = np.cumsum(rng.random(100))
    options = LabelOptions(enter=0.8, leave=0.3, shortest_s=1.5, bridge_s=0.5)
    found = find_segments(times_s, scores, LABELS, options, times_s[-1] + 1)
    assert found
    assert list(found) == sorted(found, key=lambda segment: (segment.start_s, segment.label_id))
    for label_id, _ in LABELS:
        own = [segment for segment in found if segment.label_id == label_id]
        assert all(after.start_s - before.end_s > 0.5 for before, after in pairwise(own))
    assert all(times_s[0] <= each.start_s and each.end_s - each.start_s >= 1.5 - 1e-6 for each in found)
    assert all(each.end_s <= times_s[-1] + 1 for each in found)


def test_a_segment_has_its_label_and_the_mean_of_its_scores() -> None:
    scores = np.array([[0.9, 0.0], [0.5, 0.0], [0.1, 0.8]], np.float32)
    first, second = find_segments(np.arange(3.0), scores, LABELS, LabelOptions(), 2.4)
    assert (first.label_id, first.name, first.start_s, first.end_s) == (7, "espresso", 0, 2)
    assert first.score == pytest.approx(0.7)
    assert (second.label_id, second.name, second.start_s, second.end_s) == (3, "hotdog", 2, 2.4)


def test_of_segments_that_start_together_the_lower_label_comes_first() -> None:
    found = find_segments(np.arange(2.0), np.full((2, 2), 0.9, np.float32), LABELS, LabelOptions(), 2)
    assert [segment.label_id for segment in found] == [3, 7]


def test_short_segments_are_dropped_and_short_gaps_closed() -> None:
    scores = column(0.9, 0, 0.9, 0.9, 0, 0, 0.9, 0)
    assert spans(scores, shortest_s=2) == [(2, 4)]
    assert spans(scores, bridge_s=1) == [(0, 4), (6, 7)]
    assert spans(scores, bridge_s=1, shortest_s=3) == [(0, 4)]


def test_a_segment_as_long_as_a_short_video_is_not_too_short() -> None:
    assert spans(column(0.9), end_s=0.2, shortest_s=1) == [(0, 0.2)]
    assert spans(column(0.9), end_s=0.0, shortest_s=1) == [(0, 0)]
    assert spans(column(0.9), end_s=0.2, shortest_s=60) == [(0, 0.2)]


def test_the_last_moment_is_not_too_short_because_the_video_ends_within_it() -> None:
    assert spans(column(0, 0.9), end_s=1.1, shortest_s=1) == [(1, 1.1)]
    assert spans(column(0, 0.9), end_s=1.1, shortest_s=1.5) == []


def facts(kind: str = "video", duration_s: float | None = None) -> MediaFacts:
    return MediaFacts.model_validate(
        {
            "kind": kind,
            "width": 2,
            "height": 2,
            "duration_s": duration_s,
            "frame_rate": None,
            "codec": "h264",
            "has_sound": False,
        }
    )


@pytest.mark.parametrize(
    ("media", "times_s", "wanted_s"),
    [
        (facts(duration_s=2.4), [0, 1, 2], 2.4),
        (facts(duration_s=None), [0, 1, 2], 3),
        (facts(duration_s=100), [0, 1, 2], 3),
        (facts(duration_s=1.5), [0, 1, 2], 3),
        (facts("picture"), [0], 0),
        (facts(), [], 0),
    ],
    ids=["with-the-video", "length-unknown", "cut-off", "header-too-short", "picture", "nothing"],
)
def test_the_last_moment_ends_with_the_video_or_a_step_later(
    media: MediaFacts, times_s: list[float], wanted_s: float
) -> None:
    assert end_of(media, np.array(times_s, np.float64), rate_hz=1) == wanted_s
