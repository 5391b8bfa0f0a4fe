"""What a file holds, told by its headers and its first frame.

In: a path and bounds. Out: `MediaFacts`. Does not decode more than it must: how a frame is to be turned is known
only with the first of them.
"""

from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tasks.contracts.errors import VideoError
from tasks.contracts.media import MediaFacts
from tasks.video.bounds import check_size, check_work
from tasks.video.config import MediaBounds
from tasks.video.container import open_container, picture_of
from tasks.video.decoding import Counts, decoded
from tasks.video.encryption import check_clear
from tasks.video.ending import breaks_off
from tasks.video.picture import is_picture, probe_picture
from tasks.video.timeline import Timeline, timeline_of
from tasks.video.upright import orientation_of, pixel_aspect_of, shown_size


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
