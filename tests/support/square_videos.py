"""Clips of coloured squares on black, which the network of `square_network` finds; made by PyAV."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.media import FetchedVideo
from tasks.video.writing import open_writer
from tests.support.square_network import SIDE, SQUARE

RATE_HZ = 10.0
CHANNELS = {"apple": 0, "bottle": 1, "cup": 2}  # of RGB: red, green, blue
Square = tuple[str, int, int]  # class, left and top in pixels; 4 + 8 n, so that it fills a window of the network


def squares(*placed: Square, side: int = SIDE) -> NDArray[np.uint8]:
    """Return a picture with these squares."""
    image = np.zeros((side, side, 3), np.uint8)
    for name, left, top in placed:
        image[top : top + SQUARE, left : left + SQUARE, CHANNELS[name]] = 255
    return image


def write_clip(path: Path, scenes: Iterable[Iterable[Square]]) -> FetchedVideo:
    """Write a clip of one frame a scene, `RATE_HZ` a second."""
    with open_writer(path, width=SIDE, height=SIDE, frame_rate=RATE_HZ, sound_of=None) as writer:
        for index, placed in enumerate(scenes):
            writer.write(squares(*placed), index / RATE_HZ)
    return fetched(path)


def write_picture(path: Path, *placed: Square) -> FetchedVideo:
    """Write a picture."""
    cv2.imwrite(str(path), squares(*placed)[:, :, ::-1])
    return fetched(path)


def fetched(path: Path) -> FetchedVideo:
    """Return a file as fetching gives it."""
    content = path.read_bytes()
    return FetchedVideo(
        source=str(path),
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        title=path.stem,
    )
