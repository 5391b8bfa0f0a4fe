"""Opening a file that may hold anything, as a container of streams.

In: a path. Out: an open PyAV container and its packets, or a `VideoError` that says what was found. Does not decode.
"""

import codecs
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import av.logging
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Stream
from av.video.stream import VideoStream

from tasks.contracts.errors import VideoError
from tasks.video.moving import moving_format

# FFmpeg tells formats by their content, and some of them (playlists, lists of files) name other files and addresses:
# only those that hold their streams themselves are admitted, and nothing but the file itself may be opened.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,wav,mp3,flac,aac,h264,hevc,m4v,ivf,"
    "gif,apng,mjpeg,yuv4mpegpipe,rm,dv,mxf,nut,amr,aiff,au,w64,caf,ac3,eac3"
)
OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
HINT = "Name a video that a player opens; `reelsift detect --help` says what a source may be."
DEFAULT_WORTH = 5_000_000  # pixels or channels that a default stream counts for: `map_auto_video` in ffmpeg_mux_init.c
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
        container = av.open(
            str(path.absolute()),
            format=moving_format(path),
            options=OPEN_OPTIONS | limit,
            metadata_errors="replace",
        )
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path} is no video that can be opened: {found_in(path)}. {HINT}") from error
    with container:
        yield container


def picture_of(container: InputContainer) -> VideoStream | None:
    """Return the stream of moving pictures that `ffmpeg` would take of several; the cover of a piece of music is none.

    That is the default one, else the largest.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic]
    return max(streams, key=lambda stream: _pixels(stream) + _worth(stream), default=None)


def sound_of(container: InputContainer) -> AudioStream | None:
    """Return the stream of sound that `ffmpeg` would take of several that can be decoded.

    That is the default one, else that of most channels.
    """
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None and stream.sample_rate]
    return max(streams, key=lambda stream: stream.channels + _worth(stream), default=None)


def _pixels(stream: VideoStream) -> int:
    return 0 if stream.codec_context is None else stream.width * stream.height  # sizes are the decoder's to know


def _worth(stream: Stream) -> int:
    return DEFAULT_WORTH if stream.disposition & stream.disposition.default else 0


def raw_packets_of(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet | None]:
    """Yield the packets of these streams as they lie in the file, then an empty one for each that empties its decoder.

    Where the file ends in the middle of a packet, what came before it is whole; then the last one is None.
    """
    for other in container.streams:
        if other not in streams:
            other.discard = Discard.all  # not read from the disk where the format has an index
    try:
        yield from container.demux(*streams)
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
