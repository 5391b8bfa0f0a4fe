"""Frames as they are decoded, and when they are shown.

In: an open container. Out: PyAV's frames, with times that rise. Does not convert them: most may not be wanted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tasks.contracts.errors import VideoError
from tasks.video.container import packets_of


@dataclass
class Counts:
    """What the decoder met."""

    corrupt: int = 0


@dataclass(frozen=True)
class Shown:
    """A decoded frame, when it is shown and for how long."""

    index: int
    time_s: float
    duration_s: float
    frame: VideoFrame


def decoded(path: Path, container: InputContainer, stream: VideoStream, counts: Counts) -> Iterator[VideoFrame]:
    """Decode packet by packet, so that a broken one costs its own frame and those built on it, and no other.

    Where the last packet of all is broken, the few frames that threads still work on are lost with it.

    Raises:
        VideoError: not one frame came.
    """
    any_came = False
    for packet in packets_of(container, stream):
        counts.corrupt += packet is None
        for frame in _frames_of(stream, packet, counts):
            any_came = True
            yield frame
    if not any_came:
        raise VideoError(f"None of the frames of {path} can be decoded. Fetch or copy it again.")


def _frames_of(stream: VideoStream, packet: Packet | None, counts: Counts) -> list[VideoFrame]:
    try:
        frames = stream.decode(packet)
    except (FFmpegError, MemoryError):  # a broken header may ask for any amount
        counts.corrupt += 1
        return []
    whole = [frame for frame in frames if not frame.is_corrupt]
    counts.corrupt += len(frames) - len(whole)
    return whole


def timed(frames: Iterable[VideoFrame], time_base: Fraction, start_s: float, step_s: float) -> Iterator[Shown]:
    """Give each frame a time, in seconds from `start_s`, that rises: some have none, and some go back.

    Such a frame comes `step_s` after the one before it.
    """
    last_s = -step_s
    for index, frame in enumerate(frames):
        time_s = last_s + step_s if frame.pts is None else float(frame.pts * time_base) - start_s
        last_s = max(time_s if time_s > last_s else last_s + step_s, 0.0)
        yield Shown(index, last_s, float(frame.duration * time_base) or step_s, frame)
