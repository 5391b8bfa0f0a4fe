"""Opening a file that may hold anything, as a container of streams.

In: a path. Out: an open PyAV container, or a `VideoError` that says what was found. Does not decode.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.logging
from av.container import InputContainer
from av.error import FFmpegError

from tasks.contracts.errors import VideoError

# FFmpeg tells formats by their content, and some of them (playlists, lists of files) name other files and addresses:
# only those that hold their streams themselves are admitted, and nothing but the file itself may be opened.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,wav,mp3,flac,aac,h264,hevc,m4v,ivf,"
    "gif,apng,rm,dv,mxf,nut,amr,aiff,au,w64,caf,ac3,eac3"
)
OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
HINT = "Name a video that a player opens; `reelsift detect --help` says what a source may be."

av.logging.set_level(av.logging.PANIC)  # what FFmpeg has to say is said in errors and counts


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open `path` while the block runs.

    Raises:
        VideoError: it is missing, empty, or no video.
    """
    _check_file(path)
    try:
        container = av.open(str(path.absolute()), options=OPEN_OPTIONS, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path} is no video that can be opened: {found_in(path)}. {HINT}") from error
    with container:
        yield container


def _check_file(path: Path) -> None:
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}.") from error
    if not path.is_file():
        raise VideoError(f"{path} is no file.")
    if not size_bytes:
        raise VideoError(f"{path} is empty (0 bytes). Fetch or copy it again.")


def found_in(path: Path) -> str:
    """Say in a few words what a file seems to hold."""
    with path.open("rb") as file:
        start = file.read(512)
    if start[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"wide"}:
        return "it begins as an mp4, but its index is missing or broken (cut short while it was copied?)"
    if start.startswith(b"#EXTM3U"):
        return "it holds a playlist, which names other files"
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError:
        return f"its first bytes are {start[:8].hex(' ')}"
    return f"it holds text: {' '.join(text.split())[:40]!r}"
