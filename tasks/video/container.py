"""Opening a file that may hold anything, as a container of streams.

In: a path. Out: an open PyAV container and its packets, or a `VideoError` that says what was found. Does not decode.
"""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.logging
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Stream
from av.video.stream import VideoStream

from tasks.contracts.errors import VideoError

# FFmpeg tells formats by their content, and some of them (playlists, lists of files) name other files and addresses:
# only those that hold their streams themselves are admitted, and nothing but the file itself may be opened.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,wav,mp3,flac,aac,h264,hevc,m4v,ivf,"
    "gif,apng,rm,dv,mxf,nut,amr,aiff,au,w64,caf,ac3,eac3"
)
OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
HINT = "Name a video that a player opens; `reelsift detect --help` says what a source may be."
SHOWN = 40  # characters of a text that was found

# Silent: what FFmpeg has to say is said in errors and counts. Any other level lets FFmpeg's threads call Python, which
# they wait for while a decoder that is being freed waits for them: a deadlock.
av.logging.set_level(None)


@contextmanager
def open_container(path: Path, *, largest_pixels: int | None = None) -> Iterator[InputContainer]:
    """Open `path` while the block runs; FFmpeg decodes no picture of more than `largest_pixels` while it looks.

    Raises:
        VideoError: it is missing, empty, or no video.
    """
    _check_file(path)
    limit = {"max_pixels": str(largest_pixels)} if largest_pixels else {}
    try:
        container = av.open(str(path.absolute()), options=OPEN_OPTIONS | limit, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path} is no video that can be opened: {found_in(path)}. {HINT}") from error
    with container:
        yield container


def picture_of(container: InputContainer) -> VideoStream | None:
    """Return the stream of moving pictures; the cover of a piece of music is none."""
    streams = [stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic]
    return streams[0] if streams else None


def start_of(container: InputContainer) -> float:
    """Return when, on the file's own clock, its first picture is shown, in seconds: time 0 of all that is handed on.

    MPEG transport streams begin anywhere, and sound may begin before or after the picture.
    """
    stream = picture_of(container)
    if stream is None or stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


def packets_of(container: InputContainer, stream: Stream) -> Iterator[Packet | None]:
    """Yield the packets of one stream, then an empty one that empties its decoder.

    Where the file ends in the middle of a packet, what came before it is whole; then the last one is None.
    """
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all  # not read from the disk where the format has an index
    try:
        yield from container.demux(stream)
    except FFmpegError:
        yield None


def _check_file(path: Path) -> None:
    try:
        size_bytes = path.stat().st_size
    except (OSError, ValueError) as error:
        raise VideoError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not path.is_file():
        raise VideoError(f"{path} is no file. {HINT}")
    if not size_bytes:
        raise VideoError(f"{path} is empty (0 bytes). Fetch or copy it again.")


def found_in(path: Path) -> str:
    """Say in a few words what a file seems to hold."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if start[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"wide"}:
        return "it begins as an mp4, but its index is missing or broken (cut short while it was copied?)"
    if start.startswith((b"#EXTM3U", b"ffconcat")):
        return "it holds a playlist, which names other files"
    try:
        line = " ".join(codecs.getincrementaldecoder("utf-8")().decode(start).split())  # which may end in a character
    except UnicodeDecodeError:
        line = "\0"
    if not line.isprintable():
        return f"its first bytes are {start[:8].hex(' ')}"
    return f"it holds plain text: {line[:SHOWN]!r}"
