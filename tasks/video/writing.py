"""Frames to an mp4 that plays in a browser, the sound of the source kept."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.files import appearing
from tasks.contracts.media import TimeRange
from tasks.video.sound import Soundtrack

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
