"""The names of COCO's classes."""

from pathlib import Path

import pytest

from tasks.contracts.errors import DetectorError
from tasks.detection.config import COCO_CLASSES, canonical_class, canonical_classes


def test_there_are_80_and_no_two_alike() -> None:
    assert len(set(COCO_CLASSES)) == 80


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("bottle", "bottle", id="as it is"),
        pytest.param("Hot Dog", "hot dog", id="capitals"),
        pytest.param("hotdog", "hot dog", id="no space"),
        pytest.param("dining_table", "dining table", id="underscore"),
        pytest.param("sofa", "couch", id="darknet"),
        pytest.param("tvmonitor", "tv", id="darknet without space"),
    ],
)
def test_a_class_is_known_however_it_is_written(written: str, meant: str) -> None:
    assert canonical_class(written) == meant


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        pytest.param("botle", "No object class 'botle' .* the nearest are bottle", id="misspelt"),
        pytest.param("xyzzy", "they are person, bicycle, .*, toothbrush", id="nothing near"),
        pytest.param("", "they are person", id="empty"),
    ],
)
def test_an_unknown_class_is_answered_with_the_nearest(written: str, hint: str) -> None:
    with pytest.raises(DetectorError, match=hint):
        canonical_class(written)


def test_equal_filters_are_equal_values() -> None:
    assert canonical_classes(["Cup", "sofa", "couch"]) == canonical_classes(["couch", "cup"]) == ("cup", "couch")


def test_names_are_those_of_the_darknet_list(real_data: Path) -> None:
    darknet = (real_data / "media" / "coco.names").read_text().split("\n")[:80]
    assert [canonical_class(name) for name in darknet] == list(COCO_CLASSES)
