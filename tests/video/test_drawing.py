"""Plates, boxes and masks: drawn in place, within the picture, and readable."""

from itertools import combinations

import numpy as np
import pytest

from tasks.video.drawing import Colour, Picture, colour_of, draw_box, draw_mask, draw_plate, hex_of, shown

GREY = 90


def blank(width: int = 160, height: int = 120) -> Picture:
    return np.full((height, width, 3), GREY, np.uint8)


def drawn(image: Picture) -> np.ndarray:
    """Return where something was drawn, bool (H, W)."""
    return (image != GREY).any(axis=2)


def test_colours_are_stable_and_told_apart() -> None:
    assert colour_of(3) == colour_of(3)
    first = [colour_of(number) for number in range(12)]
    assert len(set(first)) == 12
    apart = [sum(abs(a - b) for a, b in zip(one, two, strict=True)) for one, two in combinations(first[:7], 2)]
    assert min(apart) > 80
    assert all(0 <= part <= 255 for number in (50, 1000, -1) for part in colour_of(number))


def test_colours_for_pages() -> None:
    assert hex_of((86, 180, 233)) == "#56b4e9"


def test_a_plate_is_drawn_in_place() -> None:
    image = blank()
    assert draw_plate(image, "cup 0.90", x=10, y=20, colour=(0, 114, 178), height_px=24) is image
    rows, columns = np.nonzero(drawn(image))
    assert (rows.min(), rows.max(), columns.min()) == (20, 43, 10)
    assert 60 < columns.max() < 159
    assert image[32, 12].tolist() == [0, 114, 178]


@pytest.mark.parametrize("number", range(12))
def test_text_stands_out_from_its_plate(number: int) -> None:
    image, colour = blank(), colour_of(number)
    draw_plate(image, "MMMM", x=0, y=0, colour=colour, height_px=40)
    plate = image[:40, :100].reshape(-1, 3).astype(int)
    ink = max(plate.tolist(), key=lambda pixel: sum(abs(a - b) for a, b in zip(pixel, colour, strict=True)))
    assert _contrast(ink, colour) >= 4.5  # WCAG's AA


def _contrast(one: list[int], two: Colour) -> float:
    def luminance(colour: list[int] | Colour) -> float:
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted([luminance(one), luminance(two)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("x", "y", "is_seen"),
    [
        pytest.param(-20, -10, True, id="upper left"),
        pytest.param(150, 110, True, id="lower right"),
        pytest.param(500, 0, False, id="right of it"),
        pytest.param(0, 500, False, id="below it"),
        pytest.param(-500, -500, False, id="above it"),
    ],
)
def test_a_plate_is_cut_off_at_the_borders(x: int, y: int, is_seen: bool) -> None:
    image = draw_plate(blank(), "a long enough text", x=x, y=y, colour=(255, 0, 0), height_px=24)
    assert drawn(image).any() == is_seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("two\nlines\x00 and\ttab", "two lines and tab", id="what cannot be seen"),
        pytest.param("x" * 100, "x" * 59 + "…", id="too long"),
        pytest.param("x" * 60, "x" * 60, id="just short enough"),
        pytest.param("žluťoučký кот", "žluťoučký кот", id="other scripts"),
        pytest.param("a\u202eb", "ab", id="turns the direction"),
        pytest.param(" \n ", "", id="nothing"),
    ],
)
def test_text_is_one_short_line(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_no_text_no_plate() -> None:
    assert not drawn(draw_plate(blank(), " \n", x=0, y=0, colour=(255, 0, 0), height_px=24)).any()


def test_letters_of_other_scripts_are_drawn() -> None:
    boxes = [draw_plate(blank(), text, x=0, y=0, colour=(255, 0, 0), height_px=40) for text in ("ž", "ќ", "Ω")]
    assert len({image.tobytes() for image in boxes}) == 3


@pytest.mark.parametrize(("side", "thickness"), [(120, 1), (720, 3), (2160, 9)], ids=["small", "720p", "4k"])
def test_a_box_is_as_thick_as_the_picture_is_large(side: int, thickness: int) -> None:
    image = draw_box(blank(side, side), (side / 4, side / 4, side / 2, side / 2), (255, 0, 0))
    row = drawn(image)[side * 3 // 8]
    assert np.count_nonzero(row) == pytest.approx(2 * thickness, abs=4)
    assert not row[side * 3 // 8]


def test_the_text_of_a_box_is_above_it_or_inside() -> None:
    above = drawn(draw_box(blank(), (40, 60, 100, 100), (255, 0, 0), "cup"))
    inside = drawn(draw_box(blank(), (40, 5, 100, 100), (255, 0, 0), "cup"))
    assert above[50:58, 42:60].all(axis=1).any()
    assert not inside[:4].any()
    assert inside[8:18, 42:60].mean() > 0.9


def test_the_text_of_a_box_at_the_right_is_within_the_picture() -> None:
    image = draw_box(blank(), (150, 60, 159, 100), (255, 0, 0), "a bottle 12")
    assert np.nonzero(drawn(image)[50])[0].min() < 100


@pytest.mark.parametrize(
    "box",
    [(-50, -50, 500, 500), (np.nan, 0, np.inf, 50), (1e9, 1e9, 2e9, 2e9), (100, 100, 50, 50)],
    ids=["larger than the picture", "no numbers", "far away", "inside out"],
)
def test_a_box_beyond_the_picture_is_drawn_at_its_border(box: tuple[float, ...]) -> None:
    assert drawn(draw_box(blank(), box, (255, 0, 0), "cup")).any()


def test_a_mask_tints_its_own_pixels_only() -> None:
    image, mask = blank(), np.zeros((120, 160), bool)
    mask[30:60, 40:50] = mask[80, 100] = True
    draw_mask(image, mask, (255, 0, 0), 0.5)
    assert np.array_equal(drawn(image), mask)
    assert image[40, 45].tolist() == pytest.approx([172, 45, 45], abs=1)


def test_an_empty_mask() -> None:
    assert not drawn(draw_mask(blank(), np.zeros((120, 160), bool), (255, 0, 0))).any()
