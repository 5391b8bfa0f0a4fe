"""Pictures as a viewer shows them: every orientation, more than 8 bits, transparency, profiles, HEIC and AVIF."""

import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from tasks.contracts.errors import VideoError
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.video.probe import probe
from tests.support.media import truncate, write_picture
from tests.video.test_upright import colours_of, corners

BOUNDS = MediaBounds()
# What EXIF's orientations say of the stored picture's first row and first column: where they are to be seen.
ROW_AND_COLUMN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def seen(path: Path) -> NDArray[np.uint8]:
    facts = probe(path, BOUNDS)
    with open_frames(path, BOUNDS) as reader:
        (frame,) = reader
    assert facts.kind == "picture"
    assert (facts.height, facts.width, 3) == frame.image.shape
    return frame.image


def as_shown(orientation: int) -> list[int]:
    """Return which corner of the stored picture is in each corner of the one that is shown."""
    row, column = ROW_AND_COLUMN[orientation]
    shown = []
    for y, x in product(("top", "bottom"), ("left", "right")):
        in_first_row, in_first_column = row in {y, x}, column in {y, x}
        shown.append((0 if in_first_row else 2) + (0 if in_first_column else 1))
    return shown


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp", "avif", "heic"])
def test_every_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    image = seen(write_picture(tmp_path / f"a.{suffix}", corners(128, 96), orientation))
    assert image.shape[:2] == ((96, 128) if orientation < 5 else (128, 96))
    assert colours_of(image) == as_shown(orientation)


RAMP = np.linspace(0, 65_535, 64 * 48).reshape(48, 64)


def save_tiff(path: Path, values: NDArray[np.generic], tags: dict[int, int] | None = None) -> Path:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in (tags or {}).items():
        info[tag] = value
    Image.fromarray(values).save(path, tiffinfo=info)
    return path


def save_cv2(path: Path, values: NDArray[np.uint16]) -> Path:
    cv2.imwrite(str(path), values)
    return path


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param("a.png", lambda path: save_cv2(path, RAMP.astype(np.uint16)), id="PNG"),
        pytest.param("a.tif", lambda path: save_tiff(path, RAMP.astype(np.uint16)), id="TIFF"),
        pytest.param("a.tif", lambda path: save_tiff(path, RAMP.astype(">u2")), id="TIFF, most significant byte first"),
        pytest.param("a.tif", lambda path: save_tiff(path, (65_535 - RAMP).astype(np.uint16), {262: 0}), id="inverted"),
        pytest.param("a.tif", lambda path: save_tiff(path, RAMP.astype(np.int32)), id="TIFF of 32 bits"),
        pytest.param("a.tif", lambda path: save_tiff(path, (RAMP / 65_535).astype(np.float32)), id="floats to 1"),
        pytest.param("a.tif", lambda path: save_tiff(path, (RAMP / 257).astype(np.float32)), id="floats to 255"),
        pytest.param("a.tif", lambda path: save_tiff(path, (RAMP - 9_000).astype(np.float32)), id="floats of anything"),
    ],
)
def test_grey_of_more_than_8_bits(tmp_path: Path, name: str, make: Callable[[Path], Path]) -> None:
    image = seen(make(tmp_path / name)).astype(float)
    assert np.abs(image - (RAMP / 257)[:, :, None]).max() <= 1


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [3, 4], ids=["RGB", "RGBA"])
def test_colours_of_16_bits(tmp_path: Path, name: str, channels: int) -> None:
    colours = np.full((48, 64, channels), 65_535, np.uint16)
    colours[..., 0], colours[..., 1] = RAMP, 20_000  # blue and green, as OpenCV has it
    image = seen(save_cv2(tmp_path / name, colours)).astype(float)
    expected = np.stack([np.full_like(RAMP, 255), np.full_like(RAMP, 20_000 / 257), RAMP / 257], axis=-1)
    assert np.abs(image - expected).max() <= 1


def test_floats_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    values = (RAMP / 65_535).astype(np.float32)
    values[0, :8] = np.nan
    assert seen(save_tiff(tmp_path / "a.tif", values))[0, :8].max() == 0


