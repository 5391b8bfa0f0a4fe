"""Decoded frames with rising timestamps, as RGB arrays that are upright, with square pixels, in BT.709."""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.video.colour import ToRgb, side_data_of
from tasks.video.timeline import ORDERED, Timeline, packets_of

MOST_DELAY = 16  # packets until the first frame comes out: the most that H.264 allows


@dataclass
class Counts:
    """What the decoder met."""

    packets: int = 0
    corrupt: int = 0  # packets, or their frames, which could not be decoded


@dataclass(frozen=True)
class Shown:
    """A decoded frame, when it is shown and for how long."""

    index: int
    time_s: float
    duration_s: float
    frame: VideoFrame
    stream: VideoStream  # that it comes from, which knows the shape of its pixels


Watch = Callable[[Shown], None]  # hears of every frame of a video that is decoded


def all_of(*watches: Watch | None) -> Watch | None:
    """Return one that lets all hear that are there; None where there is none."""
    there = [each for each in watches if each]

    def hear(shown: Shown) -> None:
        for each in there:
            each(shown)

    return hear if there else None


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


def timed(
    frames: Iterable[VideoFrame], stream: VideoStream, time_base: Fraction, start_s: float, step_s: float
) -> Iterator[Shown]:
    """Give each frame a time, in seconds from `start_s`, that rises: some have none, and some go back.

    Such a frame comes `step_s` after the one before it.
    """
    last_s, above, below = -step_s, time_base.numerator, time_base.denominator  # products of Fractions are slow
    for index, frame in enumerate(frames):
        time_s = last_s + step_s if frame.pts is None else frame.pts * above / below - start_s
        last_s = max(time_s if time_s > last_s else last_s + step_s, 0.0)
        yield Shown(index, last_s, frame.duration * above / below or step_s, frame, stream)


QUARTER_DEG = 90
MATRIX = struct.Struct("=9i")  # a b u, c d v, x y w, for (x', y') = (a x + c y, b x + d y)
LARGEST_ASPECT = 16  # of a pixel; SVCD has 2.13, half-width 3D 2, and what is far beyond is a broken header
# Formats that say nothing of the shape of pixels. What FFmpeg reports of their streams may be what it read far ahead.
STREAMS_ALONE = {"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v"}
SAME_ASPECT = 0.02  # by which two pictures may differ and still be of one shape: sizes are whole numbers

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: its axes swapped, or not; then flipped left to right, top to bottom."""

    swapped: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether no turn alone does it: writing in the stored picture reads backwards."""
        return self.swapped ^ self.flipped_x ^ self.flipped_y

    @property
    def rotation_deg(self) -> int:
        """The clockwise turn, after mirroring left to right where it is mirrored: 0, 90, 180 or 270."""
        if self.swapped:
            return 3 * QUARTER_DEG if self.flipped_y else QUARTER_DEG
        return 2 * QUARTER_DEG if self.flipped_y else 0

    def of_size(self, size: Size) -> Size:
        """Return the size of a picture that was of `size` before."""
        width, height = size
        return (height, width) if self.swapped else size

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a picture of shape (H, W, 3) upright, as a view."""
        image = image.swapaxes(0, 1) if self.swapped else image
        image = image[:, ::-1] if self.flipped_x else image
        return image[::-1] if self.flipped_y else image


def orientation_of(frame: VideoFrame) -> Orientation:
    """Return how a player shows a frame: the display matrix of its container or codec, to the nearest quarter turn."""
    matrix = side_data_of(frame, Type.DISPLAYMATRIX)
    if len(matrix) != MATRIX.size:
        return Orientation()
    a, b, _, c, d, *_ = MATRIX.unpack(matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(swapped=True, flipped_x=c < 0, flipped_y=b < 0)
    return Orientation(flipped_x=a < 0, flipped_y=d < 0)


def pixel_aspect_of(stream: VideoStream) -> Fraction:
    """Return how many times as wide as high a stored pixel is shown; 1 where nothing sensible is said."""
    coded = stream.codec_context.sample_aspect_ratio
    return sane_aspect(stream.sample_aspect_ratio if _container_speaks(stream) or not coded else coded)


def _container_speaks(stream: VideoStream) -> bool:
    return not STREAMS_ALONE & set(stream.container.format.name.split(","))


def sane_aspect(said: Fraction | None) -> Fraction:
    """Return the shape of a pixel as a header has it; square where it says nothing, or what no camera makes."""
    return said if said and Fraction(1, LARGEST_ASPECT) <= said <= LARGEST_ASPECT else Fraction(1)


def squared(size: Size, aspect: Fraction) -> Size:
    """Return the size of a picture whose pixels have been made square.

    One side grows, as in browsers and players, so that no line or column is lost.
    """
    width, height = size
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


def shown_size(stream: VideoStream, frame: VideoFrame) -> Size:
    """Return the size at which a player shows a frame."""
    return orientation_of(frame).of_size(squared((frame.width, frame.height), pixel_aspect_of(stream)))


class Upright:
    """Turns frames of one video into pictures of one size: that of the first of them."""

    def __init__(self, stream: VideoStream) -> None:
        """Take the stream that the frames come from: it knows the shape of its pixels, which may change on the way."""
        self._stream = stream
        self._to_rgb = ToRgb()
        self._size: Size = (0, 0)  # with square pixels, before it is turned
        self._orientation = Orientation()
        self._aspect = Fraction(1)  # of a pixel of the first frame
        self._coded: Fraction | None = None  # the same, as its codec had it

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return a frame as RGB uint8 (H, W, 3), upright, which the caller may draw in.

        A video may change its size on the way; what follows is fitted into what it was at first, with black beside it
        where its shape is another.
        """
        coded = self._stream.codec_context.sample_aspect_ratio
        if not any(self._size):
            self._orientation = orientation_of(frame)
            self._aspect, self._coded = pixel_aspect_of(self._stream), coded
            self._size = squared((frame.width, frame.height), self._aspect)
        size = squared((frame.width, frame.height), self._aspect_now(coded))
        fitted = self._size if size == self._size else fitted_into(size, self._size)
        image = self._to_rgb(frame, *fitted)
        if fitted != self._size:
            image = _padded(image, self._size)
        return np.ascontiguousarray(self._orientation(image))  # PyAV leaves gaps between the rows

    def _aspect_now(self, coded: Fraction | None) -> Fraction:
        """Return the shape of a pixel: as at first, until the codec says another where the container says none."""
        container_differs = _container_speaks(self._stream) and self._stream.sample_aspect_ratio != self._coded
        return self._aspect if coded == self._coded or container_differs else sane_aspect(coded)


def fitted_into(size: Size, room: Size) -> Size:
    """Return the largest size of the same shape within `room`; all of it where the shapes are nearly the same."""
    scales = [there / here for here, there in zip(size, room, strict=True)]
    if max(scales) / min(scales) <= 1 + SAME_ASPECT:
        return room
    width, height = (max(1, round(side * min(scales))) for side in size)
    return width, height


def _padded(image: NDArray[np.uint8], room: Size) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    canvas = np.zeros((room[1], room[0], 3), np.uint8)
    top, left = (room[1] - height) // 2, (room[0] - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas
