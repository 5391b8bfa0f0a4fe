"""Small real media files of every awkward kind, made with PyAV."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT, RATE_HZ = 64, 48, 10
TIME_BASE = Fraction(1, 12_800)
SHADE_STEP = 6  # between two frames: what the encoder may change is less than half of it
SAMPLES = 1024  # of an AAC frame


@dataclass(frozen=True)
class Tone:
    """The sound that a video gets."""

    duration_s: float = 1.0
    start_s: float = 0.0
    codec: str = "aac"
    layout: str = "stereo"
    rate_hz: int = 44_100
    frequency_hz: float = 440.0


@dataclass(frozen=True)
class Shape:
    """How stored pixels are shown: a b u, c d v, x y w as in ISO 14496-12, and a pixel's width over its height."""

    matrix: Sequence[int] | None = None
    aspect: Fraction | None = None


@dataclass(frozen=True)
class Colours:
    """What a stream says of its colours, in the numbers of H.273 (range: 1 limited, 2 full)."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


def shade_of(index: int) -> int:
    """Return the grey of the frame of that number."""
    return 20 + index * SHADE_STEP % 216


def number_of(image: NDArray[np.uint8]) -> int:
    """Return which of the first 36 frames a picture is."""
    return round((float(image.mean()) - 20) / SHADE_STEP)


def shades(count: int, width: int = WIDTH, height: int = HEIGHT) -> Iterable[NDArray[np.uint8]]:
    """Yield that many frames, RGB uint8 (height, width, 3), each of its own grey."""
    return (np.full((height, width, 3), shade_of(index), np.uint8) for index in range(count))


def red_over_blue(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return a picture that tells up from down: red above, blue below."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, :, 0] = image[height // 2 :, :, 2] = 255
    return image


def write_video(
    path: Path,
    images: Iterable[NDArray[np.uint8]] | None = None,
    *,
    times_s: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    container: str | None = None,
    options: dict[str, str] | None = None,
    encoder: dict[str, str] | None = None,
    rotation_deg: int = 0,
    start_s: float = 0.0,
    tone: Tone | None = None,
    shape: Shape = Shape(),
    rate_hz: int = RATE_HZ,
    time_base: Fraction = TIME_BASE,
    sound_first: bool = True,
) -> Path:
    """Write a video of 10 frames a second, or with frames at `times_s`; `rotation_deg` is anticlockwise."""
    with av.open(str(path), "w", format=container, options=options or {}) as file:
        sound = _sound_stream(file, tone) if tone and sound_first else None
        pictures = images if images is not None else shades(10)
        stream = None
        for index, image in enumerate(pictures):
            if stream is None:
                stream = _picture_stream(file, image, codec, pix_fmt, encoder, rotation_deg, shape, rate_hz)
                stream.codec_context.time_base = time_base
                sound = sound or (_sound_stream(file, tone) if tone else None)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            time_s = times_s[index] if times_s else index / rate_hz
            frame.pts, frame.time_base = round((time_s + start_s) / time_base), time_base
            file.mux(stream.encode(frame))
        if stream:
            file.mux(stream.encode(None))
        if tone and sound:
            _add_tone(file, sound, tone)
    return path


def _picture_stream(
    file: OutputContainer,
    image: NDArray[np.uint8],
    codec: str,
    pix_fmt: str,
    encoder: dict[str, str] | None,
    rotation_deg: int,
    shape: Shape,
    rate_hz: int,
) -> VideoStream:
    stream = file.add_stream(codec, rate=rate_hz, options=encoder or {})
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = image.shape[:2]
    stream.pix_fmt = pix_fmt
    if rotation_deg:
        stream.set_display_rotation(rotation_deg)
    if shape.matrix:
        stream.set_display_matrix(shape.matrix)
    if shape.aspect:
        stream.codec_context.sample_aspect_ratio = shape.aspect
    return stream


def write_planes(
    path: Path, planes: Sequence[NDArray[np.integer]], colours: Colours = Colours(), codec: str = "ffv1"
) -> Path:
    """Write one frame of Y, Cb and Cr as they are, all of one size: 8 bits a sample, or 10 where they are uint16."""
    height, width = planes[0].shape
    pix_fmt = "yuv444p10le" if planes[0].dtype == np.uint16 else "yuv444p"
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=RATE_HZ)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        frame = av.VideoFrame(width, height, pix_fmt)
        for target, plane in zip(frame.planes, planes, strict=True):
            lines = np.zeros((height, target.line_size // plane.itemsize), plane.dtype)
            lines[:, :width] = plane
            target.update(lines.tobytes())
        for tagged in (stream.codec_context, frame):
            tagged.color_primaries, tagged.color_trc = colours.primaries, colours.transfer
            tagged.colorspace, tagged.color_range = colours.matrix, colours.range
        frame.pts = 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def _sound_stream(file: OutputContainer, tone: Tone) -> AudioStream:
    stream = file.add_stream(tone.codec, rate=tone.rate_hz, layout=tone.layout)
    assert isinstance(stream, AudioStream)
    return stream


def _add_tone(file: OutputContainer, stream: AudioStream, tone: Tone) -> None:
    count = round(tone.duration_s * tone.rate_hz)
    wave = 0.5 * np.sin(2 * np.pi * tone.frequency_hz * np.arange(count) / tone.rate_hz)
    planes = np.tile(wave.astype(np.float32), (av.AudioLayout(tone.layout).nb_channels, 1))
    for start in range(0, count, SAMPLES):
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(planes[:, start : start + SAMPLES]), format="fltp", layout=tone.layout
        )
        frame.sample_rate = tone.rate_hz
        frame.pts, frame.time_base = start + round(tone.start_s * tone.rate_hz), Fraction(1, tone.rate_hz)
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def write_sound(path: Path, tone: Tone | None = None) -> Path:
    """Write a file that holds sound alone."""
    return write_video(path, [], tone=tone or Tone())


def write_text(path: Path, text: str = "Dear diary, this is no video at all.\n") -> Path:
    """Write text under whatever name."""
    path.write_text(text, encoding="utf-8")
    return path


def write_picture(path: Path, image: NDArray[np.uint8] | None = None, orientation: int | None = None) -> Path:
    """Write a picture in the format of its suffix, perhaps with an EXIF orientation."""
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(image if image is not None else red_over_blue()).save(path, exif=exif.tobytes())
    return path


def truncate(path: Path, fraction: float) -> Path:
    """Keep the beginning of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * fraction)])
    return path


def spoil_packets(path: Path, numbers: Iterable[int], kind: str = "video") -> Path:
    """Overwrite what the packets of these numbers hold with noise; their headers stay whole."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(**{kind: 0}) if packet.size]
        places = [(packets[number].pos, packets[number].size) for number in numbers]
    noise = np.random.default_rng(0)
    with path.open("r+b") as raw:
        for position, size in places:
            assert position is not None
            raw.seek(position)
            raw.write(noise.bytes(size))
    return path