def _half_seen(mode: str) -> Image.Image:
    """Return red on the left, opaque; in the middle half of it; on the right nothing, with red below."""
    pixels = np.zeros((48, 96, 4), np.uint8)
    pixels[..., 0] = 255
    pixels[..., 3] = np.repeat([255, 128, 0], 32)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        pytest.param("a.png", "RGBA", {}, id="PNG"),
        pytest.param("a.tif", "RGBA", {}, id="TIFF"),
        pytest.param("a.webp", "RGBA", {"lossless": True}, id="WebP"),
        pytest.param("a.avif", "RGBA", {"quality": 100}, id="AVIF"),
        pytest.param("a.heic", "RGBA", {"quality": -1}, id="HEIC"),
        pytest.param("a.png", "LA", {}, id="grey"),
    ],
)
def test_what_is_transparent_is_white(tmp_path: Path, name: str, mode: str, options: dict[str, Any]) -> None:
    picture = _half_seen(mode)
    picture.save(tmp_path / name, **options)
    red = np.array(picture.convert("RGB"))[0, 0].astype(float)
    image = seen(tmp_path / name).astype(float)
    for x, share in ((16, 1), (48, 128 / 255), (80, 0)):
        assert image[24, x] == pytest.approx(red * share + 255 * (1 - share), abs=6)


@pytest.mark.parametrize(
    ("mode", "transparent", "value"),
    [("L", 40, 40), ("RGB", (40, 40, 40), 40), ("P", 1, 1), ("I;16", 40, 40)],
    ids=["grey", "colours", "palette", "16 bits"],
)
def test_one_colour_that_stands_for_nothing(tmp_path: Path, mode: str, transparent: object, value: int) -> None:
    grey = np.full((48, 64), 0, np.uint16 if mode == "I;16" else np.uint8)
    grey[:, 32:] = value
    picture = Image.fromarray(grey) if mode != "RGB" else Image.fromarray(grey).convert("RGB")
    if mode == "P":
        picture = Image.frombytes("P", (64, 48), grey.tobytes())
        picture.putpalette([0, 0, 0, 200, 0, 0])
    picture.save(tmp_path / "a.png", transparency=transparent)
    image = seen(tmp_path / "a.png")
    assert (image[:, :32].max(), image[:, 32:].min()) == (0, 255)


def test_cmyk_as_adobe_writes_it(tmp_path: Path) -> None:
    """Inverted, with a marker that says so; OpenCV's reader is the judge."""
    Image.fromarray(corners()).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    stored = cv2.imread(str(tmp_path / "a.jpg"))
    assert stored is not None
    judged = stored[..., ::-1]
    image = seen(tmp_path / "a.jpg")
    assert colours_of(image) == [0, 1, 2, 3]
    assert np.abs(image.astype(float) - judged).mean() < 2


def _profile(red: tuple[float, float, float], green: tuple[float, float, float], blue: tuple[float, ...]) -> bytes:
    """Return an ICC profile of a screen with these primaries (XYZ for D50) and a gamma of 2.2."""

    def fixed(*numbers: float) -> bytes:
        return b"".join(struct.pack(">i", round(number * 65_536)) for number in numbers)

    parts = [(name, b"XYZ \0\0\0\0" + fixed(*xyz)) for name, xyz in ((b"rXYZ", red), (b"gXYZ", green), (b"bXYZ", blue))]
    parts.append((b"wtpt", b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)))
    parts += [(name, b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0") for name in _CURVES]
    parts.append((b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"Wide\0" + bytes(79)))
    table, body, place = b"", b"", 128 + 4 + 12 * len(parts)
    for name, content in parts:
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", place + len(body), len(content))
        body += padded
    header = struct.pack(">I4sI4s4s4s12s4s", place + len(body), b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ",
                         bytes(12), b"acsp") + bytes(28) + fixed(0.9642, 1, 0.8249)  # fmt: skip
    return header.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body


_CURVES = (b"rTRC", b"gTRC", b"bTRC")
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841))
P3_TO_SRGB = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.heic", "a.avif"])
def test_colours_of_another_screen(tmp_path: Path, name: str) -> None:
    """As telephones save them: a profile says what the numbers mean."""
    colour = np.array([0.8, 0.3, 0.2])
    pixels = np.broadcast_to(np.round(colour * 255).astype(np.uint8), (64, 64, 3))
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        tmp_path / name, icc_profile=_profile(*DISPLAY_P3), quality=100 if name != "a.heic" else -1
    )
    linear = (P3_TO_SRGB @ colour**2.2).clip(0, 1)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert seen(tmp_path / name).mean((0, 1)) == pytest.approx(expected, abs=4)


