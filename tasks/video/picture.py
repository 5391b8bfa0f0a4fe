"""Pictures: one frame, upright.

In: a path and bounds. Out: `MediaFacts` and RGB uint8 (H, W, 3). Does not know videos.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tasks.contracts.errors import VideoError
from tasks.contracts.media import MediaFacts
from tasks.video.bounds import check_size
from tasks.video.config import MediaBounds

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")  # an animated GIF is a video
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")

# what Pillow raises of files that are broken
BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


def is_picture(path: Path) -> bool:
    """Say whether a file begins as a picture does."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return start.startswith(SIGNATURES) or (start.startswith(b"RIFF") and start[8:12] == b"WEBP")


def probe_picture(path: Path, bounds: MediaBounds) -> MediaFacts:
    """Return what a picture is, told by its header."""
    with _opened(path, bounds) as image:
        turned = image.getexif().get(0x0112, 1) >= 5  # EXIF's orientations 5 to 8 swap the sides
        width, height = image.size[::-1] if turned else image.size
        return MediaFacts(
            kind="picture",
            width=width,
            height=height,
            duration_s=None,
            frame_rate=None,
            codec=str(image.format).lower(),
            has_sound=False,
        )


def read_picture(path: Path, bounds: MediaBounds) -> NDArray[np.uint8]:
    """Return a picture, upright, as RGB uint8 (H, W, 3)."""
    with _opened(path, bounds) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"), np.uint8)


@contextmanager
def _opened(path: Path, bounds: MediaBounds) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs, which the bounds say better, and of tags that nobody asks for
        try:
            image = Image.open(path, formats=FORMATS)
        except BROKEN as error:
            raise VideoError(f"{path} begins as a picture, but is none that can be read: {error}.") from error
        with image:
            check_size(path, *image.size, bounds)
            try:
                yield image
            except BROKEN as error:  # of what follows the header
                raise VideoError(f"{path} is a broken picture: {error}. Fetch or copy it again.") from error
