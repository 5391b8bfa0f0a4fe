"""A small picture of each track, as it is seen best.

In: moments, and which of their boxes are the best so far. Out: a JPEG a track in a folder. Does not know which tracks
will be sure.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.detection.boxes import Moment
from tasks.detection.detector import Picture
from tasks.detection.stories import thumbnail_name

LONGEST_SIDE = 160  # pixels
MARGIN = 0.08  # of the box's longer side, around it
QUALITY = 85


class Thumbnails:
    """Pictures by the key of their track; a better one takes the place of the one before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, moment: Moment, places: Iterable[int]) -> None:
        """Cut out the boxes at these places."""
        if moment.image is None or moment.boxes is None:
            return
        for place in places:
            key = int(moment.boxes.keys[place])
            cut = cut_out(moment.image, moment.boxes.boxes[place])
            # cv2.imwrite takes no path that the locale cannot spell, and says nothing when the disk is full.
            _, content = cv2.imencode(".jpg", cut[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
            self._path(key).parent.mkdir(exist_ok=True)
            self._path(key).write_bytes(content.tobytes())

    def name(self, track_ids: Mapping[int, int]) -> None:
        """Name the pictures by the numbers of their tracks, given by key, and drop those of no number."""
        for key in track_ids:
            target = self._folder / thumbnail_name(track_ids[key])
            target.parent.mkdir(exist_ok=True)
            self._path(key).replace(target)
        for left in (self._folder / "keys").glob("*"):
            left.unlink()

    def _path(self, key: int) -> Path:
        return self._folder / "keys" / f"{key}.jpg"


def cut_out(image: Picture, box: NDArray[np.float32]) -> Picture:
    """Return what a box covers, and a little around it, scaled down to a thumbnail."""
    height, width = image.shape[:2]
    margin = MARGIN * float(max(box[2] - box[0], box[3] - box[1]))
    left, top = (int(max(0, side - margin)) for side in box[:2])
    right, bottom = (int(min(side, end + margin + 1)) for side, end in zip((width, height), box[2:], strict=True))
    cut = image[min(top, height - 1) : max(bottom, top + 1), min(left, width - 1) : max(right, left + 1)]
    scale = min(1.0, LONGEST_SIDE / max(cut.shape[:2]))
    size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    return cv2.resize(cut, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
