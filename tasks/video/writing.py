"""Frames to an mp4 that plays in a browser, the sound of the source kept.

In: RGB uint8 (H, W, 3) with times, and perhaps a file whose sound goes along. Out: H.264 with yuv420p and AAC, the
index in front, under its final name only once it is whole. Does not draw.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.files import appearing
from tasks.video.container import open_container

TIME_BASE = Fraction(1, 90_000)  # of MPEG: fine enough for any frame rate
ENCODER = {"preset": "veryfast", "crf": "21"}
COPIED = frozenset({"aac", "mp3"})  # sound that mp4 may hold and browsers play
SOUND_RATE_HZ = 48_000


class VideoWriter:
    """An mp4 that is being written."""

    def __init__(self, container: OutputContainer, width: int, height: int, frame_rate: float) -> None:
        self._container = container
        self._size = (width, height)
        self._step = round(1 / frame_rate / TIME_BASE)
        self._last = -1
        rate = Fraction(frame_rate).limit_denominator(1001)
        self._stream = container.add_stream("libx264", rate=rate, options=ENCODER)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = TIME_BASE
        self._stream.time_base = TIME_BASE

    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Add a frame, RGB uint8 (H, W, 3), that is shown from `time_s` on; times rise."""
        if image.shape != (self._size[1], self._size[0], 3):
            raise ValueError(f"frames must have shape {(self._size[1], self._size[0], 3)}, got {image.shape}")
        frame = av.VideoFrame.from_ndarray(_even(image), format="rgb24")
        frame.pts = max(round(time_s / TIME_BASE), self._last + 1)
        frame.time_base = TIME_BASE
        frame.duration = self._step
        self._last = frame.pts
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def open_writer(
    path: Path, *, width: int, height: int, frame_rate: float, sound_of: Path | None
) -> Iterator[VideoWriter]:
    """Write an mp4 of frames of width x height; odd sizes get one more row or column.

    Raises:
        VideoError: it cannot be written.
    """
    with appearing(path) as temporary:
        try:
            with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
                writer = VideoWriter(container, width, height, frame_rate)
                sound = _Sound(container, sound_of) if sound_of else None
                yield writer
                writer.close()
                if sound:
                    sound.copy()
        except (FFmpegError, OSError) as error:
            raise VideoError(f"{path} cannot be written: {error}.") from error


class _Sound:
    """The sound of another file, copied where a browser plays it, else encoded anew."""

    def __init__(self, container: OutputContainer, source: Path) -> None:
        self._container, self._source = container, source
        self._stream: AudioStream | None = None
        with open_container(source) as read:
            if not read.streams.audio:
                return
            found = read.streams.audio[0]
            self._is_copied = found.codec_context.name in COPIED
            if self._is_copied:
                self._stream = container.add_stream_from_template(found)
            else:
                self._stream = container.add_stream("aac", rate=SOUND_RATE_HZ, layout="stereo")

    def copy(self) -> None:
        if self._stream is None:
            return
        with open_container(self._source) as read:
            found = read.streams.audio[0]
            for packet in read.demux(found):
                try:
                    self._pass_on(packet, self._stream)
                except FFmpegError:  # a broken sound does not lose the picture
                    continue
            if not self._is_copied:
                self._container.mux(self._stream.encode(None))

    def _pass_on(self, packet: av.Packet, stream: AudioStream) -> None:
        if self._is_copied:
            if packet.dts is not None:
                packet.stream = stream
                self._container.mux(packet)
            return
        for frame in packet.decode():
            self._container.mux(stream.encode(frame))


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column where their number is odd: yuv420p halves both."""
    height, width = image.shape[:2]
    if not (height % 2 or width % 2):
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
