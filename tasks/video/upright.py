"""Decoded frames as arrays, turned upright.

In: PyAV's frames. Out: RGB uint8 (H, W, 3). Does not know where they come from.
"""

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

QUARTER_DEG = 90


def rotation_of(frame: VideoFrame) -> int:
    """Return by how many degrees a player turns a frame clockwise: 0, 90, 180 or 270."""
    return -round(frame.rotation / QUARTER_DEG) % 4 * QUARTER_DEG  # FFmpeg counts anticlockwise


class Upright:
    """Turns frames of one video into pictures of one size: that of the first of them."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()  # kept: setting one up costs more than converting a small frame
        self._size = (0, 0)
        self._turns = 0

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return a frame as RGB uint8 (H, W, 3), upright, which the caller may draw in.

        A video may change its size on the way; what follows is scaled to what it was at first.
        """
        if not any(self._size):
            self._size, self._turns = (frame.width, frame.height), rotation_of(frame) // QUARTER_DEG
        # one thread: others are at work on the next frames, and 360 lines are too few to share out
        rgb = self._reformatter.reformat(frame, *self._size, format="rgb24", threads=1)
        image = np.rot90(np.asarray(rgb.to_ndarray(), np.uint8), -self._turns)
        # PyAV lends its own memory, with gaps between the rows; of RGB videos it is what the next frame builds on
        return image.copy(order="C") if rgb is frame or not image.flags.c_contiguous else image
