"""Frames to an mp4 that plays in a browser, the sound of the source kept, and parts of a video cut out."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.errors import VideoError
from tasks.contracts.files import appearing
from tasks.contracts.media import TimeRange
from tasks.video.config import MediaBounds
from tasks.video.container import open_container
from tasks.video.decoding import MOST_DELAY
from tasks.video.frames import CLOSE_S, FALLBACK_RATE, open_frames
from tasks.video.probe import picture_stream, probe
from tasks.video.sound import Soundtrack
from tasks.video.timeline import Timeline, packets_of, seek_before, timeline_of

TIME_BASE = Fraction(1, 90_000)  # of MPEG: fine enough for any frame rate
# Measured at 640x360 on two cores: ultrafast 470-530 frames a second, superfast 360-400, veryfast 250-300 at 60 % of
# its size, faster 110-140. Where few frames are looked at, the encoder is what all else waits for. Without B-frames a
# frame's time is its place in the file, so that the length of the last one is kept when frames come at any time.
ENCODER = {"preset": "superfast", "crf": "23", "bf": "0"}
KEY_EVERY_S = 2.0  # a click on a lane seeks: from key frame to key frame
LEAST_KEY_FRAMES = 12
FASTEST, SLOWEST = Fraction(240), Fraction(1, 100)  # frames a second that the encoder is given
FRAME_DURATION_FLAG = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION: the encoder hands on how long a frame is shown


class VideoWriter:
    """An mp4 that is being written."""

    def __init__(self, path: Path, container: OutputContainer, width: int, height: int, frame_rate: float) -> None:
        """Add the stream of pictures."""
        self._path, self._container = path, container
        self._size = (width, height)
        self._step_s = 1 / frame_rate
        self._last = -1
        rate = min(max(Fraction(frame_rate).limit_denominator(1001), SLOWEST), FASTEST)
        gap = max(LEAST_KEY_FRAMES, round(KEY_EVERY_S * rate))
        self._stream = container.add_stream("libx264", rate=rate, options=ENCODER | {"g": str(gap)})
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = TIME_BASE
        self._stream.codec_context.flags |= FRAME_DURATION_FLAG
        self._name_colours()
        self.sound: Soundtrack | None = None

    def _name_colours(self) -> None:
        """Say which colours the numbers mean: players guess differently where nothing is said."""
        context = self._stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709

    def write(self, image: NDArray[np.uint8], time_s: float, duration_s: float | None = None) -> None:
        """Add a frame, RGB uint8 (H, W, 3), that is shown from `time_s` on; times rise.

        The last frame is shown for `duration_s`, or as long as the frame rate says; the others until the next one.

        Raises:
            VideoError: the disk is full, or the like.
        """
        if image.shape != (self._size[1], self._size[0], 3):
            raise ValueError(f"frames must have shape {(self._size[1], self._size[0], 3)}, got {image.shape}")
        # OpenCV converts as BT.601 has it, five times as fast as FFmpeg's scaler.
        planes = np.asarray(cv2.cvtColor(_even(image), cv2.COLOR_RGB2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = self._last = max(round(time_s / TIME_BASE), self._last + 1)
        frame.time_base = TIME_BASE
        frame.duration = max(1, round((duration_s or self._step_s) / TIME_BASE))
        self._mux(frame, time_s)

    def close(self) -> None:
        """Write what the encoder still holds, and the rest of the sound.

        Raises:
            VideoError: there was no frame at all, or the disk is full.
        """
        if self._last < 0:
            raise VideoError(f"{self._path} cannot be written: not one frame came.")
        self._mux(None, None)

    def _mux(self, frame: av.VideoFrame | None, sound_until_s: float | None) -> None:
        with _told(self._path):
            self._container.mux(self._stream.encode(frame))
            if self.sound:
                self.sound.reach(sound_until_s)


@contextmanager
def open_writer(
    path: Path, *, width: int, height: int, frame_rate: float, sound_of: Path | None, part: TimeRange | None = None
) -> Iterator[VideoWriter]:
    """Write an mp4 of frames of width x height; odd sizes get one more row or column.

    The sound of `sound_of`, or of a part of it, goes along from its first picture on; where it is broken, it is left
    out and the pictures are not.

    Raises:
        VideoError: it cannot be written.
    """
    with (
        appearing(path) as temporary,
        _opened(path, temporary) as container,
        Soundtrack(container, sound_of, part) if sound_of else nullcontext() as sound,
    ):
        writer = VideoWriter(path, container, width, height, frame_rate)
        writer.sound = sound
        yield writer
        writer.close()


@contextmanager
def _opened(path: Path, temporary: Path) -> Iterator[OutputContainer]:
    """Open an mp4, and write its index at the end."""
    with _told(path):
        container = av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"})
    try:
        yield container
    except BaseException:
        with suppress(FFmpegError, OSError):  # it is thrown away, and what went wrong before says more
            container.close()
        raise
    with _told(path):
        container.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in one line what could not be written: FFmpeg names the temporary file."""
    try:
        yield
    except (FFmpegError, OSError) as error:
        raise VideoError(f"{_final(path)} cannot be written: {error.strerror or error}.") from error


