"""The sound of a video, aligned with its pictures.

In: a path. Out: blocks of float32 samples in [-1, 1], of which sample 0 is heard when the first picture is shown. Does
not keep them.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from tasks.video.config import MediaBounds
from tasks.video.container import open_container, packets_of, start_of

SAMPLE_RATE_HZ = 16_000
GAP_S = 0.1  # shorter ones are the rounding of time stamps; longer ones are sound that is missing or was broken
BLOCK_S = 30.0
MIXING = {"rematrix_maxval": "1.0"}  # as loud as one channel: two that say the same would else be cut off at 1

Samples = NDArray[np.float32]


def read_sound(path: Path, bounds: MediaBounds, *, block_s: float = BLOCK_S) -> Iterator[Samples]:
    """Yield the sound, mono at 16 kHz, in blocks of `block_s` seconds, the last one shorter.

    Nothing comes where there is no sound, or none that can be decoded. Sound that begins after the first picture, and
    gaps in it, are silence; what begins before it is left out, and so is what goes on after `bounds.longest_s`.

    Raises:
        VideoError: the file cannot be opened.
    """
    size = round(block_s * SAMPLE_RATE_HZ)
    kept: list[Samples] = []
    count = 0
    with open_container(path) as container:
        for samples in aligned_samples(container, bounds.longest_s):
            kept.append(samples[0])
            count += samples.shape[1]
            while count >= size:
                joined = np.concatenate(kept)
                yield joined[:size]
                kept, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(kept)


def sound_of(container: InputContainer) -> AudioStream | None:
    """Return the stream of sound, where there is one that can be decoded."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None and stream.sample_rate]
    return streams[0] if streams else None


def aligned_samples(
    container: InputContainer, longest_s: float, *, layout: str = "mono", rate_hz: int = SAMPLE_RATE_HZ
) -> Iterator[Samples]:
    """Yield pieces of shape (channels, n), one after the other from the first picture on, without gaps."""
    stream = sound_of(container)
    if stream is None:
        return
    start_s, place, left = start_of(container), 0, round(longest_s * rate_hz)
    for piece in _resampled(container, stream, layout, rate_hz):
        samples = np.nan_to_num(np.asarray(piece.to_ndarray(), np.float32)).clip(-1, 1)
        late = 0 if piece.time is None else round((piece.time - start_s) * rate_hz) - place
        if place == 0 and late < 0:
            samples = samples[:, -late:]
        elif late > (GAP_S * rate_hz if place else 0) and late < left:  # of a time beyond all bounds nothing is made
            yield from _silence(samples.shape[0], late, rate_hz)
            place, left = place + late, left - late
        samples = samples[:, :left]
        yield samples
        place, left = place + samples.shape[1], left - samples.shape[1]
        if left <= 0:
            return


def _silence(channels: int, count: int, rate_hz: int) -> Iterator[Samples]:
    """Yield zeros, a second at a time: a gap may be hours."""
    for start in range(0, count, rate_hz):
        yield np.zeros((channels, min(rate_hz, count - start)), np.float32)


def _resampled(container: InputContainer, stream: AudioStream, layout: str, rate_hz: int) -> Iterator[AudioFrame]:
    def fresh() -> av.AudioResampler:
        return av.AudioResampler(format="fltp", layout=layout, rate=rate_hz, options=MIXING)

    resampler = fresh()
    for frame in _decoded(container, stream):
        try:
            yield from resampler.resample(frame)
        except ValueError:  # the sound changes its form on the way
            yield from resampler.resample(None)
            resampler = fresh()
            yield from resampler.resample(frame)
        except FFmpegError:
            continue
    yield from resampler.resample(None)


def _decoded(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    for packet in packets_of(container, stream):
        try:
            frames = stream.decode(packet)
        except (FFmpegError, MemoryError):  # what is broken is left out, and becomes a gap
            continue
        for frame in frames:
            frame.time_base = frame.time_base or stream.time_base
            yield frame
