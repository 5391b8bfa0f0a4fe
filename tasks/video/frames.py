"""Frames of a video or picture, in the order in which they are shown.

In: a path, bounds and perhaps a rate. Out: frames as RGB uint8 (H, W, 3), upright, with the time at which they are
shown. Does not keep them: memory is that of a few frames, however long the video.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.media import MediaFacts
from tasks.video.config import MediaBounds
from tasks.video.container import open_container
from tasks.video.picture import is_picture, probe_picture, read_picture
from tasks.video.probe import facts_of, picture_stream

FALLBACK_RATE = 25.0  # frames a second where neither frames nor stream say
CLOSE_S = 1e-3  # by which a frame may come late and still be on show: containers round to a millisecond


@dataclass(frozen=True)
class Frame:
    """One frame."""

    index: int  # of the frame in the video, from 0
    time_s: float  # when it is shown; at a rate: the moment that was asked for
    image: NDArray[np.uint8]  # RGB (H, W, 3)


@dataclass
class Counts:
    """What the decoder met."""

    corrupt: int = 0


@dataclass
class FrameReader:
    """Frames of one file; `frames_read` and `corrupt_frames` are complete once it has been iterated over."""

    facts: MediaFacts
    source: Iterable[Frame]
    counts: Counts = field(default_factory=Counts)
    frames_read: int = 0

    @property
    def corrupt_frames(self) -> int:
        """Packets that could not be decoded, and were left out."""
        return self.counts.corrupt

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; once."""
        for frame in self.source:
            self.frames_read += 1
            yield frame


@contextmanager
def open_frames(path: Path, bounds: MediaBounds, *, rate_hz: float | None = None) -> Iterator[FrameReader]:
    """Open a video or picture, and yield a reader of its frames: every one, or those on show at 0, 1/rate, 2/rate, ...

    The frame on show at a moment is the last one whose time is not after it, or the first one of all. The last moment
    lies before the video's end, so 39.9 s at 1 Hz are 40 frames. Times count from the first frame.

    Raises:
        VideoError: the file is no video or picture, is out of bounds, or none of its frames can be decoded (this one
            while frames are read).
    """
    if is_picture(path):
        yield FrameReader(probe_picture(path, bounds), (Frame(0, 0.0, read_picture(path, bounds)) for _ in range(1)))
        return
    with open_container(path) as container:
        facts = facts_of(path, container, bounds)
        counts = Counts()
        decoded = _timed(_decoded(path, container, counts), facts.frame_rate or FALLBACK_RATE, bounds, path)
        chosen = _all(decoded) if rate_hz is None else _at_rate(decoded, rate_hz, facts.frame_rate or FALLBACK_RATE)
        yield FrameReader(facts, chosen, counts)


def _decoded(path: Path, container: InputContainer, counts: Counts) -> Iterator[VideoFrame]:
    """Decode packet by packet, so that a broken one costs its own frame and no other."""
    stream = picture_stream(path, container)
    stream.thread_type = "AUTO"
    any_came = False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:  # the file ends in the middle of a packet
            counts.corrupt += 1
            break
        if packet is None:
            break
        try:
            frames = packet.decode()
        except FFmpegError:
            counts.corrupt += 1
            continue
        for frame in frames:
            if frame.is_corrupt:
                counts.corrupt += 1
                continue
            any_came = True
            yield frame
    if not any_came:
        raise VideoError(f"None of the frames of {path} can be decoded. Fetch or copy it again.")


def _timed(
    frames: Iterator[VideoFrame], rate: float, bounds: MediaBounds, path: Path
) -> Iterator[tuple[float, VideoFrame]]:
    """Give each frame a time that rises, counted from the first."""
    first_s: float | None = None
    last_s = -1.0 / rate
    for frame in frames:
        shown_s = frame.time
        if first_s is None:
            first_s = shown_s or 0.0
        time_s = shown_s - first_s if shown_s is not None else last_s + 1 / rate
        if time_s <= last_s:  # times that are missing or go back
            time_s = last_s + 1 / rate
        if time_s > bounds.longest_s:
            raise VideoError(f"{path} goes on after `media.longest_s` of {bounds.longest_s:,.0f} s: raise that bound.")
        last_s = time_s
        yield time_s, frame


def _all(frames: Iterator[tuple[float, VideoFrame]]) -> Iterator[Frame]:
    for index, (time_s, frame) in enumerate(frames):
        yield Frame(index, time_s, upright(frame))


def _at_rate(frames: Iterator[tuple[float, VideoFrame]], rate_hz: float, frame_rate: float) -> Iterator[Frame]:
    """Yield the frame on show at each moment k / rate; those between are decoded, but not converted."""
    moment = 0
    held: tuple[int, float, VideoFrame] | None = None
    end_s = 0.0
    for index, (time_s, frame) in enumerate(frames):
        while held and time_s > moment / rate_hz + CLOSE_S:
            yield Frame(held[0], moment / rate_hz, upright(held[2]))
            moment += 1
        held = (index, time_s, frame)
        end_s = time_s + 1 / frame_rate
    while held and moment / rate_hz < end_s - CLOSE_S:
        yield Frame(held[0], moment / rate_hz, upright(held[2]))
        moment += 1


def upright(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return a frame as RGB uint8 (H, W, 3), turned as its display matrix asks a player to."""
    image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    quarter_turns = round(frame.rotation / 90) % 4  # FFmpeg counts them anticlockwise, as NumPy does
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image
