"""What is drawn onto the frames."""

import numpy as np
import pytest

from tasks.contracts.media import LabelSegment
from tasks.labelling.annotate import Caption, Captions, draw_captions
from tasks.video.drawing import colour_of

LABELS = [(7, "espresso"), (3, "hotdog"), (5, "banana"), (1, "apple")]
SCORES = np.array([[0.9, 0.06, 0.04, 0.0], [0.2, 0.3, 0.25, 0.15], [0.01, 0.02, 0.0, 0.0]], np.float32)
TIMES_S = np.array([0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("time_s", "texts"),
    [
        (0.0, ["espresso 0.90", "hotdog 0.06"]),
        (0.99, ["espresso 0.90", "hotdog 0.06"]),
        (1.0 - 1e-9, ["hotdog 0.30", "banana 0.25", "espresso 0.20"]),
        (1.5, ["hotdog 0.30", "banana 0.25", "espresso 0.20"]),
        (500, ["hotdog 0.02"]),
        (-1, ["espresso 0.90", "hotdog 0.06"]),
    ],
    ids=["start", "before-the-next", "a-rounding-before", "within", "after-the-last", "before-the-first"],
)
def test_a_time_has_the_best_labels_of_its_moment(time_s: float, texts: list[str]) -> None:
    captions = Captions(TIMES_S, SCORES, LABELS)
    assert [caption.text for caption in captions.at(time_s)] == texts


def held(label_id: int, start_s: float, end_s: float) -> LabelSegment:
    return LabelSegment(label_id=label_id, name=dict(LABELS)[label_id], start_s=start_s, end_s=end_s, score=0.5)


@pytest.mark.parametrize(
    ("time_s", "texts"),
    [
        (0.0, ["espresso 0.90"]),
        (0.99, ["espresso 0.90"]),
        (1.0, ["banana 0.25", "apple 0.15"]),
        (1.99, ["banana 0.25", "apple 0.15"]),
        (2.0, []),
    ],
)
def test_of_segments_only_what_holds_is_shown(time_s: float, texts: list[str]) -> None:
    """Hotdog is surest at 1 s, but passes."""
    segments = [held(7, 0, 1), held(1, 1, 2), held(5, 1, 2)]
    captions = Captions(TIMES_S, SCORES, LABELS, segments=segments)
    assert [caption.text for caption in captions.at(time_s)] == texts
    assert Captions(TIMES_S, SCORES, LABELS, segments=[]).at(time_s) == []


def test_a_label_keeps_its_colour() -> None:
    captions = Captions(TIMES_S, SCORES, LABELS)
    assert captions.at(0)[0].colour == captions.at(1)[2].colour == colour_of(7)


def test_bars_are_as_long_as_the_scores() -> None:
    image = np.full((360, 640, 3), 200, np.uint8)
    colour = (10, 200, 30)
    draw_captions(image, [Caption("half", 0.5, colour)])
    bar = (image == colour).all(axis=2)
    lengths = bar.sum(axis=1)
    assert 106 in lengths  # half of a third of the width
    assert (image[180:] == 200).all()
    assert (image[:, 400:] == 200).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2), (17, 33)], ids=str)
def test_a_small_picture_is_no_trouble(shape: tuple[int, int]) -> None:
    draw_captions(np.zeros((*shape, 3), np.uint8), [Caption("a label", 0.7, (255, 0, 0))] * 3)
