"""What came is looked at before it is kept: a video or picture, and no longer than is allowed.

In: a file from a stranger. Out: nothing, or an error with the file removed. Does not decode.
"""

from pathlib import Path

from tasks.contracts.errors import FetchError, RefusedSourceError, VideoError
from tasks.video.config import FetchConfig, MediaBounds
from tasks.video.container import found_in
from tasks.video.offers import check_length
from tasks.video.probe import probe

# How large pictures may be is for whoever reads them to say.
WIDEST = MediaBounds(largest_side=32768, largest_pixels=1 << 30, longest_s=7 * 24 * 3600)


def check_arrived(path: Path, address: str, config: FetchConfig) -> None:
    """Refuse a page, a text or a broken file that was sent in place of a video, and a video that is too long.

    Raises:
        FetchError: it is no video.
        RefusedSourceError: it lasts too long.
    """
    try:
        check_length(probe(path, WIDEST).duration_s, address, config)
    except RefusedSourceError:
        path.unlink()
        raise
    except VideoError as error:
        found = found_in(path) if path.stat().st_size else "it is empty (0 bytes)"
        path.unlink()
        raise FetchError(f"{address} gives no video: {found}. Open it in a browser to see what it is.") from error
