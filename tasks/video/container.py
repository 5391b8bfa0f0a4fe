"""Opens an untrusted file as a container of streams, within bounds on pixels and frame rate."""

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


SEARCHED_BYTES = 64 << 20  # of a first JPEG: the largest are smaller
JPEG_START, JPEG_END, SCAN = b"\xff\xd8\xff", b"\xff\xd9", 0xDA
# Pictures of other sizes, depths or eyes behind the first one (CIPA DC-007), which are no frames.
MULTI_PICTURE_MARK = b"MPF\0"
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
        if MULTI_PICTURE_MARK in content[place + 4 : place + 12]:
            return False
        is_scan = content[place + 1] == SCAN
        place += 2 + size
        if is_scan:
            break
    end = content.find(JPEG_END, place)
    return end >= 0 and content[end + 2 : end + 5] == JPEG_START


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