def _final(path: Path) -> Path:
    """Return where a file is to be in the end: it is written into a hidden folder first, which a person never sees."""
    return Path(*(part for part in path.parts if not part.startswith(".making-")))


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column where their number is odd: yuv420p halves both."""
    height, width = image.shape[:2]
    if not (height % 2 or width % 2):
        return np.ascontiguousarray(image)
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


COPIED_CODECS = frozenset({"h264", "hevc", "av1", "vp9"})  # that an mp4 holds and browsers play
GIF_RATE_HZ, GIF_SIDE = 10, 480  # frames a second, and pixels of the longer side at most
GIF_LONGEST_S = 30.0  # its pictures are all in memory while it is written


def cut_out(source: Path, bounds: MediaBounds, part: TimeRange, target: Path) -> bool:
    """Write a part of a video to an mp4 of its own, with its sound; say whether its pictures are the source's own.

    They are copied where the part begins at a key frame, and ends at one or with the video; else they are encoded
    again, from exactly the frame that is on show at the start to the last one before the end.

    Raises:
        VideoError: the source is no video, is broken or out of bounds, or the part cannot be written.
    """
    facts = probe(source, bounds)
    is_upright = facts.kind == "video" and not (facts.rotation_deg or facts.mirrored) and facts.pixel_aspect == 1
    if is_upright and facts.codec in COPIED_CODECS and _copy(source, bounds, part, target):
        return True
    with open_frames(source, bounds, part=part) as reader:
        writer = open_writer(
            target,
            width=facts.width,
            height=facts.height,
            frame_rate=facts.frame_rate or FALLBACK_RATE,
            sound_of=source if facts.has_sound else None,
            part=part,
        )
        with writer as writing:
            for frame in reader:
                writing.write(frame.image, frame.time_s - reader.start_s, frame.duration_s)
    return False


def _copy(source: Path, bounds: MediaBounds, part: TimeRange, target: Path) -> bool:
    """Copy a part's packets; say whether its edges let that be done."""
    timeline = timeline_of(source)
    with open_container(source, largest_pixels=bounds.largest_pixels) as container:
        stream = picture_stream(source, container, bounds)
        has_end = part.end_s is not None and part.end_s < (timeline.duration_s or 0.0) - CLOSE_S
        edges_s = [part.start_s, *([part.end_s] if has_end else [])]
        if not all(_is_clean(container, stream, timeline, edge_s) for edge_s in edges_s if edge_s is not None):
            return False
        seek_before(container, stream, timeline, part.start_s)
        with (
            appearing(target) as temporary,
            _opened(target, temporary) as written,
            Soundtrack(written, source, part) as sound,
        ):
            copied = written.add_stream_from_template(stream)
            time_base = stream.time_base or TIME_BASE
            start = round((timeline.start_s + part.start_s) / time_base)
            end = round((part.end_s - part.start_s - CLOSE_S) / time_base) if has_end and part.end_s else None
            with _told(target):
                for packet in _with_decoding_times(packets_of(container, stream, timeline)):
                    packet.pts, packet.dts = (packet.pts or 0) - start, (packet.dts or 0) - start
                    if end is not None and packet.is_keyframe and packet.pts >= end:
                        break
                    shown_s = float(packet.pts * time_base)
                    packet.stream = copied
                    written.mux(packet)
                    sound.reach(shown_s)
                sound.reach(None)
    return True


def _with_decoding_times(packets: Iterator[Packet | None]) -> Iterator[Packet]:
    """Yield packets that have a time of showing, and give the first the times of decoding that Matroska lacks."""
    waiting = list[Packet]()
    for packet in packets:
        if packet is None or packet.pts is None:
            continue
        waiting.append(packet)
        if packet.dts is None:
            continue
        for place, other in enumerate(reversed(waiting)):
            other.dts = packet.dts - place * max(packet.duration or 1, 1)
        yield from waiting
        waiting = []
    for other in waiting:  # of streams in which frames are shown as they are decoded
        other.dts = other.pts
        yield other


def _is_clean(container: InputContainer, stream: VideoStream, timeline: Timeline, time_s: float) -> bool:
    """Say whether a key frame is shown at a time, and nothing that is decoded after it is shown before it."""
    if not seek_before(container, stream, timeline, time_s + CLOSE_S):
        return False
    coming = packets_of(container, stream, timeline)
    packets = [packet for packet in islice(coming, MOST_DELAY + 1) if packet is not None and packet.pts is not None]
    times_s = [float((packet.pts or 0) * (stream.time_base or TIME_BASE)) - timeline.start_s for packet in packets]
    return (
        bool(packets) and packets[0].is_keyframe and times_s[0] == min(times_s) and abs(times_s[0] - time_s) <= CLOSE_S
    )


def write_gif(source: Path, bounds: MediaBounds, part: TimeRange, target: Path) -> None:
    """Write a part of a video, of which the first 30 s count, as an animated GIF without sound.

    Raises:
        VideoError: the source is no video, is broken or out of bounds, or the GIF cannot be written.
    """
    end_s = min(part.end_s or part.start_s + GIF_LONGEST_S, part.start_s + GIF_LONGEST_S)
    shown = TimeRange(start_s=part.start_s, end_s=end_s)
    with open_frames(source, bounds, rate_hz=GIF_RATE_HZ, part=shown) as reader:
        pictures = (_small(frame.image) for frame in reader)
        first = next(pictures)
        with _told(target), appearing(target) as temporary:
            first.save(
                temporary, "GIF", save_all=True, append_images=pictures, duration=round(1000 / GIF_RATE_HZ), loop=0
            )


def _small(image: NDArray[np.uint8]) -> Image.Image:
    """Return a picture of 256 colours of its own, scaled down."""
    height, width = image.shape[:2]
    scale = min(1.0, GIF_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)).quantize(256)
