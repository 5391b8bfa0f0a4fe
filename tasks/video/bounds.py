"""Pictures that are too large are refused before anything is decoded.

In: a size from a header. Out: nothing, or a `VideoError`. Does not open files.
"""

from pathlib import Path

from tasks.contracts.errors import VideoError
from tasks.video.config import MediaBounds


def check_size(path: Path, width: int, height: int, bounds: MediaBounds) -> None:
    """Refuse pictures out of bounds.

    Raises:
        VideoError: they are.
    """
    if not (width > 0 and height > 0):
        raise VideoError(f"{path} says its pictures are {width}x{height}: it is broken.")
    if max(width, height) > bounds.largest_side or width * height > bounds.largest_pixels:
        raise VideoError(
            f"{path} has pictures of {width}x{height}, over the bounds of {bounds.largest_side} a side and "
            f"{bounds.largest_pixels:,} pixels: scale it down, or raise those of the section `media`."
        )
