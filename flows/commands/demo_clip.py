"""The clip that the demonstration makes of scikit-image's pictures, where there is no video at hand.

In: a folder. Out: an mp4 file in it: each picture for a few seconds, the view moving slowly across it. Does not know
what is done with the clip.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLIP_NAME = "coffee-cat-rocket.mp4"
WIDTH, HEIGHT, FRAME_RATE = 480, 320, 15.0
SECONDS_EACH = 3
MARGIN = 1.15  # how much larger than the view a picture is: the room to move in


def made_clip(folder: Path) -> Path:
    """Write the clip, once, and return its path."""
    path = folder / CLIP_NAME
    if path.is_file():
        return path
    from skimage import data

    from tasks.video.writing import open_writer

    with open_writer(path, width=WIDTH, height=HEIGHT, frame_rate=FRAME_RATE, sound_of=None) as writer:
        count = round(SECONDS_EACH * FRAME_RATE)
        for place, picture in enumerate((data.coffee(), data.chelsea(), data.rocket())):
            large = _scaled(picture)
            for step in range(count):
                writer.write(_view(large, step / count), (place * count + step) / FRAME_RATE)
    return path


def _scaled(picture: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Scale RGB uint8 (H, W, 3) so that the view fits into it with a margin."""
    import cv2
    import numpy as np

    factor = MARGIN * max(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _view(large: "NDArray[np.uint8]", share: float) -> "NDArray[np.uint8]":
    """Cut the view (320, 480, 3) out of the picture, `share` of the way across it."""
    top = round((large.shape[0] - HEIGHT) * share)
    left = round((large.shape[1] - WIDTH) * share)
    return large[top : top + HEIGHT, left : left + WIDTH].copy()
