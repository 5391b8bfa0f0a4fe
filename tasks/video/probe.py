"""What a video file holds, from its headers and first frames; encrypted media are refused."""

import re
from pathlib import Path
from uuid import UUID

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tasks.contracts.errors import VideoError
from tasks.contracts.media import MediaFacts
from tasks.video.config import MediaBounds
from tasks.video.container import check_size, check_work, open_container, picture_of
from tasks.video.decoding import Counts, decoded, orientation_of, pixel_aspect_of, shown_size
from tasks.video.ending import breaks_off, index_of
from tasks.video.picture import is_picture, probe_picture
from tasks.video.timeline import Timeline, timeline_of

ENTRIES = {b"encv": "Common Encryption", b"enca": "Common Encryption", b"drmi": "FairPlay", b"drms": "FairPlay"}
HEADER_BYTES = 1 << 20  # of Matroska and ASF, in which the streams are described
# ContentEncodingType 1, its size written in any of the ways of EBML; FFmpeg tells only of one with a key's id.
EBML_ENCRYPTED = re.compile(rb"\x50\x33(?:\x81|\x40\x01|\x20\0\x01|\x10\0\0\x01|\x01\0{6}\x01)\x01")
# The objects of the ASF specification, 3.14 to 3.16: content encryption, extended and advanced.
ASF_ENCRYPTED = tuple(
    UUID(text).bytes_le
    for text in (
        "2211b3fb-bd23-11d2-b4b7-00a0c955fc6e",
        "298ae614-2622-4c17-b935-dae07ee9289c",
        "43058533-6981-49e6-9b74-ad12cb86d58c",
    )
)
TS_PACKET, TS_SYNC, TS_LOOKED_AT = 188, 0x47, 4_000
SCRAMBLED, PAYLOAD = 0xC0, 0x10  # bits of a transport packet's fourth byte
MOSTLY = 0.5  # of the packets: tables and some streams are never scrambled


def check_clear(path: Path, container: InputContainer) -> None:
    """Refuse a file whose picture or sound is encrypted.

    Raises:
        VideoError: it is.
    """
    kind = _kind(path, container)
    if kind:
        raise VideoError(f"{path} is encrypted ({kind}): it cannot be decoded. Name a copy that is not protected.")


def _kind(path: Path, container: InputContainer) -> str | None:
    name = container.format.name
    if name.startswith("mov"):
        return _of_mp4(path)
    if name == "mpegts":
        return "scrambled transport stream" if _is_scrambled(path) else None
    if name.startswith("matroska"):
        has_key = any("enc_key_id" in stream.metadata for stream in container.streams)
        return "WebM encryption" if has_key or EBML_ENCRYPTED.search(_start_of(path)) else None
    if name == "asf":
        return "Windows Media DRM" if any(mark in _start_of(path) for mark in ASF_ENCRYPTED) else None
    return None


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def _of_mp4(path: Path) -> str | None:
    """Look at what the descriptions of the samples call themselves."""
    index = index_of(path)
    place = index.find(b"stsd")
    while place >= 0:
        kind = ENTRIES.get(index[place + 16 : place + 20])
        if kind:
            return kind
        place = index.find(b"stsd", place + 4)
    return None


def _is_scrambled(path: Path) -> bool:
    with path.open("rb") as file:
        content = file.read(TS_PACKET * TS_LOOKED_AT)
    flags = content[3::TS_PACKET] if content[:1] == bytes([TS_SYNC]) else b""
    loaded = [flag for flag in flags if flag & PAYLOAD]
    return sum(bool(flag & SCRAMBLED) for flag in loaded) > MOSTLY * len(loaded)


def probe(path: Path, bounds: MediaBounds) -> MediaFacts:
    """Return what a video or picture is.

    Raises:
        VideoError: it is neither, is out of bounds, or none of its frames can be decoded.
    """
    if is_picture(path):
        return probe_picture(path, bounds)
    with open_container(path, largest_pixels=bounds.largest_pixels) as container:
        stream, timeline = picture_stream(path, container, bounds), timeline_of(path)
        first = next(decoded(path, container, stream, timeline, Counts()))
        return facts_of(container, stream, timeline, first)


def picture_stream(path: Path, container: InputContainer, bounds: MediaBounds) -> VideoStream:
    """Return the stream of moving pictures, ready to be decoded.

    Raises:
        VideoError: there is none, there is no decoder for it, or its headers are out of bounds.
    """
    check_clear(path, container)  # first: FFmpeg has no name for what some of them hold
    stream = picture_of(container)
    if stream is None:
        sound = container.streams.audio
        found = f"only sound ({_codec_of(sound[0])})" if sound else f"no pictures (it is {container.format.long_name})"
        raise VideoError(f"{path} holds {found}: there is nothing to look at. Name a video or a picture.")
    if stream.codec_context is None and breaks_off(path, container.format.name):
        raise VideoError(f"{path} is cut short within its index, so nothing of it can be read. Fetch or copy it again.")
    if stream.codec_context is None:
        raise VideoError(f"{path} has pictures of a kind that cannot be decoded: convert it to H.264 first.")
    check_size(path, stream.width, stream.height, bounds)
    timeline = timeline_of(path)
    duration_s = timeline.duration_s
    if duration_s and timeline.frame_rate:
        frames = max(1.0, timeline.frame_rate * duration_s)
        check_work(path, stream.width * stream.height * frames, duration_s, bounds)
    if duration_s is not None and duration_s > bounds.longest_s:
        raise VideoError(
            f"{path} lasts {duration_s:,.0f} s, over `media.longest_s` of {bounds.longest_s:,.0f}: raise that bound."
        )
    stream.codec_context.options = {"max_pixels": str(bounds.largest_pixels)}  # of frames that grow on the way
    stream.thread_type = "AUTO"  # frames at once: twice as fast on two cores as slices at once
    return stream


def facts_of(container: InputContainer, stream: VideoStream, timeline: Timeline, first: VideoFrame) -> MediaFacts:
    """Return what the headers, the packets' times and the first frame say."""
    orientation = orientation_of(first)
    width, height = shown_size(stream, first)
    missing = timeline.missing
    return MediaFacts(
        kind="video",
        width=width,
        height=height,
        duration_s=timeline.duration_s,
        frame_rate=timeline.frame_rate,
        codec=_codec_of(stream),
        has_sound=bool(container.streams.audio),
        rotation_deg=orientation.rotation_deg,
        mirrored=orientation.mirrored,
        pixel_aspect=float(pixel_aspect_of(stream)),
        cut_short=missing is not None,
        missing_s=missing.seconds if missing else None,
        declared_s=missing.of_s if missing else None,
    )


def _codec_of(stream: object) -> str:
    """Return the name of the format, not of the decoder: `av1`, not `libdav1d`."""
    context = getattr(stream, "codec_context", None)
    return context.codec.canonical_name if context is not None else "unknown"
