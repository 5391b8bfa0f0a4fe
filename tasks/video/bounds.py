"""Pictures that are too large, and videos with too many of them a second, are refused."""

from pathlib import Path

from tasks.contracts.errors import VideoError
from tasks.video.config import MediaBounds

SHORTEST_S = 0.25  # a shorter time counts as this long: a burst of a few frames costs nothing


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


def check_work(path: Path, pixels: float, video_s: float, bounds: MediaBounds) -> None:
    """Refuse a video that costs far more to decode than its length says, e.g. 1,000 large frames a second.

    Args:
        path: the file.
        pixels: of all frames in the first `video_s` seconds, as they are coded.
        video_s: seconds of video.
        bounds: with the most pixels a second.

    Raises:
        VideoError: it is one.
    """
    if pixels > bounds.largest_pixels_per_s * max(video_s, SHORTEST_S):
        raise VideoError(
            f"{path} has {pixels:,.0f} pixels in {video_s:.2f} s of video, over `media.largest_pixels_per_s` of "
            f"{bounds.largest_pixels_per_s:,}: lower its frame rate or its size, or raise that bound."
        )
