"""Colours as a screen shows them, beside the formulas of BT.601, BT.709, BT.2020, BT.2087, BT.2100 and ST 2084."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tests.support.media import Colours, write_planes, write_video
from tests.video.test_writing import copy

BOUNDS = MediaBounds()
BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)  # what red and blue weigh
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087
WHITE_NITS = 203  # BT.2408
Signal = Callable[[NDArray[np.float64]], NDArray[np.float64]]
PATCHES = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.8, 0.5, 0.3], [0.2, 0.4, 0.7], [0.5, 0.5, 0.5]])
PIXELS = 8  # of a patch's side


def planes_of(
    rgb: NDArray[np.float64], weights: tuple[float, float], *, bits: int = 8, full: bool = False
) -> list[NDArray[np.integer]]:
    """Return Y, Cb and Cr of patches side by side, from R'G'B' in [0, 1]."""
    red, blue = weights
    y = rgb @ np.array([red, 1 - red - blue, blue])
    differences = ((rgb[:, 2] - y) / (2 - 2 * blue), (rgb[:, 0] - y) / (2 - 2 * red))
    step, half, most = 1 << (bits - 8), 1 << (bits - 1), (1 << bits) - 1
    scaled = [y * most if full else (219 * y + 16) * step]
    scaled += [each * (most if full else 224 * step) + half for each in differences]
    kind = np.uint16 if bits > 8 else np.uint8
    return [np.round(each).clip(0, most).astype(kind)[None].repeat(PIXELS, 0).repeat(PIXELS, 1) for each in scaled]


def seen(path: Path) -> NDArray[np.float64]:
    """Return the colour of each patch as it is read, 0 to 255."""
    with open_frames(path, BOUNDS) as reader:
        image = next(iter(reader)).image
    return image[PIXELS // 2, PIXELS // 2 :: PIXELS].astype(float)[: len(PATCHES)]


@pytest.mark.parametrize(
    ("weights", "full", "colours"),
    [
        pytest.param(BT709, False, Colours(1, 1, 1, 1), id="BT.709"),
        pytest.param(BT709, True, Colours(1, 1, 1, 2), id="BT.709, full range"),
        pytest.param(BT601, False, Colours(6, 6, 6, 1), id="BT.601, NTSC"),
        pytest.param(BT601, False, Colours(5, 6, 5, 1), id="BT.601, PAL"),
        pytest.param(BT601, True, Colours(1, 13, 5, 2), id="as a JPEG has it"),
        pytest.param(BT601, False, Colours(), id="not said, of a small picture"),
        pytest.param(BT709, False, Colours(matrix=1), id="said by the matrix alone"),
    ],
)
@pytest.mark.parametrize("bits", [8, 10])
def test_matrix_and_range(
    tmp_path: Path, weights: tuple[float, float], full: bool, colours: Colours, bits: int
) -> None:
    planes = planes_of(PATCHES, weights, bits=bits, full=full)
    assert seen(write_planes(tmp_path / "a.mkv", planes, colours)) == pytest.approx(PATCHES * 255, abs=2.5)


@pytest.mark.parametrize(
    ("width", "height", "weights"),
    [(1280, 720, BT709), (720, 1280, BT709), (1920, 800, BT709), (640, 480, BT601), (720, 576, BT601)],
)
def test_where_nothing_is_said_a_large_picture_is_of_high_definition(
    tmp_path: Path, width: int, height: int, weights: tuple[float, float]
) -> None:
    planes = [np.zeros((height, width), np.uint8) + plane[0, 0] for plane in planes_of(PATCHES[4:5], weights)]
    with open_frames(write_planes(tmp_path / "a.mkv", planes), BOUNDS) as reader:
        image = next(iter(reader)).image
    assert image.mean((0, 1)) == pytest.approx(PATCHES[4] * 255, abs=2.5)


def pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signal of ST 2084."""
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signal of BT.2100's HLG for a screen of 1,000 nits."""
    luminance = (nits @ np.array([0.2627, 0.6780, 0.0593]))[:, None] / 1000
    scene = nits / 1000 * np.maximum(luminance, 1e-9) ** (1 / 1.2 - 1)
    above = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), above)