def test_a_profile_that_is_broken_counts_as_none(tmp_path: Path) -> None:
    Image.fromarray(corners()).save(tmp_path / "a.png", icc_profile=b"no profile at all")
    assert np.array_equal(seen(tmp_path / "a.png"), corners())


def test_of_several_pictures_in_a_heic_the_primary_one_is_taken(tmp_path: Path) -> None:
    several = pillow_heif.HeifFile()
    for place, size in enumerate([(64, 64), (96, 64), (128, 96)]):
        several.add_frombytes("RGB", size, bytes([place * 100] * size[0] * size[1] * 3))
    several.save(tmp_path / "a.heic", quality=-1, primary_index=2)
    image = seen(tmp_path / "a.heic")
    assert image.shape == (96, 128, 3)
    assert image.mean() == pytest.approx(200, abs=3)


def test_the_tiles_of_a_heic_are_put_together(tmp_path: Path) -> None:
    """As Apple's cameras save them: squares of which no one alone is the picture."""
    stored = corners(400, 300)
    Image.fromarray(stored).save(tmp_path / "a.heic", tile_size=128, quality=95)
    assert np.abs(seen(tmp_path / "a.heic").astype(float) - stored).mean() < 4


@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
def test_high_dynamic_range_in_a_heic(tmp_path: Path, transfer: int) -> None:
    """Paper, 203 nits, is 58 % of the signal in PQ and 75 % in HLG (BT.2408), and nearly white on a screen."""
    signal = round((0.5807 if transfer == 16 else 0.75) * 255)
    picture = pillow_heif.from_bytes("RGB", (64, 64), bytes([signal] * 64 * 64 * 3))
    picture.info["nclx_profile"] = {
        "color_primaries": 9, "transfer_characteristics": transfer, "matrix_coefficients": 9, "full_range_flag": 1,
    }  # fmt: skip
    picture.save(tmp_path / "a.heic", quality=-1, chroma=444)
    assert seen(tmp_path / "a.heic").mean() == pytest.approx(233, abs=4)


@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_what_is_broken_or_too_large_is_one_line(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    path = write_picture(tmp_path / f"a.{suffix}", noise)
    with pytest.raises(VideoError, match="has pictures of 128x96, over the bounds"):
        probe(path, MediaBounds(largest_side=100))
    with pytest.raises(VideoError, match=r"is a broken picture|begins as a picture") as caught:
        seen(truncate(path, 0.7))
    assert "\n" not in str(caught.value)
    with pytest.raises(VideoError, match="begins as a picture, but is none that can be read"):
        probe(truncate(path, 0.1), BOUNDS)


@pytest.mark.parametrize(
    ("name", "size", "mean"),
    [
        ("fruit_l16.png", (512, 480), 89),
        ("grayscale_16bit.png", (64, 48), 127),
        ("orientation_6.tif", (590, 88), None),
        ("heic_primary_is_4th.heic", (64, 64), None),
        ("mirrored.avif", (640, 427), None),
        ("icon_black_on_transparent.png", (200, 200), None),
    ],
)
def test_real_pictures(real_data: Path, name: str, size: tuple[int, int], mean: float | None) -> None:
    image = seen(real_data / "faults" / "video" / name)
    assert image.shape[1::-1] == size
    if mean is not None:
        assert image.mean() == pytest.approx(mean, abs=1)


def test_a_real_icon_is_black_on_white(real_data: Path) -> None:
    image = seen(real_data / "faults" / "video" / "icon_black_on_transparent.png")
    assert image[0, 0].tolist() == [255, 255, 255]
    assert (image.min(), image.max()) == (0, 255)


def test_the_sky_of_a_real_mirrored_picture_is_above(real_data: Path) -> None:
    image = seen(real_data / "faults" / "video" / "mirrored.avif").astype(float)
    sky, field = image[:40].mean((0, 1)), image[-40:].mean((0, 1))
    assert sky[2] > sky[1] > field[1] > field[2]  # blue above, green below
