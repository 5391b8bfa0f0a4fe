"""Files that begin as a picture and move: none is taken for its first frame without a word."""

from pathlib import Path

from tasks.contracts.errors import VideoError

SEARCHED_BYTES = 64 << 20  # of a first JPEG: the largest are smaller
JPEG_START, JPEG_END, SCAN = b"\xff\xd8\xff", b"\xff\xd9", 0xDA
# Pictures of other sizes, depths or eyes behind the first one (CIPA DC-007), which are no frames.
SEVERAL_PICTURES = b"MPF\0"
UNREAD = "{path} is an animated {kind}, which cannot be read: convert it to mp4 or GIF first, or name a single picture."


def moving_format(path: Path) -> str | None:
    """Return FFmpeg's name of the format in which a file that begins as a picture is a video; None for any other.

    Raises:
        VideoError: it moves, in a format that cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
            if start.startswith(JPEG_START):
                return "mjpeg" if _goes_on(start + file.read(SEARCHED_BYTES)) else None
            if start.startswith(b"\x89PNG\r\n\x1a\n"):
                content = start + file.read(1 << 20)
                return "apng" if b"acTL" in content[: content.find(b"IDAT")] else None
    except OSError:
        return None
    if start.startswith(b"RIFF") and start[8:16] == b"WEBPVP8X" and start[20] & 0x02:
        raise VideoError(UNREAD.format(path=path, kind="WebP"))
    if start[4:12] == b"ftypavis":
        raise VideoError(UNREAD.format(path=path, kind="AVIF"))
    return None


def _goes_on(content: bytes) -> bool:
    """Say whether another JPEG follows the first one at once, as in a stream of a camera."""
    place = 2
    while content[place : place + 1] == b"\xff" and content[place + 1 : place + 2] not in {b"", b"\xd9"}:
        size = int.from_bytes(content[place + 2 : place + 4])
        if SEVERAL_PICTURES in content[place + 4 : place + 12]:
            return False
        is_scan = content[place + 1] == SCAN
        place += 2 + size
        if is_scan:
            break
    end = content.find(JPEG_END, place)
    return end >= 0 and content[end + 2 : end + 5] == JPEG_START