def check(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """Compare, generously next to black: there a ten-thousandth of the light is six steps of 255."""
    is_dark = expected == 0
    assert found[~is_dark] == pytest.approx(expected[~is_dark], abs=4)
    assert found[is_dark].max() < 26


@pytest.mark.parametrize(("transfer", "signal"), [(16, pq), (18, hlg)], ids=["PQ", "HLG"])
def test_what_sdr_can_show_looks_the_same_in_hdr(tmp_path: Path, transfer: int, signal: Signal) -> None:
    """Colours of BT.709 below the knee of the tone curve (94 nits) keep their light and their hue."""
    nits = 90 * PATCHES**2.4
    planes = planes_of(signal(nits @ TO_2020.T), BT2020, bits=10)
    found = seen(write_planes(tmp_path / "a.mkv", planes, Colours(9, transfer, 9, 1)))
    check(found, (nits / WHITE_NITS) ** (1 / 2.4) * 255)


@pytest.mark.parametrize(
    ("nits", "shown"),
    [
        pytest.param(0, 0, id="black"),
        pytest.param(26, 108, id="a grey card"),
        pytest.param(203, 233, id="paper"),
        pytest.param(1000, 255, id="the sun in a lamp"),
        pytest.param(4000, 255, id="above what most masters have"),
    ],
)
@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
def test_light_above_white_is_brought_within_it(tmp_path: Path, nits: float, shown: float, transfer: int) -> None:
    if transfer == 18 and nits > 1000:
        nits = 1000
    grey = (pq if transfer == 16 else hlg)(np.full((len(PATCHES), 3), float(nits)))
    found = seen(write_planes(tmp_path / "a.mkv", planes_of(grey, BT2020, bits=10), Colours(9, transfer, 9, 1)))
    assert found == pytest.approx(shown, abs=3)


def test_a_wide_gamut_without_high_dynamic_range(tmp_path: Path) -> None:
    signal = (PATCHES**2.4 @ TO_2020.T).clip(0, 1) ** (1 / 2.4)
    found = seen(write_planes(tmp_path / "a.mkv", planes_of(signal, BT2020, bits=10), Colours(9, 14, 9, 1)))
    check(found, PATCHES * 255)


def test_transparent_places_of_a_video_are_white(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mov", [np.full((48, 64, 3), 255, np.uint8)], codec="qtrle", pix_fmt="argb")
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[:, :16] = (200, 0, 0, 255)
    pixels[:, 16:32] = (200, 0, 0, 128)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("qtrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "argb"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
        frame.pts = 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with open_frames(path, BOUNDS) as reader:
        image = next(iter(reader)).image
    assert [tuple(image[20, x]) for x in (8, 24, 48)] == [(200, 0, 0), (227, 127, 127), (255, 255, 255)]


def test_the_copy_says_what_its_numbers_mean(tmp_path: Path) -> None:
    """A copy of an HDR video is one of BT.709: decoded by its own tags, it shows what was read."""
    planes = [plane.repeat(6, 0).repeat(6, 1) for plane in planes_of(pq(90 * PATCHES @ TO_2020.T), BT2020, bits=10)]
    source = write_planes(tmp_path / "a.mkv", planes, Colours(9, 16, 9, 1))
    with open_frames(source, BOUNDS) as reader:
        shown = next(iter(reader)).image
    with av.open(str(copy(source, tmp_path / "copy.mp4"))) as file:
        stream = file.streams.video[0]
        assert (stream.color_primaries, stream.color_trc, stream.color_range) == (1, 1, 1)
        assert stream.colorspace in {5, 6}
        frame = next(file.decode(stream))
        y, cb, cr = (np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1) for plane in frame.planes)
    place = 24
    for x in range(place, shown.shape[1], 48):
        luma = (float(y[place, x]) - 16) / 219
        blue, red = ((float(plane[place // 2, x // 2]) - 128) / 224 for plane in (cb, cr))
        rgb = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
        assert np.array(rgb).clip(0, 1) * 255 == pytest.approx(shown[place, x].astype(float), abs=8)


def test_a_real_video_of_high_dynamic_range(real_data: Path, tmp_path: Path) -> None:
    """Bars of far more than 1,000 nits: their hue is kept, and the brightest of red, green and blue is full."""
    source = real_data / "faults" / "video" / "hdr_pq.mp4"
    with av.open(str(source)) as file:
        planes = [np.asarray(plane) for plane in _ten_bits(next(file.decode(video=0)))]
    with open_frames(source, BOUNDS) as reader:
        shown = next(iter(reader)).image
    to_709 = np.linalg.inv(TO_2020)
    for x in (26, 80, 134, 186, 240, 292):
        y, blue, red = (float(plane[165 // by, x // by]) for plane, by in zip(planes, (1, 2, 2), strict=True))
        luma, blue, red = (y - 64) / 876, (blue - 512) / 896, (red - 512) / 896
        signal = np.array([luma + 1.4746 * red, luma - 0.16455 * blue - 0.57135 * red, luma + 1.8814 * blue])
        root = signal.clip(0, 1) ** (1 / 78.84375)
        nits = 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        assert nits.max() > 1000
        expected = (to_709 @ (nits / nits.max())).clip(0, 1) ** (1 / 2.4) * 255
        found = shown[165, x].astype(float)
        assert found[expected > 60] == pytest.approx(expected[expected > 60], abs=8)
        assert found[expected == 0].max(initial=0) < 26
    with av.open(str(copy(source, tmp_path / "copy.mp4"))) as file:
        stream = file.streams.video[0]
        assert (stream.color_primaries, stream.color_trc, stream.color_range) == (1, 1, 1)


def _ten_bits(frame: av.VideoFrame) -> list[NDArray[np.uint16]]:
    return [np.frombuffer(bytes(plane), np.uint16).reshape(plane.height, -1) for plane in frame.planes]
