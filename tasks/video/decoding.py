"""Frames as they are decoded, and when they are shown, with times that rise."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tasks.contracts.errors import VideoError
from tasks.video.timeline import ORDERED, Timeline, packets_of

MOST_DELAY = 16  # packets until the first frame comes out: the most that H.264 allows


@dataclass
class Counts:
    """What the decoder met."""

    packets: int = 0
    corrupt: int = 0  # packets, or frames that came of them, which could not be decoded


@dataclass(frozen=True)
class Shown:
    """A decoded frame, when it is shown and for how long."""

    index: int
    time_s: float
    duration_s: float
    frame: VideoFrame


def decoded(
    path: Path, container: InputContainer, stream: VideoStream, timeline: Timeline, counts: Counts
) -> Iterator[VideoFrame]:
    """Decode packet by packet, so that a broken one costs its own frame and those built on it, and no other.

    Where the last packet of all is broken, the few frames that threads still work on are lost with it.

    Raises:
        VideoError: not one frame came.
    """
    any_came = False
    order = Order() if container.format.name in ORDERED else None
    for packet in packets_of(container, stream, timeline):
        counts.packets += packet is not None and packet.size > 0
        counts.corrupt += packet is None
        for frame in _frames_of(stream, packet, counts, order):
            any_came = True
            yield frame
    if not any_came:
        raise VideoError(f"None of the frames of {path} can be decoded. Fetch or copy it again.")


def _frames_of(stream: VideoStream, packet: Packet | None, counts: Counts, order: "Order | None") -> list[VideoFrame]:
    if order and packet is not None:
        order.feed(packet)
    try:
        frames = stream.decode(packet)
    except (FFmpegError, MemoryError):  # a broken header may ask for any amount
        counts.corrupt += 1
        return []
    if order:
        for frame in frames:
            order.set(frame, stream.codec_context.reorder_depth)
    whole = [frame for frame in frames if not frame.is_corrupt]
    counts.corrupt += len(frames) - len(whole)
    return whole


@dataclass
class Order:
    """When frames are shown whose packets bear the time of decoding alone: as one comes out, so one is shown.

    AVI has no other time than a packet's place, and what FFmpeg makes up is wrong where frames are not shown in the
    order in which they are decoded, and late where they might not have been.
    """

    firsts: list[int] = field(default_factory=list)  # decoding times of the first packets
    start: int | None = None  # of the packet with which the first frame comes out

    def feed(self, packet: Packet) -> None:
        """Take in a packet that is about to be decoded."""
        if packet.dts is not None and packet.size and len(self.firsts) <= MOST_DELAY:
            self.firsts.append(packet.dts)

    def set(self, frame: VideoFrame, delay: int) -> None:
        """Give a frame its time; `delay` is how many packets it takes until one comes out.

        Those that come out at the end, of no packet any more, have none: they follow at the usual steps.
        """
        if frame.dts is None or not self.firsts:
            frame.pts = None
            return
        if self.start is None:
            self.start = min(frame.dts, *self.firsts[delay : delay + 1])
        frame.pts = self.firsts[0] + frame.dts - self.start


def timed(frames: Iterable[VideoFrame], time_base: Fraction, start_s: float, step_s: float) -> Iterator[Shown]:
    """Give each frame a time, in seconds from `start_s`, that rises: some have none, and some go back.

    Such a frame comes `step_s` after the one before it.
    """
    last_s = -step_s
    for index, frame in enumerate(frames):
        time_s = last_s + step_s if frame.pts is None else float(frame.pts * time_base) - start_s
        last_s = max(time_s if time_s > last_s else last_s + step_s, 0.0)
        yield Shown(index, last_s, float(frame.duration * time_base) or step_s, frame)
