"""What a file holds, told by its headers.

In: a path and bounds. Out: `MediaFacts`. Does not decode more than it must.
"""

from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from tasks.contracts.errors import VideoError
from tasks.contracts.media import MediaFacts
from tasks.video.bounds import check_size
from tasks.video.config import MediaBounds
from tasks.video.container import open_container
from tasks.video.picture import is_picture, probe_picture

MICROSECONDS = 1_000_000  # of a container's duration


def probe(path: Path, bounds: MediaBounds) -> MediaFacts:
    """Return what a video or picture is.

    Raises:
        VideoError: it is neither, or out of bounds.
    """
    if is_picture(path):
        return probe_picture(path, bounds)
    with open_container(path) as container:
        return facts_of(path, container, bounds)


def picture_stream(path: Path, container: InputContainer) -> VideoStream:
    """Return the stream of moving pictures; the cover of a piece of music is none.

    Raises:
        VideoError: there is none.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic]
    if streams:
        return streams[0]
    found = f"only sound ({container.streams.audio[0].codec_context.name})" if container.streams.audio else "no stream"
    raise VideoError(f"{path} holds {found}, and no picture: there is nothing to look at.")


def facts_of(path: Path, container: InputContainer, bounds: MediaBounds) -> MediaFacts:
    """Return what the headers say.

    Raises:
        VideoError: there is no picture, or it is out of bounds.
    """
    stream = picture_stream(path, container)
    check_size(path, stream.width, stream.height, bounds)
    duration_s = _duration_s(container, stream)
    if duration_s is not None and duration_s > bounds.longest_s:
        raise VideoError(
            f"{path} lasts {duration_s:,.0f} s, over `media.longest_s` of {bounds.longest_s:,.0f}: raise that bound."
        )
    rate = stream.average_rate or stream.guessed_rate
    return MediaFacts(
        kind="video",
        width=stream.width,
        height=stream.height,
        duration_s=duration_s,
        frame_rate=float(rate) if rate else None,
        codec=stream.codec_context.name,
        has_sound=bool(container.streams.audio),
    )


def _duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / MICROSECONDS if container.duration else None
