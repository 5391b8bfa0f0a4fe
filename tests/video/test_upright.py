"""Frames as a player shows them: every display matrix, and pixels that are not square."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.video.config import MediaBounds
from tasks.video.frames import Frame, open_frames
from tasks.video.probe import probe
from tests.support.media import Shape, write_picture, write_video

BOUNDS = MediaBounds()
ONE = 1 << 16
FOUR = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]])  # one colour for each corner
CORNERS = list(product((-1, 1), (-1, 1)))  # y, x; as in FOUR


def corners(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Return a picture of four colours: red and green above, blue and white below."""
    quarters = FOUR.reshape(2, 2, 3).astype(np.uint8)
    return quarters.repeat(height // 2, axis=0).repeat(width // 2, axis=1)


def colours_of(image: NDArray[np.uint8]) -> list[int]:
    """Return which of the four colours is in each quarter."""
    height, width = image.shape[:2]
    places = [image[height * y // 4, width * x // 4].astype(int) for y, x in product((1, 3), (1, 3))]
    return [int(np.abs(FOUR - place).sum(-1).argmin()) for place in places]


def expected(a: int, b: int, c: int, d: int) -> list[int]:
    """Return the same by the formula of ISO 14496-12: (x', y') = (a x + c y, b x + d y)."""
    moved = {(b * x + d * y, a * x + c * y): number for number, (y, x) in enumerate(CORNERS)}
    return [moved[corner] for corner in CORNERS]


def first(path: Path) -> Frame:
    with open_frames(path, BOUNDS) as reader:
        frame = next(iter(reader))
        assert (reader.facts.height, reader.facts.width, 3) == frame.image.shape
    return frame


MATRICES = [
    *[(a, 0, 0, d) for a, d in product((1, -1), (1, -1))],
    *[(0, b, c, 0) for b, c in product((1, -1), (1, -1))],
]


@pytest.mark.parametrize("matrix", MATRICES, ids=str)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_every_display_matrix(tmp_path: Path, matrix: tuple[int, int, int, int], name: str) -> None:
    a, b, c, d = (number * ONE for number in matrix)
    shape = Shape(matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))
    path = write_video(tmp_path / name, [corners()] * 2, shape=shape)
    image = first(path).image
    assert image.shape[:2] == ((64, 48) if a == 0 else (48, 64))
    assert colours_of(image) == expected(*matrix)
    assert image.flags.c_contiguous


@pytest.mark.parametrize(
    ("matrix", "rotation_deg", "mirrored"),
    [
        ((0, 1, -1, 0), 90, False),
        ((-1, 0, 0, -1), 180, False),
        ((-1, 0, 0, 1), 0, True),
        ((1, 0, 0, -1), 180, True),
        ((0, 1, 1, 0), 90, True),
    ],
    ids=["a quarter right", "upside down", "left to right", "top to bottom", "transposed"],
)
def test_the_facts_say_how_it_was_turned(
    tmp_path: Path, matrix: tuple[int, ...], rotation_deg: int, mirrored: bool
) -> None:
    a, b, c, d = (number * ONE for number in matrix)
    facts = probe(
        write_video(tmp_path / "clip.mp4", [corners()], shape=Shape((a, b, 0, c, d, 0, 0, 0, 1 << 30))), BOUNDS
    )
    assert (facts.rotation_deg, facts.mirrored) == (rotation_deg, mirrored)


def test_a_matrix_of_nothing_turns_nothing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [corners()], shape=Shape((0, 0, 0, 0, 0, 0, 0, 0, 1 << 30)))
    assert colours_of(first(path).image) == [0, 1, 2, 3]


def test_a_camera_that_writes_exif_into_each_frame(tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "picture.jpg", corners(), orientation=2)  # mirrored left to right
    with av.open(str(tmp_path / "clip.mkv"), "w") as file:
        stream = file.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        packet = av.Packet(picture.read_bytes())
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 10)
        file.mux(packet)
    assert colours_of(first(tmp_path / "clip.mkv").image) == [1, 0, 3, 2]


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        pytest.param(Fraction(2), (128, 48), id="twice as wide"),
        pytest.param(Fraction(1, 2), (64, 96), id="half as wide: no column is lost"),
        pytest.param(Fraction(16, 11), (93, 48), id="PAL, wide"),
        pytest.param(Fraction(8, 9), (64, 54), id="NTSC"),
        pytest.param(Fraction(1, 30_000), (64, 48), id="what no camera makes"),
        pytest.param(Fraction(30_000), (64, 48), id="nor this"),
        pytest.param(None, (64, 48), id="not said"),
    ],
)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_pixels_are_made_square(tmp_path: Path, name: str, aspect: Fraction | None, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / name, [corners()] * 2, shape=Shape(aspect=aspect))
    image = first(path).image
    assert image.shape == (size[1], size[0], 3)
    assert colours_of(image) == [0, 1, 2, 3]
    assert probe(path, BOUNDS).pixel_aspect == float(Fraction(*size) / Fraction(64, 48)) or aspect == Fraction(16, 11)


def test_pixels_are_made_square_before_the_picture_is_turned(tmp_path: Path) -> None:
    quarter_right = (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30)
    path = write_video(tmp_path / "clip.mp4", [corners()] * 2, shape=Shape(quarter_right, Fraction(2)))
    image = first(path).image
    assert image.shape == (128, 48, 3)
    assert colours_of(image) == expected(0, 1, -1, 0)


def test_a_shape_that_changes_on_the_way_is_fitted_into_the_first(tmp_path: Path) -> None:
    """As at the end of an advertisement: 4:3 in the place of 16:9, with black at its sides."""
    parts = [
        write_video(tmp_path / f"{place}.ts", [corners()] * 4, shape=Shape(aspect=aspect), encoder={"bf": "0"})
        for place, aspect in enumerate((Fraction(4, 3), Fraction(1)))
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_frames(path, BOUNDS) as reader:
        wide, *_, narrow = [frame.image for frame in reader]
    assert wide.shape == narrow.shape == (48, 85, 3)
    assert (wide[:, :8].max(), wide[:, -8:].max()) == pytest.approx((255, 255), abs=30)
    assert (narrow[:, :8].max(), narrow[:, -8:].max()) == (0, 0)
    assert colours_of(narrow[:, 10:-11]) == [0, 1, 2, 3]
