"""Plates of text, boxes and masks, drawn into a frame, and frames put together on a contact sheet."""

import colorsys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tasks.contracts.text import one_line

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]  # RGB

# Okabe and Ito's colours, told apart with any colour vision: https://jfly.uni-koeln.de/color/
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
GOLDEN_RATIO = 0.618_033_988_75
LONGEST = 60  # characters of a plate
LONGEST_READ = 1000  # of a text that a stranger wrote
LEAST_HEIGHT_PX = 8
LEAST_TEXT_PX, SIDE_TO_TEXT = 14, 24  # height of a box's plate, and how often it goes into the shorter side
SIDE_TO_LINE = 240  # the same of its outline
TEXT_TO_PLATE = 0.68
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
    """Draw text on a plate whose upper left corner is at (x, y), cut off at the borders; no text, no plate."""
    line = shown(text)
    if not line:
        return image
    plate, opacity = _plate(line, colour, max(LEAST_HEIGHT_PX, height_px))
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + plate.shape[0], image.shape[0]), min(x + plate.shape[1], image.shape[1])
    if bottom > top and right > left:
        rows, columns = slice(top - y, bottom - y), slice(left - x, right - x)
        cv2.copyTo(plate[rows, columns], opacity[rows, columns], image[top:bottom, left:right])
    return image


def draw_box(image: Picture, box: Sequence[float], colour: Colour, text: str = "") -> Picture:
    """Draw a box (x_min, y_min, x_max, y_max in pixels), and its text above, or inside where there is no room."""
    side = min(image.shape[:2])
    thickness, height_px = max(1, round(side / SIDE_TO_LINE)), max(LEAST_TEXT_PX, round(side / SIDE_TO_TEXT))
    left, top, right, bottom = _within(image, box)
    cv2.rectangle(image, (left, top), (right, bottom), colour, thickness)
    if text:
        width_px = _plate(shown(text), colour, height_px)[0].shape[1]
        x, y = max(0, min(left, image.shape[1] - width_px)), top - height_px if top >= height_px else top
        draw_plate(image, text, x=x, y=y, colour=colour, height_px=height_px)
    return image


def draw_mask(image: Picture, mask: NDArray[np.bool_], colour: Colour, alpha: float = 0.45) -> Picture:
    """Tint the pixels of a mask (H, W)."""
    bits = np.ascontiguousarray(mask, np.bool_).view(np.uint8)
    left, top, width, height = cv2.boundingRect(bits)  # most masks are small: what lies around them is not looked at
    if width and height:
        part = image[top : top + height, left : left + width]
        tinted = cv2.addWeighted(part, 1 - alpha, np.full_like(part, colour), alpha, 0)
        cv2.copyTo(tinted, bits[top : top + height, left : left + width], part)
    return image


def shown(text: str) -> str:
    """Return text that fits on a plate: one line, nothing invisible, not too long."""
    return one_line(text[:LONGEST_READ], LONGEST)


def _within(image: Picture, box: Sequence[float]) -> tuple[int, int, int, int]:
    """Return a box in whole pixels, all four sides of which are to be seen."""
    last_x, last_y = image.shape[1] - 1, image.shape[0] - 1
    left, top, right, bottom = np.nan_to_num(np.asarray(box, np.float64))
    x_min, x_max = (round(float(np.clip(value, 0, last_x))) for value in (left, right))
    y_min, y_max = (round(float(np.clip(value, 0, last_y))) for value in (top, bottom))
    return x_min, y_min, x_max, y_max


@lru_cache(maxsize=512)
def _plate(text: str, colour: Colour, height_px: int) -> tuple[Picture, Picture]:
    """Render text once, as a video shows the same one on hundreds of frames: RGB, and where it is not see-through."""
    font = _font(round(height_px * TEXT_TO_PLATE))
    width = max(1, round(font.getlength(text)) + height_px // 2)
    plate, opacity = Image.new("RGB", (width, height_px), colour), Image.new("L", (width, height_px), 0)
    ImageDraw.Draw(opacity).rounded_rectangle((0, 0, width - 1, height_px - 1), height_px // 6, fill=255)
    ImageDraw.Draw(plate).text((height_px // 4, height_px // 2), text, font=font, fill=_ink_on(colour), anchor="lm")
    return np.array(plate, np.uint8), np.array(opacity, np.uint8)


def _ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever stands out more: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio."""
    parts = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in np.divide(colour, 255)
    ]
    luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    return BLACK if (luminance + 0.05) ** 2 > 0.05 * 1.05 else WHITE


@lru_cache(maxsize=16)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return matplotlib's own DejaVu Sans, which has most scripts; matplotlib itself is not imported."""
    spec = find_spec("matplotlib")
    assert spec is not None  # the lock holds it
    assert spec.submodule_search_locations
    return ImageFont.truetype(Path(next(iter(spec.submodule_search_locations))) / FONT, size_px)


def scaled(picture: Picture, scale: float) -> Picture:
    """Return a picture smaller by a factor; never larger."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * min(scale, 1))), max(1, round(height * min(scale, 1))))
    return np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


SHEET_COLUMNS, SHEET_WIDTH, SHEET_GAP = 4, 320, 8  # pictures beside each other; pixels of one, and between two
SHEET_PLATE_PX = 24
SHEET_GREY = 24


def contact_sheet(pictures: Iterable[tuple[Picture, str]]) -> Picture:
    """Return pictures side by side and below one another, each with its text, all as wide; of none, an empty strip."""
    tiles = [_tile(picture, text) for picture, text in pictures]
    columns = max(1, min(SHEET_COLUMNS, len(tiles)))
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    heights = [max(tile.shape[0] for tile in row) + SHEET_GAP for row in rows]
    width = columns * (SHEET_WIDTH + SHEET_GAP) + SHEET_GAP
    sheet = np.full((SHEET_GAP + sum(heights), width, 3), SHEET_GREY, np.uint8)
    top = SHEET_GAP
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            left = SHEET_GAP + column * (SHEET_WIDTH + SHEET_GAP)
            sheet[top : top + tile.shape[0], left : left + SHEET_WIDTH] = tile
        top += height
    return sheet


def _tile(picture: Picture, text: str) -> Picture:
    height, width = picture.shape[:2]
    size = (SHEET_WIDTH, max(1, min(round(height * SHEET_WIDTH / width), 2 * SHEET_WIDTH)))
    tile = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return draw_plate(tile, text, x=4, y=4, colour=BLACK, height_px=SHEET_PLATE_PX)
