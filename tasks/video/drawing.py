"""Plates of text, boxes and masks, drawn into a frame.

In: RGB uint8 (H, W, 3), which is changed in place. Out: the same array. Does not know what is drawn.
"""

import colorsys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]  # RGB

# Okabe and Ito's colours, told apart with any colour vision: https://jfly.uni-koeln.de/color/
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
GOLDEN_RATIO = 0.618_033_988_75
LONGEST = 60  # characters of a plate
FONT = "mpl-data/fonts/ttf/DejaVuSans.ttf"
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def colour_of(number: int) -> Colour:
    """Return the colour of a track or label: always the same, and unlike those of its neighbours."""
    if number < len(PALETTE):
        return PALETTE[number % len(PALETTE)]
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN_RATIO % 1, 0.65, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def hex_of(colour: Colour) -> str:
    """Return a colour as pages and manifests write it, e.g. `#56b4e9`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def draw_plate(image: Picture, text: str, *, x: int, y: int, colour: Colour, height_px: int) -> Picture:
    """Draw text on a plate whose upper left corner is at (x, y), cut off at the borders."""
    plate = _plate(shown(text), colour, max(8, height_px))
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + plate.shape[0], image.shape[0]), min(x + plate.shape[1], image.shape[1])
    if bottom > top and right > left:
        image[top:bottom, left:right] = plate[top - y : bottom - y, left - x : right - x]
    return image


def draw_box(image: Picture, box: tuple[float, float, float, float], colour: Colour, text: str = "") -> Picture:
    """Draw a box (x_min, y_min, x_max, y_max in pixels), and its text above, or inside where there is no room."""
    thickness = max(1, round(min(image.shape[:2]) / 240))
    left, top, right, bottom = (round(float(value)) for value in box)
    cv2.rectangle(image, (left, top), (right, bottom), colour, thickness)
    if text:
        height_px = max(12, round(min(image.shape[:2]) / 24))
        draw_plate(
            image, text, x=left, y=top - height_px if top >= height_px else top, colour=colour, height_px=height_px
        )
    return image


def draw_mask(image: Picture, mask: NDArray[np.bool_], colour: Colour, alpha: float = 0.45) -> Picture:
    """Tint the pixels of a mask (H, W)."""
    image[mask] = (image[mask] * (1 - alpha) + np.asarray(colour) * alpha).astype(np.uint8)
    return image


def shown(text: str) -> str:
    """Return text that fits on a plate: one line, nothing invisible, not too long."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "\u2026"


@lru_cache(maxsize=512)
def _plate(text: str, colour: Colour, height_px: int) -> Picture:
    """Render text once: a video shows the same one on hundreds of frames."""
    font = _font(round(height_px * 0.68))
    width = round(font.getlength(text)) + height_px // 2
    plate = Image.new("RGB", (max(width, 1), height_px), colour)
    ink = BLACK if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 128 else WHITE  # BT.601's luma
    ImageDraw.Draw(plate).text((height_px // 4, height_px // 2), text, font=font, fill=ink, anchor="lm")
    return np.array(plate, np.uint8)


@lru_cache(maxsize=16)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return matplotlib's own DejaVu Sans, which has most scripts; matplotlib itself is not imported."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.submodule_search_locations
    return ImageFont.truetype(Path(next(iter(spec.submodule_search_locations))) / FONT, size_px)
